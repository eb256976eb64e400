"""Find out what a dataset holds when it is opened: where it lies, its images, and the masks that are there already."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..data.folders import PREDICTED, RECORD
from ..data.masks import STROKES, WHOLE, Meaning
from ..errors import DataError
from ..io.disk import file_stamp, file_stem
from ..io.images import ImageHeader, ImageRef, list_images, looked_at, without_labels
from .image import ProjectImage, SavedMask, with_unique_names
from .masks import describe_mask, read_mask_file
from .record import ImageRecord, ProjectRecord, found_source, read_record, record_key

DEFAULT_FOLDER = "unet-finetune"


class NotWritableError(DataError):
    """The folder for masks takes no files; another one has to be chosen."""


@dataclass
class Opened:
    """What was found; `absent` is what is remembered of images that are not there today."""

    images: dict[str, ProjectImage] = field(default_factory=dict)
    headers: dict[str, ImageHeader] = field(default_factory=dict)
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)
    absent: list[ImageRecord] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def locate(source: Path, folder: Path | None) -> tuple[Path, Path, ProjectRecord | None]:
    """Return the images, the folder of the project and what it remembers.

    `source` are the images or the folder of a project; with `folder`, a project of its own is kept there.

    Raises
    ------
    DataError
        If the folder belongs to other images, or its record cannot be read.
    NotWritableError
        If the folder cannot be written to.
    """
    given = source.expanduser().absolute()
    with looked_at(given):
        own = read_record(given) if (given / RECORD).is_file() else None
    source = given if own is None else found_source(own.source, given)
    with looked_at(source):
        source.stat()
        folder = (folder or (default_folder(source) if own is None else given)).expanduser().absolute()
    record = own if folder == given else read_record(folder)
    if record is not None:
        _check_same_images(source, folder, record)
    check_writable(folder)
    return source, folder, record


def default_folder(source: Path) -> Path:
    """Return where a project lies unless another folder is chosen: within its images, or beside their file."""
    return source.with_name(f"{source.stem}-{DEFAULT_FOLDER}") if source.is_file() else source / DEFAULT_FOLDER


def check_writable(folder: Path) -> None:
    """Check that files can be written into `folder`; nothing is left there.

    Raises
    ------
    NotWritableError
        If not.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise NotWritableError(
            f"{folder}: masks cannot be saved there ({error.strerror}). Choose another folder for them."
        ) from error


def find_images(source: Path, masks: Path, record: ProjectRecord | None) -> Opened:
    """Return the images of `source` with what is remembered and found of them; only headers are read.

    A mask that was changed from outside, or that is there without being remembered, is read once. Labels that `predict`
    has written beside the images are no images, unless something is remembered of them.

    Raises
    ------
    DataError
        If there is no image in `source`.
    """
    listing = list_images(source)
    records = {(one.file, one.frame): one for one in (record.images if record else ())}
    known = {ref: records[record_key(ref)] for ref in listing.images if record_key(ref) in records}
    present = {record_key(ref) for ref in known}
    absent = [one for key, one in records.items() if key not in present]
    opened = Opened(absent=absent, unreadable=list(listing.unreadable))
    wanted = {*without_labels(listing.images), *known}
    wanted_refs = [ref for ref in listing.images if ref in wanted]
    # A name may come back with its file, and its mask must not belong to another image until then.
    refs = with_unique_names(wanted_refs, {ref: one.name for ref, one in known.items()}, (one.name for one in absent))
    meaning = STROKES if record and record.sparse else WHOLE
    for ref in refs:
        header = opened.headers[ref.name] = listing.headers[ref]
        _enter(opened, _image(ref, header, known.get(ref), meaning), known.get(ref), masks)
    return opened


def with_mask(image: ProjectImage, saved: SavedMask) -> ProjectImage:
    """Return `image` with a mask that lies on disk; it need not be suggested any more, unless that was predicted."""
    return replace(
        image,
        mask=saved.path,
        origin=saved.origin,
        size=saved.size,
        foreground=saved.foreground,
        objects=saved.objects,
        suggested=image.suggested if saved.origin == PREDICTED else "",
    )


def _check_same_images(source: Path, folder: Path, record: ProjectRecord) -> None:
    before = found_source(record.source, folder)
    if before.exists() and not before.samefile(source):
        raise DataError(f"{folder} holds the masks of other images, those in {before}. Choose another folder.")


def _image(ref: ImageRef, header: ImageHeader, known: ImageRecord | None, meaning: Meaning) -> ProjectImage:
    remembered = known.model_dump(include={"role", "dice", "suggested"}) if known else {}
    return ProjectImage(ref, size=header.size, meaning=meaning, **remembered)


def _enter(opened: Opened, image: ProjectImage, known: ImageRecord | None, masks: Path) -> None:
    name = image.name
    opened.images[name] = image
    path = masks / ((known.mask if known else None) or f"{file_stem(name)}.tif")
    if not path.is_file():
        return
    try:
        saved = _remembered(path, name, known) or _described(path, name, known, sparse=image.meaning.sparse)
        if image.size and saved.size != image.size:
            raise DataError(f"{name}: image is {image.size} but its mask is {saved.size}. The mask is left out.")
    except DataError as error:
        opened.unreadable.append((path, str(error)))
        return
    opened.images[name] = with_mask(image, saved)
    opened.stamps[name] = saved.stamp


def _remembered(path: Path, name: str, known: ImageRecord | None) -> SavedMask | None:
    if known is None or known.size is None or known.foreground is None or known.stamp != file_stamp(path):
        return None
    return SavedMask(name, path, known.origin, known.size, known.foreground, known.objects, known.stamp)


def _described(path: Path, name: str, known: ImageRecord | None, *, sparse: bool) -> SavedMask:
    origin = known.origin if known and known.origin != "none" else "painted"
    return describe_mask(path, name, read_mask_file(path), sparse=sparse, origin=origin)
