"""Pixels as every file format hands them over, and the limits that keep a hostile file from filling the memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

MAX_IMAGE_BYTES = 2 * 2**30
# How many bytes of pixels a byte of the file may stand for, by the size of the image: an empty mask of 64 MiB may take
# a few bytes, one of 256 MiB what deflate makes of it (1032:1); what is larger and packed tighter is a bomb.
_DENSEST = ((64 * 2**20, inf), (256 * 2**20, 1100), (inf, 250))
# Where no more than a part is unpacked at once: a mask of a slide may be annotated in few places.
_DENSEST_IN_PARTS = ((64 * 2**20, inf), (inf, 2**14))
# More frames than this must be in the file, each with as many bytes as no real one goes without.
_UNSUSPECTED_FRAMES = 2**16
_FEWEST_FRAME_BYTES = 100


@dataclass(frozen=True, eq=False)
class ImagePixels:
    """One two-dimensional image with the size of its pixels.

    Parameters
    ----------
    array
        ``(Y, X)`` or ``(C, Y, X)``.
    scale
        Size of a pixel along Y and X, in `unit`.
    unit
        ``"um"`` where the file tells a physical size, else ``"px"``.
    channels
        Names of the channels, where the file tells them.
    """

    array: NDArray[np.generic]
    scale: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"
    channels: tuple[str, ...] = ()


def sha256_of(pixels: NDArray[np.generic], *others: NDArray[np.generic] | None) -> str:
    """Return a hash of an image, and of what belongs to it, as 64 hexadecimal digits; shape and type count, too."""
    digest = hashlib.sha256(repr((pixels.shape, str(pixels.dtype))).encode())
    for array in (pixels, *others):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class ImageHeader:
    """What the header of a file tells about one image of it: (Y, X) in pixels, and the size of a pixel in `unit`.

    `channels` are the names of its channels, empty ones where the file tells none; there are none of a gray image.
    `note` is what a user should know of the file, as the end of a sentence that begins with its name. Of one that is
    `read_in_parts`, regions can be read without the rest, be it that the extra zarr is to be installed for it.
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"
    channels: tuple[str, ...] = ()
    note: str = ""
    read_in_parts: bool = False


def check_declared_size(name: str, nbytes: int, stored_bytes: int, *, in_parts: bool = False) -> None:
    """Check, before any pixel is read, that `nbytes` of pixels can come from a file of `stored_bytes`.

    What is read `in_parts` may be larger than the memory.

    Raises
    ------
    DataError
        If there are more pixels than fit in memory or than the file can hold.
    """
    if nbytes > MAX_IMAGE_BYTES and not in_parts:
        raise DataError(
            f"{name} declares {nbytes / 2**30:.1f} GiB of pixels in one image, but at most "
            f"{MAX_IMAGE_BYTES // 2**30} GiB are read. Cut it into smaller images."
        )
    check_unpacked_size(name, nbytes, stored_bytes, in_parts=in_parts)


def check_unpacked_size(name: str, nbytes: int, stored_bytes: int, *, in_parts: bool = False) -> None:
    """Check that a file of `stored_bytes` is no bomb that unpacks into `nbytes`; raises `DataError` if it is."""
    densest = _DENSEST_IN_PARTS if in_parts else _DENSEST
    if nbytes > stored_bytes * next(ratio for size, ratio in densest if nbytes <= size):
        raise DataError(
            f"{name} declares {nbytes / 2**20:.0f} MiB of pixels but holds only {stored_bytes} bytes. "
            "If it is not damaged, cut it into smaller images or save it with less compression."
        )


def check_declared(
    name: str, shape: Sequence[int], frames: int, nbytes: int, stored_bytes: int, *, in_parts: bool = False
) -> None:
    """Check, before anything is allocated, that a file of `stored_bytes` can hold what it declares.

    Parameters
    ----------
    shape, nbytes
        Shape and size in bytes of the whole array.
    frames
        How many images that is.

    Raises
    ------
    DataError
        If an axis is empty, or there are more images or more pixels in one than the file can hold.
    """
    if min(shape, default=0) < 1:
        raise DataError(f"{name} has the shape {tuple(shape)}, so it holds no pixel. Leave it out.")
    check_frames(name, frames, stored_bytes)
    check_declared_size(name, nbytes // frames, stored_bytes, in_parts=in_parts)


def check_frames(name: str, frames: int, stored_bytes: int) -> None:
    """Check that a file of `stored_bytes` can hold `frames` images; raises `DataError` if not."""
    if frames > max(_UNSUSPECTED_FRAMES, stored_bytes // _FEWEST_FRAME_BYTES):
        raise DataError(
            f"{name} declares {frames} images but holds only {stored_bytes} bytes. The file is damaged: save it again "
            "or leave it out."
        )


def checked_frame(name: str, frame: int | None, frames: int) -> int:
    """Return which of the `frames` of a file is meant; ``None`` means the only one.

    Raises
    ------
    DataError
        If there is no such frame, or none is named where there are several.
    """
    if frames == 0:
        raise DataError(f"{name} holds no image. Save it again or leave it out.")
    if frame is None and frames != 1:
        raise DataError(f"{name} holds {frames} images. Choose one frame of it.")
    if frame is not None and frame >= frames:
        raise DataError(f"{name} holds {frames} frames, so there is none with number {frame}.")
    return frame or 0


def checked_pixels(name: str, array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return `array` as ``(Y, X)`` or ``(C, Y, X)`` of finite numbers in native byte order; gray as RGB becomes gray.

    Raises
    ------
    DataError
        If there are no pixels, or they are not finite real numbers.
    """
    if array.size == 0:
        raise DataError(f"{name} has the shape {array.shape}, so it holds no pixel. Leave it out.")
    if array.dtype.kind not in "buif":
        raise DataError(f"{name} holds pixels of type {array.dtype}. Save it with real numbers.")
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    check_finite(name, array)
    return _without_equal_channels(array)


def check_finite(name: str, array: NDArray[np.generic]) -> None:
    """Check that floats are finite; raises `DataError` if some are not."""
    if array.dtype.kind != "f":
        return
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise DataError(f"{name}: {bad} of {array.size} pixels are NaN or infinite. Replace them by numbers.")


def _without_equal_channels(array: NDArray[np.generic]) -> NDArray[np.generic]:
    if array.ndim == 2:
        return array
    is_gray = len(array) == 1 or (len(array) == 3 and bool((array[1:] == array[0]).all()))
    return array[0].copy() if is_gray else array
