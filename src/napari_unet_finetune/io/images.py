"""List and read the images of a file or a folder, in any common format."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import overload
from unicodedata import normalize

from ..errors import DataError, FinetuneError
from ..text import count_of, first_of, path_in_words, printable, verb_for
from .arrays import read_array_frame, read_array_headers
from .content import (
    CELLPOSE_NOTE,
    FORMATS,
    SUFFIXES,
    is_image_file,
    is_of_cellpose,
    is_passed_over,
    is_read,
    reader_of,
)
from .pixels import MAX_IMAGE_BYTES, ImageHeader, ImagePixels, checked_frame, checked_pixels
from .raster import read_raster, read_raster_header
from .regions.ome_zarr import is_zarr, open_zarr_frame, read_zarr_frame, read_zarr_headers
from .regions.reader_plugins import open_plugin_frame, read_plugin_frame, read_plugin_headers, what_reads
from .regions.region import LazyImage
from .tiff import open_tiff_frame, read_tiff_frame, read_tiff_headers
from .writing import write_labels

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "ImageHeader",
    "ImagePixels",
    "ImageRef",
    "Listing",
    "about_subfolders",
    "channel_names",
    "list_images",
    "looked_at",
    "natural_key",
    "notes_of",
    "open_in_parts",
    "read_headers",
    "read_image",
    "subfolders_with_images",
    "without_labels",
    "write_labels",
]

_LOOKED_AT = 20  # files, for their channels, or for whether they are others' images
LABELS_MARK = "_labels"  # ends the names of labels that are written for images


@dataclass(frozen=True)
class ImageRef:
    """One two-dimensional image in a file.

    Parameters
    ----------
    path
        The file.
    frame
        Position in the file, counted from 0, or ``None`` if the file holds only this image.
    called
        Its name among others, where two files have the same; no part of which image it is.
    """

    path: Path
    frame: int | None = None
    called: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """How messages and tables call the image: ``img_007`` or ``stack[012]``, unless it is called otherwise."""
        return self.called or self.file_name

    @property
    def file_name(self) -> str:
        """Its name as that of its file tells."""
        return self.stem if self.frame is None else f"{self.stem}[{self.frame:03d}]"

    @property
    def raw_stem(self) -> str:
        """Its `stem` as the file system has it: what names a file beside it."""
        return normalize("NFC", re.sub(r"\.ome$", "", self.path.stem, flags=re.IGNORECASE))

    @cached_property
    def stem(self) -> str:
        """Name of the file without its suffix, ``.ome.tif`` counting as one.

        Accents are one character with their letter, also in names from macOS, which stores them apart.
        """
        return printable(self.raw_stem)


@dataclass(frozen=True)
class Listing(Sequence[ImageRef]):
    """The images that were found, in natural order, and the files that could not be read, each with the reason.

    `headers` are what the headers of the files tell of each image, `passed_over` files of formats that are not read,
    and `elsewhere` subfolders with images of their own, as those of other wells are.
    """

    images: tuple[ImageRef, ...]
    unreadable: tuple[tuple[Path, str], ...] = ()
    headers: Mapping[ImageRef, ImageHeader] = field(default_factory=dict)
    passed_over: tuple[Path, ...] = ()
    elsewhere: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the files, in sentences: what of them is left out, and what is doubtful."""
        return (
            *_told((ref.path, header.note) for ref, header in self.headers.items()),
            *_passed_over(self.passed_over),
            *about_subfolders(self.elsewhere),
        )

    @overload
    def __getitem__(self, index: int) -> ImageRef: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ImageRef, ...]: ...

    def __getitem__(self, index: int | slice) -> ImageRef | tuple[ImageRef, ...]:
        """Return one image or a tuple of them."""
        return self.images[index]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)


def notes_of(refs: Iterable[ImageRef]) -> tuple[str, ...]:
    """Return what a user should know of the files of `refs`, as `Listing.notes` does; only headers are read."""
    notes = []
    for path in dict.fromkeys(ref.path for ref in refs):
        with suppress(DataError):  # said where the file is read
            notes.append((path, read_headers(path)[0].note))
    return _told(notes)


def _told(notes: Iterable[tuple[Path, str]]) -> tuple[str, ...]:
    told: dict[str, dict[str, None]] = {}
    for path, note in notes:
        told.setdefault(note, {})[path.name] = None
    return tuple(f"{_each(list(names))} {note}." for note, names in told.items() if note)


