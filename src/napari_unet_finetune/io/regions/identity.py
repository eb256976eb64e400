"""What tells a large image from others without reading all of it."""

from __future__ import annotations

import hashlib
from weakref import WeakKeyDictionary

import numpy as np

from ..pixels import checked_pixels
from .region import LazyImage, Region

_PLACES = 8  # down, and as many across
_SIDE_PX = 32
_DIGITS = 32


def identity_of(image: LazyImage) -> str:
    """Return hexadecimal digits that are the same for the same pixels, be they in another file or in memory.

    They are a hash of size, type and small squares spread over the image. Gray stored as RGB is gray.

    Raises
    ------
    DataError
        If the image cannot be read.
    """
    if image not in _known:
        _known[image] = _digest_of(image)
    return _known[image]


_known: WeakKeyDictionary[LazyImage, str] = WeakKeyDictionary()  # each region of an image asks for it


def _digest_of(image: LazyImage) -> str:
    digest = hashlib.sha256(repr((image.shape, image.dtype.name)).encode())
    for place in range(_PLACES**2):
        square = checked_pixels(image.name, image.read(_square(image.shape, *divmod(place, _PLACES))))
        digest.update(square.astype(square.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:_DIGITS]


def _square(shape: tuple[int, int], down: int, across: int) -> Region:
    """Return one of the squares, in the middle of its part of the image; less of it where the image is small."""
    starts = np.array((2 * down + 1, 2 * across + 1)) * shape // (2 * _PLACES)
    top, left = np.clip(starts - _SIDE_PX // 2, 0, None).tolist()
    return Region(top, left, min(top + _SIDE_PX, shape[0]), min(left + _SIDE_PX, shape[1]))
