"""Models × images: what each model makes of each image, in labels files that are kept, and how it scores."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..config import PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.folders import read_mask, read_unannotated
from ..data.pairing import Pair
from ..device import is_out_of_memory
from ..errors import DeviceError, FinetuneError
from ..events import Event, ImageCompared, PartStarted, never
from ..inference.predict import Prediction, Predictor
from ..io.images import ImageRef, read_image, write_labels
from ..metrics import Scores, score
from ..models.load import load_model
from ..runs.request import ComparedModel
from .cache import HashedModel, KeptLabels, Source


@dataclass(frozen=True)
class Comparison:
    """Which models to compare on which images.

    Parameters
    ----------
    cache
        Folder in which labels are kept: what lies there is not computed again.
    pairs
        Those of the images that have a mask, which are scored.
    """

    models: Sequence[ComparedModel]
    images: Sequence[ImageRef]
    cache: Path
    pairs: Sequence[Pair] = ()
    config: PredictConfig = field(default_factory=PredictConfig)


def compare_models(
    comparison: Comparison, *, should_stop: Callable[[], bool] = never
) -> Generator[Event, None, tuple[ImageCompared, ...]]:
    """Yield `ImageCompared` for every model and image, and return them all, or those that were done when stopped.

    An image that cannot be read or predicted, and a model that cannot be loaded, are reported and the others go on.

    Raises
    ------
    DeviceError
        If the device is absent or its memory does not hold one tile.
    """
    cells: list[ImageCompared] = []
    for index, model in enumerate(comparison.models, start=1):
        yield PartStarted(model.label, index, len(comparison.models))
        column = _Column(comparison, model)
        for done, image in enumerate(comparison.images, start=1):
            if should_stop():
                return tuple(cells)
            cell = yield from column.cell(image, should_stop)
            if cell is None:
                return tuple(cells)
            cells.append(replace(cell, done=done, total=len(comparison.images)))
            yield cells[-1]
    return tuple(cells)


class _Column:
    """One model on all images; it is loaded when the first image needs it."""

    def __init__(self, comparison: Comparison, model: ComparedModel) -> None:
        self._comparison, self._model = comparison, model
        self._predictor: Predictor | None = None
        self._hashed: HashedModel | None = None
        self._pairs = {pair.image: pair for pair in comparison.pairs}
        self._problem: FinetuneError | None = None

    def cell(self, image: ImageRef, should_stop: Callable[[], bool]) -> Generator[Event, None, ImageCompared | None]:
        """Return what the model makes of `image`, None if it was stopped."""
        cell = ImageCompared(self._model.label, image.name)
        try:
            kept = KeptLabels.find(self._comparison.cache, self._model_file(), image, self._comparison.config)
            if not kept.file.is_file() and not (yield from self._predict(image, kept, should_stop)):
                return None
            scores = self._score(image, kept)
        except DeviceError:
            raise  # no other image would fare better
        except FinetuneError as error:
            return replace(cell, error=str(error))
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            return replace(cell, error=f"{image.name} does not fit in memory. Cut it into smaller images.")
        if scores is None:
            return replace(cell, labels=kept.file)
        return replace(cell, labels=kept.file, **asdict(scores))

    def _model_file(self) -> HashedModel:
        if self._problem is not None:
            raise self._problem
        try:
            self._hashed = self._hashed or HashedModel.of(self._model.model)
        except FinetuneError as error:
            self._problem = error
            raise
        return self._hashed

    def _predict(
        self, ref: ImageRef, kept: KeptLabels, should_stop: Callable[[], bool]
    ) -> Generator[Event, None, bool]:
        """Write the labels of an image, and tell whether it came to its end."""
        image = read_unannotated(ref)
        prediction = yield from self._loaded().stream(image, should_stop=should_stop)
        if not isinstance(prediction, Prediction):
            return False
        kept.write_note()  # first: labels without a note would never be removed
        write_labels(kept.file, prediction.labels, scale=image.scale, unit=image.unit)
        return True

    def _loaded(self) -> Predictor:
        if self._predictor is None:
            try:
                self._predictor = Predictor(load_model(self._model.model), self._comparison.config)
            except FinetuneError as error:
                self._problem = error
                raise
        return self._predictor

    def _score(self, image: ImageRef, kept: KeptLabels) -> Scores | None:
        """Return and note how the labels score; None without a mask."""
        pair = self._pairs.get(image)
        if pair is None:
            kept.write_note()
            return None
        source, truth = Source.of_mask(pair), read_mask(pair)
        labels = read_image(kept.ref, as_labels=True).array
        checked = AnnotatedImage(image.name, labels, truth.labels, truth.annotated)
        scores = score(labels, checked.target, annotated=checked.annotated)
        kept.write_note(source, scores)
        return scores
