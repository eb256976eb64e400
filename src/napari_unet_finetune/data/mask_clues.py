"""What lies between neighbors in a mask: shades or numbers of objects, objects or their surroundings, or borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Measured on random scenes: at most 0.2 of the shades that scaling, rotating and JPEG leave have three neighbors of
# the same value in a square, at least 0.6 of the pixels of numbered objects do. Of shades, 0.15 to 1 lie between a
# darker and a brighter neighbor, of specks that are numbered none.
_FLAT, _ON_SLOPE = 0.4, 0.1
_LEAST_CONTRAST, _FEWEST_SHADES = 32, 12
_AREAS_PER_NUMBER, _LEAST_AREA_PX, _MOST_NARROW = 1.5, 4, 255
# Share of the pixels of a mask that are near one of its two values: 0.65 to 1 in masks of thin objects, below 0.4 in
# photos, unless their background is a value of its own.
_NEAR, _CROWDED = 1 / 16, 0.55
_EVEN, _SAME_AREA = 1 / 400, 0.02  # 127 and 128 of 255
_MOSTLY, _CONNECTED, _FEWEST_HOLES, _LEAST_HOLE_PX = 0.5, 0.95, 3, 12
_ROUND = 0.85  # share of its convex hull that a hole fills
_MOST_HOLES = 60
_MOST_CLASSES, _VOID, _BORDER_PX = 64, 255, 9


@dataclass(frozen=True)
class Shades:
    """The two values between which a mask has shades, and whether it is a mask at all and no photo."""

    low: float
    high: float
    is_mask: bool

    def cut(self, array: NDArray[Any]) -> NDArray[np.bool_]:
        """Return what is brighter than half.

        Where a mask was halved, so many pixels may be half covered that all or none of them changes the area. Then they
        count at the left and upper side of objects only.
        """
        half, margin = (self.low + self.high) / 2, (self.high - self.low) * _EVEN
        covered = np.clip((array.astype(np.float64) - self.low) / (self.high - self.low), 0, 1).sum()
        plain = array > half
        if abs(plain.sum() - covered) <= _SAME_AREA * covered:
            return np.asarray(plain, bool)
        padded = np.pad(array.astype(np.float64), 1, mode="edge")
        before, after = padded[1:-1, :-2] + padded[:-2, 1:-1], padded[1:-1, 2:] + padded[2:, 1:-1]
        middle = padded[1:-1, 1:-1]
        return np.asarray((middle > half + margin) | ((np.abs(middle - half) <= margin) & (before < after)), bool)


def find_shades(array: NDArray[Any]) -> Shades | None:
    """Return the plateaus of integers (Y, X) whose other values are shades; ``None`` if they are numbers of areas."""
    flat = in_equal_squares(array)
    is_dark = array <= (int(array.min()) + int(array.max())) / 2
    low, high = _most_frequent(array[flat & is_dark]), _most_frequent(array[flat & ~is_dark])
    low, high = int(array.min()) if low is None else low, int(array.max()) if high is None else high
    others = (array != low) & (array != high)
    if high - low < _LEAST_CONTRAST or others.sum() < _FEWEST_SHADES:
        return None
    if flat[others].mean() >= _FLAT or _on_slope(array)[others].mean() < _ON_SLOPE:
        return None
    if _are_areas(array, others, low, high):
        return None
    margin = (high - low) * _NEAR
    near = (array <= low + margin) | (array >= high - margin)
    return Shades(low, high, bool(near.mean() >= _CROWDED and low <= margin))


def in_equal_squares(array: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of each pixel whether it is in a square of 2 x 2 pixels of one value."""
    corner = array[:-1, :-1]
    equal = (corner == array[1:, :-1]) & (corner == array[:-1, 1:]) & (corner == array[1:, 1:])
    found = np.zeros(array.shape, bool)
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            found[rows, columns] |= equal
    return found


def _most_frequent(values: NDArray[Any]) -> int | None:
    found, counts = np.unique(values, return_counts=True)
    return int(found[np.argmax(counts)]) if len(found) else None


