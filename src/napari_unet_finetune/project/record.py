"""What a project remembers between two sessions, as one JSON file."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..data.folders import RECORD
from ..errors import DataError
from ..io.disk import write_file
from ..io.images import ImageRef
from .image import Origin, ProjectImage, Role

VERSION = 1
_REMEMBERED = ("name", "origin", "role", "size", "foreground", "objects", "dice", "suggested")


class ImageRecord(BaseModel):
    """What is remembered of one image; `file` is relative to the images, `mask` to the masks."""

    model_config = ConfigDict(frozen=True)

    file: str
    frame: int | None = None
    name: str
    mask: str | None = None
    stamp: tuple[int, int] | None = None
    origin: Origin = "none"
    role: Role = "auto"
    size: tuple[int, int] | None = None
    foreground: float | None = None
    objects: int | None = None
    dice: float | None = None
    suggested: str = ""


class ProjectRecord(BaseModel):
    """What is remembered of a project; `source` is relative to its folder where both move together."""

    model_config = ConfigDict(frozen=True)

    version: int = VERSION
    source: str
    sparse: bool = False
    images: tuple[ImageRecord, ...] = ()


def read_record(folder: Path) -> ProjectRecord | None:
    """Return what `folder` remembers, ``None`` if it is new.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, or of a newer version.
    """
    file = folder / RECORD
    try:
        record = ProjectRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}. Check the rights of its folder.") from error
    except ValidationError as error:
        raise DataError(
            f"{file} is damaged ({error.errors()[0]['msg']}). Rename it: the masks beside it will be found again."
        ) from error
    if record.version > VERSION:
        raise DataError(f"{file} was written by a newer version of this program. Update it to open this dataset.")
    return record


def write_record(folder: Path, record: ProjectRecord) -> None:
    """Keep `record` in `folder`, all or nothing.

    Raises
    ------
    DataError
        If the disk does not take it.
    """
    write_file(folder / RECORD, record.model_dump_json(indent=1, exclude_defaults=True))


def stored_source(source: Path, folder: Path) -> str:
    """Return how `folder` remembers where the images are: relative if it lies within or beside them."""
    if source in (folder, *folder.parents) or source.parent == folder.parent or folder in source.parents:
        return Path(os.path.relpath(source, folder)).as_posix()
    return str(source)


def found_source(stored: str, folder: Path) -> Path:
    """Return where the images of a project in `folder` are, or were."""
    return Path(os.path.normpath(folder / stored))


def record_key(ref: ImageRef) -> tuple[str, int | None]:
    """Return what stays the same of an image when its folder moves."""
    return ref.path.name, ref.frame


def image_record(image: ProjectImage, stamp: tuple[int, int] | None) -> ImageRecord | None:
    """Return what is to be remembered of `image`, ``None`` if that is nothing; `stamp` is that of its mask file."""
    if image == ProjectImage(image.ref, size=image.size, meaning=image.meaning):
        return None
    file, frame = record_key(image.ref)
    mask = image.mask.name if image.mask else None
    values = {name: getattr(image, name) for name in _REMEMBERED}
    return ImageRecord(file=file, frame=frame, mask=mask, stamp=stamp if mask else None, **values)
