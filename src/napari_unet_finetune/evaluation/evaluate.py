"""Score models on images with known truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from ..config import SURFACE_TOLERANCE_PX, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.objects import why_not_numbered
from ..errors import DataError
from ..inference.predict import Prediction, Predictor
from ..measure.objects import number_objects
from ..metrics import ObjectCounts, Scores, match_objects, score
from ..models.foreign.model import ForeignModel
from ..models.model import Model
from ..models.provenance import TrainingImage
from .rows import Row


@dataclass(frozen=True)
class Tolerance:
    """Two boundaries within this distance count as the same; `unit` is "px" or that of the images' scale."""

    value: float = SURFACE_TOLERANCE_PX
    unit: str = "px"

    def spacing_of(self, image: AnnotatedImage) -> tuple[float, float]:
        """Return the size of a pixel of `image` along Y and X in this unit.

        Raises
        ------
        DataError
            If the image has its scale in another unit, or none.
        """
        if self.unit == "px":
            return (1.0, 1.0)
        if image.unit != self.unit:
            raise DataError(
                f"{image.name}: its pixel size is not known in {self.unit}. Give the tolerance in pixels (px) instead."
            )
        return image.scale


DEFAULT_TOLERANCE = Tolerance()


def trained_on(model: Model | ForeignModel, images: Iterable[AnnotatedImage]) -> tuple[str, ...]:
    """Return the names of those `images` with which the model was trained: scores on them are too good."""
    origin = model.card.provenance
    return tuple(image.name for image in images if origin.images and origin.knows(TrainingImage.of(image)))


def evaluate_images(
    predictor: Predictor, images: Sequence[AnnotatedImage], *, tolerance: Tolerance = DEFAULT_TOLERANCE
) -> Iterator[tuple[AnnotatedImage, Prediction, Scores]]:
    """Yield image, prediction and scores one by one; `tolerance` is that of the surface Dice."""
    for image in images:
        prediction = predictor.predict(image)
        yield image, prediction, score_labels(prediction.labels, image, tolerance=tolerance)


def score_labels(labels: NDArray[Any], image: AnnotatedImage, *, tolerance: Tolerance = DEFAULT_TOLERANCE) -> Scores:
    """Return the scores of predicted `labels` (Y, X) on the annotated part of `image`.

    Objects are those that `measure` finds in the labels: their numbers, or the connected regions of a mask. They are
    compared where the whole image is annotated and its mask has a number for each object.

    Raises
    ------
    DataError
        If the image has no labels, or no pixel size in the unit of `tolerance`.
    """
    scores = score(
        labels,
        image.target,
        annotated=image.annotated,
        tolerance=tolerance.value,
        spacing=tolerance.spacing_of(image),
    )
    counts = compare_objects(labels, image)
    if isinstance(counts, str):
        return replace(scores, no_object_scores=counts)
    return replace(scores, predicted_objects=counts.predicted, true_objects=counts.true, matches=counts.matches)


def compare_objects(labels: NDArray[Any], image: AnnotatedImage) -> ObjectCounts | str:
    """Return the objects of predicted `labels` (Y, X) and those of `image`; why they cannot be compared if so."""
    if image.labels is None or image.annotated is not None:
        return "not all of the image is annotated"
    return why_not_numbered(image.labels) or match_objects(number_objects(labels, name=image.name), image.labels)


def evaluate(
    model: Model | ForeignModel,
    images: Sequence[AnnotatedImage],
    config: PredictConfig | None = None,
    *,
    dataset: int = 2,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    **settings: Any,
) -> list[Row]:
    """Return one row per image with the scores of `model`.

    What the model was finetuned with is taken from its file; `dataset` is only a label for the table, and `settings`
    are fields of `config` by name.

    Raises
    ------
    DataError
        If an image has no labels or does not fit the model.
    DeviceError
        If the chosen device is absent or its memory does not hold one tile.
    """
    predictor = Predictor(model, PredictConfig.given(config, settings))
    return list(score_rows(predictor, images, dataset=dataset, tolerance=tolerance))


def score_rows(
    predictor: Predictor,
    images: Sequence[AnnotatedImage],
    *,
    dataset: int = 2,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
) -> Iterator[Row]:
    """Yield the rows of `evaluate` one by one.

    Raises
    ------
    DataError
        If an image has no labels or does not fit the model.
    DeviceError
        If the device's memory does not hold one tile.
    """
    card = predictor.model.card
    for _, prediction, scores in evaluate_images(predictor, images, tolerance=tolerance):
        yield Row.of(
            scores,
            prediction,
            count=card.image_count,
            seed=card.provenance.seed or 0,
            preset=card.preset,
            dataset=dataset,
        )
