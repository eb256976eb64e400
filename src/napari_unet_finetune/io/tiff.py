"""Read single frames of TIFF files: OME, ImageJ, multi-page, compressed, planar, 1-bit and white-is-zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite, prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, RESUNIT, TiffFile, TiffFrame, TiffPage, TiffPageSeries

from ..errors import DataError
from .axes import PLANE_AXES, channel_axes, count_frames, frame_axes, guess_axes, samples_named, take_frame
from .disk import Stamp, file_stamp
from .pixels import (
    ImageHeader,
    ImagePixels,
    check_declared,
    check_declared_size,
    check_frames,
    check_unpacked_size,
    checked_frame,
)

_MICROMETERS = {
    "pm": 1e-6,
    "å": 1e-4,
    "nm": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
_TAG_UNITS: dict[int, str] = {RESUNIT.INCH: "inch", RESUNIT.CENTIMETER: "cm"}
_PRINTER_DPI = (72, 96, 100, 150, 180, 200, 240, 300, 350, 400, 600, 1200)
_CM_PER_INCH = 2.54
_ROUNDED = 0.03  # by what 118.11 per centimeter is off from 300 dpi, and more
_LARGEST_UM = 1000.0  # no microscope has larger pixels, but tags of printed sizes do

Size = tuple[tuple[float, float], str]
UNKNOWN: Size = ((1.0, 1.0), "px")


def pixel_size(tif: TiffFile, series: TiffPageSeries) -> Size:
    """Return the size (Y, X) of a pixel in micrometers and ``"um"``, or 1 and ``"px"`` where the file does not tell.

    Resolutions that editors write by default (72 dpi, 300 dpi and so on, also per centimeter) are meant for printers
    and are not taken, nor are pixels above 1 mm.
    """
    if tif.is_ome and tif.ome_metadata:
        return _from_ome(tif.ome_metadata, _position(tif, series))
    if tif.is_imagej:
        return _from_resolution(series, str((tif.imagej_metadata or {}).get("unit", "")))
    unit = _TAG_UNITS.get(series.keyframe.resolutionunit, "")
    dpi = series.keyframe.resolution[0] * (_CM_PER_INCH if unit == "cm" else 1)
    if min(abs(dpi - printer) for printer in _PRINTER_DPI) < _ROUNDED:
        return UNKNOWN
    return _from_resolution(series, unit)


def _position(tif: TiffFile, series: TiffPageSeries) -> int:
    return next((place for place, one in enumerate(tif.series) if one is series), 0)


def _from_ome(xml: str, index: int) -> Size:
    try:
        return _from_xml(ET.fromstring(xml), index)
    except (ET.ParseError, ValueError):  # a broken description does not spoil the pixels
        return UNKNOWN


def _from_xml(root: ET.Element, index: int) -> Size:
    images = root.findall(".//{*}Pixels")
    if not images:
        return UNKNOWN
    pixels = images[min(index, len(images) - 1)].attrib
    sizes = [_micrometers(pixels.get(f"PhysicalSize{a}", "0"), pixels.get(f"PhysicalSize{a}Unit", "um")) for a in "YX"]
    return _checked(sizes)


def _from_resolution(series: TiffPageSeries, unit: str) -> Size:
    per_x, per_y = series.keyframe.resolution
    return _checked([_micrometers(1 / n if n else 0, unit) for n in (per_y, per_x)])


def _micrometers(size: float | str, unit: str) -> float:
    plain = unit.strip().lower().replace("\\u00b5", "u").replace("µ", "u").replace("μ", "u")
    return float(size) * _MICROMETERS.get(plain, 0.0)


def _checked(sizes: list[float]) -> Size:
    y, x = sizes
    usable = isfinite(y) and isfinite(x) and min(y, x) > 0 and max(y, x) <= _LARGEST_UM
    return ((y, x), "um") if usable else UNKNOWN


def channel_names(tif: TiffFile, series: TiffPageSeries) -> tuple[str, ...]:
    """Return the names of the channels, empty ones where the file tells none; there are none of a gray image."""
    axes = _series_axes(series)
    lengths = [series.shape[axis] for axis in channel_axes(axes)]
    if "C" not in axes:
        return samples_named(lengths[0] - sum(_alphas(series.keyframe, lengths[0]))) if lengths else ()
    count = prod(lengths)
    named = _names_from_ome(tif.ome_metadata, _position(tif, series)) if tif.is_ome and tif.ome_metadata else ()
    return () if count < 2 else named if len(named) == count else ("",) * count


def _names_from_ome(xml: str, index: int) -> tuple[str, ...]:
    try:
        images = ET.fromstring(xml).findall(".//{*}Pixels")
    except ET.ParseError:  # a broken description does not spoil the pixels
        return ()
    channels = images[min(index, len(images) - 1)].findall("{*}Channel") if images else []
    return tuple(channel.attrib.get("Name", "").strip() for channel in channels)


# To find one page of a stack, tifffile walks through all of them: once per file will do. It keeps no pixels.
_remembered: dict[tuple[str, Stamp], TiffFile] = {}
_REMEMBERED_FILES = 4  # images and masks, for two readers


def read_tiff_headers(path: Path) -> list[ImageHeader]:
    """Return size and pixel size of each two-dimensional image of the file; no pixel is read."""
    with _open(path) as tif:
        for series in _image_series(tif):
            _check_size(path, series)
        return [header for series in _image_series(tif) for header in _series_headers(tif, series)]


def read_tiff_frame(path: Path, frame: int | None) -> ImagePixels:
    """Return one frame of the file, ``None`` for the only one; series follow one another, alpha is dropped.

    Raises `DataError` if there is no such frame, or none is named where there are several.
    """
    with _open(path) as tif:
        frames = sum(map(_series_frames, _image_series(tif)))
        series, index = _locate(tif, checked_frame(path.name, frame, frames))
        _check_size(path, series)
        array = _right_way_round(_without_alpha(_read(path, series, index), series.keyframe), tif, series.keyframe)
        return ImagePixels(array, *pixel_size(tif, series), channels=channel_names(tif, series))


@contextmanager
def _open(path: Path) -> Iterator[TiffFile]:
    """Open a file; that of a stack is remembered, closed, for whoever reads its next frame.

    Each reader takes the file away and puts it back afterwards, so that no two threads have the same one.
    """
    key = str(path), file_stamp(path)
    tif = _remembered.pop(key, None) or _parse(path)
    tif.filehandle.open()
    with tif:
        yield tif
        is_stack = len(tif.pages) > 1
    if is_stack:
        _remembered[key] = tif
        for oldest in list(_remembered)[:-_REMEMBERED_FILES]:
            _remembered.pop(oldest, None)


def _parse(path: Path) -> TiffFile:
    with TiffFile(path) as tif:
        _check_described(path, tif)
        lists_others = any(series.is_multifile for series in tif.series)
    # OME-XML may list the planes of sibling files; each file then answers for its own pages only.
    return TiffFile(path, is_ome=False) if lists_others else tif


def _check_described(path: Path, tif: TiffFile) -> None:
    """Check how many planes OME-XML describes before tifffile makes a place for each."""
    try:
        root = ET.fromstring(tif.ome_metadata or "<OME/>")
        planes = [prod(int(one.get(f"Size{axis}", 1)) for axis in "CTZ") for one in root.iterfind(".//{*}Pixels")]
    except (ET.ParseError, ValueError):
        return
    check_frames(path.name, max(planes, default=1), path.stat().st_size)


def _image_series(tif: TiffFile) -> list[TiffPageSeries]:
    series = list(tif.series)
    return [one for one in series if not one.keyframe.is_reduced] or series


def _locate(tif: TiffFile, index: int) -> tuple[TiffPageSeries, int]:
    for series in _image_series(tif):
        frames = _series_frames(series)
        if index < frames:
            return series, index
        index -= frames
    raise ValueError("it holds fewer frames than when it was listed")


def _series_axes(series: TiffPageSeries) -> str:
    # Q is tifffile's letter for an axis nobody named, so the rule for bare arrays applies.
    unnamed = set(series.axes[:-2]) == {"Q"} and series.axes.endswith(PLANE_AXES)
    return guess_axes(series.shape) if unnamed else series.axes


def _series_frames(series: TiffPageSeries) -> int:
    return count_frames(series.shape, _series_axes(series))


def _series_headers(tif: TiffFile, series: TiffPageSeries) -> list[ImageHeader]:
    height, width = (series.shape[_series_axes(series).index(axis)] for axis in PLANE_AXES)
    header = ImageHeader((height, width), *pixel_size(tif, series), channels=channel_names(tif, series))
    return [header] * _series_frames(series)


def _check_size(path: Path, series: TiffPageSeries) -> None:
    page, stored = series.keyframe, path.stat().st_size
    check_declared(path.name, series.shape, _series_frames(series), series.nbytes, stored)
    if page.compression != COMPRESSION.NONE:  # a tile is unpacked whole, however small the image
        check_unpacked_size(path.name, prod(page.chunks) * series.dtype.itemsize, stored)
    _check_complete(path, page)
    if series.dataoffset is not None and series.dataoffset + series.nbytes > stored:
        raise _cut_off(path)


def _check_complete(path: Path, page: TiffPage | TiffFrame) -> None:
    end = max((start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
    if end > path.stat().st_size:
        raise _cut_off(path)


def _cut_off(path: Path) -> DataError:
    return DataError(f"{path.name} is cut off: pixels are missing at its end. Copy or save it again.")


def _read(path: Path, series: TiffPageSeries, index: int) -> NDArray[Any]:
    axes = _series_axes(series)
    if series.dataoffset is not None:
        return take_frame(_mapped(path, series), axes, index)
    leading = len(series.shape) - len(series.keyframe.axes)
    if axes == series.axes and _is_plain(series, leading):
        return _read_pages(path, series, index, leading)
    check_declared_size(path.name, series.nbytes, path.stat().st_size)
    return take_frame(series.asarray(), axes, index)


def _mapped(path: Path, series: TiffPageSeries) -> NDArray[Any]:
    """Map uncompressed, contiguous pixels, which spares reading all frames for one (and all pages beyond 4 GB)."""
    assert series.parent is not None
    assert series.dataoffset is not None
    dtype = series.dtype.newbyteorder(series.parent.byteorder)
    return np.memmap(path, dtype, mode="r", offset=series.dataoffset, shape=series.shape)


def _is_plain(series: TiffPageSeries, leading: int) -> bool:
    """Tell whether each page is one plane, with or without color."""
    page_axes = series.axes[leading:]
    pages = int(np.prod(series.shape[:leading], dtype=int))
    return page_axes == series.keyframe.axes and not frame_axes(page_axes) and pages == len(series)


def _read_pages(path: Path, series: TiffPageSeries, index: int, leading: int) -> NDArray[Any]:
    axes = series.axes[leading:]
    planes = [_read_page(path, series[number], axes) for number in _page_numbers(series, index, leading)]
    if not channel_axes(series.axes):
        return planes[0]
    return np.concatenate([plane.reshape(-1, *plane.shape[-2:]) for plane in planes])


def _page_numbers(series: TiffPageSeries, index: int, leading: int) -> list[int]:
    """Return the pages of frame `index`, one per channel that has pages of its own."""
    numbers = np.arange(len(series)).reshape(*series.shape[:leading], 1, 1)
    chosen: list[int] = take_frame(numbers, series.axes[:leading] + PLANE_AXES, index).ravel().tolist()
    return chosen


def _read_page(path: Path, page: TiffPage | TiffFrame | None, axes: str) -> NDArray[Any]:
    if page is None:
        raise ValueError("the pixels of this frame are not in the file")
    _check_complete(path, page)
    return take_frame(page.asarray(), axes, 0)


def _without_alpha(array: NDArray[Any], page: TiffPage) -> NDArray[Any]:
    return array if array.ndim == 2 else array[: len(array) - sum(_alphas(page, len(array)))]


def _alphas(page: TiffPage, channels: int) -> list[bool]:
    """Tell of the last samples of a page, if these are the `channels`, whether they are alpha."""
    if channels != page.samplesperpixel:
        return []
    if page.photometric == PHOTOMETRIC.RGB:
        return [True] * (channels - 3)  # many programs leave the fourth sample of RGBA unspecified
    return [sample in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA) for sample in page.extrasamples]


def _right_way_round(array: NDArray[Any], tif: TiffFile, page: TiffPage) -> NDArray[Any]:
    if page.photometric != PHOTOMETRIC.MINISWHITE or _keeps_values(tif, page):
        return array
    if array.dtype == bool:
        return ~array
    if array.dtype.kind == "u":
        inverted: NDArray[Any] = np.full_like(array, 2**page.bitspersample - 1) - array
        return inverted
    return array


def _keeps_values(tif: TiffFile, page: TiffPage) -> bool:
    """Tell whether the writer says white-is-zero but means the values as stored.

    ImageJ does so for images with an inverting lookup table, which changes their display only; tifffile (and imageio,
    which writes through it) marks every bool array so, whatever it means.
    """
    return tif.is_imagej or (page.software == "tifffile.py" and page.bitspersample == 1)