def _are_areas(array: NDArray[Any], others: NDArray[np.bool_], low: int, high: int) -> bool:
    """Tell whether narrow areas have a number each and do not lie between `low` and `high`, as strips at edges do."""
    from scipy import ndimage
    from skimage.measure import label

    numbers = len(np.unique(array[others]))
    if numbers > _MOST_NARROW:
        return False
    areas = int(label(np.where(others, array, 0), connectivity=2, return_num=True)[1])  # type: ignore[no-untyped-call]
    if areas > _AREAS_PER_NUMBER * numbers or others.sum() < _LEAST_AREA_PX * areas:
        return False
    around = np.ones((5, 5))
    between = ndimage.binary_dilation(array == low, around) & ndimage.binary_dilation(array == high, around)
    return bool(between[others].mean() < 0.5)


def _on_slope(array: NDArray[Any]) -> NDArray[np.bool_]:
    from scipy import ndimage  # here: docks would take a third longer to open

    between = (ndimage.minimum_filter(array, 3) < array) & (array < ndimage.maximum_filter(array, 3))
    return np.asarray(between, bool)


def surrounds(objects: NDArray[np.bool_]) -> bool:
    """Tell whether what is called object is one connected surrounding of many round holes, as in an inverted mask.

    It goes round most of the frame, and most of the rest are holes inside of it: layers have no such holes.
    """
    from scipy import ndimage

    frame = np.concatenate([objects[0], objects[-1], objects[:, 0], objects[:, -1]])
    if objects.mean() < _MOSTLY or frame.mean() < _MOSTLY:
        return False
    areas = np.bincount(ndimage.label(objects)[0].ravel())[1:]
    return bool(areas.max() >= _CONNECTED * areas.sum()) and _are_round_inside(~objects)


def _are_round_inside(holes: NDArray[np.bool_]) -> bool:
    """Tell whether most of the area of `holes` is in several regions that fill their convex hull and touch no edge."""
    from scipy import ndimage
    from skimage.measure import regionprops
    from skimage.segmentation import clear_border

    regions, _ = ndimage.label(holes, np.ones((3, 3)))
    inside = clear_border(regions)  # type: ignore[no-untyped-call]
    large = [one for one in regionprops(inside) if one.area >= _LEAST_HOLE_PX]  # type: ignore[no-untyped-call]
    if len(large) < _FEWEST_HOLES or sum(one.area for one in large) < _MOSTLY * holes.sum():
        return False
    large = sorted(large, key=lambda one: -one.area)[:_MOST_HOLES]
    return bool(np.average([one.solidity >= _ROUND for one in large], weights=[one.area for one in large]) > _MOSTLY)


def find_void(array: NDArray[Any], values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where an 8-bit mask of small class numbers has 255 as a border between them; ``None`` if it has not."""
    from scipy import ndimage

    if array.dtype != np.uint8 or len(values) < 3 or values[-1] != _VOID or values[-2] > _MOST_CLASSES:
        return None
    void = array == _VOID
    is_thin = not ndimage.binary_erosion(void, np.ones((_BORDER_PX, _BORDER_PX)), border_value=1).any()
    return void if is_thin and _lies_between(void, array) else None


def has_void(values: NDArray[Any]) -> bool:
    """Tell whether 255 stands beside small numbers only, so that it may be void."""
    return len(values) > 2 and values[-1] == _VOID and values[-2] <= _MOST_CLASSES


def _lies_between(void: NDArray[np.bool_], array: NDArray[Any]) -> bool:
    """Tell whether most regions of `void` touch objects: those that are numbered 255 lie alone."""
    from scipy import ndimage

    eight = np.ones((3, 3))
    regions, count = ndimage.label(void, eight)
    beside = ndimage.binary_dilation((array > 0) & ~void, eight)
    touching = np.unique(regions[beside & void])
    return bool(2 * len(touching) > count)
