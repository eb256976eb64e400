"""What a file, or a picture in one, is by its first bytes, whatever else says."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..errors import DataError
from .disk import is_file
from .regions.ome_zarr import is_zarr
from .regions.reader_plugins import has_plugin, what_reads

Reader = Literal["tiff", "raster", "array", "zarr", "plugin"]

TIFF_SUFFIXES = (".tif", ".tiff")
RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
ARRAY_SUFFIXES = (".npy", ".npz")
SUFFIXES = TIFF_SUFFIXES + RASTER_SUFFIXES + ARRAY_SUFFIXES
FORMATS = "TIFF, PNG, JPEG, BMP, NPY, NPZ or OME-Zarr"
CELLPOSE = "_seg.npy"

_KNOWN: tuple[tuple[bytes, Reader], ...] = (
    *((start, "tiff") for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((start, "raster") for start in (b"\x89PNG", b"\xff\xd8\xff", b"BM")),
    *((start, "array") for start in (b"\x93NUMPY", b"PK\x03\x04")),
)
_BY_SUFFIX: tuple[tuple[tuple[str, ...], Reader], ...] = (
    (TIFF_SUFFIXES, "tiff"),
    (RASTER_SUFFIXES, "raster"),
    (ARRAY_SUFFIXES, "array"),
)
CELLPOSE_NOTE = (
    "is the session of Cellpose's window, which only Cellpose opens. In Cellpose choose File > Save masks as PNG/tif, "
    "which writes masks that are read here"
)
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftyp", "a HEIC or AVIF image"),
    (4, b"jP  ", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"ZISRAW", "a CZI file"),
    (0, b"%PDF", "a PDF"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"version https://git-lfs", "a placeholder of Git LFS"),
    (0, b"<", "a web page or another text in tags"),
)
# Images of other programs; other files in a folder, such as tables and notes, are nobody's concern.
# fmt: off
_PASSED_OVER = frozenset(
    {
        ".gif", ".webp", ".jp2", ".j2k", ".heic", ".avif", ".czi", ".lif", ".lsm", ".nd2", ".oib", ".oif", ".vsi",
        ".ims", ".dv", ".stk", ".svs", ".ndpi", ".scn", ".mrxs", ".h5", ".hdf5", ".nrrd", ".nii", ".gz", ".mha", ".mhd",
        ".dcm", ".psd", ".xcf", ".pgm", ".pbm", ".ppm", ".tga", ".svg", ".mat", ".roi", ".zip", ".geojson",
    }
)
# fmt: on


def reader_of(path: Path) -> Reader:
    """Return which reader takes a file.

    Raises
    ------
    DataError
        If it is empty or of a format that is not read.
    """
    if is_zarr(path):
        return "zarr"
    with path.open("rb") as file:
        start = file.read(32)
    name, suffix = path.name, path.suffix.lower()
    if is_of_cellpose(path):
        raise DataError(f"{name} {CELLPOSE_NOTE}.")
    if not start:
        raise DataError(f"{name} is empty (0 bytes). Copy or save it again, or leave it out.")
    for magic, reader in _KNOWN:
        if start.startswith(magic):
            return reader
    if has_plugin(path):
        return "plugin"
    _refuse_foreign(path, start)
    for suffixes, reader in _BY_SUFFIX:
        if suffix in suffixes:
            return reader
    raise DataError(f"{name}: files of type '{path.suffix}' are not read. Save the image as {FORMATS}.")


def _refuse_foreign(path: Path, start: bytes) -> None:
    if how := what_reads(path):
        raise DataError(f"{path.name} {how}. Or save the image as {FORMATS}.")
    for place, magic, what in _FOREIGN:
        if start[place:].startswith(magic):
            raise DataError(f"{path.name} is {what}. Save the image as {FORMATS}.")


def is_image_file(path: Path) -> bool:
    """Tell whether a path is a single file, or a Zarr store, which is a folder that counts as one."""
    return is_file(path) or is_zarr(path)


def is_read(path: Path) -> bool:
    """Tell whether a file in a folder is taken for one of its images, by its suffix."""
    return path.suffix.lower() in SUFFIXES or has_plugin(path)


def is_of_cellpose(path: Path) -> bool:
    """Tell whether a file holds a session of Cellpose's window; it is never unpickled."""
    return path.name.lower().endswith(CELLPOSE)


def is_passed_over(path: Path) -> bool:
    """Tell whether a file in a folder may be an image or masks that the user misses, because they are not read."""
    return (path.suffix.lower() in _PASSED_OVER and not has_plugin(path)) or is_of_cellpose(path)


PICTURE_HEADER = 2**16  # bytes within which a picture says how large it is
_Size = tuple[int, int]
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # markers of JPEG among those of frames that stand for something else
_CONTAINER = 256


def declared_size(picture: bytes) -> _Size:
    """Return height and width of a picture as its header declares them; zeros if it does not, or is of no kind known.

    Known are JPEG, JPEG 2000, JPEG XL, JPEG XR, WebP, PNG and LERC, as TIFF files hold them.
    """
    for mark, within, read in _SIZES:
        if (place := picture.find(mark, 0, within + len(mark))) >= 0:
            try:
                return read(picture[place:])
            except (IndexError, struct.error):
                return 0, 0
    return 0, 0


def _jpeg_size(data: bytes) -> _Size:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in _NO_FRAME:
            return struct.unpack_from(">HH", data, at + 5)
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return 0, 0


def _jpeg_2000_size(data: bytes) -> _Size:
    right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
    return max(0, bottom - top), max(0, right - left)


def _jpeg_xl_size(data: bytes) -> _Size:
    bits = int.from_bytes(data[2:14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side() -> int:
        return (take(5) + 1) * 8 if is_in_eights else take((9, 13, 18, 30)[take(2)]) + 1

    is_in_eights = take(1)
    height, ratio = side(), take(3)
    over, under = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return height, height * over // under if ratio else side()


def _jpeg_xr_size(data: bytes) -> _Size:
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    entries = (struct.unpack_from("<HHII", data, start + 2 + 12 * number) for number in range(count))
    values = {tag: value for tag, _, _, value in entries}
    return values.get(0xBC81, 0), values.get(0xBC80, 0)


def _webp_size(data: bytes) -> _Size:
    kind = data[4:8]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[19:22], "little"), 1 + int.from_bytes(data[16:19], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 13)[0]
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 18)
    return height & 0x3FFF, width & 0x3FFF


def _png_size(data: bytes) -> _Size:
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _lerc_size(data: bytes) -> _Size:
    version = struct.unpack_from("<I", data, 6)[0]
    height, width = struct.unpack_from("<II", data, 14 if version > 2 else 10)
    return height, width


# How a picture begins, within so many bytes of its container, if it may lie in one, and what reads its size.
_SIZES: tuple[tuple[bytes, int, Callable[[bytes], _Size]], ...] = (
    (b"\xff\xd8\xff", 0, _jpeg_size),
    (b"\x89PNG", 0, _png_size),
    (b"WEBPVP8", 8, _webp_size),
    (b"Lerc2 ", 0, _lerc_size),
    (b"\xff\x4f\xff\x51", _CONTAINER, _jpeg_2000_size),
    (b"II\xbc", 0, _jpeg_xr_size),
    (b"\xff\x0a", 0, _jpeg_xl_size),
    (b"jxlc\xff\x0a", _CONTAINER, lambda data: _jpeg_xl_size(data[4:])),
)
