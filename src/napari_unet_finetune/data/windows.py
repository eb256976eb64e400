"""Where windows lie on an image, and what lies beyond its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def window_starts(size: int, window: int, stride: int) -> list[int]:
    """Return starts of windows that cover `size` pixels; the last is flush with the edge.

    An image smaller than the window gets one window that starts before it, half of the missing pixels on each side.
    """
    if size <= window:
        return [(size - window) // 2]
    return [*range(0, size - window, stride), size - window]


def reflected_indices(start: int, count: int, size: int) -> NDArray[np.int64]:
    """Return indices into `size` pixels for `count` pixels from `start`, mirrored at the edges as often as needed.

    The edge pixel is not repeated (numpy's mode "reflect"); one pixel alone is repeated.
    """
    return reflected(np.arange(start, start + count, dtype=np.int64), size)


def reflected(indices: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return `indices`, which may lie beyond the edges of `size` pixels, mirrored there as `reflected_indices` does."""
    if size == 1:
        return np.zeros_like(indices)
    period = 2 * (size - 1)
    folded = indices % period
    return np.minimum(folded, period - folded)
