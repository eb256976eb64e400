"""A rectangle of an image, and what an image must offer to be read in such parts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import hypot, prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...text import count_of_images


@dataclass(frozen=True, order=True)
class Region:
    """Rows `top` to below `bottom` and columns `left` to below `right` of an image."""

    top: int
    left: int
    bottom: int
    right: int

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Region:
        """Return all of an image of `shape` (Y, X)."""
        return cls(0, 0, *shape)

    @classmethod
    def middle(cls, shape: tuple[int, int], side: int) -> Region:
        """Return the middle of an image of `shape` (Y, X), with sides of at most `side` pixels."""
        (top, height), (left, width) = (((whole - min(whole, side)) // 2, min(whole, side)) for whole in shape)
        return cls(top, left, top + height, left + width)

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X) in pixels."""
        return self.bottom - self.top, self.right - self.left

    @property
    def mark(self) -> str:
        """What follows the name of its image to tell it from others: the row and column of its first pixel."""
        return f"[y{self.top} x{self.left}]"

    def holds(self, other: Region) -> bool:
        """Tell whether all of `other` lies in it."""
        return self.common(other) == other

    @property
    def slices(self) -> tuple[slice, slice]:
        """Where it lies in the image (Y, X)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def within(self, other: Region) -> tuple[slice, slice]:
        """Return where it lies in an array (Y, X) that holds the region `other`."""
        return (
            slice(self.top - other.top, self.bottom - other.top),
            slice(self.left - other.left, self.right - other.left),
        )

    def grown(self, margin: int, shape: tuple[int, int]) -> Region:
        """Return it with `margin` more pixels on each side, as far as an image of `shape` (Y, X) goes."""
        return Region(
            max(0, self.top - margin),
            max(0, self.left - margin),
            min(shape[0], self.bottom + margin),
            min(shape[1], self.right + margin),
        )

    def common(self, other: Region) -> Region | None:
        """Return what it has in common with `other`, if that is anything."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom, right = min(self.bottom, other.bottom), min(self.right, other.right)
        return Region(top, left, bottom, right) if top < bottom and left < right else None

    def around(self, other: Region) -> Region:
        """Return the smallest region that holds it and `other`."""
        return Region(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def distance(self, other: Region) -> tuple[float, float]:
        """Return how far it lies from `other`: the pixels between them, then those between their middles."""
        gaps = (
            max(self.top - other.bottom, other.top - self.bottom, 0),
            max(self.left - other.right, other.left - self.right, 0),
        )
        middles = (
            (self.top + self.bottom - other.top - other.bottom) / 2,
            (self.left + self.right - other.left - other.right) / 2,
        )
        return hypot(*gaps), hypot(*middles)


def without_mark(name: str) -> str:
    """Return the name of an image of which `name` is that of a region, as its end tells; any other as it is."""
    return re.sub(r"\[y\d+ x\d+\]$", "", name)


def regions_among(names: Iterable[str]) -> int:
    """Return how many of these names of images are those of regions, as their ends tell."""
    return sum(name != without_mark(name) for name in names)


def counted(names: Collection[str], what: str = "image") -> str:
    """Return how many images have these names, in words: `what`, with regions of large images called that."""
    return count_of_images(len(names), regions_among(names), what)


@dataclass(frozen=True)
class InView:
    """What somebody looks at of the images of a file: a frame, counted from 0, and a region of it."""

    frame: int
    region: Region


def regions_of(shape: tuple[int, int], height: int, width: int) -> Iterator[Region]:
    """Yield regions of `height` and `width`, or less at the end, that tile an image of `shape` (Y, X) row by row."""
    for top in range(0, shape[0], height):
        for left in range(0, shape[1], width):
            yield Region(top, left, min(top + height, shape[0]), min(left + width, shape[1]))


_SMALLEST_LEVEL_PX = 512  # a level is added until both sides are below


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the sizes (Y, X) of a pyramid: `shape`, and halves of it, rounded up, until one is small."""
    shapes = [shape]
    while max(shapes[-1]) > _SMALLEST_LEVEL_PX:
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


class LazyImage(Protocol):
    """An image whose pixels are read when they are asked for.

    Parameters
    ----------
    name
        How messages and tables call it.
    shape
        ``(Y, X)`` in pixels.
    channels, channel_names
        Number of channels, and their names where they are known.
    dtype
        Type of its pixels.
    scale, unit
        Size of a pixel along Y and X.
    stored_rows
        Rows that are stored together: reading a part of them takes as long as reading all.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def channels(self) -> int: ...  # noqa: D102
    @property
    def channel_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> np.dtype[Any]: ...  # noqa: D102
    @property
    def scale(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def stored_rows(self) -> int: ...  # noqa: D102

    def read(self, region: Region) -> NDArray[np.generic]:
        """Return the pixels of a region: (Y, X), or (C, Y, X) where there are several channels.

        Raises
        ------
        DataError
            If they cannot be read, or are NaN or infinite.
        """


def sampled(image: LazyImage, size: int) -> NDArray[np.generic]:
    """Return evenly spaced rows and columns of an image, (Y, X) or (C, Y, X) of at most `size` pixels a side.

    Rows that are stored together are read at once, and others each by itself. Raises `DataError` if it cannot be read.
    """
    height, width = image.shape
    step = max(1, -(-max(image.shape) // size))
    down, across = (slice(min(step // 2, side - 1), None, step) for side in image.shape)
    together = (list(rows) for _, rows in groupby(range(height)[down], lambda row: row // image.stored_rows))
    parts = (image.read(Region(rows[0], 0, rows[-1] + 1, width))[..., ::step, across] for rows in together)
    return np.concatenate([part.copy() for part in parts], axis=-2)  # copies, as views would hold all that was read


LARGE_PX = 4096**2


def is_large(shape: Sequence[int]) -> bool:
    """Tell whether an image of `shape` (Y, X) is read and predicted in parts, where that can be."""
    return prod(shape) > LARGE_PX


_MOST_PIXELS_OF_A_BAND = 2**25


def bands_of(image: LazyImage) -> Iterator[Region]:
    """Yield regions as wide as the image, from top to bottom, none so high that it would fill the memory."""
    most = max(1, _MOST_PIXELS_OF_A_BAND // (image.shape[1] * image.channels))
    rows = min(most, max(1, most // image.stored_rows) * image.stored_rows)
    return regions_of(image.shape, rows, image.shape[1])
