"""Write images that are in no file, such as those of a viewer, as TIFF files that this package reads back alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import DataError
from .atomic import write_file
from .project_image import file_stem

Frame = tuple[str, NDArray[Any], tuple[float, float], str]  # name, (Y, X) or (C, Y, X), scale, unit

_UNITS = {
    **dict.fromkeys(("um", "µm", "μm", "micrometer", "micron"), "µm"),
    **dict.fromkeys(("nm", "nanometer"), "nm"),
    **dict.fromkeys(("mm", "millimeter"), "mm"),
}


def write_frames(frames: Iterable[Frame], folder: Path) -> Iterator[Path]:
    """Write `frames` into `folder`, one in memory at a time, and yield each file when it is complete.

    Raises
    ------
    DataError
        If the folder holds files already, a frame is no image, or the disk does not take it.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(f"{folder} holds files already. Choose an empty folder, or open that one.")
    taken: set[str] = set()
    for name, pixels, scale, unit in frames:
        path = folder / f"{_free(file_stem(name), taken)}.tif"
        _write(path, np.asarray(pixels), scale, unit)
        yield path


def _free(stem: str, taken: set[str]) -> str:
    numbered = (stem if number == 1 else f"{stem} ({number})" for number in range(1, len(taken) + 2))
    free = next(candidate for candidate in numbered if candidate.casefold() not in taken)
    taken.add(free.casefold())
    return free


def _write(path: Path, pixels: NDArray[Any], scale: tuple[float, float], unit: str) -> None:
    if pixels.ndim not in (2, 3) or pixels.size == 0 or pixels.dtype.kind not in "buif":
        raise DataError(f"{path.stem}: {pixels.dtype} of shape {pixels.shape} is no image (Y, X) or (channels, Y, X).")
    metadata: dict[str, Any] = {"axes": "YX" if pixels.ndim == 2 else "CYX"}
    if unit in _UNITS:
        for axis, size in zip("YX", scale, strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": _UNITS[unit]}
    storable = _storable(pixels)

    def write(file: BinaryIO) -> None:
        tifffile.imwrite(file, storable, ome=True, photometric="minisblack", compression="zlib", metadata=metadata)

    write_file(path, write)


def _storable(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels of a type that OME-TIFF knows."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind in "ui" and pixels.dtype.itemsize == 8:
        smallest = np.result_type(np.min_scalar_type(pixels.min()), np.min_scalar_type(pixels.max()))
        return pixels.astype(smallest if smallest.itemsize < 8 else np.float64)
    return pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels
