"""How well labels match the truth, for one image at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_Mask = NDArray[Any]
TRUE_BACKGROUND, TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = range(4)  # values of an error map
SURFACE_TOLERANCE_PX = 2.0


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores of one image.

    `surface_dice` is None where a border lies nowhere among the annotated pixels, `area_ratio` where there is no true
    object but a predicted one. The areas are there to be summed over images; older files do not know them.
    """

    dice: float
    iou: float
    surface_dice: float | None
    area_ratio: float | None
    predicted_px: int | None = None
    true_px: int | None = None


class HasAreas(Protocol):
    """Predicted and true object pixels of an image, None where they were not counted; without a Dice it is unscored."""

    @property
    def dice(self) -> float | None:
        """Dice score."""

    @property
    def predicted_px(self) -> int | None:
        """Pixels that were predicted to be object."""

    @property
    def true_px(self) -> int | None:
        """Pixels that are object."""


def score(
    prediction: _Mask,
    truth: _Mask,
    *,
    annotated: NDArray[np.bool_] | None = None,
    tolerance: float = SURFACE_TOLERANCE_PX,
    spacing: Sequence[float] = (1.0, 1.0),
) -> Scores:
    """Return all scores of `prediction` against `truth`, both (Y, X) with objects above 0.

    Only pixels in `annotated` (Y, X) count, all if None; its edge is no boundary of an object. `tolerance` of the
    surface Dice is in the unit of `spacing`, the size of a pixel along Y and X.
    """
    predicted, true = _objects(prediction, truth)
    if annotated is not None:
        predicted, true = predicted & annotated, true & annotated
    return Scores(
        dice=dice(predicted, true),
        iou=iou(predicted, true),
        surface_dice=surface_dice(predicted, true, tolerance=tolerance, spacing=spacing, annotated=annotated),
        area_ratio=area_ratio(predicted, true),
        predicted_px=_area(predicted),
        true_px=_area(true),
    )


def dice(prediction: _Mask, truth: _Mask) -> float:
    """Return twice the shared area over the sum of both; 1 if both are empty.

    Arrays of any one shape, above 0 is object.
    """
    predicted, true = _objects(prediction, truth)
    both = _area(predicted) + _area(true)
    return 2 * _area(predicted & true) / both if both else 1.0


def iou(prediction: _Mask, truth: _Mask) -> float:
    """Return the shared area over that of the union; 1 if both are empty.

    Arrays of any one shape, above 0 is object.
    """
    predicted, true = _objects(prediction, truth)
    union = _area(predicted | true)
    return _area(predicted & true) / union if union else 1.0


def area_ratio(prediction: _Mask, truth: _Mask) -> float | None:
    """Return predicted over true area: above 1 is overestimation.

    1 if both are empty; None, not infinity, if only the truth is, so that a mean over images stays meaningful.
    """
    predicted, true = map(_area, _objects(prediction, truth))
    return ratio_of_areas(predicted, true)


def ratio_of_areas(predicted: float, true: float) -> float | None:
    """Return predicted over true area, as `area_ratio` does, from their sizes."""
    if true:
        return predicted / true
    return None if predicted else 1.0


def pooled_area_ratio(images: Iterable[HasAreas]) -> float | None:
    """Return predicted over true area of all scored images together; None if an area is unknown, or none is true.

    A mean of ratios would be that of the smallest objects: 30 pixels predicted for 10 outweigh 9000 for 10000.
    """
    predicted = true = 0
    scored = [one for one in images if one.dice is not None]
    for one in scored:
        if one.predicted_px is None or one.true_px is None:  # older files: what the others say is not said of all
            return None
        predicted, true = predicted + one.predicted_px, true + one.true_px
    return ratio_of_areas(predicted, true) if scored else None


def surface_dice(
    prediction: _Mask,
    truth: _Mask,
    *,
    tolerance: float,
    spacing: Sequence[float] = (1.0, 1.0),
    annotated: NDArray[np.bool_] | None = None,
) -> float | None:
    """Return the share of both boundaries that lies within `tolerance` of the other one.

    The surface Dice of Nikolov et al. (J. Med. Internet Res. 23, 2021, e26151), with the boundary taken as the
    object pixels that have one of their four neighbors outside the object or the image. Masks are (Y, X);
    `tolerance` is in the unit of `spacing`, the size of a pixel along Y and X. 1 if both masks are empty, 0 if one
    is. Boundaries at the edge of `annotated` are not counted, since nothing is known beyond it; None if that leaves
    one of two masks with objects without any, as it is with strokes within objects.
    """
    known = np.ones(np.shape(truth), bool) if annotated is None else annotated
    predicted, true = (mask & known for mask in _objects(prediction, truth))
    if not (predicted.any() and true.any()):
        return float(predicted.any() == true.any())
    drawn, actual = _boundary(predicted, known), _boundary(true, known)
    if not (drawn.any() and actual.any()):
        return None
    near = _within(drawn, actual, tolerance, spacing) + _within(actual, drawn, tolerance, spacing)
    return near / (_area(drawn) + _area(actual))


def error_map(
    prediction: NDArray[Any], truth: NDArray[Any], annotated: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Return (Y, X): 0 true background or not annotated, 1 true positive, 2 false positive, 3 false negative."""
    predicted, true = _objects(prediction, truth)
    errors = np.where(predicted, np.where(true, TRUE_POSITIVE, FALSE_POSITIVE), np.where(true, FALSE_NEGATIVE, 0))
    return (errors if annotated is None else errors * annotated).astype(np.uint8)


def _objects(prediction: _Mask, truth: _Mask) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    predicted, true = np.asarray(prediction) > 0, np.asarray(truth) > 0
    if predicted.shape != true.shape:
        raise ValueError(f"prediction is {predicted.shape} but truth is {true.shape}")
    return predicted, true


def _area(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _boundary(inside: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    boundary: NDArray[np.bool_] = inside & ~ndimage.binary_erosion(inside | ~known)
    return boundary


def _within(boundary: NDArray[np.bool_], other: NDArray[np.bool_], tolerance: float, spacing: Sequence[float]) -> int:
    """Return how many pixels of `boundary` are at most `tolerance` away from `other`."""
    from scipy import ndimage

    distance = ndimage.distance_transform_edt(~other, sampling=spacing)
    return _area(distance[boundary] <= tolerance)
