"""Which series of a TIFF file are its images: its own planes of a set of files, and no previews or labels of slides."""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from math import prod
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tifffile import TiffFile, TiffPage, TiffPageSeries

from ..errors import DataError
from ..text import count_of, verb_for
from .pixel_size import UNKNOWN, size_of_ome, size_of_tags
from .pixels import check_frames
from .tiff_sets import TiffImage, channels_of_ome, own_part

_BESIDE = re.compile(r"\b(thumbnail|label|macro|overview|preview|map)\b", re.IGNORECASE)
_HALF = 0.51  # sides of a smaller copy, rounded up
_SAME_SHAPE = 0.05  # by how much the sides of a smaller copy may be off, relatively
_SAME_PICTURE = 0.8  # correlation; a picture of something else has less
_LARGEST_COMPARED = 64 * 2**20


@dataclass(frozen=True)
class Parts:
    """An open file, its images, and what to tell of it."""

    tif: TiffFile
    images: tuple[TiffImage, ...]
    note: str = ""


_is_reading = ContextVar("is_reading", default=False)


def _is_for_others(_record: logging.LogRecord) -> bool:
    return not _is_reading.get()


logging.getLogger("tifffile").addFilter(_is_for_others)  # what matters of its log is told in sentences


@contextmanager
def quiet() -> Iterator[None]:
    """Keep log lines of tifffile from the user while the block runs."""
    token = _is_reading.set(True)
    try:
        yield
    finally:
        _is_reading.reset(token)


def parts_of(tif: TiffFile, path: Path) -> Parts:
    """Return the images of a file; what is left out of it is told."""
    _check_chain(path, tif)
    own = own_part(tif, path)
    if own is not None:
        return Parts(tif, own.images, own.note)
    _check_described(path, tif)
    try:
        everything = [part for series in tif.series for part in _levels(series)]
    except RecursionError as error:  # levels of a page that are this page
        raise _leads_back(path) from error
    images = _without_copies(_without_inner(everything))
    left = sum(map(len, everything)) - sum(map(len, images))
    note = f"holds {count_of(left, 'smaller picture')} beside its images, which {verb_for(left, 'be')} left out"
    return Parts(tif, tuple(_image(tif, one, everything) for one in images), note if left > 0 else "")


def _levels(series: TiffPageSeries) -> Sequence[TiffPageSeries]:
    """Return a series, and those that are guessed to be levels of it by their sizes alone."""
    if series.kind != "generic":
        return [series]
    return [level for level in series.levels if level is series or not _is_marked(level.keyframe)]


def _is_marked(page: TiffPage) -> bool:
    return bool(page.is_reduced or page.is_subifd)


def _check_chain(path: Path, tif: TiffFile) -> None:
    """Check that pages do not lead back to one another: tifffile would follow them for hours, and fill the memory."""
    file, form = tif.filehandle, tif.tiff
    offset, seen = tif.pages.first.offset, set[int]()
    while 0 < offset < file.size:
        if offset in seen:
            raise _leads_back(path)
        seen.add(offset)
        file.seek(offset)
        try:
            (tags,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
            file.seek(offset + form.tagnosize + tags * form.tagsize)
            (offset,) = struct.unpack(form.offsetformat, file.read(form.offsetsize))
        except struct.error:  # where the file is cut off, tifffile ends
            return


def _leads_back(path: Path) -> DataError:
    return DataError(f"{path.name} is damaged: its pages lead back to one another. Save it again or leave it out.")


def _check_described(path: Path, tif: TiffFile) -> None:
    """Check how many planes OME-XML describes before tifffile makes a place for each."""
    try:
        root = ET.fromstring(tif.ome_metadata or "<OME/>")
        planes = [prod(int(one.get(f"Size{axis}", 1)) for axis in "CTZ") for one in root.iterfind(".//{*}Pixels")]
    except (ET.ParseError, ValueError):
        return
    check_frames(path.name, max(planes, default=1), path.stat().st_size)


def _image(tif: TiffFile, series: TiffPageSeries, everything: Sequence[TiffPageSeries]) -> TiffImage:
    try:
        described = ET.fromstring(tif.ome_metadata or "<OME/>").findall(".//{*}Pixels")
    except (ET.ParseError, ValueError):  # a broken description does not spoil the pixels
        return TiffImage(series, UNKNOWN)
    if not tif.is_ome:
        return TiffImage(series, size_of_tags(tif, series))
    if not described:
        return TiffImage(series, UNKNOWN)
    place = next((place for place, one in enumerate(everything) if one is series), 0)
    pixels = described[min(place, len(described) - 1)]
    return TiffImage(series, size_of_ome(pixels), channels_of_ome(pixels))


def _without_inner(everything: Sequence[TiffPageSeries]) -> list[TiffPageSeries]:
    """Return series without reduced pages and without pages inside of others, unless there is nothing else."""
    outer = [one for one in (_outer_pages(series) for series in everything) if one is not None]
    return outer or [one for one in everything if not one.keyframe.is_reduced] or list(everything)


def _outer_pages(series: TiffPageSeries) -> TiffPageSeries | None:
    if series.keyframe.is_reduced:
        return None
    if series.kind != "generic":
        return series
    pages = [page for page in series if page is not None and not page.is_subifd]
    if len(pages) == len(series):
        return series
    page = series.keyframe
    shape, axes = ((len(pages), *page.shape), f"I{page.axes}") if len(pages) > 1 else (page.shape, page.axes)
    return TiffPageSeries(pages, shape, page.dtype, axes, parent=series.parent, kind="generic") if pages else None


def _without_copies(found: list[TiffPageSeries]) -> list[TiffPageSeries]:
    main = max(found, key=lambda one: _area(one.keyframe), default=None)
    return [one for one in found if one is main or not (main is not None and _is_beside(one, main))]


def _is_beside(series: TiffPageSeries, main: TiffPageSeries) -> bool:
    """Tell whether a series shows the main one smaller, or the glass of a slide."""
    small, large = series.keyframe, main.keyframe
    if _area(small) < _area(large) and _BESIDE.search(series.name):
        return True
    down, across = small.imagelength / large.imagelength, small.imagewidth / large.imagewidth
    is_smaller = max(down, across) <= _HALF and abs(down - across) <= _SAME_SHAPE * max(down, across)
    return is_smaller and series.kind != "ome" and len(series) <= len(main) and _shows_the_same(small, large)


def _area(page: TiffPage) -> int:
    return int(page.imagelength * page.imagewidth)


def _shows_the_same(small: TiffPage, large: TiffPage) -> bool:
    if large.nbytes > _LARGEST_COMPARED:
        return True
    size = small.imagewidth, small.imagelength
    reduced = np.asarray(Image.fromarray(_gray(large)).resize(size, Image.Resampling.BOX))
    pair = np.stack([reduced.ravel(), _gray(small).ravel()])
    return bool(pair.std(axis=1).min() > 0 and np.corrcoef(pair)[0, 1] > _SAME_PICTURE)


def _gray(page: TiffPage) -> NDArray[np.float32]:
    array = page.asarray()
    channels = tuple(place for place, axis in enumerate(page.axes) if axis not in "YX")
    return np.asarray(array.mean(axis=channels) if channels else array, np.float32)
