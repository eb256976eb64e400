"""Read OME-Zarr images (0.4 and 0.5) and plain Zarr arrays: whole frames, and regions of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checked_json import first_fault
from ...errors import DataError
from ...text import first_of
from ..axes import channel_axes, count_frames, frame_axes, frames_or_channels, guess_axes, samples_named
from ..disk import Stamp, file_stamp
from ..pixel_size import UNKNOWN, PixelSize, declared_size
from ..pixels import ImageHeader, ImagePixels, check_finite, checked_frame
from .region import Region, bands_of

METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
MISSING = 'Install what reads it: pip install "napari-unet-finetune[zarr]".'
_MOST_FRAMES = 2**20  # what declares more is damaged
_LETTERS = {"t": "T", "c": "C", "z": "Z", "y": "Y", "x": "X"}


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a Zarr store, which is one image."""
    try:
        return path.is_dir() and any((path / name).is_file() for name in METADATA)
    except OSError:
        return False


def zarr_stamp(path: Path) -> tuple[Stamp, ...]:
    """Return what differs once the metadata of a store have changed."""
    return tuple(file_stamp(path / name) for name in METADATA)


def load_zarr(path: Path) -> Any:
    """Return the module zarr.

    Raises
    ------
    DataError
        If it is not installed; `path` is what it was wanted for.
    """
    try:
        import yaozarrs  # noqa: F401 - reads and checks the metadata
        import zarr
    except ImportError as error:
        raise DataError(f"{path.name} is a Zarr store. {MISSING}") from error
    return zarr


def has_zarr() -> bool:
    """Tell whether the extra is installed; nothing is loaded."""
    return all(find_spec(name) is not None for name in ("zarr", "yaozarrs"))


@dataclass(frozen=True)
class StoreLevel:
    """A level of an image in a store: pixels along each axis, the size of one, and where the first one lies."""

    sizes: tuple[int, ...]
    steps: tuple[float, ...]
    offsets: tuple[float, ...]


@dataclass(frozen=True)
class StoreAxes:
    """The axes of an image in a store, without channels, y and x last.

    Parameters
    ----------
    levels
        What there is along each: the full resolution or, if they were asked for, all levels.
    kinds
        Name, type and unit of each, as OME-Zarr has them.
    is_new
        Whether the store is of version 0.5 and not 0.4.
    """

    levels: tuple[StoreLevel, ...]
    kinds: tuple[dict[str, str], ...]
    is_new: bool


@dataclass(frozen=True, eq=False)
class Store:
    """The full resolution of the image of a store, or of a file that is read like one, with what its metadata tell."""

    array: Any  # zarr.Array, or an array mapped into memory
    axes: str
    size: PixelSize = UNKNOWN
    channel_names: tuple[str, ...] = ()
    note: str = ""
    described: StoreAxes | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X)."""
        return self.array.shape[self.axes.index("Y")], self.array.shape[self.axes.index("X")]

    @property
    def frames(self) -> int:
        """Number of two-dimensional images."""
        return count_frames(self.array.shape, self.axes)

    @property
    def channels(self) -> int:
        """Number of channels of each."""
        return prod(self.array.shape[axis] for axis in channel_axes(self.axes))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels, empty ones where none are told; none of a gray image."""
        known = len(self.channel_names) == self.channels > 1
        return self.channel_names if known else samples_named(self.channels) if "S" in self.axes else _unnamed(self)


def _unnamed(store: Store) -> tuple[str, ...]:
    return ("",) * store.channels if store.channels > 1 else ()


def read_zarr_headers(path: Path) -> list[ImageHeader]:
    """Return size and pixel size of each two-dimensional image of a store; its t and z count frames."""
    store = _open(path)
    if store.frames > _MOST_FRAMES:
        raise DataError(f"{path.name} declares {store.frames} images. It is damaged: save it again or leave it out.")
    return headers_of(store)


def headers_of(store: Store) -> list[ImageHeader]:
    """Return size and pixel size of each two-dimensional image of an opened store."""
    told = "; it ".join(filter(None, (store.size.note, store.note)))
    return [ImageHeader(store.shape, store.size.scale, store.size.unit, store.names, told, True)] * store.frames


@dataclass(frozen=True, eq=False)
class ZarrImage:
    """One frame of a store as an image that is read in parts, see `LazyImage`."""

    name: str
    store: Store
    frame: int
    is_gray: bool = False  # though it has three channels, all the same

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X) in pixels."""
        return self.store.shape

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.is_gray else self.store.channels

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return () if self.is_gray else self.store.names

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        native: np.dtype[Any] = np.dtype(self.store.array.dtype).newbyteorder("=")
        return native

    @property
    def scale(self) -> tuple[float, float]:
        """Size of a pixel along Y and X."""
        return self.store.size.scale

    @property
    def unit(self) -> str:
        """Unit of `scale`."""
        return self.store.size.unit

    @property
    def stored_rows(self) -> int:
        """Rows of a chunk."""
        chunks = getattr(self.store.array, "chunks", None)
        return 1 if chunks is None else int(chunks[self.store.axes.index("Y")])

    def read(self, region: Region) -> NDArray[np.generic]:
        """Return the pixels of a region: (Y, X), or (C, Y, X) where there are several channels.

        Raises
        ------
        DataError
            If they cannot be read, or are NaN or infinite.
        """
        axes, array = self.store.axes, self.store.array
        frames = frame_axes(axes)
        place: dict[int, Any] = dict(
            zip(frames, np.unravel_index(self.frame, [array.shape[axis] for axis in frames]), strict=True)
        )
        place |= dict(zip((axes.index("Y"), axes.index("X")), region.slices, strict=True))
        with _said(self.name):
            chunk = np.asarray(array[tuple(place.get(axis, slice(None)) for axis in range(array.ndim))])
        left = [letter for axis, letter in enumerate(axes) if axis not in frames]
        order = [place for place, letter in enumerate(left) if letter not in "YX"] + [left.index("Y"), left.index("X")]
        pixels = np.ascontiguousarray(chunk.transpose(order), dtype=self.dtype)
        check_finite(self.name, pixels)
        pixels = pixels.reshape(-1, *region.shape)
        return pixels[0] if self.channels == 1 else pixels


def open_zarr_frame(path: Path, frame: int | None, *, name: str) -> ZarrImage:
    """Return one frame of a store, ``None`` for the only one, to be read in parts.

    Raises
    ------
    DataError
        If it cannot be read, or there is no such frame.
    """
    store = _open(path)
    if store.array.dtype.kind not in "buif":
        raise DataError(f"{path.name} holds pixels of type {store.array.dtype}. Save it with real numbers.")
    return image_of(store, checked_frame(path.name, frame, store.frames), name=name)


def image_of(store: Store, frame: int, *, name: str) -> ZarrImage:
    """Return a frame of an opened store, which has it, to be read in parts."""
    image = ZarrImage(name, store, frame)
    return replace(image, is_gray=_is_gray_in_colors(image))


def read_zarr_frame(path: Path, frame: int | None, *, most_bytes: int) -> ImagePixels:
    """Return the pixels of one frame, of at most `most_bytes`."""
    return pixels_of(open_zarr_frame(path, frame, name=path.name), most_bytes=most_bytes)


def pixels_of(image: ZarrImage, *, most_bytes: int) -> ImagePixels:
    """Return all pixels of an image, of at most `most_bytes`.

    Raises
    ------
    DataError
        If there are more, or they cannot be read.
    """
    nbytes = prod(image.shape) * image.channels * image.dtype.itemsize
    if nbytes > most_bytes:
        raise DataError(
            f"{image.name} holds {nbytes / 2**30:.1f} GiB of pixels in one image, but at most "
            f"{most_bytes // 2**30} GiB are read at once. predict reads it in parts, and so does a training on strokes "
            "(option --sparse); for all else cut it into smaller images."
        )
    return ImagePixels(image.read(Region.whole(image.shape)), image.scale, image.unit, image.channel_names)


def _is_gray_in_colors(image: ZarrImage) -> bool:
    """Tell whether three channels are the same everywhere; it is read from the top until they differ."""
    if image.channels != 3:
        return False
    return all(bool((pixels[1:] == pixels[0]).all()) for pixels in map(image.read, bands_of(image)))


def axes_of_store(path: Path) -> StoreAxes:
    """Return the axes of the image in a store; those of an array without metadata that count frames become one."""
    store = _open(path)
    if store.described is not None:
        return store.described
    leading = (store.frames,) if frame_axes(store.axes) else ()
    kinds = tuple({"name": name, "type": "space"} for name in "zyx"[-2 - len(leading) :])
    level = StoreLevel((*leading, *store.shape), (1.0,) * len(kinds), (0.0,) * len(kinds))
    return StoreAxes((level,), kinds, is_new=True)


def levels_of_store(path: Path) -> StoreAxes:
    """Return the axes of the image in a store with what there is along each in all of its levels.

    Raises
    ------
    DataError
        If a level is missing, or has other axes.
    """
    store, group = _open(path), load_zarr(path).open_group(path, mode="r")
    attributes = dict(group.attrs)
    described = attributes.get("ome", attributes)
    multiscale = _validated(path, described, is_new="ome" in attributes).multiscales[0]
    with _said(path.name):
        levels = [_level_of(group[one.path], one, multiscale, _kept_of(store.axes)) for one in multiscale.datasets]
    assert store.described is not None, "see describes_itself"
    return replace(store.described, levels=tuple(levels))


def describes_itself(path: Path) -> bool:
    """Tell whether a store holds an image with OME-Zarr metadata, and not an array alone; raises `DataError`."""
    return _open(path).described is not None


def _open(path: Path) -> Store:
    return _opened(path, zarr_stamp(path))


@lru_cache(maxsize=8)
def _opened(path: Path, _stamp: tuple[Stamp, ...]) -> Store:
    zarr = load_zarr(path)
    with _said(path.name):
        node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        axes = guess_axes(node.shape)
        return _checked(path, Store(node, axes, note=frames_or_channels(node.shape, axes)))
    return _checked(path, _of_group(path, node))


def _checked(path: Path, store: Store) -> Store:
    if min(store.array.shape, default=0) < 1:
        raise DataError(f"{path.name} has the shape {store.array.shape}, so it holds no pixel. Leave it out.")
    return store


def _of_group(path: Path, group: Any) -> Store:
    """Return the first image that OME metadata describe."""
    attributes = dict(group.attrs)
    described = attributes.get("ome", attributes)
    if "multiscales" not in described:
        raise DataError(_no_image(path, described))
    image = _validated(path, described, is_new="ome" in attributes)
    multiscale = image.multiscales[0]
    dataset = multiscale.datasets[0]
    with _said(path.name):
        array = group[dataset.path]
    names = [axis.name for axis in multiscale.axes]
    if len(names) != array.ndim or not {"y", "x"} <= set(names):
        raise DataError(f"{path.name}: its axes are {', '.join(names)}, but y and x are needed. Save it again.")
    axes = "".join(_LETTERS.get(name.casefold(), "Q") for name in names)
    steps, _ = _place_of(dataset, multiscale)
    units = [str(getattr(axis, "unit", None) or "") for axis in multiscale.axes]
    plane = [axes.index(letter) for letter in "YX"]
    size = declared_size([float(steps[axis]) for axis in plane], [units[axis] for axis in plane])
    more = len(image.multiscales) - 1
    note = f"holds {more + 1} images, of which the first is read" if more else ""
    order = _kept_of(axes)
    kinds = [multiscale.axes[axis].model_dump(mode="json", exclude_none=True) for axis in order]
    level = _level_of(array, dataset, multiscale, order)
    kept = StoreAxes((level,), tuple(kinds), is_new="ome" in attributes)
    return Store(array, axes, size, _channels_of(described.get("omero")), note, kept)


def _kept_of(axes: str) -> list[int]:
    """Return the axes without channels, y and x last."""
    return [*frame_axes(axes), *(axes.index(letter) for letter in "YX")]


def _level_of(array: Any, dataset: Any, multiscale: Any, order: list[int]) -> StoreLevel:
    steps, offsets = _place_of(dataset, multiscale)
    return StoreLevel(*(tuple(np.asarray(values)[order].tolist()) for values in (array.shape, steps, offsets)))


def _place_of(dataset: Any, multiscale: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the size of a pixel of a level along each axis, and where its first pixel lies."""
    count = len(multiscale.axes)
    steps, offsets = np.ones(count), np.zeros(count)
    for change in (*dataset.coordinateTransformations, *(multiscale.coordinateTransformations or ())):
        if change.type == "scale":
            steps, offsets = steps * change.scale, offsets * change.scale
        elif change.type == "translation":
            offsets = offsets + change.translation
    return steps, offsets


