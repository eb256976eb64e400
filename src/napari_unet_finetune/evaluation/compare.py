"""Score models on images with known truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..config import PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..inference.predict import Prediction, Predictor
from ..models.checkpoint import Checkpoint
from .metrics import Scores, score
from .rows import Row

# Two boundaries within this distance count as the same.
TOLERANCE_PX = 2.0


def evaluate_images(
    predictor: Predictor, images: Sequence[AnnotatedImage], *, tolerance_px: float = TOLERANCE_PX
) -> Iterator[tuple[AnnotatedImage, Prediction, Scores]]:
    """Yield image, prediction and scores one by one; `tolerance_px` is that of the surface Dice, in pixels."""
    for image in images:
        prediction = predictor.predict(image)
        yield image, prediction, score_prediction(prediction, image, tolerance_px=tolerance_px)


def score_prediction(prediction: Prediction, image: AnnotatedImage, *, tolerance_px: float = TOLERANCE_PX) -> Scores:
    """Return the scores of `prediction` on the annotated part of `image`.

    Raises
    ------
    DataError
        If the image has no labels.
    """
    return score(np.asarray(prediction.labels > 0), image.target, annotated=image.annotated, tolerance=tolerance_px)


def evaluate(
    checkpoint: Checkpoint,
    images: Sequence[AnnotatedImage],
    config: PredictConfig | None = None,
    *,
    dataset: int = 2,
    tolerance_px: float = TOLERANCE_PX,
) -> list[Row]:
    """Return one row per image with the scores of `checkpoint`.

    What the model was finetuned with is taken from its file; `dataset` is only a label for the table.

    Raises
    ------
    DataError
        If an image has no labels or does not fit the model.
    DeviceError
        If the chosen device is absent or its memory does not hold one tile.
    """
    return list(score_rows(Predictor(checkpoint, config), images, dataset=dataset, tolerance_px=tolerance_px))


def score_rows(
    predictor: Predictor, images: Sequence[AnnotatedImage], *, dataset: int = 2, tolerance_px: float = TOLERANCE_PX
) -> Iterator[Row]:
    """Yield the rows of `evaluate` one by one.

    Raises
    ------
    DataError
        If an image has no labels or does not fit the model.
    DeviceError
        If the device's memory does not hold one tile.
    """
    origin = predictor.checkpoint.provenance
    for image, _, scores in evaluate_images(predictor, images, tolerance_px=tolerance_px):
        yield Row.of(
            scores,
            count=len(origin.images) if origin.parent_sha256 else 0,
            seed=origin.seed or 0,
            preset=str(origin.config.get("preset", "")),
            dataset=dataset,
            image=image.name,
        )
