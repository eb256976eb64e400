"""Write labels as TIFF files that ImageJ, napari and tifffile open with their pixel size."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from ..errors import DataError
from .atomic import write_file


def write_labels(
    path: Path,
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
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists already. Choose another name or allow it to be overwritten.")
    compact = _smallest(path.name, labels)
    options = _tiff_options(compact, scale, unit)

    def write(file: BinaryIO) -> None:
        tifffile.imwrite(file, compact, compression="zlib", photometric="minisblack", **options)

    write_file(path, write)


def _smallest(name: str, labels: NDArray[np.generic]) -> NDArray[np.generic]:
    if labels.ndim not in (2, 3) or labels.size == 0:
        raise DataError(f"{name}: labels of shape {labels.shape} are neither (Y, X) nor (frames, Y, X).")
    if labels.dtype.kind not in "bui":
        raise DataError(f"{name}: labels are of type {labels.dtype}. Give integers.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise DataError(f"{name}: labels run from {low} to {high}, outside of 0 to 4294967295. Number them anew.")
    return labels.astype(np.min_scalar_type(high))


def _tiff_options(labels: NDArray[np.generic], scale: tuple[float, float], unit: str) -> dict[str, Any]:
    axes = "YX" if labels.ndim == 2 else "TYX"
    return _imagej_options(axes, scale, unit) if labels.dtype.itemsize < 4 else _ome_options(axes, scale, unit)


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
