"""Which planes of an acquisition that is spread over several TIFF files lie in one of them: OME sets, Micro-Manager."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tifffile import TiffFile, TiffPageSeries, read_ndtiff_index

from ..text import first_of
from .pixel_size import PixelSize, size_of_ome, size_of_tags
from .pixels import check_frames

_LARGEST_DESCRIPTION = 64 * 2**20

Frame = tuple[int | str, ...]
Planes = dict[tuple[Frame, int | str], int]  # frame and channel of each plane, and which page of the file it is


@dataclass(frozen=True)
class TiffImage:
    """An image, or frames of the same kind, with the size of its pixels and the names of its channels, if described."""

    series: TiffPageSeries
    size: PixelSize
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class OwnPart:
    """The images of a set of files that lie in one of them, and what to tell of them."""

    images: tuple[TiffImage, ...]
    note: str = ""


def channels_of_ome(pixels: ET.Element) -> tuple[str, ...]:
    """Return the names of the channels that ``Pixels`` of OME-XML describe, empty ones where it names none."""
    return tuple(channel.get("Name", "").strip() for channel in pixels.iterfind("{*}Channel"))


def own_part(tif: TiffFile, path: Path) -> OwnPart | None:
    """Return what a file holds of a set, without opening the others of it; ``None`` if it stands for itself."""
    described = tif.micromanager_metadata if tif.pages.first.is_micromanager else None
    if described and "IndexMap" in described:
        return _of_micromanager(tif, described)
    return _of_ome(tif, path) if tif.is_ome else _of_ndtiff(tif, path) if described else None


def _of_micromanager(tif: TiffFile, described: Mapping[str, Any]) -> OwnPart | None:
    tif.pages.useframes = True
    pages = {page.offset: number for number, page in enumerate(tif.pages)}
    planes: Planes = {
        ((int(position), int(time), int(z)), int(channel)): pages[int(offset)]
        for channel, z, time, position, offset in described["IndexMap"]
        if int(offset) in pages
    }
    names = described.get("Summary", {}).get("ChNames", ())
    image = _Described(planes, tuple(map(str, names)) if isinstance(names, list) else ())
    return _part(tif, [image], []) if planes else None


def _of_ndtiff(tif: TiffFile, path: Path) -> OwnPart | None:
    """Return the planes that the index beside an NDTiff file says are in it."""
    index = path.with_name("NDTiff.index")
    if not index.is_file():
        return None
    tif.pages.useframes = True
    pages = {page.dataoffsets[0]: number for number, page in enumerate(tif.pages)}
    planes: Planes = {}
    for axes, file, offset, *_ in read_ndtiff_index(index):
        if file == path.name and offset in pages:
            channel = axes.pop("channel", 0)
            planes[tuple(axes[name] for name in sorted(axes)), channel] = pages[offset]
    return _part(tif, [_Described(planes)], []) if planes else None


def _of_ome(tif: TiffFile, path: Path) -> OwnPart | None:
    try:
        own = ET.fromstring(tif.ome_metadata or "")
        root, told = _described_in(own, path)
        images = [_Image.of(pixels, own.get("UUID"), path.name) for pixels in root.iterfind("{*}Image/{*}Pixels")]
    except (ET.ParseError, ValueError, KeyError, OSError):  # a broken description does not spoil the pixels
        return None
    others = {file for image in images for file in image.others}
    count, described = len(tif.pages), sum(image.size for image in images)
    if not others and described <= count and root is own and not told:
        return None
    if not others:
        check_frames(path.name, described, path.stat().st_size)
    found = [_Described(image.planes(count), image.channels, image.pixel_size) for image in images]
    found = [image for image in found if image.planes]
    missing = sorted(file for file in others if not path.with_name(file).is_file())
    if missing:
        told.append(f"is one of a set of files, and not all are here ({first_of(missing)}); its own planes are read")
    if not others and described > count:
        told.append(f"describes {described} planes but holds {count}, which are read")
    if not found:
        told.append("does not say which planes of its set it holds, so each page is read as an image")
        found = [_Described({((number,), 0): number for number in range(count)})]
    return _part(tif, found, told)


def _described_in(own: ET.Element, path: Path) -> tuple[ET.Element, list[str]]:
    """Return the description of the set: that of a file itself, or the one that it refers to."""
    elsewhere = own.find("{*}BinaryOnly")
    if elsewhere is None:
        return own, []
    companion = path.with_name(Path(elsewhere.get("MetadataFile", "")).name or "?")
    if not companion.is_file():
        return own, [f"is described in {companion.name}, which is not here"]
    if companion.suffix.casefold() in (".tif", ".tiff"):
        with TiffFile(companion) as tif:
            return ET.fromstring(tif.ome_metadata or ""), []
    if companion.stat().st_size > _LARGEST_DESCRIPTION:
        raise ValueError("its description is too large")
    return ET.fromstring(companion.read_bytes()), []


@dataclass(frozen=True)
class _Image:
    """An image of OME-XML, with the ``TiffData`` that lie in one file."""

    order: str  # of Z, C and T, the fastest first
    sizes: dict[str, int]
    data: tuple[ET.Element, ...]
    others: tuple[str, ...]
    channels: tuple[str, ...]
    pixel_size: PixelSize

    @classmethod
    def of(cls, pixels: ET.Element, uuid: str | None, name: str) -> _Image:
        """Return the image that `pixels` describe; a file is known by its name, or else by its identifier."""
        everything = pixels.findall("{*}TiffData")
        named = [(one, one.find("{*}UUID")) for one in everything]
        files = [None if found is None else _file(found) for _, found in named]
        if not any(file and file.casefold() == name.casefold() for file in files):
            files = [None if found is None or found.text == uuid else _file(found) for _, found in named]
        is_own = [file is None or file.casefold() == name.casefold() for file in files]
        order = pixels.attrib["DimensionOrder"][2:]
        sizes = {axis: int(pixels.attrib[f"Size{axis}"]) for axis in "ZCT"}
        samples = next((int(one.get("SamplesPerPixel", 1)) for one in pixels.iterfind("{*}Channel")), 1)
        sizes["C"] = max(1, sizes["C"] // samples)
        return cls(
            order,
            sizes,
            tuple(one for one, is_here in zip(everything, is_own, strict=True) if is_here),
            tuple(sorted({file for file, is_here in zip(files, is_own, strict=True) if file and not is_here})),
            channels_of_ome(pixels),
            size_of_ome(pixels),
        )

    @property
    def size(self) -> int:
        """Number of planes."""
        return prod(self.sizes.values())

    def planes(self, pages: int) -> Planes:
        """Return the planes that lie in the file, which has so many `pages`."""
        found: Planes = {}
        for one in self.data:
            page = int(one.get("IFD", 0))
            count = int(one.get("PlaneCount", one.get("NumPlanes", 1 if "IFD" in one.attrib else pages - page)))
            start = self._position(one)
            for step in range(min(count, pages - page, self.size - start)):
                place = self._place(start + step)
                found[(place["T"], place["Z"]), place["C"]] = page + step
        return found

    def _position(self, data: ET.Element) -> int:
        position, stride = 0, 1
        for axis in self.order:
            position += stride * int(data.get(f"First{axis}", 0))
            stride *= self.sizes[axis]
        return position

    def _place(self, position: int) -> dict[str, int]:
        place = {}
        for axis in self.order:
            position, place[axis] = divmod(position, self.sizes[axis])
        return place


def _file(uuid: ET.Element) -> str:
    """Return the name of a file that may be given with folders, in the way of any system."""
    return uuid.get("FileName", "").replace("\\", "/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class _Described:
    """The planes of an image that lie in a file, names of all its channels, and the size of a pixel."""

    planes: Planes
    channels: tuple[str, ...] = ()
    pixel_size: PixelSize | None = None


def _part(tif: TiffFile, images: Sequence[_Described], told: Sequence[str]) -> OwnPart:
    """Return the complete frames of `images`; those that lack a channel are left out, and told."""
    found = [_image(tif, image) for image in images]
    lacking = sum(count for _, count in found)
    notes = [*told, *([f"lacks a channel in {lacking} of its frames, which are left out"] if lacking else [])]
    return OwnPart(tuple(image for image, _ in found), "; it ".join(notes))


def _image(tif: TiffFile, image: _Described) -> tuple[TiffImage, int]:
    """Return the complete frames, and how many others there are."""
    planes = image.planes
    frames = sorted({frame for frame, _ in planes})
    channels = sorted({channel for _, channel in planes}, key=lambda one: (isinstance(one, str), one))
    complete = [frame for frame in frames if all((frame, channel) in planes for channel in channels)]
    if not complete:  # channels were taken in turns
        places = sorted(planes, key=lambda one: (one[0], channels.index(one[1])))
        planes = {((number,), 0): planes[place] for number, place in enumerate(places)}
        complete, channels = [(number,) for number in range(len(places))], [0]
        frames = complete
    pages = [tif.pages[planes[frame, channel]] for frame in complete for channel in channels]
    page = tif.pages.first if pages[0].keyframe is None else pages[0].keyframe
    shape = (len(complete), len(channels), *page.shape)
    series = TiffPageSeries(pages, shape, page.dtype, f"TC{page.axes}", parent=tif, kind="set")
    names = [_name(image.channels, channel) for channel in channels]
    size = image.pixel_size or size_of_tags(tif, series)
    return TiffImage(series, size, tuple(names)), len(frames) - len(complete)


def _name(names: Sequence[str], channel: int | str) -> str:
    if isinstance(channel, str):
        return channel
    return names[channel] if channel < len(names) else ""
