"""What a file is by its first bytes, whatever its suffix says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..errors import DataError

Reader = Literal["tiff", "raster", "array"]

TIFF_SUFFIXES = (".tif", ".tiff")
RASTER_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
ARRAY_SUFFIXES = (".npy", ".npz")
SUFFIXES = TIFF_SUFFIXES + RASTER_SUFFIXES + ARRAY_SUFFIXES
FORMATS = "TIFF, PNG, JPEG, BMP, NPY or NPZ"
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
    for place, magic, what in _FOREIGN:
        if start[place:].startswith(magic):
            raise DataError(f"{name} is {what}. Save the image as {FORMATS}.")
    for suffixes, reader in _BY_SUFFIX:
        if suffix in suffixes:
            return reader
    raise DataError(f"{name}: files of type '{path.suffix}' are not read. Save the image as {FORMATS}.")


def is_of_cellpose(path: Path) -> bool:
    """Tell whether a file holds a session of Cellpose's window; it is never unpickled."""
    return path.name.lower().endswith(CELLPOSE)


def is_passed_over(path: Path) -> bool:
    """Tell whether a file in a folder may be an image or masks that the user misses, because they are not read."""
    return path.suffix.lower() in _PASSED_OVER or is_of_cellpose(path)
