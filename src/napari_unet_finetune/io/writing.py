"""Write labels as TIFF files that ImageJ, napari and tifffile open with their pixel size."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import DataError
from .disk import PARTIAL_SUFFIX, file_stem, not_written, put_in_place, take_room, write_file
from .regions.ome_zarr_labels import LazyLabels
from .regions.region import LazyImage, bands_of, regions_of

Frame = tuple[str, NDArray[Any] | LazyImage, tuple[float, float], str]  # name, (Y, X) or (C, Y, X), scale, unit

_TILE_PX = 512
_LARGEST_IMAGEJ = 2**31  # bytes; ImageJ's TIFF has no 64-bit offsets

_UNITS = {
    **dict.fromkeys(("um", "µm", "μm", "micrometer", "micron"), "µm"),
    **dict.fromkeys(("nm", "nanometer"), "nm"),
    **dict.fromkeys(("mm", "millimeter"), "mm"),
}


def write_frames(frames: Iterable[Frame], folder: Path) -> Iterator[Path]:
    """Write `frames` into `folder`, one in memory at a time, and yield each file when it is complete.

    Those that are lazy images are read in bands, and written so that they can be read in parts.

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
        if isinstance(pixels, np.ndarray):
            _write(path, pixels, scale, unit)
        else:
            _write_in_bands(path, pixels)
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


