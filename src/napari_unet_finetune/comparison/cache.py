"""Labels that models made of images, kept in a folder, with notes of what they were made of and how they score."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ..config import PREDICTION_VERSION, PredictConfig
from ..data.folders import file_hash
from ..data.masks import STROKES, WHOLE, Meaning
from ..data.pairing import Pair
from ..errors import DataError
from ..io.disk import NO_FILE, Stamp, file_stamp, write_file
from ..io.images import ImageRef
from ..metrics import Scores
from ..models.card import find_model_file

# Settings that decide only where and how fast a prediction is computed.
_NO_MATTER = {"device", "precision", "batch_size"}
_OURS = re.compile(r"[0-9a-f]{32}\.json")


class _Noted(BaseModel):
    model_config = ConfigDict(frozen=True)


class HashedModel(_Noted):
    """The file of a model as it was."""

    file: Path
    sha256: str
    stamp: Stamp

    @classmethod
    def of(cls, model: str) -> Self:
        """Return the model in a file, or of that name if it ships; raises `DataError` if it cannot be read."""
        file = find_model_file(model).absolute()
        stamp = file_stamp(file)
        return cls(file=file, sha256=file_hash(file), stamp=stamp)

    @property
    def is_there(self) -> bool:
        """Tell whether the file is still the same; only one with another time is read for it."""
        stamp = file_stamp(self.file)
        if stamp == self.stamp:
            return stamp != NO_FILE
        try:
            return stamp != NO_FILE and file_hash(self.file) == self.sha256
        except DataError:
            return False


class Source(_Noted):
    """An image or a mask as it was, and what the mask means."""

    image: ImageRef
    stamp: Stamp
    meaning: Meaning = WHOLE

    @model_validator(mode="before")
    @classmethod
    def _older_form(cls, values: Any) -> Any:
        """Take the notes of before, in which `sparse` said that a mask holds strokes."""
        if isinstance(values, dict) and values.get("sparse"):
            return {"meaning": STROKES, **values}
        return values

    @classmethod
    def of(cls, image: ImageRef) -> Self:
        """Return the file of an image as it is now."""
        return cls(image=image, stamp=file_stamp(image.path))

    @classmethod
    def of_mask(cls, pair: Pair) -> Self:
        """Return the file of a mask as it is now."""
        return cls(image=pair.mask, stamp=file_stamp(pair.mask.path), meaning=pair.meaning)

    @property
    def is_there(self) -> bool:
        """Tell whether the file is still the same."""
        return self.stamp != NO_FILE and file_stamp(self.image.path) == self.stamp


class Note(_Noted):
    """What labels were made of; their scores, and the mask they were scored with, once there was one."""

    model: HashedModel
    image: Source
    truth: Source | None = None
    scores: Scores | None = None

    @property
    def is_current(self) -> bool:
        """Tell whether model and image are still what they were."""
        return self.image.is_there and self.model.is_there


@dataclass(frozen=True)
class KeptLabels:
    """The labels that one model makes of one image: a file, there or not yet, and its note beside it.

    The name is made of model, image and settings, so that none is taken for another.
    """

    file: Path
    model: HashedModel
    image: Source

    @classmethod
    def find(cls, cache: Path, model: HashedModel, image: ImageRef, config: PredictConfig) -> Self:
        """Return where the labels lie in the folder `cache`."""
        source = Source.of(image)
        settings = config.model_dump(mode="json", exclude=_NO_MATTER)
        made_of = (PREDICTION_VERSION, model.sha256, str(image.path.resolve()), source.stamp, image.frame, settings)
        key = json.dumps(made_of)
        return cls(cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.tif", model, source)

    @property
    def ref(self) -> ImageRef:
        """The labels as an image."""
        return ImageRef(self.file)

    @property
    def note(self) -> Note | None:
        """What is noted of them; None if nothing is, or it cannot be read."""
        return _read_note(self.file.with_suffix(".json"))

    def write_note(self, truth: Source | None = None, scores: Scores | None = None) -> None:
        """Note what they are made of and how they score.

        Raises
        ------
        DataError
            If the disk does not take it.
        """
        note = Note(model=self.model, image=self.image, truth=truth, scores=scores)
        if note == self.note:
            return
        write_file(self.file.with_suffix(".json"), note.model_dump_json(indent=1))


def prune(cache: Path, kept: Collection[Path] = ()) -> tuple[Path, ...]:
    """Remove labels from the folder `cache` whose model or image is gone or has changed, and return their files.

    Only labels with a note are removed, for all else may be anyone's; `kept` are labels files that stay in any case.
    """
    removed = []
    for note_file in _note_files(cache):
        note, labels = _read_note(note_file), note_file.with_suffix(".tif")
        if note is None or note.is_current or labels in kept:
            continue
        with contextlib.suppress(OSError):  # someone has it open, or the disk is read-only: another time, then
            labels.unlink(missing_ok=True)
            note_file.unlink()
            removed.append(labels)
    return tuple(removed)


def _note_files(cache: Path) -> Iterator[Path]:
    return (file for file in sorted(cache.glob("*.json")) if _OURS.fullmatch(file.name))


def _read_note(file: Path) -> Note | None:
    try:
        return Note.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