def _channels_of(omero: Any) -> tuple[str, ...]:
    """Return the names of the channels; what else is said of how to show them may be wrong and does not matter."""
    channels = omero.get("channels") if isinstance(omero, dict) else None
    return tuple(str(one.get("label") or "") for one in channels or () if isinstance(one, dict))


def _validated(path: Path, described: dict[str, Any], *, is_new: bool) -> Any:
    """Return the metadata, checked by the models of yaozarrs."""
    from pydantic import ValidationError
    from yaozarrs import v04, v05

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what should, and need not, be so
            wanted = {name: value for name, value in described.items() if name != "omero"}
            return (v05 if is_new else v04).Image.model_validate(wanted)
    except ValidationError as error:
        place, what = first_fault(error)
        raise DataError(f"{path.name}: its OME-Zarr metadata are damaged ({place}: {what}).") from error


def _no_image(path: Path, described: dict[str, Any]) -> str:
    if "plate" in described or "well" in described or "bioformats2raw.layout" in described:
        inside = sorted(_images_inside(path))
        example = f", such as {first_of(inside, 1)}" if inside else ""
        return f"{path.name} holds several images. Choose one of them{example}."
    return f"{path.name} is a Zarr store without an OME-Zarr image at its top. Choose the image in it."


def _images_inside(path: Path, depth: int = 3) -> Iterator[str]:
    """Yield the folders inside that hold arrays of their own, the first few of each level."""
    for folder in sorted(one for one in path.iterdir() if one.is_dir())[:2]:
        if (folder / "0").is_dir() and is_zarr(folder / "0") and not (folder / "0" / "0").is_dir():
            yield str(Path(path.name) / folder.relative_to(path))
        elif depth:
            yield from (str(Path(path.name) / inside) for inside in _images_inside(folder, depth - 1))


@contextmanager
def _said(name: str) -> Iterator[None]:
    """Say in a sentence that a store cannot be read."""
    try:
        yield
    except Exception as error:  # codecs of damaged chunks raise whatever they trip over
        reason = " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__
        raise DataError(f"{name} cannot be read ({reason}). Save it again or leave it out.") from error