def _write_in_bands(path: Path, image: LazyImage) -> None:
    partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    is_plane = image.channels == 1
    shape = image.shape if is_plane else (image.channels, *image.shape)
    try:
        axes, dtype = "YX" if is_plane else "CYX", _storable_type(image)
        file = _mapped(partial, shape, dtype, _ome_options(axes, image.scale, image.unit))
        for band in bands_of(image):
            file[(..., *band.slices)] = image.read(band)
        del file  # closed, and so on the disk
        put_in_place(partial, path)
    except OSError as error:
        raise DataError(not_written(path, error)) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _storable(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels of a type that OME-TIFF knows."""
    if pixels.dtype == bool:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind in "ui" and pixels.dtype.itemsize == 8:
        smallest = np.result_type(np.min_scalar_type(pixels.min()), np.min_scalar_type(pixels.max()))
        return pixels.astype(smallest if smallest.itemsize < 8 else np.float64)
    return pixels.astype(np.float32) if pixels.dtype == np.float16 else pixels


def _storable_type(image: LazyImage) -> np.dtype[Any]:
    """Return the type that `_storable` would give all of an image; of 64-bit integers, all are read for that."""
    if image.dtype.kind not in "ui" or image.dtype.itemsize < 8:
        return _storable(np.zeros(1, image.dtype)).dtype
    bands = (image.read(band) for band in bands_of(image))
    ends = [(band.min(), band.max()) for band in bands]
    return _storable(np.array(ends, image.dtype)).dtype


def write_labels(
    path: Path | str,
    labels: NDArray[np.generic],
    *,
    scale: tuple[float, float] = (1.0, 1.0),
    unit: str = "px",
    overwrite: bool = False,
) -> None:
    """Write labels as a zlib-compressed TIFF of the smallest unsigned type that holds them.

    Parameters
    ----------
    path
        File to write; its folder is made if it is missing.
    labels
        ``(Y, X)``, or ``(T, Y, X)`` for a stack; bool or integer, not negative.
    scale
        Size of a pixel along Y and X, in `unit`.
    unit
        ``"um"``, ``"nm"``, ``"mm"``, or ``"px"`` if no size is known.
    overwrite
        Replace a file that is already there.

    Raises
    ------
    DataError
        If the file exists, the labels are no labels, or the disk does not take the file.
    """
    path = Path(path)
    if not overwrite and path.exists():
        raise DataError(f"{path} exists already. Choose another name or allow it to be overwritten.")
    compact = _smallest(path.name, labels)
    options = _tiff_options(compact.shape, compact.dtype, scale, unit)

    def write(file: BinaryIO) -> None:
        tifffile.imwrite(file, compact, compression="zlib", photometric="minisblack", **options)

    write_file(path, write)


def write_label_pages(
    path: Path,
    pages: Iterable[NDArray[np.generic]],
    *,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    scale: tuple[float, float] = (1.0, 1.0),
    unit: str = "px",
) -> None:
    """Write a stack of labels as `write_labels` does, with one page of it in memory at a time.

    Parameters
    ----------
    pages
        Labels (Y, X) of the frames.
    shape, dtype
        Of all: (T, Y, X), and an unsigned type that holds the largest label.

    Raises
    ------
    DataError
        If the disk does not take the file.
    """
    options = _tiff_options(shape, dtype, scale, unit)
    converted = (np.ascontiguousarray(page, dtype) for page in pages)

    def write(file: BinaryIO) -> None:
        tifffile.imwrite(
            file, converted, shape=shape, dtype=dtype, compression="zlib", photometric="minisblack", **options
        )

    write_file(path, write)


def write_label_tiles(
    path: Path,
    frames: Sequence[LazyLabels],
    *,
    is_stack: bool,
    dtype: np.dtype[Any],
    scale: tuple[float, float] = (1.0, 1.0),
    unit: str = "px",
) -> None:
    """Write large labels as a tiled OME-TIFF, a tile at a time.

    Parameters
    ----------
    frames
        Labels of each frame, read in parts; all of one size.
    is_stack
        Whether they are frames of a stack (T, Y, X), or there is one that is an image (Y, X).
    dtype
        An unsigned type that holds the largest label.

    Raises
    ------
    DataError
        If the disk does not take the file.
    """
    shape = frames[0].shape
    across = (len(frames), *shape) if is_stack else shape
    options = _ome_options("TYX" if is_stack else "YX", scale, unit)

    def tiles() -> Iterator[NDArray[Any]]:
        for labels in frames:
            for region in regions_of(shape, _TILE_PX, _TILE_PX):
                tile = np.zeros((_TILE_PX, _TILE_PX), dtype)
                tile[: region.shape[0], : region.shape[1]] = labels.read(region)
                yield tile

    def write(file: BinaryIO) -> None:
        tifffile.imwrite(
            file, tiles(), shape=across, dtype=dtype, tile=(_TILE_PX, _TILE_PX), compression="zlib",
            photometric="minisblack", bigtiff=prod(across) * dtype.itemsize > _LARGEST_IMAGEJ, **options,
        )  # fmt: skip

    write_file(path, write)


def new_image_file(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], axes: str, scale: tuple[float, float], unit: str
) -> NDArray[Any]:
    """Return an empty image in a new OME-TIFF file, an array that is written to the disk as it is filled.

    Parameters
    ----------
    shape, dtype, axes
        Of the array, with one letter for each axis, as ``"TCYX"``; of a type that OME-TIFF lacks, one that holds it.
    scale, unit
        Size of a pixel along Y and X.

    Raises
    ------
    DataError
        If the disk does not take it.
    """
    stored = _storable(np.zeros((1, 1), dtype)).dtype if dtype.itemsize < 8 else np.dtype(np.float64)
    try:
        return _mapped(path, shape, stored, _ome_options(axes, scale, unit))
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # what fits may have been taken
        raise DataError(not_written(path, error)) from error


def _mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], options: dict[str, Any]) -> NDArray[Any]:
    """Return an empty image in a new file for which the disk has room; raises `OSError` where it has not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    big = prod(shape) * dtype.itemsize > _LARGEST_IMAGEJ
    array: NDArray[Any] = tifffile.memmap(
        path, shape=shape, dtype=dtype, photometric="minisblack", bigtiff=big, **options
    )
    with path.open("r+b") as file:
        take_room(file, path.stat().st_size)
    return array


def _smallest(name: str, labels: NDArray[np.generic]) -> NDArray[np.generic]:
    if labels.ndim not in (2, 3) or labels.size == 0:
        raise DataError(f"{name}: labels of shape {labels.shape} are neither (Y, X) nor (frames, Y, X).")
    if labels.dtype.kind not in "bui":
        raise DataError(f"{name}: labels are of type {labels.dtype}. Give integers.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise DataError(f"{name}: labels run from {low} to {high}, outside of 0 to 4294967295. Number them anew.")
    return labels.astype(np.min_scalar_type(high))


def _tiff_options(
    shape: tuple[int, ...], dtype: np.dtype[Any], scale: tuple[float, float], unit: str
) -> dict[str, Any]:
    axes = "YX" if len(shape) == 2 else "TYX"
    nbytes = prod(shape) * dtype.itemsize
    if dtype.itemsize < 4 and nbytes <= _LARGEST_IMAGEJ:
        return _imagej_options(axes, scale, unit)
    return {**_ome_options(axes, scale, unit), "bigtiff": nbytes > _LARGEST_IMAGEJ}


def _imagej_options(axes: str, scale: tuple[float, float], unit: str) -> dict[str, Any]:
    if unit == "px":
        return {"imagej": True, "metadata": {"axes": axes}}
    return {"imagej": True, "resolution": (1 / scale[1], 1 / scale[0]), "metadata": {"axes": axes, "unit": unit}}


def _ome_options(axes: str, scale: tuple[float, float], unit: str) -> dict[str, Any]:
    """Describe 32-bit labels as OME-TIFF, since ImageJ's own TIFF has no 32-bit integers."""
    if unit == "px":
        return {"ome": True, "metadata": {"axes": axes}}
    symbol = "µm" if unit == "um" else unit
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("YX", scale, strict=True)}
    units = {f"PhysicalSize{axis}Unit": symbol for axis in "YX"}
    return {"ome": True, "metadata": {"axes": axes, **sizes, **units}}
