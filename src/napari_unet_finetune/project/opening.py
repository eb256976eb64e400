"""Find out what a dataset holds when it is opened: where it lies, its images, and the masks that are there already."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path
from typing import cast

from ..data.masks import BACKGROUND, RECORD, Meaning
from ..data.painted import LABELS, OLD_MASKS, OLD_STROKES, PREDICTED, Painted, origin_now
from ..data.pairing import masks_among
from ..errors import DataError
from ..io.content import is_image_file
from ..io.disk import file_stamp, file_stem
from ..io.images import ImageHeader, ImageRef, list_images, looked_at, without_labels
from ..io.regions.region import Region, is_large
from .image import Origin, Part, ProjectImage, SavedMask, with_unique_names
from .masks import describe_mask, hold_same_objects, read_mask_file
from .record import OF_IMAGE, ImageRecord, ProjectRecord, found_source, read_record, record_key

DEFAULT_FOLDER = "unet-finetune"


class NotWritableError(DataError):
    """The folder for masks takes no files; another one has to be chosen."""


@dataclass
class Opened:
    """What was found.

    Parameters
    ----------
    stamps
        Of each mask file, as it is remembered; missing where it is another one, or not ours.
    absent
        What is remembered of images that are not there today.
    lost
        What is remembered of images whose mask is missing or cannot be read today.
    masks_among
        Masks from elsewhere that lie among the images.
    is_news
        Some masks were counted anew, which is to be remembered.
    """

    masks: Painted
    images: dict[str, ProjectImage] = field(default_factory=dict)
    headers: dict[str, ImageHeader] = field(default_factory=dict)
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)
    absent: list[ImageRecord] = field(default_factory=list)
    lost: dict[str, ImageRecord] = field(default_factory=dict)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    masks_among: frozenset[ImageRef] = frozenset()
    elsewhere: tuple[Path, ...] = ()
    is_news: bool = False


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
    return source.with_name(f"{source.stem}-{DEFAULT_FOLDER}") if is_image_file(source) else source / DEFAULT_FOLDER


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


def find_images(source: Path, folder: Path, record: ProjectRecord | None) -> Opened:
    """Return the images of `source` with what is remembered and found of them in `folder`; only headers are read.

    A mask that was changed from outside, or that is there without being remembered, is read once. Masks that lie among
    the images, a few of which are read, and labels that `predict` has written beside them are no images, unless
    something is remembered of them.

    Raises
    ------
    DataError
        If there is no image in `source`.
    """
    listing = list_images(source)
    records = {(one.file, one.frame): one for one in (record.images if record else ())}
    known = {ref: records[record_key(ref)] for ref in listing.images if record_key(ref) in records}
    present = {record_key(ref) for ref in known}
    is_old = record is not None and record.version == 1
    absent = [_unseen(one) if is_old else one for key, one in records.items() if key not in present]
    unlabeled = without_labels(listing.images)
    masks = masks_among(unlabeled) - known.keys()
    opened = Opened(_masks_in(folder, record), absent=absent, unreadable=list(listing.unreadable), masks_among=masks)
    opened.elsewhere = listing.elsewhere
    wanted = {*unlabeled, *known} - masks
    wanted_refs = [ref for ref in listing.images if ref in wanted]
    # A name may come back with its file, and its mask must not belong to another image until then.
    refs = with_unique_names(wanted_refs, {ref: one.name for ref, one in known.items()}, (one.name for one in absent))
    for ref in refs:
        opened.headers[ref.name] = listing.headers[ref]
        enter(opened, ref, known.get(ref), is_old=is_old)
    if record is None and any(image.background_px for image in opened.images.values()):
        _count_as_strokes(opened)
    return opened


def _count_as_strokes(opened: Opened) -> None:
    """Take what is not painted as unknown: no record says that it is background, and background was painted."""
    opened.masks = replace(opened.masks, sparse=True)
    for name, image in opened.images.items():
        opened.images[name] = replace(image, meaning=replace(image.meaning, sparse=True))


def _masks_in(folder: Path, record: ProjectRecord | None) -> Painted:
    """Return where masks lie; a folder that was there before ours is left to whoever made it."""
    if record is None:  # new, or lost
        has_strokes = (folder / OLD_STROKES).is_dir() and not (folder / OLD_MASKS).exists()
        return Painted(folder, LABELS, BACKGROUND, OLD_STROKES if has_strokes else OLD_MASKS, sparse=has_strokes)
    names = chain((LABELS,), (f"{LABELS}-{number}" for number in count(2)))
    labels = record.labels or next(name for name in names if not (folder / name).exists())
    return Painted(folder, labels, BACKGROUND, record.old, record.sparse)


def with_mask(image: ProjectImage, saved: SavedMask) -> ProjectImage:
    """Return `image` with a mask that lies on disk; it need not be suggested any more, unless that was predicted."""
    return replace(
        image,
        mask=saved.path,
        origin=saved.origin,
        size=saved.size,
        object_px=saved.object_px,
        background_px=saved.background_px,
        regions=saved.regions,
        suggested=image.suggested if saved.origin == PREDICTED else "",
        meaning=replace(saved.meaning, sparse=image.meaning.sparse),
        numbered=saved.numbered,
        made_by=saved.made_by,
        expects="none",
        parts=saved.parts,
    )


def without_mask(image: ProjectImage) -> ProjectImage:
    """Return `image` as one that is not annotated."""
    meaning = Meaning(image.meaning.sparse)
    image = replace(image, object_px=0, background_px=0, regions=0, since=0)
    return replace(
        image, mask=None, origin="none", meaning=meaning, numbered=None, made_by="", expects="none", parts=None
    )


def _check_same_images(source: Path, folder: Path, record: ProjectRecord) -> None:
    before = found_source(record.source, folder)
    if before.exists() and not before.samefile(source):
        raise DataError(f"{folder} holds the masks of other images, those in {before}. Choose another folder.")


def _image(ref: ImageRef, header: ImageHeader, known: ImageRecord | None, meaning: Meaning) -> ProjectImage:
    remembered = {name: getattr(known, name) for name in OF_IMAGE} if known else {}
    return ProjectImage(ref, size=header.size, meaning=meaning, read_in_parts=header.read_in_parts, **remembered)


def enter(opened: Opened, ref: ImageRef, known: ImageRecord | None, *, is_old: bool = False) -> None:
    """Enter an image with what is remembered and found of it; of the first version (`is_old`) more is to be found."""
    name = ref.name
    image = _image(ref, opened.headers[name], known, Meaning(opened.masks.sparse))
    opened.images[name] = image
    opened.stamps.pop(name, None)
    opened.lost.pop(name, None)
    path = _mask_file(opened.masks, name, known)
    if known is not None and known.mask is not None:  # until it is read; unseen, the first version's is read once more
        opened.lost[name] = _unseen(known) if is_old else known
    if path is None or not path.is_file():
        return
    try:
        saved, missing = _saved(path, name, known, opened.masks, is_old=is_old)
        if image.size and saved.size != image.size:
            raise DataError(f"{name}: image is {image.size} but its mask is {saved.size}. The mask is left out.")
    except DataError as error:
        opened.unreadable.append((path, str(error)))
        return
    opened.lost.pop(name, None)
    opened.images[name] = with_mask(image, saved)
    is_ours = known is not None and known.stamp == saved.stamp
    opened.is_news |= known is not None and is_ours and known.parts != saved.parts
    if missing is not None:  # without a stamp, it is looked for again
        opened.unreadable.append((path, str(missing)))
    elif is_ours or path.parent.name != opened.masks.labels:  # what we never write to cannot be written over
        opened.stamps[name] = saved.stamp


def _mask_file(masks: Painted, name: str, known: ImageRecord | None) -> Path | None:
    """Return where the mask of an image lies, or is remembered to lie; ``None`` if there is none."""
    file = f"{file_stem(name)}.tif"
    newest = masks.folder / masks.labels / file  # a crash may have kept it from being remembered
    if newest.is_file():
        return newest
    if known is not None and known.mask is not None:
        return masks.folder / known.mask
    found = masks.folder / masks.old / file
    return found if found.is_file() else None


def _saved(
    path: Path, name: str, known: ImageRecord | None, masks: Painted, *, is_old: bool
) -> tuple[SavedMask, DataError | None]:
    """Return what a mask holds, and why another one with the same objects, of the first version, is not at hand."""
    missing = None
    try:
        # One that is missing for a moment must not part them for good: they are looked for until that is remembered.
        is_alone = is_old or known is None or known.stamp is None or known.numbered is None
        if is_alone and (twins := _twins(path, masks)):
            return _described(*twins, name, known, masks), None
    except DataError as error:
        missing = DataError(
            f"{name}: of its whole mask and its strokes, one cannot be compared with the other. {error}"
        )
    is_old = path.parent.name != masks.labels
    numbered = masks.folder / known.numbered if is_old and known and known.numbered else None
    if numbered and not numbered.is_file():
        missing = DataError(f"{numbered} is missing: without it, objects of {name} that touch are one. Put it back.")
        numbered = None
    return _remembered(path, numbered, name, known, masks) or _described(path, numbered, name, known, masks), missing


def _remembered(
    path: Path, numbered: Path | None, name: str, known: ImageRecord | None, masks: Painted
) -> SavedMask | None:
    if known is None or known.size is None or known.stamp is None or known.stamp != file_stamp(path):
        return None
    if is_large(known.size) and not _are_sound(known.parts, known.size):  # not counted in earlier versions
        return None
    counts = known.object_px, known.background_px, known.regions
    meaning, made_by = masks.meaning(path), known.made_by
    return SavedMask(
        name, path, known.origin, known.size, *counts, known.stamp, meaning, numbered, made_by=made_by,
        parts=known.parts,
    )  # fmt: skip


def _are_sound(parts: Sequence[Part] | None, size: tuple[int, int]) -> bool:
    """Tell whether remembered regions are there and lie in an image of this size."""
    whole = Region.whole(size)
    return parts is not None and all(min(one.region.shape) > 0 and whole.holds(one.region) for one in parts)


def _described(path: Path, numbered: Path | None, name: str, known: ImageRecord | None, masks: Painted) -> SavedMask:
    origin, made_by = _origin_of(path, known)
    meaning = masks.meaning(path)
    labels = read_mask_file(path, meaning, numbered)
    return replace(describe_mask(path, name, labels, origin, meaning), numbered=numbered, made_by=made_by)


def _origin_of(path: Path, known: ImageRecord | None) -> tuple[Origin, str]:
    """Return how a mask came about, and whose prediction it is."""
    if known is None:
        return "painted", ""
    origin = origin_now(path, known.origin, known.stamp, known.expects)
    if origin == "none":
        return "painted", ""
    return cast("Origin", origin), known.made_by if origin == known.origin else ""


def _twins(path: Path, masks: Painted) -> tuple[Path, Path] | None:
    """Return strokes and whole mask of the first version if `path` is one of them and they hold the same objects.

    Raises
    ------
    DataError
        If one of them cannot be read.
    """
    strokes, whole = (masks.folder / place / path.name for place in (OLD_STROKES, OLD_MASKS))
    is_one_of_two = path in (strokes, whole) and strokes.is_file() and whole.is_file()
    return (strokes, whole) if is_one_of_two and hold_same_objects(strokes, whole) else None


def _unseen(known: ImageRecord) -> ImageRecord:
    """Return what is remembered of a mask of the first version as of one that is to be read once more."""
    return known.model_copy(update={"stamp": None})
