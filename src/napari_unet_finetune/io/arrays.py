"""Read frames of NumPy's NPY files (memory-mapped) and of NPZ files with a single array."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import DataError
from .axes import PLANE_AXES, count_frames, guess_axes, take_frame
from .pixels import ImageHeader, ImagePixels, check_declared_size, checked_frame


def read_array_headers(path: Path) -> list[ImageHeader]:
    """Return the size of each two-dimensional image of the array; only its header is read."""
    shape = _shape(path)
    axes = guess_axes(shape)
    height, width = (shape[axes.index(axis)] for axis in PLANE_AXES)
    return [ImageHeader((height, width))] * count_frames(shape, axes)


def read_array_frame(path: Path, frame: int | None) -> ImagePixels:
    """Return one frame, ``None`` for the only one; a fourth color that can only be alpha is dropped.

    Raises `DataError` if there is no such frame, or none is named where there are several.
    """
    array = _read_npz(path) if _is_npz(path) else npy.open_memmap(path, mode="r")
    axes = guess_axes(array.shape)
    frames = count_frames(array.shape, axes)
    index = checked_frame(path.name, frame, frames)
    nbytes = array.nbytes // max(1, frames)
    check_declared_size(path.name, nbytes, path.stat().st_size)
    return ImagePixels(_without_alpha(take_frame(array, axes, index)))


def _without_alpha(array: NDArray[Any]) -> NDArray[Any]:
    """Drop a last channel of two or four that is constant, or the fourth of 8-bit colors: nothing else names alpha."""
    if array.ndim == 2 or len(array) not in (2, 4) or array.size == 0:
        return array
    is_constant = bool((array[-1] == array[-1].flat[0]).all())
    is_alpha = is_constant or (len(array) == 4 and array.dtype == np.uint8)
    return array[:-1] if is_alpha else array


def _is_npz(path: Path) -> bool:
    return path.suffix.lower() == ".npz"


def _shape(path: Path) -> tuple[int, ...]:
    return _npz_shape(path) if _is_npz(path) else npy.open_memmap(path, mode="r").shape


def _npz_shape(path: Path) -> tuple[int, ...]:
    with ZipFile(path) as archive:
        member = _single_member(path, archive)
        with archive.open(member) as file:
            shape, dtype = _read_header(file)
        nbytes = prod(shape) * dtype.itemsize
        if nbytes > archive.getinfo(member).file_size:
            raise DataError(f"{path.name} is damaged: it declares more pixels than it holds. Save it again.")
        check_declared_size(path.name, nbytes, path.stat().st_size)
    return shape


def _single_member(path: Path, archive: ZipFile) -> str:
    members = [name for name in archive.namelist() if name.endswith(".npy")]
    if len(members) != 1:
        raise DataError(f"{path.name} holds {len(members)} arrays. Save one array per NPZ file.")
    return members[0]


def _read_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _read_npz(path: Path) -> NDArray[Any]:
    _npz_shape(path)
    with np.load(path) as archive:
        array: NDArray[Any] = archive[archive.files[0]]
    return array
