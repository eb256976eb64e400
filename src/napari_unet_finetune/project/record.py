"""What a project remembers between two sessions, as one JSON file."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..checked_json import Count, Score, json_text, parse_json
from ..config import ChannelRule
from ..data.masks import BACKGROUND, RECORD, VERSION
from ..data.painted import OLD_MASKS, OLD_STROKES, newer_version
from ..errors import DataError
from ..io.disk import path_within, write_file
from ..io.images import ImageRef
from .image import Origin, Part, ProjectImage, RegionUse, Role, Use

OF_IMAGE = ("role", "dice", "suggested", "since", "used_as", "region_uses")
OF_MASK = (
    "mask",
    "numbered",
    "stamp",
    "origin",
    "size",
    "object_px",
    "background_px",
    "regions",
    "parts",
    "made_by",
    "expects",
)
_REMEMBERED = ("name", *OF_IMAGE, *(name for name in OF_MASK if name not in ("mask", "numbered", "stamp")))
# What the file of an image tells by itself, such as its size, is nothing to remember.
_UNTOUCHED = {one.name: one.default for one in fields(ProjectImage) if one.name in {*OF_IMAGE, *OF_MASK} - {"size"}}


_LONGEST_NAME = 255


def _inside(name: str | None) -> str | None:
    """Return the name of a file in the folder of the project, None for one elsewhere: no record leads out of it."""
    path = PurePath(name or "")
    leads_out = path.is_absolute() or ".." in path.parts or "\0" in str(path) or len(str(path)) > _LONGEST_NAME
    return None if leads_out else name


_Inside = Annotated[str | None, AfterValidator(_inside)]


class ImageRecord(BaseModel):
    """What is remembered of one image; `file` is relative to the images, `mask` to the folder of the project.

    `numbered` is the whole mask with the same objects, where the first version made `mask` of it, or it of `mask`.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    frame: Count | None = None
    name: str
    mask: _Inside = None
    numbered: _Inside = None
    stamp: tuple[int, int] | None = None
    origin: Origin = "none"
    role: Role = "auto"
    size: tuple[Count, Count] | None = None
    foreground: Score | None = None  # this and the next are of the first version
    objects: Count | None = None
    object_px: Count = 0
    background_px: Count = 0
    regions: Count = 0
    dice: Score | None = None
    suggested: str = ""
    since: int = 0
    used_as: Use = ""
    region_uses: tuple[RegionUse, ...] = ()
    parts: tuple[Part, ...] | None = None
    made_by: str = ""
    expects: Origin = "none"  # of the mask that is about to be written; all else is of the one before


class ProjectRecord(BaseModel):
    """What is remembered of a project; `source` is relative to its folder where both move together.

    With `sparse`, what is not painted is unknown. `labels` is the folder with masks that are painted today, and
    `background` the value of background strokes there, ``None`` in the first version, which had whole masks in one
    folder and strokes in another: `old` is the one that counts.
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1  # the first version did not write it
    source: str
    sparse: bool = False
    labels: _Inside = None
    background: int | None = None
    old: Annotated[str, Field(pattern="^(masks|strokes)$")] = OLD_MASKS
    channels: ChannelRule | None = None
    images: tuple[ImageRecord, ...] = ()


def _of_today(record: ProjectRecord) -> ProjectRecord:
    """Return a record of the first version as one of today; strokes were not counted, so their files are read again."""
    old = OLD_STROKES if record.sparse else OLD_MASKS
    images = []
    for image in record.images:
        height, width = image.size or (0, 0)
        counted = {"object_px": round((image.foreground or 0) * height * width), "regions": image.objects or 0}
        file = {"mask": image.mask and f"{old}/{image.mask}", "stamp": None if record.sparse else image.stamp}
        images.append(image.model_copy(update={"foreground": None, "objects": None, **counted, **file}))
    return record.model_copy(update={"old": old, "images": tuple(images)})


def read_record(folder: Path) -> ProjectRecord | None:
    """Return what `folder` remembers, ``None`` if it is new.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, or of a newer version.
    """
    file = folder / RECORD
    try:
        record: ProjectRecord = parse_json(file.read_bytes(), ProjectRecord)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}. Check the rights of its folder.") from error
    except ValueError as error:
        raise DataError(
            f"{file} is damaged ({error}). Put a copy of it back, or rename it: the masks beside it will be found "
            'again, but not what "Unpainted = background" was. Look whether it is ticked as it should be.'
        ) from error
    if record.version > VERSION or record.background not in (None, BACKGROUND):
        raise DataError(newer_version(file))
    return _of_today(record) if record.version == 1 else record


def write_record(folder: Path, record: ProjectRecord) -> None:
    """Keep `record` in `folder`, all or nothing.

    Raises
    ------
    DataError
        If the disk does not take it.
    """
    write_file(folder / RECORD, json_text(record, indent=1, exclude_defaults=True))


def stored_source(source: Path, folder: Path) -> str:
    """Return how `folder` remembers where the images are: relative if it lies within or beside them."""
    if source in (folder, *folder.parents) or source.parent == folder.parent or folder in source.parents:
        return path_within(folder, source)
    return str(source)


def found_source(stored: str, folder: Path) -> Path:
    """Return where the images of a project in `folder` are, or were."""
    return Path(os.path.normpath(folder / stored))


def record_key(ref: ImageRef) -> tuple[str, int | None]:
    """Return what stays the same of an image when its folder moves."""
    return ref.path.name, ref.frame


def image_record(
    image: ProjectImage, folder: Path, stamp: tuple[int, int] | None, lost: ImageRecord | None = None
) -> ImageRecord | None:
    """Return what is to be remembered of `image` in the project `folder`, ``None`` if that is nothing.

    `stamp` is that of its mask file; `lost` is what was remembered of a mask that could not be read this time.
    """
    if lost is None and all(getattr(image, name) == default for name, default in _UNTOUCHED.items()):
        return None
    file, frame = record_key(image.ref)
    values = {name: getattr(image, name) for name in _REMEMBERED}
    if image.mask is not None:
        values |= {"mask": path_within(folder, image.mask), "stamp": stamp}
    elif lost is not None:
        values |= lost.model_dump(include=set(OF_MASK))
    if image.numbered is not None:
        values["numbered"] = path_within(folder, image.numbered)
    return ImageRecord(file=file, frame=frame, **values)
