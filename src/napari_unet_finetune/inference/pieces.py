"""The labels of a file while they are made: frames, and regions of large ones, each on disk once it is finished."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import PredictConfig
from ..io.regions.parts import Parts
from ..io.regions.region import InView, Region, is_large, regions_of
from .objects import CORNERS, WINDOW_PX, Components, filled_windows, split_touching

CHUNK_PX = 2048
_LARGEST_SPLIT_PX = 2048**2
_KEPT_PIECES = 12  # in memory; they are read row by row


def nowhere() -> None:
    """Tell that nobody looks at anything else meanwhile."""


@dataclass(frozen=True)
class Cut:
    """How large images are cut into pieces; whatever is chosen, their labels are the same.

    Parameters
    ----------
    chunk
        Images larger than this are cut into squares of so many pixels a side; None: those of more than 4,096 x 4,096
        pixels into squares of 2,048.
    first
        What somebody looks at: the pieces there are made first, then those that lie near.
    looked_at
        Tells what is looked at meanwhile, asked before each piece that is not made by a worker, which is then of that
        frame; ``None`` for `first`.
    """

    chunk: int | None = None
    first: InView | None = None
    looked_at: Callable[[], InView | None] = nowhere


IN_ORDER = Cut()


def side_of_chunks(shape: tuple[int, int], chunk: int | None) -> int | None:
    """Return the side of the regions in which an image of `shape` (Y, X) is predicted; None: all of it at once.

    `chunk` is what was asked for; without, only what is large is cut.
    """
    if chunk is not None:
        return chunk if max(shape) > chunk else None
    return CHUNK_PX if is_large(shape) else None


@dataclass(frozen=True, eq=False)
class Pieces:
    """An image of `shape` (Y, X) in squares of `side` pixels, or in one piece, each a part on disk.

    What lies near the region `first` is made first.
    """

    parts: Parts
    called: str
    shape: tuple[int, int]
    side: int | None
    numbers: NDArray[np.int64] | None = None  # what those that are kept become
    first: Region | None = None
    _kept: OrderedDict[str, NDArray[Any]] = field(default_factory=OrderedDict)

    def regions(self) -> Iterator[Region]:
        """Yield the regions of all pieces, row by row."""
        height, width = self.shape if self.side is None else (self.side, self.side)
        return regions_of(self.shape, height, width)

    def unfinished(self) -> list[Region]:
        """Return the regions of the pieces that are still to be made, those first that are wanted first."""
        regions = [region for region in self.regions() if self.name(region) not in self.parts]
        first = self.first
        return regions if first is None else sorted(regions, key=first.distance)

    def name(self, region: Region) -> str:
        """Return the name of the part that holds the piece at a region."""
        return f"{self.called}-{region.top:07d}-{region.left:07d}"

    def read(self, region: Region) -> NDArray[Any]:
        """Return any region (Y, X)."""
        side_y, side_x = self.shape if self.side is None else (self.side, self.side)
        found: NDArray[Any] | None = None
        for top in range(region.top // side_y * side_y, region.bottom, side_y):
            for left in range(region.left // side_x * side_x, region.right, side_x):
                piece = Region(top, left, min(top + side_y, self.shape[0]), min(left + side_x, self.shape[1]))
                common = piece.common(region)
                assert common is not None
                pixels = self._piece(self.name(piece))[common.within(piece)]
                if found is None:
                    found = np.zeros(region.shape, pixels.dtype)
                found[common.within(region)] = pixels
        assert found is not None
        return found if self.numbers is None else self.numbers[found]

    def _piece(self, name: str) -> NDArray[Any]:
        if name not in self._kept:
            self._kept[name] = self.parts.read(name)
        self._kept.move_to_end(name)
        while len(self._kept) > _KEPT_PIECES:
            self._kept.popitem(last=False)
        return self._kept[name]

    @property
    def largest(self) -> int:
        """The largest label."""
        if self.numbers is not None:
            return int(self.numbers.max(initial=0))
        return max(int(self.parts.read(self.name(region)).max()) for region in self.regions())


def tidied(mask: Pieces, config: PredictConfig) -> tuple[Pieces, str]:
    """Return the labels of a mask as `to_labels` would make them of the whole, and what to tell of them.

    They are kept as parts too, in squares of their own; the mask is read a few squares at a time.
    """
    if not (config.fill_holes or config.instances or config.min_size_px > 1):
        return mask, ""
    if config.fill_holes:
        filled = Pieces(mask.parts, f"{mask.called}-filled", mask.shape, WINDOW_PX)
        for region, pixels in filled_windows(_AsBool(mask), WINDOW_PX):
            mask.parts.write(filled.name(region), pixels)
        mask = filled
    if not config.instances and config.min_size_px <= 1:
        return mask, ""
    objects = Components.of(_AsBool(mask), WINDOW_PX, CORNERS)
    labels = Pieces(mask.parts, f"{mask.called}-objects", mask.shape, WINDOW_PX)
    if not config.instances:
        is_kept = np.concatenate([[False], objects.areas >= config.min_size_px])
        for place, region in enumerate(objects.windows):
            mask.parts.write(labels.name(region), is_kept[objects.numbers(place)].astype(np.uint8))
        return labels, ""

    def write(region: Region, numbers: NDArray[np.int64]) -> None:
        mask.parts.write(labels.name(region), numbers.astype(np.uint32))

    found = split_touching(objects, write, min_size_px=config.min_size_px, largest_px=_LARGEST_SPLIT_PX)
    note = (
        f"{found.uncut} connected areas are larger than 2,048 x 2,048 pixels and were not split" if found.uncut else ""
    )
    return Pieces(mask.parts, labels.called, mask.shape, WINDOW_PX, found.numbers), note


@dataclass(frozen=True, eq=False)
class _AsBool:
    pieces: Pieces

    @property
    def shape(self) -> tuple[int, int]:
        return self.pieces.shape

    def read(self, region: Region) -> NDArray[np.bool_]:
        return np.asarray(self.pieces.read(region), bool)
