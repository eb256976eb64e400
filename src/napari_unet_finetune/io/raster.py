"""Read PNG, JPEG and BMP files, told apart by their content and not by their suffix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from .axes import COLORS, guess_axes, take_frame
from .pixels import ImageHeader, ImagePixels, check_declared

_READERS: dict[bytes, type[ImageFile]] = {b"\x89PNG": PngImageFile, b"\xff\xd8": JpegImageFile, b"BM": BmpImageFile}
_GRAY_MODES = ("1", "L", "I", "I;16", "F", "LA", "La")
_PLAIN_MODES = ("1", "L", "I", "I;16", "F", "RGB")
_PIXEL_BYTES = {"P": 3, "PA": 3, "I": 4, "F": 4}  # a palette becomes red, green and blue
_WITHOUT_ALPHA = {"LA": "L", "La": "L"}
_PNG_DEPTH_BYTE = 24
_PNG_ALPHA_CHANNELS = (2, 4)


def read_raster_header(path: Path) -> ImageHeader:
    """Return the size of the image, and its colors."""
    with _open(path) as image:
        width, height = image.size
        is_gray = image.mode in _GRAY_MODES
    return ImageHeader((height, width), channels=() if is_gray else COLORS)


def read_raster(path: Path, *, as_labels: bool = False) -> ImagePixels:
    """Return the pixels without alpha.

    A palette is applied, except that with `as_labels` a palette of more than two used colors, or of two that look
    alike, is taken as one number per object.
    """
    with _open(path) as image:
        if _is_deep_png(path):
            array = _read_deep_png(path)
        elif as_labels and image.mode == "P" and _has_numbers(image):
            array = np.asarray(image)
        else:
            array = _colors(image)
    return ImagePixels(take_frame(array, guess_axes(array.shape) if array.ndim == 2 else "YXS", 0))


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


def _colors(image: ImageFile) -> NDArray[Any]:
    if image.mode in _PLAIN_MODES:
        return np.asarray(image)
    return np.asarray(image.convert(_WITHOUT_ALPHA.get(image.mode, "RGB")))


def _has_numbers(image: ImageFile) -> bool:
    """Tell whether the indices of a palette image matter more than its colors, of which there are many or one."""
    used = image.getcolors() or ()
    return len(used) > 2 or len(np.unique(_colors(image).reshape(-1, 3), axis=0)) < len(used)


def _is_deep_png(path: Path) -> bool:
    """Tell whether this is a PNG of 16 bits per channel, which Pillow would cut to 8 where there are several."""
    with path.open("rb") as file:
        header = file.read(_PNG_DEPTH_BYTE + 1)
    return header.startswith(b"\x89PNG") and header[_PNG_DEPTH_BYTE] == 16


def _read_deep_png(path: Path) -> NDArray[Any]:
    array = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    has_alpha = array.ndim == 3 and array.shape[-1] in _PNG_ALPHA_CHANNELS
    array = array[..., :-1] if has_alpha else array
    return array[..., 0] if array.shape[-1] == 1 and array.ndim == 3 else array
