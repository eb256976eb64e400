"""Run a model on annotated images and tell whether it over- or underestimates."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

from ..config import FinetuneConfig, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..errors import DataError
from ..events import PartStarted, as_run, never
from ..inference.predict import Prediction, Predictor
from ..io.writing import write_labels
from ..metrics import error_map
from ..models.foreign.model import ForeignModel
from ..models.model import Model
from .areas import THRESHOLDS, Estimation, ThresholdCounts, estimate_areas
from .evaluate import compare_objects, trained_on

MAP_SUFFIX = "_errors.tif"


@as_run
def estimate(
    model: Model | ForeignModel,
    images: Sequence[AnnotatedImage],
    config: PredictConfig | None = None,
    *,
    maps: Path | str | None = None,
    seed: int = 0,
    should_stop: Callable[[], bool] = never,
) -> Generator[PartStarted, None, Estimation | None]:
    """Predict `images`, yield each as it begins, and return how much too much or too little is predicted.

    Areas, curve and thresholds come from the probabilities, before holes are filled or small objects removed; objects
    are counted in the labels, where masks number them. With `maps`, an error map per image is written there as TIFF:
    0 true background (or not annotated), 1 true positive, 2 false positive, 3 false negative. None is returned if
    `should_stop` says yes before the end.

    Raises
    ------
    DataError
        If there are no images, one has no labels or does not fit the model, or a map cannot be written.
    DeviceError
        If the device is absent or its memory does not hold one tile.
    """
    if not len(images):
        raise DataError("There are no annotated images. Give images with masks.")
    predictor = Predictor(model, config)
    thresholds = tuple(sorted({*THRESHOLDS, predictor.threshold}))
    counts: list[ThresholdCounts] = []
    known: list[str] = []
    for index in range(len(images)):
        if should_stop():
            return None
        image = images[index]
        yield PartStarted(image.name, index + 1, len(images))
        known += trained_on(model, [image])
        prediction = predictor.predict(image)
        areas = ThresholdCounts.of(image.name, prediction.probabilities, image.target, thresholds, image.annotated)
        objects = compare_objects(prediction.labels, image)
        counts.append(areas if isinstance(objects, str) else replace(areas, objects=(objects.predicted, objects.true)))
        if maps is not None:
            _write_map(Path(maps), index, image, prediction)
    found = estimate_areas(
        counts,
        thresholds,
        threshold=predictor.threshold,
        false_positive_weight=trained_weight(model),
        seed=seed,
        trained_on=known,
    )
    return replace(found, balancing_weight=None) if isinstance(model, ForeignModel) else found  # it is not finetuned


def trained_weight(model: Model | ForeignModel) -> float:
    """Return the penalty on false positives that `model` was trained with; the default's if it does not say."""
    default: float = FinetuneConfig.model_fields["false_positive_weight"].default
    return float(model.card.provenance.config.get("false_positive_weight", default))


def _write_map(folder: Path, index: int, image: AnnotatedImage, prediction: Prediction) -> None:
    mask = prediction.probabilities > prediction.threshold
    stem = re.sub(r"[^\w.-]+", "_", image.name)  # frames of a stack and hostile names make no folders
    path = folder / f"{index + 1:03d}_{stem}{MAP_SUFFIX}"
    errors = error_map(mask, image.target, image.annotated)
    write_labels(path, errors, scale=image.scale, unit=image.unit, overwrite=True)
