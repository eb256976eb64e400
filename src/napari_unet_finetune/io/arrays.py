"""Read frames of NumPy's NPY files (memory-mapped) and of NPZ files with a single array."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import DataError
from .axes import (
    COLORS,
    PLANE_AXES,
    channel_axes,
    count_frames,
    frames_or_channels,
    guess_axes,
    samples_named,
    take_frame,
)
from .colors import without_alpha
from .pixels import ImageHeader, ImagePixels, check_declared, check_unpacked_size, checked_frame

# Headers that are written take a few hundred bytes.
_LONGEST_HEADER = 2**16


def read_array_headers(path: Path) -> list[ImageHeader]:
    """Return the size of each two-dimensional image of the array; only its header is read."""
    with _opened(path) as (_, shape, axes):
        height, width = (shape[axes.index(axis)] for axis in PLANE_AXES)
        channels = samples_named(shape[-1] - (shape[-1] == len(COLORS) + 1)) if channel_axes(axes) else ()
        header = ImageHeader((height, width), channels=channels, note=frames_or_channels(shape, axes))
        return [header] * count_frames(shape, axes)


def read_array_frame(path: Path, frame: int | None, *, as_labels: bool = False) -> ImagePixels:
    """Return one frame, ``None`` for the only one; a fourth color that can only be alpha is dropped.

    Raises `DataError` if there is no such frame, or none is named where there are several.
    """
    with _opened(path) as (file, shape, axes):
        index = checked_frame(path.name, frame, count_frames(shape, axes))
        array = npy.read_array(file, allow_pickle=False) if _is_npz(path) else npy.open_memmap(path, mode="r")
        return ImagePixels(_in_colors(take_frame(array, axes, index), as_labels=as_labels))


def _in_colors(array: NDArray[Any], *, as_labels: bool) -> NDArray[Any]:
    """Drop a fourth channel that is alpha: in images, the same everywhere but not 0; nothing else names alpha."""
    if array.ndim == 2 or len(array) != 4 or array.size == 0:
        return array
    if as_labels:
        return without_alpha(array[:-1], array[-1], as_labels=True)
    return array[:-1] if array[-1].flat[0] and (array[-1] == array[-1].flat[0]).all() else array


def _is_npz(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], tuple[int, ...], str]]:
    """Open the one array of a file; its shape and axes are known to be of pixels that the file can hold."""
    with path.open("rb") as stored:
        if not _is_npz(path):
            yield stored, *_declared(path, stored, path.stat().st_size)
            return
        with ZipFile(stored) as archive:
            member = _single_member(path, archive)
            with archive.open(member) as file:
                declared = _declared(path, file, archive.getinfo(member).file_size)
            with archive.open(member) as file:
                yield file, *declared


def _single_member(path: Path, archive: ZipFile) -> str:
    members = [name for name in archive.namelist() if name.endswith(".npy")]
    if len(members) != 1:
        raise DataError(f"{path.name} holds {len(members)} arrays. Save one array per NPZ file.")
    return members[0]


def _declared(path: Path, file: IO[bytes], held_bytes: int) -> tuple[tuple[int, ...], str]:
    """Return shape and axes of the array in `file`, which holds `held_bytes` once it is unpacked."""
    shape, dtype = _read_header(io.BytesIO(file.read(_LONGEST_HEADER)))
    axes, nbytes = guess_axes(shape), prod(shape) * dtype.itemsize
    if nbytes > held_bytes:
        raise DataError(f"{path.name} is damaged: it declares more pixels than it holds. Save it again.")
    check_declared(path.name, shape, count_frames(shape, axes), nbytes, path.stat().st_size)
    check_unpacked_size(path.name, nbytes, path.stat().st_size)  # a stack is unpacked whole
    return shape, axes


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
