"""Small pictures of images for tables: stretched to 8 bits, in colors where there are three channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_COLORS = 3
_PERCENTILES = (0.5, 99.5)


def thumbnail(array: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """Return ``(Y, X)`` or ``(Y, X, 3)`` of at most `size` pixels a side, from ``(Y, X)`` or ``(C, Y, X)``.

    Of an image with two or more than three channels the first is shown.
    """
    step = max(1, -(-max(array.shape[-2:]) // size))
    small = array[..., step // 2 :: step, step // 2 :: step]
    if 0 in small.shape:  # a side shorter than half a step
        small = array[..., ::step, ::step]
    plane = small if small.ndim == 2 else np.moveaxis(small, 0, -1) if len(small) == _COLORS else small[0]
    low, high = np.percentile(plane.astype(np.float32), _PERCENTILES)
    stretched = (plane - np.float32(low)) * np.float32(255 / max(high - low, 1e-9))
    return np.ascontiguousarray(np.clip(stretched, 0, 255).astype(np.uint8))
