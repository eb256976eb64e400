"""Where tiles lie on an image and how much each one counts, without any model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..data.windows import reflected_indices


@dataclass(frozen=True)
class TileAxis:
    """Tiles along one axis of an image.

    Parameters
    ----------
    size
        Pixels of the image.
    tile
        Pixels of a tile; an image smaller than this is padded by reflection, half on each side.
    starts
        First pixel of each tile, counted in the padded image, ascending; the last tile is flush with the end.
    """

    size: int
    tile: int
    starts: tuple[int, ...]

    @property
    def padded_size(self) -> int:
        """Pixels of the image and its padding."""
        return max(self.size, self.tile)

    @property
    def image_slice(self) -> slice:
        """Where the image lies in its padded form."""
        before = (self.padded_size - self.size) // 2
        return slice(before, before + self.size)

    @cached_property
    def sources(self) -> NDArray[np.int64]:
        """Index of the image pixel that each padded pixel repeats (padded_size,)."""
        return reflected_indices(-self.image_slice.start, self.padded_size, self.size)

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """Share of each tile in the pixels it covers (tiles, tile); the shares of a pixel add up to 1."""
        window = blend_window(self.tile)
        total = np.zeros(self.padded_size)
        for start in self.starts:
            total[start : start + self.tile] += window
        return np.stack([window / total[start : start + self.tile] for start in self.starts]).astype(np.float32)


@dataclass(frozen=True)
class TilePlan:
    """A grid of square tiles; padding and weights are kept per axis, since a tile's weight is their product."""

    rows: TileAxis
    columns: TileAxis

    @property
    def needs_padding(self) -> bool:
        """Tell whether a side of the image is shorter than a tile."""
        return any(axis.size < axis.tile for axis in (self.rows, self.columns))

    @cached_property
    def tiles(self) -> tuple[tuple[int, int], ...]:
        """Row and column in the grid of every tile, row by row."""
        return tuple((y, x) for y in range(len(self.rows.starts)) for x in range(len(self.columns.starts)))

    @property
    def image_slices(self) -> tuple[slice, slice]:
        """Where the image (Y, X) lies in its padded form."""
        return self.rows.image_slice, self.columns.image_slice

    def tile_slices(self, tile: tuple[int, int]) -> tuple[slice, slice]:
        """Return where `tile`, an element of `tiles`, lies in the padded image."""
        top, left = self.rows.starts[tile[0]], self.columns.starts[tile[1]]
        return slice(top, top + self.rows.tile), slice(left, left + self.columns.tile)


def plan_tiles(shape: tuple[int, int], tile: int, overlap: float) -> TilePlan:
    """Return tiles that cover an image of `shape` (Y, X).

    Neighbours share at least `overlap` (0 to below 1) of a tile of `tile` pixels, all of them equally much: two that
    nearly coincide would see the same surroundings and be of one mind. No tile sees anything but the image; one smaller
    than a tile is mirrored.
    """
    stride = max(1, round(tile * (1 - overlap)))
    rows, columns = (TileAxis(size, tile, _even_starts(max(size - tile, 0), stride)) for size in shape)
    return TilePlan(rows, columns)


def _even_starts(last: int, stride: int) -> tuple[int, ...]:
    """Return starts from 0 to `last`, at most `stride` apart and evenly spread."""
    return tuple(int(start) for start in np.linspace(0, last, math.ceil(last / stride) + 1).round())


def blend_window(tile: int) -> NDArray[np.float64]:
    """Return the weight along one axis (tile,) before it is shared among tiles.

    A Hann window sampled at pixel centres, where it is nowhere 0; the weight of a pixel is the product of two.
    """
    centres: NDArray[np.float64] = (np.arange(tile) + 0.5) / tile
    return np.sin(np.pi * centres) ** 2
