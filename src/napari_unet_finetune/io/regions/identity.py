"""What tells a large image from others without reading all of it."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ..pixels import checked_pixels
from .region import LazyImage, Region, regions_of

_PLACES = 8  # down, and as many across
_SIDE_PX = 32
_DIGITS = 32
_ROWS = 256  # read at once where the squares are blank; a row of tiles, or less, so that not much is read twice


def identity_of(image: LazyImage) -> str:
    """Return hexadecimal digits that are the same for the same pixels, be they in another file or in memory.

    They are a hash of size, type and small squares spread over the image. Where all of these are blank, as those of
    slides with little tissue, rows from the top follow until some are not. Gray stored as RGB is gray.

    Raises
    ------
    DataError
        If the image cannot be read.
    """
    digest = hashlib.sha256(repr((image.shape, image.dtype.name)).encode())

    def is_blank(region: Region) -> bool:
        pixels = checked_pixels(image.name, image.read(region))
        digest.update(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
        return _is_blank(pixels)

    squares = [_square(image.shape, *divmod(place, _PLACES)) for place in range(_PLACES**2)]
    blank = [is_blank(square) for square in squares]  # of each, though the first that is not settles it
    rows = regions_of(image.shape, _ROWS, image.shape[1])
    while all(blank) and (band := next(rows, None)) is not None:
        blank.append(is_blank(band))
    return digest.hexdigest()[:_DIGITS]


def _is_blank(pixels: NDArray[np.generic]) -> bool:
    """Tell whether each channel of an image (Y, X) or (C, Y, X) has at most two values.

    Scanners fill what they have not scanned with one, and some draw its edge in another.
    """
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    return all(bool(((plane == plane.min()) | (plane == plane.max())).all()) for plane in planes)


def _square(shape: tuple[int, int], down: int, across: int) -> Region:
    """Return one of the squares, in the middle of its part of the image; less of it where the image is small."""
    starts = np.array((2 * down + 1, 2 * across + 1)) * shape // (2 * _PLACES)
    top, left = np.clip(starts - _SIDE_PX // 2, 0, None).tolist()
    return Region(top, left, min(top + _SIDE_PX, shape[0]), min(left + _SIDE_PX, shape[1]))
