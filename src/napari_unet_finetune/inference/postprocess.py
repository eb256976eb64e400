"""From probabilities to labels: threshold, tidy, and split what touches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import PredictConfig
from ..io.regions.region import Region
from .objects import CORNERS, WINDOW_PX, Components, WholeMask, split_touching

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
    if config.instances:
        objects = split_mask(mask, config.min_size_px)
        return objects.astype(np.uint16 if objects.max(initial=0) < 2**16 else np.uint32)
    if config.min_size_px <= 1:
        return mask.astype(np.uint8)
    return keep_large(label(mask), config.min_size_px).astype(bool).astype(np.uint8)


def label(mask: NDArray[np.bool_]) -> _Labels:
    """Return the connected objects of `mask` (Y, X), numbered from 1; pixels that meet at a corner are connected."""
    from scipy import ndimage

    objects: _Labels = ndimage.label(mask, structure=CORNERS)[0]
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


def split_mask(mask: NDArray[np.bool_], min_size_px: int = 0) -> _Labels:
    """Return the objects of `mask` (Y, X), numbered from 1, with touching ones cut as `split_touching` does."""
    objects = np.zeros(mask.shape, np.uint32)

    def write(region: Region, numbers: NDArray[np.int64]) -> None:
        objects[region.slices] = numbers

    parts = Components.of(WholeMask(mask), WINDOW_PX, CORNERS)
    final = split_touching(parts, write, min_size_px=min_size_px).numbers
    for window in parts.windows:
        objects[window.slices] = final[objects[window.slices]]
    return objects
