"""Images made smaller or larger, whole or in part, with the same result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...io.regions.region import Region
from ..windows import reflected

_TRUNCATED = 4.0  # of a Gaussian, in standard deviations


def rescaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return the size (Y, X) of an image resampled by `factor`."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def resample(planes: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return `planes` (…, Y, X) linearly interpolated to `shape`, smoothed before they shrink."""
    old = planes.shape[-2], planes.shape[-1]
    return Resampling.of(old, shape).apply(planes, Region.whole(old), Region.whole(shape))


@dataclass(frozen=True)
class Resampling:
    """The change of size of an image: how each row and each column of the new image is made of those of the old.

    Each is a sum of few old ones, always in the same order: a part comes out as it does in the whole, to the last bit.
    """

    rows: _Axis
    columns: _Axis

    @classmethod
    def of(cls, old: tuple[int, int], new: tuple[int, int]) -> Resampling:
        """Return the change from a size (Y, X) to another."""
        return cls(_Axis(old[0], new[0]), _Axis(old[1], new[1]))

    def needs(self, region: Region) -> Region:
        """Return the region of the old image of which a region of the new one is made."""
        top, bottom = self.rows.needs(region.top, region.bottom)
        left, right = self.columns.needs(region.left, region.right)
        return Region(top, left, bottom, right)

    def apply(self, planes: NDArray[np.float32], given: Region, wanted: Region) -> NDArray[np.float32]:
        """Return region `wanted` (…, Y, X) of the new image from region `given` of the old, which `needs` has told."""
        along_x = self.rows.apply(planes.swapaxes(-1, -2), given.top, wanted.top, wanted.bottom).swapaxes(-1, -2)
        return self.columns.apply(along_x, given.left, wanted.left, wanted.right)


@dataclass(frozen=True)
class _Axis:
    """The change of size along one axis, from `old` to `new` pixels.

    Linear interpolation between pixel centers, after a Gaussian of a standard deviation of (old / new - 1) / 2 where
    the image shrinks, mirrored at the edges.
    """

    old: int
    new: int

    def needs(self, start: int, stop: int) -> tuple[int, int]:
        indices, _ = self._taps(start, stop)
        return int(indices.min()), int(indices.max()) + 1

    def apply(self, lines: NDArray[np.float32], given: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return the pixels from `start` to below `stop` along the last axis, of lines that begin at pixel `given`."""
        if self.old == self.new:
            return lines[..., start - given : stop - given]
        indices, weights = self._taps(start, stop)
        result = np.zeros((*lines.shape[:-1], stop - start), np.float32)
        for places, shares in zip(indices.T - given, weights.T, strict=True):
            result += np.take(lines, places, axis=-1) * shares
        return result

    def _taps(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return of which old pixels each new one is made (n, k), and by which weights."""
        if self.old == self.new:
            return np.arange(start, stop)[:, None], np.ones((stop - start, 1), np.float32)
        centers = (np.arange(start, stop) + 0.5) * (self.old / self.new) - 0.5
        before = np.floor(centers).astype(np.int64)
        share = (centers - before)[:, None]
        window = _gaussian(max(0.0, (self.old / self.new - 1) / 2))
        zero = np.zeros(1)
        weights = (1 - share) * np.concatenate([window, zero]) + share * np.concatenate([zero, window])
        indices = before[:, None] + np.arange(len(window) + 1) - len(window) // 2
        return reflected(indices, self.old), weights.astype(np.float32)


def _gaussian(sigma: float) -> NDArray[np.float64]:
    """Return the weights of a Gaussian (2 r + 1,) that add up to 1; a single one where it has no width."""
    radius = math.floor(_TRUNCATED * sigma + 0.5)
    places = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (places / sigma) ** 2) if radius else np.ones(1)
    normalized: NDArray[np.float64] = weights / weights.sum()
    return normalized
