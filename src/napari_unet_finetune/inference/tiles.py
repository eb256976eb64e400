"""Where tiles lie on an image and how much each one counts, without any model."""

from __future__ import annotations

import logging
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.windows import reflected_indices
from ..device import free_memory
from ..errors import DeviceError, lacks_memory
from ..events import TileEnd
from ..io.regions.region import Region

_log = logging.getLogger(__name__)


def blend_tiles(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    tile: int,
    overlap: float,
    batch_size: int,
    mirrored: bool = False,
) -> Generator[TileEnd, None, Tensor]:
    """Yield progress after every batch of tiles and return the probabilities (Y, X), float32, of `image` (C, Y, X).

    `network` maps (B, C, tile, tile) to logits (B, 1, tile, tile) on the device of `image`; it is called without
    gradients and must be in evaluation mode. Overlapping tiles are averaged as probabilities, each weighted by a
    Hann window. `mirrored` shows every second tile mirrored, see `plan_tiles`. A device that runs out of memory is
    given half as many tiles at a time.

    Raises
    ------
    DeviceError
        If a single tile does not fit into the device's memory.
    """
    plan = plan_tiles((image.shape[-2], image.shape[-1]), tile, overlap, mirrored=mirrored)
    return (yield from blend_part(network, image, plan.covering(Region.whole(plan.shape)), batch_size=batch_size))


def blend_part(
    network: Callable[[Tensor], Tensor], image: Tensor, part: TilePart, *, batch_size: int
) -> Generator[TileEnd, None, Tensor]:
    """Do what `blend_tiles` does with some tiles of an image, of which `image` (C, Y, X) is `part.window`.

    Returns the probabilities (Y, X) of `part.region`, as they are in the whole image: its tiles, their weights and
    views are those of the whole plan, and they are added in the same order.
    """
    canvas = _Canvas(part, image)
    done, total = 0, len(part.tiles)
    size = math.ceil(total / math.ceil(total / batch_size))  # batches of one shape, or nearly so
    while done < total:
        batch = part.tiles[done : done + size]
        tiles = canvas.read(batch)
        if len(batch) == 1 < batch_size:
            tiles = tiles.expand(2, -1, -1, -1)  # a tile alone is convolved in another way, with other roundings
        probabilities = _probabilities(network, tiles)
        if probabilities is None:
            size = _smaller(len(batch), image.device, part.plan.rows.tile)
            continue
        canvas.add(batch, probabilities)
        done += len(batch)
        yield TileEnd(done, total)
    return canvas.blended[part.slices].contiguous()


class _Canvas:
    """A padded image, or the part of it that some tiles cover, and the blend of these tiles, both on the device."""

    def __init__(self, part: TilePart, image: Tensor) -> None:
        self._part, self._image = part, image
        rows, columns = part.plan.rows, part.plan.columns
        for place, axis in ((-2, rows), (-1, columns)):
            if axis.size < axis.tile:
                sources = torch.from_numpy(axis.sources).to(image.device)
                self._image = self._image.index_select(place, sources)
        self.blended = torch.zeros(self._image.shape[-2:], device=image.device)
        self._row_weights = torch.from_numpy(rows.weights).to(image.device)
        self._column_weights = torch.from_numpy(columns.weights).to(image.device)

    def read(self, batch: tuple[tuple[int, int], ...]) -> Tensor:
        """Return the tiles (B, C, tile, tile) of `batch`."""
        part = self._part
        return torch.stack([self._image[:, *part.tile_slices(tile)].flip(part.plan.flips(tile)) for tile in batch])

    def add(self, batch: tuple[tuple[int, int], ...], probabilities: Tensor) -> None:
        """Add `probabilities` (B or more, tile, tile), as the network saw them, by their weight."""
        for tile, seen in zip(batch, probabilities, strict=False):
            weighted = seen.flip(self._part.plan.flips(tile))
            weighted *= self._row_weights[tile[0], :, None]
            weighted *= self._column_weights[tile[1]]
            self.blended[self._part.tile_slices(tile)] += weighted


def _probabilities(network: Callable[[Tensor], Tensor], tiles: Tensor) -> Tensor | None:
    """Return float32 probabilities (B, tile, tile), or None if the memory does not suffice."""
    try:
        with torch.no_grad():
            return torch.sigmoid(network(tiles).float())[:, 0]
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
    return None  # outside the handler, where the traceback no longer holds on to the tensors


