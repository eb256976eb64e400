"""Read single frames of TIFF files: OME, ImageJ, multi-page, compressed, planar, 1-bit and white-is-zero."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffFrame, TiffPage, TiffPageSeries

from ..errors import DataError
from .axes import (
    COLORS,
    PLANE_AXES,
    channel_axes,
    count_frames,
    frame_axes,
    frames_or_channels,
    guess_axes,
    samples_named,
    take_frame,
)
from .colors import from_cmyk, from_palette, from_ycbcr, is_turned, upright, without_alpha
from .content import PICTURE_HEADER, declared_size
from .disk import Stamp, file_stamp
from .pixels import (
    MAX_IMAGE_BYTES,
    ImageHeader,
    ImagePixels,
    check_declared,
    check_declared_size,
    check_unpacked_size,
    checked_frame,
)
from .regions.ome_zarr import MISSING, Store, ZarrImage, has_zarr, image_of, load_zarr
from .tiff_parts import Parts, parts_of, quiet
from .tiff_sets import TiffImage

# To find one page of a stack, tifffile walks through all of them: once per file will do. It keeps no pixels.
_remembered: dict[tuple[str, Stamp], Parts] = {}
_REMEMBERED_FILES = 4  # images and masks, for two readers
_JPEG = (COMPRESSION.JPEG, COMPRESSION.OJPEG)
_LARGEST_CHUNK = 2**24  # pixels; a larger one is not unpacked for each part of it
# What packs bytes, of which no more are unpacked than the page says; all else may be a picture with a size of its own.
_BYTES = (
    *(COMPRESSION.NONE, COMPRESSION.LZW, COMPRESSION.PACKBITS, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE),
    *(COMPRESSION.LZMA, COMPRESSION.ZSTD),
)


def read_tiff_headers(path: Path) -> list[ImageHeader]:
    """Return size and pixel size of each two-dimensional image of the file; no pixel is read but to know a preview."""
    with _open(path) as parts:
        for image in parts.images:
            _check_extra(path, image.series)
            _check_size(path, image.series, in_parts=_is_read_in_parts(image.series))
        return [header for image in parts.images for header in _headers(image, parts.note)]


def read_tiff_frame(path: Path, frame: int | None, *, as_labels: bool = False) -> ImagePixels:
    """Return one frame of the file, ``None`` for the only one, the way viewers show it; series follow one another.

    Alpha is dropped; a mask is taken from palette or alpha as `colors` says. Raises `DataError` if there is no such
    frame, or none is named where there are several.
    """
    with _open(path) as parts:
        frames = sum(_series_frames(image.series) for image in parts.images)
        image, index = _locate(parts, checked_frame(path.name, frame, frames))
        _check_size(path, image.series)
        page, array = image.series.keyframe, _read(path, image.series, index)
        array = upright(_shown(array, parts.tif, page, as_labels=as_labels), _orientation(page))
        scale = image.size.scale[::-1] if is_turned(_orientation(page)) else image.size.scale
        named = _channel_names(image)
        if len(named) != (1 if array.ndim == 2 else len(array)):
            named = samples_named(1 if array.ndim == 2 else len(array))
        return ImagePixels(array, scale, image.size.unit, named)


def open_tiff_frame(path: Path, frame: int | None, *, name: str) -> ZarrImage | None:
    """Return one frame to be read in parts; None where it must be read whole, or what reads parts is not installed.

    Parts are read of tiles and small strips, and of what is not compressed, if its values are shown as they are stored.
    """
    with _open(path) as parts:
        frames = sum(_series_frames(image.series) for image in parts.images)
        image, index = _locate(parts, checked_frame(path.name, frame, frames))
        number = next((number for number, one in enumerate(parts.tif.series) if one is image.series), None)
        if number is None or not _is_read_in_parts(image.series):
            return None
        _check_size(path, image.series, in_parts=True)
        if image.series.dataoffset is not None:
            array = _mapped(path, image.series)
            return image_of(Store(array, image.series.axes, image.size, _channel_names(image)), index, name=name)
    zarr = load_zarr(path)
    tif = TiffFile(path)  # stays open as long as the image is there
    full = zarr.open(tif.series[number].aszarr(level=0), mode="r")
    store = Store(full, image.series.axes, image.size, _channel_names(image))
    finalize(store, tif.close)
    if isinstance(store.array, zarr.Array) and store.array.shape == image.series.shape:
        return image_of(store, index, name=name)
    return None


def _is_read_in_parts(series: TiffPageSeries) -> bool:
    """Tell whether parts of a series can be read here, and mean what they would in the whole."""
    return _has_parts(series) and (series.dataoffset is not None or has_zarr())


def _has_parts(series: TiffPageSeries) -> bool:
    """Tell the same where the extra that reads compressed parts is installed."""
    page = series.keyframe
    is_plain = page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB) or (
        page.photometric == PHOTOMETRIC.YCBCR and page.compression in _JPEG
    )
    is_known = set(series.axes) <= set("TZCSYX") and series.dtype.kind in "buif"
    if not (is_plain and is_known) or page.extrasamples or _orientation(page) != 1:
        return False
    return series.dataoffset is not None or prod(page.chunks) <= _LARGEST_CHUNK


@contextmanager
def _open(path: Path) -> Iterator[Parts]:
    """Open a file; that of a stack is remembered, closed, for whoever reads its next frame.

    Each reader takes the file away and puts it back afterwards, so that no two threads have the same one.
    """
    key = str(path), file_stamp(path)
    with quiet():
        parts = _remembered.pop(key, None) or _parse(path)
        parts.tif.filehandle.open()  # of one that was just parsed it is open: another file may have its name by now
        with parts.tif:
            yield parts
            is_stack = len(parts.tif.pages) > 1
    if is_stack:
        _remembered[key] = parts
        for oldest in list(_remembered)[:-_REMEMBERED_FILES]:
            _remembered.pop(oldest, None)


def _parse(path: Path) -> Parts:
    tif = TiffFile(path)
    try:
        return parts_of(tif, path)
    except BaseException:
        tif.close()
        raise


def _locate(parts: Parts, index: int) -> tuple[TiffImage, int]:
    for image in parts.images:
        frames = _series_frames(image.series)
        if index < frames:
            return image, index
        index -= frames
    raise ValueError("it holds fewer frames than when it was listed")


def _series_axes(series: TiffPageSeries) -> str:
    # Q is tifffile's letter for an axis nobody named, so the rule for bare arrays applies.
    unnamed = set(series.axes[:-2]) == {"Q"} and series.axes.endswith(PLANE_AXES)
    return guess_axes(series.shape) if unnamed else series.axes


def _series_frames(series: TiffPageSeries) -> int:
    return count_frames(series.shape, _series_axes(series))


def _headers(image: TiffImage, note: str) -> list[ImageHeader]:
    series, axes = image.series, _series_axes(image.series)
    height, width = (series.shape[axes.index(axis)] for axis in PLANE_AXES)
    size, scale = (height, width), image.size.scale
    if is_turned(_orientation(series.keyframe)):
        size, scale = size[::-1], scale[::-1]
    in_doubt = frames_or_channels(series.shape, axes) if set(series.axes[:-2]) == {"Q"} else ""
    told = "; it ".join(filter(None, (note, image.size.note, in_doubt)))
    in_parts = _has_parts(series)
    return [ImageHeader(size, scale, image.size.unit, _channel_names(image), told, in_parts)] * _series_frames(series)


def _channel_names(image: TiffImage) -> tuple[str, ...]:
    """Return the names of the channels, empty ones where the file tells none; there are none of a gray image."""
    page, axes = image.series.keyframe, _series_axes(image.series)
    lengths = [image.series.shape[axis] for axis in channel_axes(axes)]
    if page.photometric in (PHOTOMETRIC.PALETTE, PHOTOMETRIC.SEPARATED) and "C" not in axes:
        return () if page.parent.is_imagej else COLORS
    if "C" not in axes:
        return samples_named(lengths[0] - sum(_alphas(page))) if lengths else ()
    count = prod(lengths)
    return () if count < 2 else image.channels if len(image.channels) == count else ("",) * count


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get("Orientation")
    return tag.value if tag is not None and isinstance(tag.value, int) else 1


def _check_extra(path: Path, series: TiffPageSeries) -> None:
    """Check that what reads parts of a file is installed if an image of it is too large for all else."""
    nbytes = series.nbytes / max(1, _series_frames(series))
    if nbytes > MAX_IMAGE_BYTES and _has_parts(series) and not _is_read_in_parts(series):
        raise DataError(
            f"{path.name} declares {nbytes / 2**30:.1f} GiB of pixels in one image, so only parts of it are read. "
            f"{MISSING}"
        )


def _check_size(path: Path, series: TiffPageSeries, *, in_parts: bool = False) -> None:
    page = series.keyframe
    stored = _stored_size(page)
    check_declared(path.name, series.shape, _series_frames(series), series.nbytes, stored, in_parts=in_parts)
    if page.compression != COMPRESSION.NONE:  # a tile is unpacked whole, however small the image
        check_unpacked_size(path.name, prod(page.chunks) * series.dtype.itemsize, stored)
    _check_complete(path, page)
    if series.dataoffset is not None and series.dataoffset + series.nbytes > stored:
        raise _cut_off(path)


def _stored_size(page: TiffPage | TiffFrame) -> int:
    """Return the length of the file that is open: a mask may be written anew under its name at any time."""
    return int(page.parent.filehandle.size)


def _check_complete(path: Path, page: TiffPage | TiffFrame) -> None:
    end = max((start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
    if end > _stored_size(page):
        raise _cut_off(path)
    if page.compression not in _BYTES:
        _check_pictures(path, page)


def _check_pictures(path: Path, page: TiffPage | TiffFrame) -> None:
    """Check that no strip or tile is a larger picture than the page says: it is unpacked whole all the same."""
    with path.open("rb") as file:
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            file.seek(start)
            height, width = declared_size(file.read(min(count, PICTURE_HEADER)))
            if height * width > 4 * prod(page.chunks):
                raise DataError(f"{path.name} is damaged: a part of it is {width} x {height} px large. Save it again.")


def _cut_off(path: Path) -> DataError:
    return DataError(f"{path.name} is cut off: pixels are missing at its end. Copy or save it again.")


def _read(path: Path, series: TiffPageSeries, index: int) -> NDArray[Any]:
    axes = _series_axes(series)
    if series.dataoffset is not None:
        return take_frame(_mapped(path, series), axes, index)
    leading = len(series.shape) - len(series.keyframe.axes)
    if axes == series.axes and _is_plain(series, leading):
        return _read_pages(path, series, index, leading)
    check_declared_size(path.name, series.nbytes, _stored_size(series.keyframe))
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


def _shown(array: NDArray[Any], tif: TiffFile, page: TiffPage, *, as_labels: bool) -> NDArray[Any]:
    return _right_way_round(_in_colors(array, tif, page, as_labels=as_labels), tif, page)


def _in_colors(array: NDArray[Any], tif: TiffFile, page: TiffPage, *, as_labels: bool) -> NDArray[Any]:
    """Return what the file means by its samples: colors of a palette or of inks, and no alpha."""
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None and array.ndim == 2:
        if as_labels and tif.is_imagej:
            return array  # its lookup tables only display
        palette = page.colormap.T >> 8 if page.colormap.max() > np.iinfo(np.uint8).max else page.colormap.T
        return from_palette(array, palette.astype(np.uint8), as_labels=as_labels, is_lookup=tif.is_imagej)
    if array.ndim == 2 or len(array) != page.samplesperpixel:
        return array
    colors, alpha = _split(array, page)
    if page.photometric == PHOTOMETRIC.SEPARATED and len(colors) == 4:
        colors = from_cmyk(colors)
    elif page.photometric == PHOTOMETRIC.YCBCR and page.compression not in _JPEG and colors.dtype == np.uint8:
        colors = from_ycbcr(colors)
    elif page.photometric in (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB, PHOTOMETRIC.ITULAB):
        raise DataError(f"{tif.filename} holds colors as CIELAB. Save it with red, green and blue.")
    return colors if alpha is None else without_alpha(colors, alpha, as_labels=as_labels)


def _split(array: NDArray[Any], page: TiffPage) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return colors and channels (C, Y, X), and alpha (Y, X) if the file has it.

    Many programs leave the fourth sample of RGBA unspecified: it is alpha if it is the same everywhere.
    """
    first = len(array) - len(page.extrasamples)
    is_alpha = _alphas(page)
    if is_alpha == [True] and page.extrasamples[0] == EXTRASAMPLE.UNSPECIFIED:
        is_alpha = [bool(array[-1].flat[0] and (array[-1] == array[-1].flat[0]).all())]
    if not any(is_alpha):
        return array, None
    kept = [*range(first), *(first + place for place, alpha in enumerate(is_alpha) if not alpha)]
    return array[kept], array[first + is_alpha.index(True)]


def _alphas(page: TiffPage) -> list[bool]:
    """Tell of each extra sample whether it is alpha; of an unspecified fourth beside colors, only pixels tell it."""
    if page.photometric == PHOTOMETRIC.RGB and tuple(page.extrasamples) == (EXTRASAMPLE.UNSPECIFIED,):
        return [True]
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
