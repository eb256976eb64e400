"""Masks painted in a dataset here, as files: which of them count, and what their values mean, as its record says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from ..errors import DataError
from ..io.content import is_image_file
from ..io.disk import NO_FILE, Stamp, file_stamp, file_stem
from ..io.images import ImageRef, Listing, list_images, natural_key
from ..text import first_of
from .masks import BACKGROUND, RECORD, STROKES, VERSION, WHOLE, Meaning

LABELS, REMOVED = "labels", "removed"
OLD_MASKS, OLD_STROKES = "masks", "strokes"  # of the first version: whole masks, and strokes of 1 and 2
PREDICTED: Final = "predicted"  # the origin of a mask that a model has made and nobody has looked at
ACCEPTED: Final = "accepted"  # of one that somebody has looked at and left as it was
ASIDE_UNSEEN = "-predicted"  # stands in the names of predictions that were put aside before anybody looked at them
_ASIDE_UNSEEN = re.compile(rf"{ASIDE_UNSEEN}-\d{{8}}-\d{{6}}(-\d+)?$")


Recorded = dict[ImageRef, tuple[str, ImageRef]]


@dataclass(frozen=True)
class Painted:
    """What the record of a dataset says of its masks.

    Parameters
    ----------
    folder
        Where the record lies, and folders of masks beside it.
    labels
        The folder of masks that are painted today; empty if there is none yet.
    background
        The value of background strokes in it.
    old
        Which folder of the first version counts for images that were not painted since.
    sparse
        What is not painted is unknown.
    before
        Masks of the first version that still count.
    unseen
        File names of masks that nobody has looked at.
    accepted
        File names of masks that are predictions, accepted as they were, each with the name of the model.
    source, images
        Where the images are, or were; of those that have a mask, by file and frame, what they are called and the name
        of the file of the mask.
    numbered
        Where strokes of the first version have objects of the same shape in a whole mask: its file for each of theirs.
    """

    folder: Path
    labels: str
    background: int
    old: str
    sparse: bool
    before: tuple[Path, ...] = ()
    unseen: frozenset[str] = frozenset()
    accepted: Mapping[str, str] = field(default_factory=dict)
    source: Path = Path()
    images: Mapping[tuple[str, int | None], tuple[str, str]] = field(default_factory=dict)
    numbered: Mapping[Path, Path] = field(default_factory=dict)

    def meaning(self, file: Path, *, sparse: bool = False) -> Meaning:
        """Return what a mask in one of its folders means; with `sparse`, what is not painted is unknown in any case."""
        place, twins = folder_of(file).name, (*self.numbered, *self.numbered.values())
        background = {self.labels: self.background, OLD_STROKES: 1}.get(place, 0)
        return Meaning(sparse or (self.sparse and (place in (self.labels, self.old) or file in twins)), background)

    def counting(self, ref: ImageRef, *, sparse: bool) -> ImageRef:
        """Return strokes, or with nothing unknown the whole mask, in place of either; any other mask as it is."""
        for strokes, whole in self.numbered.items():
            if ref.path in (strokes, whole):
                return replace(ref, path=strokes if sparse or self.sparse else whole)
        return ref


def folder_of(file: Path) -> Path:
    """Return the folder to which a mask file belongs, be it put aside there or not."""
    return file.parent.parent if file.parent.name == REMOVED else file.parent


def meaning_of(path: Path, *, sparse: bool) -> Meaning:
    """Return what the mask in a file means; with `sparse`, what is not painted is unknown, whatever the record says."""
    found = _found(path)
    if found is None:
        return STROKES if sparse else WHOLE
    painted, file = found
    return painted.meaning(file, sparse=sparse)


def painted_meaning(path: Path) -> tuple[Meaning, Path | None] | None:
    """Return what a mask file of a dataset here means, and which has numbers for its objects; ``None`` if of none."""
    found = _found(path)
    return None if found is None else (found[0].meaning(found[1]), found[0].numbered.get(found[1]))


def dataset_folder(masks: Path) -> Path | None:
    """Return the folder with the record of the dataset here to which a folder of masks belongs; ``None`` if of none."""
    found = _found(masks)
    return None if found is None or masks.resolve().name == REMOVED else found[0].folder


def holds_strokes(masks: Path, *, sparse: bool) -> bool:
    """Tell whether masks are strokes: that is said (`sparse`), or the record of their dataset says it."""
    return meaning_of(masks, sparse=sparse).sparse


def unseen_masks(masks: Path) -> frozenset[str]:
    """Return the names of those files in a folder of masks (or of this file) that nobody has looked at.

    The record of the dataset to which the folder belongs tells; no other folder holds any. Of masks that were put
    aside, their names tell.
    """
    found = _found(masks)
    if found is None:
        return frozenset()
    place = found[1].parent
    if place.name == REMOVED:
        return frozenset(path.name for path in place.iterdir() if _ASIDE_UNSEEN.search(path.stem))
    return found[0].unseen


def makers_of(masks: Path) -> Mapping[str, str]:
    """Return which files in a folder of masks (or this file) are predictions accepted as they were, and of which model.

    The record of the dataset to which the folder belongs tells.
    """
    found = _found(masks)
    return {} if found is None else found[0].accepted


def recorded_pairs(images: Path, masks: Path, found: Sequence[ImageRef], found_masks: Sequence[ImageRef]) -> Recorded:
    """Return which of the masks `found_masks` in a folder were painted on which of the images `found` in another.

    The record of their dataset tells, where two images have names that are as good as equal, too.
    """
    dataset = _found(masks)
    if dataset is None or dataset[1].parent.name == REMOVED or dataset[0].source.resolve() != images.resolve():
        return {}
    known, files = dataset[0].images, {mask.path.name: mask for mask in found_masks if mask.frame is None}
    refs = ((ref, known.get((ref.path.name, ref.frame))) for ref in found)
    return {ref: (one[0], files[one[1]]) for ref, one in refs if one is not None and one[1] in files}


def accepted_note(makers: Mapping[str, str]) -> str:
    """Return that the masks of images, each with the model that has made it, do not judge that model; empty if none."""
    if not makers:
        return ""
    known = list(dict.fromkeys(filter(None, makers.values())))
    many, models = len(makers) > 1, len(known) > 1
    return (
        f"The mask{'s' * many} of {first_of(list(makers))} {'are predictions' if many else 'is a prediction'} of "
        f"{first_of(known) or 'a model'}, accepted as {'they were' if many else 'it was'}: scores on "
        f"{'them' if many else 'it'} are too good for {'these models' if models else 'this model'} and those finetuned "
        f"from {'them' if models else 'it'}."
    )


def list_masks(masks: Path, *, sparse: bool = False) -> Listing:
    """Return the masks of a folder or file; where some were painted on in napari since, those of today instead.

    Raises
    ------
    DataError
        If there is no such folder or file, or it holds nothing that can be read.
    """
    found = _found(masks) if masks.is_dir() and masks.resolve().name != REMOVED else None
    if found is None:
        return list_images(masks)
    painted, place = found[0], found[1].parent
    today = _list_if_any(painted.folder / painted.labels) if painted.labels else Listing(())
    names = {ref.path.name for ref in today.images} | {path.name for path, _ in today.unreadable}
    before = _list_before(painted) if place.name == painted.labels else list_images(masks)
    if place.name != painted.labels and not any(ref.path.name in names for ref in before.images):
        today, names = Listing(()), set()  # the folder may be the user's own
    older = [ref for ref in before.images if ref.path.name not in names]
    images = sorted((*today.images, *older), key=lambda ref: natural_key(ref.name))
    headers = {**before.headers, **today.headers}
    used = {ref: painted.counting(ref, sparse=sparse) for ref in images}
    return Listing(
        tuple(used.values()),
        (*today.unreadable, *(problem for problem in before.unreadable if problem[0].name not in names)),
        {other: headers[ref] for ref, other in used.items()},
    )


def _list_if_any(folder: Path) -> Listing:
    has_files = folder.is_dir() and any(is_image_file(path) for path in folder.iterdir())
    return list_images(folder) if has_files else Listing(())


def _list_before(painted: Painted) -> Listing:
    """Return masks of the first version that are remembered."""
    listings = [list_images(file) for file in painted.before if is_image_file(file)]
    return Listing(
        tuple(ref for listing in listings for ref in listing.images),
        headers={ref: header for listing in listings for ref, header in listing.headers.items()},
    )


def _found(path: Path) -> tuple[Painted, Path] | None:
    """Return the dataset here to which a mask, or any mask in a folder, belongs, and where that is in truth.

    Raises
    ------
    DataError
        If the record that may tell cannot be read: what is unknown must not become background.
    """
    file = path.resolve()
    file = file / "any" if file.is_dir() else file
    place = folder_of(file)
    if not re.fullmatch(rf"{LABELS}(-\d+)?|{OLD_MASKS}|{OLD_STROKES}", place.name):
        return None
    painted = _read(place.parent, file_stamp(place.parent / RECORD))
    is_one = painted is not None and place.name in (painted.labels, OLD_MASKS, OLD_STROKES)
    return (painted, file) if painted is not None and is_one else None


@lru_cache(maxsize=16)
def _read(folder: Path, stamp: Stamp) -> Painted | None:
    if stamp == NO_FILE:
        return None
    try:
        values = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder / RECORD} cannot be read ({error}), which tells what the masks beside it mean. Put a copy of it "
            "back, or rename it if it is of another program."
        ) from error
    with suppress(ValueError, TypeError, KeyError, AttributeError):  # a file of others
        painted = _understood(folder, values)
        if values.get("version", 1) <= VERSION and painted.background in (0, BACKGROUND):
            return painted
        raise DataError(newer_version(folder / RECORD))
    return None


def newer_version(record: Path) -> str:
    """Return the sentence that refuses a record whose masks may mean something that is not known here."""
    return f"{record} was written by a newer version of this program. Update it to open this dataset."


def _understood(folder: Path, values: Mapping[str, Any]) -> Painted:
    if not isinstance(values["source"], str):
        raise TypeError("no record of a dataset")
    sparse, labels = values.get("sparse") is True, str(values.get("labels") or "")
    images = values.get("images", ())
    origins = [(one, _origin(folder, labels, one)) for one in images]
    unseen = [one for one, origin in origins if origin == PREDICTED]
    accepted = {_mask_file(one): str(one.get("made_by", "")) for one, origin in origins if origin == ACCEPTED}
    known = [one for one in images if one.get("mask")]
    return Painted(
        folder,
        labels,
        int(values.get("background") or 0),
        str(values.get("old", OLD_STROKES if sparse and not labels else OLD_MASKS)),
        sparse,
        tuple(folder / one["mask"] for one in known if labels and not one["mask"].startswith(f"{labels}/")),
        frozenset(map(_mask_file, unseen)),
        accepted,
        Path(os.path.normpath(folder / values["source"])),
        {(one["file"], one.get("frame")): (one["name"], _mask_file(one)) for one in images if one.get("mask")},
        {folder / one["mask"]: folder / one["numbered"] for one in known if one.get("numbered")},
    )


def _mask_file(image: Mapping[str, Any]) -> str:
    """Return the name of the file of a mask, as a record has its image."""
    return Path(image.get("mask") or f"{file_stem(image['name'])}.tif").name


def origin_now(file: Path, origin: str, stamp: Sequence[int] | None, expects: str) -> str:
    """Return how the mask in `file` came about: its record, written after it, may be of the one before.

    `origin` and `stamp` are what it says of that one, `expects` how the one that was about to be written came about.
    Stamps alone tell little: those of a dataset that was copied differ.
    """
    is_another = file.is_file() and (stamp is None or file_stamp(file) != tuple(stamp))
    return expects if is_another and expects != "none" else origin


def _origin(folder: Path, labels: str, image: Mapping[str, Any]) -> str:
    """Return how the mask of an image came about, as a record has its image."""
    origin, expects = (str(image.get(name, "none")) for name in ("origin", "expects"))
    return origin_now(folder / labels / _mask_file(image), origin, image.get("stamp"), expects) if labels else origin