def _smaller(batch_size: int, device: torch.device, tile: int) -> int:
    free_memory(device)
    if batch_size == 1:
        raise DeviceError(
            f"Device '{device.type}' has no memory left for one tile of {tile} pixels. "
            "Close other programs that use it, or choose the device 'cpu'."
        )
    _log.warning("Device '%s' is out of memory: going on with %d tiles at a time.", device.type, batch_size // 2)
    return batch_size // 2


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

    def touching(self, start: int, stop: int) -> range:
        """Return which tiles touch the pixels of the image from `start` to below `stop`."""
        before = self.image_slice.start
        first = bisect_right(self.starts, start + before - self.tile)
        return range(first, bisect_left(self.starts, stop + before))

    def window(self, tiles: range) -> tuple[int, int]:
        """Return first pixel and end of what these neighboring tiles cover of the image: all of a padded one."""
        if self.size < self.tile:
            return 0, self.size
        return self.starts[tiles[0]], self.starts[tiles[-1]] + self.tile


@dataclass(frozen=True)
class TilePlan:
    """A grid of square tiles; padding and weights are kept per axis, since a tile's weight is their product."""

    rows: TileAxis
    columns: TileAxis
    mirrored: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X) of the image."""
        return self.rows.size, self.columns.size

    @property
    def needs_padding(self) -> bool:
        """Tell whether a side of the image is shorter than a tile."""
        return any(axis.size < axis.tile for axis in (self.rows, self.columns))

    def covering(self, region: Region) -> TilePart:
        """Return the tiles that touch a region of the image."""
        rows, columns = (
            self.rows.touching(region.top, region.bottom),
            self.columns.touching(region.left, region.right),
        )
        return TilePart(self, region, rows, columns)

    @cached_property
    def tiles(self) -> tuple[tuple[int, int], ...]:
        """Row and column in the grid of every tile, row by row."""
        return tuple((y, x) for y in range(len(self.rows.starts)) for x in range(len(self.columns.starts)))

    @property
    def image_slices(self) -> tuple[slice, slice]:
        """Where the image (Y, X) lies in its padded form."""
        return self.rows.image_slice, self.columns.image_slice

    def flips(self, tile: tuple[int, int]) -> tuple[int, ...]:
        """Return the axes along which `tile`, an element of `tiles`, is shown mirrored."""
        return tuple(axis for axis, index in zip((-2, -1), tile, strict=True) if self.mirrored and index % 2)

    def tile_slices(self, tile: tuple[int, int]) -> tuple[slice, slice]:
        """Return where `tile`, an element of `tiles`, lies in the padded image."""
        top, left = self.rows.starts[tile[0]], self.columns.starts[tile[1]]
        return slice(top, top + self.rows.tile), slice(left, left + self.columns.tile)


@dataclass(frozen=True)
class TilePart:
    """The tiles of a plan that touch a region of the image: `rows` and `columns` of the grid of all."""

    plan: TilePlan
    region: Region
    rows: range
    columns: range

    @cached_property
    def tiles(self) -> tuple[tuple[int, int], ...]:
        """Row and column in the grid of all tiles, row by row."""
        return tuple((y, x) for y in self.rows for x in self.columns)

    @property
    def window(self) -> Region:
        """The region of the image that these tiles see."""
        (top, bottom), (left, right) = self.plan.rows.window(self.rows), self.plan.columns.window(self.columns)
        return Region(top, left, bottom, right)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where `region` lies in `window`, padded where the image is smaller than a tile."""
        before = self.plan.rows.image_slice.start, self.plan.columns.image_slice.start
        rows, columns = self.region.within(self.window)
        return _moved(rows, before[0]), _moved(columns, before[1])

    def tile_slices(self, tile: tuple[int, int]) -> tuple[slice, slice]:
        """Return where `tile`, an element of `tiles`, lies in `window`, padded where the image is smaller."""
        rows, columns = self.plan.tile_slices(tile)
        return _moved(rows, -self.window.top), _moved(columns, -self.window.left)


def _moved(one: slice, by: int) -> slice:
    return slice(one.start + by, one.stop + by)


def plan_tiles(shape: tuple[int, int], tile: int, overlap: float, *, mirrored: bool = False) -> TilePlan:
    """Return tiles that cover an image of `shape` (Y, X).

    Neighbors share at least `overlap` (0 to below 1) of a tile of `tile` pixels, all of them equally much: two that
    nearly coincide would see the same surroundings and be of one mind. No tile sees anything but the image; one smaller
    than a tile is mirrored.

    With `mirrored` every second tile of a column is shown upside down and every second tile of a row left to right, so
    that at an overlap of a half the four tiles over a pixel are four views of it, at the price of one. Their number is
    even in both directions: where one tile is enough it is seen both ways, and a mirrored image gives mirrored views.
    """
    stride = max(1, round(tile * (1 - overlap)))
    rows, columns = (TileAxis(size, tile, _even_starts(max(size - tile, 0), stride, mirrored)) for size in shape)
    return TilePlan(rows, columns, mirrored)


def _even_starts(last: int, stride: int, mirrored: bool) -> tuple[int, ...]:
    """Return starts from 0 to `last`, at most `stride` apart and evenly spread."""
    count = math.ceil(last / stride) + 1
    starts = np.linspace(0, last, count + count % 2 if mirrored else count).round().astype(int)
    if mirrored:
        half = starts[: len(starts) // 2]
        starts = np.concatenate([half, last - half[::-1]])
    return tuple(starts.tolist())


def blend_window(tile: int) -> NDArray[np.float64]:
    """Return the weight along one axis (tile,) before it is shared among tiles.

    A Hann window sampled at pixel centers, where it is nowhere 0; the weight of a pixel is the product of two.
    """
    centers: NDArray[np.float64] = (np.arange(tile) + 0.5) / tile
    return np.sin(np.pi * centers) ** 2
