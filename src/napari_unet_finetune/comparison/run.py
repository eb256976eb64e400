"""Models × images: what each model makes of each image, in labels files that are kept, and how it scores."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from ..data.annotated_image import AnnotatedImage
from ..data.folders import read_mask, read_unannotated
from ..data.pairing import Pair
from ..errors import DeviceError, FinetuneError, lacks_memory
from ..evaluation.evaluate import score_labels
from ..events import Event, ImageCompared, PartStarted, never
from ..inference.postprocess import to_labels
from ..inference.predict import Prediction, Predictor
from ..io.images import ImageRef, read_image, write_labels
from ..metrics import Scores
from ..runs.request import ComparedModel, CompareRequest
from .cache import KeptCell, KeptCells, MadeOf, Truth

_HALF = 0.5


def compare_models(
    request: CompareRequest, *, should_stop: Callable[[], bool] = never
) -> Generator[Event, None, tuple[ImageCompared, ...]]:
    """Yield `ImageCompared` for every model and image, and return them all, or those that were done when stopped.

    An image that cannot be read or predicted, and a model that cannot be loaded, are reported and the others go on.

    Raises
    ------
    DeviceError
        If the device is absent or its memory does not hold one tile.
    """
    cells: list[ImageCompared] = []
    kept = KeptCells(request.cache)
    for index, model in enumerate(request.models, start=1):
        yield PartStarted(model.label, index, len(request.models))
        column = _Column(request, model, kept)
        for done, image in enumerate(request.images, start=1):
            if should_stop():
                return tuple(cells)
            cell = yield from column.cell(image, should_stop)
            if cell is None:
                return tuple(cells)
            cells.append(replace(cell, done=done, total=len(request.images)))
            yield cells[-1]
    return tuple(cells)


class _Column:
    """One model on all images; it is loaded when the first image needs it."""

    def __init__(self, request: CompareRequest, model: ComparedModel, kept: KeptCells) -> None:
        self._config, self._model, self._kept = request.config, model, kept
        self._predictor: Predictor | None = None
        self._pairs = {pair.image: pair for pair in request.pairs}
        self._problem: FinetuneError | None = None

    def cell(self, image: ImageRef, should_stop: Callable[[], bool]) -> Generator[Event, None, ImageCompared | None]:
        """Return what the model makes of `image`, None if it was stopped."""
        cell = ImageCompared(self._model.label, image.name)
        try:
            made_of = MadeOf.of(self._model.model, image, self._config)
            kept = self._kept.find(made_of) or (yield from self._predict(image, made_of, should_stop))
            if kept is None:
                return None
            kept = self._scored(image, kept)
        except DeviceError:
            raise  # no other image would fare better
        except FinetuneError as error:
            return replace(cell, error=str(error))
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            return replace(cell, error=f"{image.name} does not fit in memory. Cut it into smaller images.")
        scores = asdict(kept.scores) if kept.scores else {}
        return replace(cell, labels=kept.labels, shown=kept.shown, **scores)

    def _predict(
        self, ref: ImageRef, made_of: MadeOf, should_stop: Callable[[], bool]
    ) -> Generator[Event, None, KeptCell | None]:
        """Write the labels of an image; return None if it was stopped."""
        image, unsplit = read_unannotated(ref), self._unsplit(ref)
        if unsplit is not None:
            labels, shown = to_labels(_mask_of(unsplit), _HALF, self._config), unsplit.shown
        else:
            prediction = yield from self._loaded().stream(image, should_stop=should_stop)
            if not isinstance(prediction, Prediction):
                return None
            labels, shown = prediction.labels, prediction.shown
        cell = self._kept.new(made_of).model_copy(update={"shown": shown})
        self._kept.put(cell)  # first: labels that are not in the list would never be removed
        write_labels(cell.labels, labels, scale=image.scale, unit=image.unit)
        return cell

    def _unsplit(self, image: ImageRef) -> KeptCell | None:
        """Return what was predicted without splitting, if that is kept and to be split."""
        if not self._config.instances:
            return None
        unsplit = self._config.model_copy(update={"instances": False})
        return self._kept.find(MadeOf.of(self._model.model, image, unsplit))

    def _loaded(self) -> Predictor:
        if self._problem is not None:
            raise self._problem
        if self._predictor is None:
            try:
                self._predictor = Predictor.of(self._model.model, self._config)
            except FinetuneError as error:
                self._problem = error
                raise
        return self._predictor

    def _scored(self, image: ImageRef, cell: KeptCell) -> KeptCell:
        """Return and keep the cell with how its labels score, if there is a mask."""
        pair = self._pairs.get(image)
        scores = None if pair is None else self._score(image, cell, pair)
        scored = cell.model_copy(update={"truth": Truth.of(pair), "scores": scores})
        self._kept.put(scored)
        return scored

    def _score(self, image: ImageRef, cell: KeptCell, pair: Pair) -> Scores:
        labels, truth = read_image(ImageRef(cell.labels), as_labels=True).array, read_mask(pair)
        checked = AnnotatedImage(image.name, labels, truth.labels, truth.annotated)
        return score_labels(labels, checked)


def _mask_of(cell: KeptCell) -> NDArray[np.float32]:
    """Return the objects of a cell as (Y, X) of 0 and 1."""
    mask: NDArray[np.bool_] = read_image(ImageRef(cell.labels), as_labels=True).array > 0  # type: ignore[operator]
    return mask.astype(np.float32)
