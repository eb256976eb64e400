"""Files of microscopes' own formats, through the reader plugins of napari that are installed, if any reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..axes import guess_axes
from ..disk import Stamp, file_stamp
from ..pixel_size import UNKNOWN, PixelSize, declared_size
from ..pixels import ImageHeader, ImagePixels, check_frames, checked_frame
from .ome_zarr import Store, ZarrImage, headers_of, image_of, pixels_of

_BIO_FORMATS = "npe2 napari-bioio-reader"  # reads all of these through Java; the package beside it, if any, without
_FORMATS = {
    ".czi": ("a CZI file of Zeiss", "bioio-czi"),
    ".dv": ("a DV file of DeltaVision", "bioio-dv"),
    ".ims": ("an IMS file of Imaris", ""),
    ".lif": ("a LIF file of Leica", "bioio-lif"),
    ".nd2": ("an ND2 file of Nikon", "bioio-nd2"),
    ".oib": ("an OIB file of Olympus", ""),
    ".oif": ("an OIF file of Olympus", ""),
    ".vsi": ("a VSI file of Olympus", ""),
}
_BY_CONVENTION = "TCZYX"  # of five axes without names, as OME has them
_LETTERS = "TCZYX"


def what_reads(path: Path) -> str:
    """Return what a file is and how it can be read, as the end of a sentence; empty if it is of no such format."""
    if path.suffix.lower() not in _FORMATS:
        return ""
    what, package = _FORMATS[path.suffix.lower()]
    plugins = " ".join(filter(None, (_BIO_FORMATS, package)))
    return f"is {what}, which is read where a reader plugin for it is installed: pip install {plugins}"


def has_plugin(path: Path) -> bool:
    """Tell whether a file is of a microscope's own format and a plugin is installed that reads such files."""
    if path.suffix.lower() not in _FORMATS or find_spec("npe2") is None:
        return False
    return next(iter(_plugins().iter_compatible_readers(str(path))), None) is not None


@lru_cache(maxsize=1)
def _plugins() -> Any:
    from npe2 import PluginManager

    manager = PluginManager.instance()
    manager.discover()
    return manager


def read_plugin_headers(path: Path) -> list[ImageHeader]:
    """Return size and pixel size of each two-dimensional image of a file; what is no plane or channel counts frames."""
    store = _open(path)
    check_frames(path.name, store.frames, path.stat().st_size)
    return headers_of(store)


def open_plugin_frame(path: Path, frame: int | None, *, name: str) -> ZarrImage:
    """Return one frame of a file, ``None`` for the only one, to be read in parts.

    Raises
    ------
    DataError
        If there is no such frame.
    """
    store = _open(path)
    return image_of(store, checked_frame(path.name, frame, store.frames), name=name)


def read_plugin_frame(path: Path, frame: int | None, *, most_bytes: int) -> ImagePixels:
    """Return the pixels of one frame, of at most `most_bytes`."""
    return pixels_of(open_plugin_frame(path, frame, name=path.name), most_bytes=most_bytes)


def _open(path: Path) -> Store:
    return _opened(path, file_stamp(path))


@lru_cache(maxsize=1)  # a plugin may have read the whole file into memory
def _opened(path: Path, _stamp: Stamp) -> Store:
    from npe2 import read

    _plugins()
    found: list[Any] = read([str(path)], stack=False)  # a layer is its data, what napari is told, and its type
    layers = [one for one in found if one[0] is not None and _is_image(one)]
    if not layers:
        raise DataError(f"{path.name} holds no image, says the plugin that reads it. Save it as TIFF.")
    store = _store_of(layers[0][0], layers[0][1] if len(layers[0]) > 1 else {})
    if store.array.ndim < 2 or min(store.array.shape) < 1:
        raise DataError(f"{path.name} has the shape {store.array.shape}, so it holds no image. Leave it out.")
    if store.array.dtype.kind not in "buif":
        raise DataError(f"{path.name} holds pixels of type {store.array.dtype}. Save it with real numbers.")
    notes = [store.note, f"holds {len(layers)} images, of which the first is read" if len(layers) > 1 else ""]
    return Store(store.array, store.axes, store.size, store.channel_names, "; it ".join(filter(None, notes)))


def _is_image(layer: Sequence[Any]) -> bool:
    return len(layer) < 3 or layer[2] == "image"


def _store_of(data: Any, meta: dict[str, Any]) -> Store:
    """Return the full resolution of a layer; `meta` are the arguments by which napari would show it."""
    array = data[0] if meta.get("multiscale") or isinstance(data, list | tuple) else data
    channel, is_rgb, ndim = meta.get("channel_axis"), bool(meta.get("rgb")), len(array.shape)
    shown = ndim - (channel is not None) - is_rgb
    axes, note = _axes_of(array.shape, tuple(map(str, meta.get("axis_labels") or ())), shown)
    if channel is not None:
        axes = axes[: channel % ndim] + "C" + axes[channel % ndim :]
    names = meta.get("name")
    named = tuple(map(str, names)) if channel is not None and isinstance(names, list | tuple) else ()
    return Store(array, axes + "S" * is_rgb, _size_of(meta, shown), named, note)


def _axes_of(shape: tuple[int, ...], labels: tuple[str, ...], shown: int) -> tuple[str, str]:
    """Return letters for the axes that are neither the layer's channels nor its colors, and a note if they are a guess.

    Axes with names are taken by these. Without, the last two are the plane, as napari shows them.
    """
    letters = "".join(label[:1].upper() if label[:1].upper() in _LETTERS else "Q" for label in labels)
    if len(letters) == shown and all(letters.count(letter) == 1 for letter in "YX"):
        return letters, ""
    if shown < len(shape):
        return "Q" * (shown - 2) + "YX", ""
    if shown == len(_BY_CONVENTION):
        return _BY_CONVENTION, "names none of its five axes, which are taken for time, channel, z, y and x"
    return guess_axes(shape), ""


def _size_of(meta: dict[str, Any], shown: int) -> PixelSize:
    scale, units = meta.get("scale"), meta.get("units")
    units = (units,) * shown if isinstance(units, str) else tuple(map(str, units or ()))
    if scale is None or len(scale) != shown or len(units) != shown:
        return UNKNOWN
    return declared_size([float(step) for step in scale[-2:]], units[-2:])