def _each(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"Each of {first_of(names)} ({len(names)} files)"


def _passed_over(files: Sequence[Path]) -> list[str]:
    sessions = [path.name for path in files if is_of_cellpose(path)]
    others = [path.name for path in files if not is_of_cellpose(path) and not what_reads(path)]
    sentences = [f"{_each(sessions)} {CELLPOSE_NOTE}."] if sessions else []
    sentences += _told((path, what_reads(path)) for path in files)
    if others:
        verb = verb_for(len(others), "be")
        sentences.append(
            f"{count_of(len(others), 'file')} of other formats {verb} passed over ({first_of(others)}). If they are "
            f"images or masks, save them as {FORMATS}."
        )
    return sentences


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts ``img2`` before ``img10``."""
    parts = re.findall(r"(\d+)|(\D+)", text.casefold())
    return tuple((0, int(digits), digits) if digits else (1, 0, letters) for digits, letters in parts)


def list_images(source: Path) -> Listing:
    """Return the images of a folder (not of its subfolders) or of one file; a stack gives one per frame.

    Only headers are read. Hidden files and files of other formats are passed over.

    Raises
    ------
    DataError
        If there is no such folder or file, it may not be read, or there is no image in it that can be read.
    """
    headers: dict[ImageRef, ImageHeader] = {}
    unreadable: list[tuple[Path, str]] = []
    files, passed_over = _candidates(source)
    for path in files:
        try:
            found = read_headers(path)
        except DataError as error:
            unreadable.append((path, str(error)))
            continue
        frames = (None,) if len(found) == 1 else range(len(found))
        headers |= {ImageRef(path, frame): header for frame, header in zip(frames, found, strict=True)}
    if not headers:
        raise DataError(_nothing_found(source, unreadable, passed_over))
    return Listing(tuple(headers), tuple(unreadable), headers, passed_over, _with_other_images(source, files))


def read_headers(path: Path) -> tuple[ImageHeader, ...]:
    """Return what the header of a file tells about each of its images, in the order of `list_images`.

    Raises
    ------
    DataError
        If the file is missing, damaged, foreign or empty.
    """
    with _reasons_for(path):
        headers = tuple(_read_headers(path))
        if not headers:
            raise DataError(f"{path.name} holds no image. Save it again or leave it out.")
    return headers


def channel_names(source: Path) -> tuple[str, ...]:
    """Return the names of the channels of the first image in a folder or file that has several, empty if none has.

    Only a few files are looked at. Raises `DataError` if there is no such folder or file.
    """
    for path in _candidates(source)[0][:_LOOKED_AT]:
        try:
            found = next((header.channels for header in read_headers(path) if header.channels), ())
        except DataError:  # said when its images are used
            continue
        if found:
            return found
    return ()


def subfolders_with_images(source: Path) -> dict[Path, int]:
    """Return the subfolders of a folder that hold image files, and how many; none if it holds some itself."""
    if is_zarr(source) or not source.is_dir() or _candidates(source)[0]:
        return {}
    folders = sorted((one for one in source.iterdir() if one.is_dir()), key=lambda one: natural_key(one.name))
    counts = {folder: _count_inside(folder) for folder in folders if not folder.name.startswith(".")}
    return {folder: count for folder, count in counts.items() if count}


def about_subfolders(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return that the images in `folders` are left out, in a sentence, none if there are none."""
    if not folders:
        return ()
    what = "1 subfolder holds" if len(folders) == 1 else f"{len(folders)} subfolders hold"
    names = first_of([folder.name for folder in folders])
    return (f"{what} images, too ({names}), which are left out: open a subfolder to use them.",)


def _with_other_images(source: Path, files: Sequence[Path]) -> tuple[Path, ...]:
    """Return the subfolders of `source` with images that have nothing to do with `files`, unlike masks and results.

    Only a glance is taken into each.
    """
    if is_image_file(source):
        return ()
    with looked_at(source):
        folders = [path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders.sort(key=lambda path: natural_key(path.name))
    related = _related_to({path.stem.casefold() for path in files})
    return tuple(path for path in folders if not is_zarr(path) and _has_other_images(path, related))


def _related_to(stems: Collection[str]) -> Callable[[str], bool]:
    """Return what tells whether a name is in one of `stems` or one of these in it, however many there are."""
    joined = "\0".join(stems)  # no name holds this character

    def is_related(name: str) -> bool:
        ends = range(1, len(name) + 1)
        return name in joined or any(name[start:end] in stems for end in ends for start in range(end))

    return is_related


def _has_other_images(folder: Path, is_related: Callable[[str], bool]) -> bool:
    try:
        glance = list(islice(folder.iterdir(), _LOOKED_AT))
    except OSError:  # of somebody else
        return False
    found = [path.stem.casefold() for path in glance if is_read(path) and path.is_file()]
    return bool(found) and not any(map(is_related, found))


def _count_inside(folder: Path) -> int:
    try:
        return len(_candidates(folder)[0])
    except DataError:  # of somebody else
        return 0


def without_labels(images: Sequence[ImageRef]) -> tuple[ImageRef, ...]:
    """Return `images` without the labels files that `predict` has written beside some of them."""
    stems = {ref.path.with_name(ref.stem) for ref in images}
    return tuple(ref for ref in images if not _is_labels_of(ref, stems))


def _is_labels_of(ref: ImageRef, stems: Collection[Path]) -> bool:
    stem = ref.stem.removesuffix(LABELS_MARK)
    return stem != ref.stem and ref.path.with_name(stem) in stems


def read_image(ref: ImageRef, *, as_labels: bool = False) -> ImagePixels:
    """Return the pixels of one image as ``(Y, X)`` or ``(C, Y, X)``, without alpha, and the size of a pixel.

    Gray stored as RGB becomes ``(Y, X)``. With `as_labels`, the numbers of a palette PNG of many colors are kept.

    Raises
    ------
    DataError
        If the file is missing, damaged, foreign or too large, or if pixels are NaN or infinite.
    """
    with _reasons_for(ref.path):
        pixels = _read(ref, as_labels=as_labels)
        return replace(pixels, array=checked_pixels(_long_name(ref), pixels.array))


def open_in_parts(ref: ImageRef) -> LazyImage | None:
    """Return an image whose regions can be read without the rest of it; None where the file has to be read whole.

    Raises
    ------
    DataError
        If the file is missing, damaged or foreign.
    """
    with _reasons_for(ref.path):
        reader = reader_of(ref.path)
        if reader == "zarr":
            return open_zarr_frame(ref.path, ref.frame, name=ref.name)
        if reader == "plugin":
            return open_plugin_frame(ref.path, ref.frame, name=ref.name)
        return open_tiff_frame(ref.path, ref.frame, name=ref.name) if reader == "tiff" else None


@contextmanager
def looked_at(source: Path) -> Iterator[None]:
    """Say in a sentence what keeps one from looking for a folder or file or into it.

    Raises
    ------
    DataError
        In place of an `OSError`.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"{source}: there is no such folder or file. Check its name.") from error
    except OSError as error:
        raise DataError(
            f"{path_in_words(source)} cannot be opened ({error.strerror}). Check its name and its rights."
        ) from error


def _candidates(source: Path) -> tuple[list[Path], tuple[Path, ...]]:
    """Return the files to read, and those of formats that are not read."""
    with looked_at(source):
        if is_image_file(source):
            return [source], ()
        files = [path for path in source.iterdir() if not path.name.startswith(".") and is_image_file(path)]
    files.sort(key=lambda path: (natural_key(path.name), path.name))
    passed_over = dict.fromkeys(path for path in files if is_passed_over(path))
    images = [path for path in files if path not in passed_over and (is_read(path) or path.is_dir())]
    return images, tuple(passed_over)


def _nothing_found(source: Path, unreadable: Sequence[tuple[Path, str]], passed_over: Sequence[Path]) -> str:
    if is_image_file(source) and unreadable:
        return unreadable[0][1]
    if unreadable:
        return f"{source}: none of its {len(unreadable)} image files can be read. The first: {unreadable[0][1]}"
    if inside := subfolders_with_images(source):
        names = first_of([folder.name for folder in inside])
        return f"{path_in_words(source)} holds no image itself, but its subfolders do ({names}). Choose one of them."
    told = " ".join(("", *_passed_over(passed_over)))
    return f"{path_in_words(source)} holds no image. Choose a folder or a file of {FORMATS} images.{told}"


def _read_headers(path: Path) -> Iterable[ImageHeader]:
    reader = reader_of(path)
    if reader == "zarr":
        return read_zarr_headers(path)
    if reader == "plugin":
        return read_plugin_headers(path)
    if reader == "tiff":
        return read_tiff_headers(path)
    return read_array_headers(path) if reader == "array" else (read_raster_header(path),)


def _read(ref: ImageRef, *, as_labels: bool) -> ImagePixels:
    reader = reader_of(ref.path)
    if reader == "zarr":
        return read_zarr_frame(ref.path, ref.frame, most_bytes=MAX_IMAGE_BYTES)
    if reader == "plugin":
        return read_plugin_frame(ref.path, ref.frame, most_bytes=MAX_IMAGE_BYTES)
    if reader == "tiff":
        return read_tiff_frame(ref.path, ref.frame, as_labels=as_labels)
    if reader == "array":
        return read_array_frame(ref.path, ref.frame, as_labels=as_labels)
    checked_frame(ref.path.name, ref.frame, 1)
    return read_raster(ref.path, as_labels=as_labels)


def _long_name(ref: ImageRef) -> str:
    return ref.path.name if ref.frame is None else f"{ref.path.name}, frame {ref.frame}"


@contextmanager
def _reasons_for(path: Path) -> Iterator[None]:
    try:
        yield
    except FinetuneError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. Was it moved or renamed?") from error
    except MemoryError as error:
        raise DataError(f"{path.name} does not fit in memory. Cut it into smaller images.") from error
    except Exception as error:  # parsers of damaged files raise whatever they trip over
        raise DataError(f"{path.name} cannot be read ({_brief(error)}). Save it again or leave it out.") from error


def _brief(error: Exception) -> str:
    """Return what `error` says, in one line."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return " ".join(reason.split())[:160].rstrip(".")
