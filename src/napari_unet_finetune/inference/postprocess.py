"""From probabilities to labels: threshold, tidy, and split what touches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import PredictConfig

# A dip of the distance map between two centers counts as a neck if it is this deep, relative to the radius of the
# median object, and at least as deep as the steps of a pixel grid.
_NECK_DEPTH = 0.05
_MIN_NECK_DEPTH_PX = 0.3
_SMOOTHING_PX = 1.0

_Labels = NDArray[np.integer[Any]]


def to_labels(
    probabilities: NDArray[np.floating[Any]], threshold: float, config: PredictConfig | None = None
) -> NDArray[np.unsignedinteger[Any]]:
    """Return labels (Y, X) of `probabilities` (Y, X) above `threshold`.

    Holes are filled first, then touching objects are split, then objects of fewer than `min_size_px` pixels are
    removed. Labels are 0 and 1 (uint8), or with `instances` 1, 2, … per object (uint16, uint32 where that is short).
    """
    config = config or PredictConfig()
    mask = probabilities > threshold
    if config.fill_holes:
        mask = fill_holes(mask)
    if not config.instances and config.min_size_px <= 1:
        return mask.astype(np.uint8)
    if not config.instances:
        return keep_large(label(mask), config.min_size_px).astype(bool).astype(np.uint8)
    objects = keep_large(split_touching(mask), config.min_size_px)
    return objects.astype(np.uint16 if objects.max(initial=0) < 2**16 else np.uint32)


def label(mask: NDArray[np.bool_]) -> _Labels:
    """Return the connected objects of `mask` (Y, X), numbered from 1; pixels that meet at a corner are connected."""
    from scipy import ndimage

    objects: _Labels = ndimage.label(mask, structure=np.ones((3, 3)))[0]
    return objects


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return `mask` (Y, X) with all holes closed that do not reach the edge of the image."""
    from scipy import ndimage

    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled


def keep_large(objects: _Labels, min_size_px: int) -> _Labels:
    """Return `objects` (Y, X) without those of fewer than `min_size_px` pixels, numbered anew from 1."""
    sizes = np.bincount(objects.ravel())
    kept = sizes >= max(min_size_px, 1)
    kept[0] = False
    numbers: _Labels = np.where(kept, np.cumsum(kept), 0)
    return numbers[objects]


def split_touching(mask: NDArray[np.bool_]) -> _Labels:
    """Return the objects of `mask` (Y, X), numbered from 1, with touching ones cut at their necks.

    Watershed of the smoothed distance to the background, one object for each peak that rises above its saddle by
    more than a small part of the median object's radius (h-maxima; Vincent, IEEE Trans. Image Process. 2, 1993).
    For roundish objects such as nuclei.
    """
    from scipy import ndimage
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    objects = label(mask)
    if not objects.any():
        return objects
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    radius = float(np.median(ndimage.maximum(distance, objects, np.arange(1, objects.max() + 1))))
    smooth = ndimage.gaussian_filter(distance, _SMOOTHING_PX)
    peaks = h_maxima(smooth, max(_MIN_NECK_DEPTH_PX, _NECK_DEPTH * radius))  # type: ignore[no-untyped-call]
    split: _Labels = watershed(-smooth, label((peaks > 0) & mask), connectivity=2, mask=mask)  # type: ignore[no-untyped-call]
    rest = label(mask & (split == 0))  # specks too flat for a peak
    return np.where(rest > 0, rest + split.max(), split)
