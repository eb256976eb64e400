"""Read PNG, JPEG and BMP files, told apart by their content and not by their suffix."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from .axes import COLORS
from .colors import from_palette, is_turned, upright, without_alpha
from .pixels import ImageHeader, ImagePixels, check_declared

_READERS: dict[bytes, type[ImageFile]] = {b"\x89PNG": PngImageFile, b"\xff\xd8": JpegImageFile, b"BM": BmpImageFile}
_GRAY_MODES = ("1", "L", "I", "I;16", "F", "LA", "La")
_PLAIN_MODES = ("1", "L", "I", "I;16", "F", "RGB")
_PIXEL_BYTES = {"P": 3, "PA": 3, "I": 4, "F": 4}  # a palette becomes red, green and blue
_PNG_DEPTH_BYTE = 24
_WITH_ALPHA = (2, 4)


def read_raster_header(path: Path) -> ImageHeader:
    """Return the size of the image as viewers show it, and its colors."""
    with _open(path) as image:
        size = image.size if is_turned(_orientation(image)) else image.size[::-1]
        channels = () if image.mode in _GRAY_MODES else COLORS
        note = "holds several pictures, of which the first is read" if getattr(image, "n_frames", 1) > 1 else ""
        return ImageHeader(size, channels=channels, note=note)


def read_raster(path: Path, *, as_labels: bool = False) -> ImagePixels:
    """Return the pixels the way viewers show them, without alpha.

    A palette is applied, and a mask is taken from alpha, as `colors.from_palette` and `colors.without_alpha` say.
    """
    with _open(path) as image:
        orientation = _orientation(image)
        array = _read_deep_png(path) if _is_deep_png(path) else _pixels(image, as_labels=as_labels)
        planes, alpha = _split(array)
        if alpha is not None:
            planes = without_alpha(planes, alpha, as_labels=as_labels)
    return ImagePixels(upright(planes[0] if len(planes) == 1 else planes, orientation).copy())


@contextmanager
def _open(path: Path) -> Iterator[ImageFile]:
    # The classes themselves, because Image.open refuses honest images beyond 179 megapixels; our own check is by bytes.
    with path.open("rb") as file:
        start = file.read(4)
        reader = next((cls for magic, cls in _READERS.items() if start.startswith(magic)), None)
        if reader is None:
            raise ValueError("it is not a PNG, JPEG or BMP image")
        file.seek(0)
        image = reader(file, str(path))
        shape = image.size[::-1]
        nbytes = prod(shape) * (1 + _is_deep_png(path)) * _PIXEL_BYTES.get(image.mode, len(image.getbands()))
        check_declared(path.name, shape, 1, nbytes, path.stat().st_size)
        yield image


def _orientation(image: ImageFile) -> int:
    with suppress(ValueError, TypeError, KeyError, SyntaxError, OSError, struct.error):  # EXIF that is damaged
        return int(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    return 1


def _pixels(image: ImageFile, *, as_labels: bool) -> NDArray[Any]:
    """Return (Y, X), or (Y, X, C) with alpha last if the image has it."""
    if image.mode == "P":
        palette = np.asarray(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        array = from_palette(np.asarray(image), palette, as_labels=as_labels)
        if array.ndim == 2 or not image.has_transparency_data:
            return np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    if image.mode in _PLAIN_MODES and not (as_labels and image.has_transparency_data):
        return np.asarray(image)
    if image.has_transparency_data:
        return np.asarray(image.convert("LA" if image.mode in _GRAY_MODES else "RGBA"))
    return np.asarray(image.convert("RGB"))


def _split(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return colors (C, Y, X), and alpha (Y, X) if there is one."""
    if array.ndim == 2:
        return array[None], None
    planes = np.moveaxis(array, -1, 0)
    return (planes[:-1], planes[-1]) if len(planes) in _WITH_ALPHA else (planes, None)


def _is_deep_png(path: Path) -> bool:
    """Tell whether this is a PNG of 16 bits per channel, which Pillow would cut to 8 where there are several."""
    with path.open("rb") as file:
        header = file.read(_PNG_DEPTH_BYTE + 1)
    return header.startswith(b"\x89PNG") and header[_PNG_DEPTH_BYTE] == 16


def _read_deep_png(path: Path) -> NDArray[Any]:
    return np.asarray(imagecodecs.png_decode(path.read_bytes()))
