"""How well labels match the truth, for one image at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import add
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .checked_json import Count, Number, Score
from .config import SURFACE_TOLERANCE_PX

_Mask = NDArray[Any]
TRUE_BACKGROUND, TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = range(4)  # values of an error map
# Objects match from the first of these on; the AP is the mean over all of them.
MATCH_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
OBJECT_SCORES = ("precision", "recall", "f1", "ap", "count_ratio")
MATCHING = (
    f"An object is found if it shares an IoU of {MATCH_IOUS[0]:g} or more with a predicted one. AP is the mean of "
    f"TP / (TP + FP + FN) at an IoU of {MATCH_IOUS[0]:g} to {MATCH_IOUS[-1]:g}."
)


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores of one image.

    `surface_dice` is None where a border lies nowhere among the annotated pixels, `area_ratio` where there is no true
    object but a predicted one. Areas, numbers of objects and `matches` (pairs of objects at each of `MATCH_IOUS`) are
    there to be summed over images; older files do not know them, and `no_object_scores` says why others have none.
    """

    dice: Score
    iou: Score
    surface_dice: Score | None
    area_ratio: Number | None
    predicted_px: Count | None = None
    true_px: Count | None = None
    predicted_objects: Count | None = None
    true_objects: Count | None = None
    matches: tuple[Count, ...] | None = None
    no_object_scores: str = ""


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """Objects of one image or of several together: predicted ones, true ones, and pairs of them that match.

    A pair matches at an intersection over union of at least a threshold, and no object is in two pairs; `matches` are
    the pairs at each of `MATCH_IOUS`. Scores are those of StarDist (Weigert et al., WACV 2020) and Cellpose (Stringer
    et al., Nat. Methods 18, 2021), but for None instead of 0 where a score is a share of nothing.
    """

    predicted: int
    true: int
    matches: tuple[int, ...]

    @property
    def precision(self) -> float | None:
        """Share of the predicted objects that match, at the lowest threshold."""
        return self.matches[0] / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        """Share of the true objects that match, at the lowest threshold."""
        return self.matches[0] / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """Twice the matching pairs over predicted and true objects, at the lowest threshold."""
        both = self.predicted + self.true
        return 2 * self.matches[0] / both if both else None

    @property
    def ap(self) -> float | None:
        """Mean over thresholds of TP / (TP + FP + FN): matching pairs over all objects that are true or predicted."""
        both = self.predicted + self.true
        return sum(pairs / (both - pairs) for pairs in self.matches) / len(self.matches) if both else None

    @property
    def count_ratio(self) -> float | None:
        """Predicted over true objects: above 1, there are too many."""
        return ratio_of_areas(self.predicted, self.true)


class HasObjects(Protocol):
    """Predicted and true objects of an image and pairs of them, None where they were not counted."""

    @property
    def predicted_objects(self) -> int | None:
        """Objects that were predicted."""

    @property
    def true_objects(self) -> int | None:
        """Objects that there are."""

    @property
    def matches(self) -> tuple[int, ...] | None:
        """Pairs of both at each of `MATCH_IOUS`."""


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


def objects_together(images: Iterable[HasObjects]) -> ObjectCounts | None:
    """Return the objects of all images in which they were counted; None if no true object is among them.

    Each object counts once, so that an image with 2 objects does not weigh as much as one with 200.
    """
    predicted = true = 0
    matches = [0] * len(MATCH_IOUS)
    for one in images:
        if one.predicted_objects is None or one.true_objects is None or len(one.matches or ()) != len(matches):
            continue
        predicted, true = predicted + one.predicted_objects, true + one.true_objects
        matches = list(map(add, matches, one.matches or ()))
    return ObjectCounts(predicted, true, tuple(matches)) if true else None


def object_score(images: Iterable[HasObjects], name: str) -> float | None:
    """Return one of `OBJECT_SCORES` over all objects of all images; None if there is none."""
    counts = objects_together(images)
    score: float | None = getattr(counts, name, None)
    return score


def match_objects(prediction: _Mask, truth: _Mask) -> ObjectCounts:
    """Return how many objects of `prediction` and `truth` match, both (Y, X) with a number above 0 for each object."""
    from scipy import sparse

    known = (prediction > 0) | (truth > 0)
    predicted, true = (np.unique(labels[known], return_inverse=True) for labels in (prediction, truth))
    size = len(predicted[0]), len(true[0])
    pixels = sparse.coo_array((np.ones(len(true[1]), np.int64), (predicted[1], true[1])), size).tocsr().tocoo()
    of_predicted, of_true = (np.bincount(inverse) for _, inverse in (predicted, true))
    is_pair = (predicted[0][pixels.row] > 0) & (true[0][pixels.col] > 0)
    row, column, shared = pixels.row[is_pair], pixels.col[is_pair], pixels.data[is_pair]
    ious = shared / (of_predicted[row] + of_true[column] - shared)
    matches = tuple(_pairs(row[near], column[near]) for near in (ious >= threshold for threshold in MATCH_IOUS))
    return ObjectCounts(_area(predicted[0] > 0), _area(true[0] > 0), matches)


def _pairs(row: NDArray[Any], column: NDArray[Any]) -> int:
    """Return how many of these pairs can be had at once: as many as an assignment of all objects would find."""
    from scipy import sparse

    if not len(row):
        return 0
    places = row.astype(np.int32), column.astype(np.int32)  # an old SciPy matches no wider ones
    allowed = sparse.csr_array((np.ones(len(row), bool), places))
    return _area(sparse.csgraph.maximum_bipartite_matching(allowed) >= 0)


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
