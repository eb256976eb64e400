"""What models made of images: labels in a folder, and a list of what they were made of and how they score."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from ..checked_json import json_text, parse_json
from ..config import PREDICTION_VERSION, ChannelRule, PredictConfig
from ..data.masks import Meaning
from ..data.pairing import Pair
from ..errors import DataError, RunError
from ..events import ImageCompared
from ..io.disk import NO_FILE, Stamp, file_hash, file_stamp, write_file
from ..io.images import ImageRef
from ..metrics import Scores
from ..models.card import find_model_file
from ..models.zoo import shipped_name
from ..project.project import Project
from ..runs.request import CompareRequest, read_request

CELLS = "cells.json"
# Settings that decide only where and how fast a prediction is computed.
_NO_MATTER = {"device", "precision", "batch_size"}


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


class MadeOf(_Kept):
    """A model, an image and settings, as they were: what labels depend on.

    A model is what its file holds, wherever that lies; `model` is where it was seen last, or its name if it ships.
    """

    model: str
    model_sha256: str
    image: Path
    frame: int | None
    image_stamp: Stamp
    settings: str

    @classmethod
    def of(cls, model: str, image: ImageRef, config: PredictConfig) -> Self:
        """Return them as they are now."""
        file, settings = find_model_file(model).absolute(), config.model_dump_json(exclude=_NO_MATTER)
        return cls(
            model=shipped_name(file) or str(file),
            model_sha256=_hash_of(file),
            image=image.path.resolve(),
            frame=image.frame,
            image_stamp=file_stamp(image.path),
            settings=f"{PREDICTION_VERSION} {settings}",
        )

    @model_validator(mode="before")
    @classmethod
    def _by_content(cls, values: Any) -> Any:
        """Tell the model of an older list, which knew it by place, length and time, by what its file holds."""
        if not isinstance(values, dict) or "model_stamp" not in values:
            return values
        stamp, file = tuple(values["model_stamp"]), Path(values["model"])
        there = (one for one in (file, find_model_file(file.stem)) if NO_FILE != file_stamp(one) == stamp)
        found = next(there, None)
        if found is None:
            return values | {"model_sha256": ""}
        return values | {"model": shipped_name(found) or str(found), "model_sha256": _hash_of(found)}

    @property
    def key(self) -> tuple[object, ...]:
        """What labels depend on, but not where the model lies."""
        return self.model_sha256, self.image, self.frame, self.image_stamp, self.settings

    @property
    def is_current(self) -> bool:
        """Tell whether model and image are there and still what they were."""
        is_model = self.model_sha256 != "" and _hash_of(find_model_file(self.model)) == self.model_sha256
        return is_model and NO_FILE != file_stamp(self.image) == self.image_stamp


def _hash_of(model: Path) -> str:
    """Return the hash of a model's file, empty if that is gone."""
    try:
        return file_hash(model)
    except DataError:
        return ""


class Truth(_Kept):
    """A mask as it was, and what it means."""

    mask: ImageRef
    meaning: Meaning
    stamp: Stamp

    @classmethod
    def of(cls, pair: Pair | None) -> Self | None:
        """Return the mask of an image as it is now, None if there is none."""
        return None if pair is None else cls(mask=pair.mask, meaning=pair.meaning, stamp=file_stamp(pair.mask.path))


class KeptCell(_Kept):
    """Labels that a model made of an image, how it saw that, and how they score on the mask there was."""

    made_of: MadeOf
    labels: Path
    shown: str = ""
    truth: Truth | None = None
    scores: Scores | None = None


class KeptCells:
    """The labels in a folder; a list that is not there or cannot be read is empty, and all is computed anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            cells: list[KeptCell] = parse_json((folder / CELLS).read_bytes(), list[KeptCell])
        except (OSError, ValueError):
            cells = []
        self._cells = {cell.made_of.key: cell for cell in cells}

    def find(self, made_of: MadeOf) -> KeptCell | None:
        """Return what was made of the same model, image and settings, if its labels are there."""
        cell = self._cells.get(made_of.key)
        if cell is None or not made_of.is_current or not cell.labels.is_file():
            return None
        return cell.model_copy(update={"made_of": made_of})  # the model may lie elsewhere by now

    def new(self, made_of: MadeOf) -> KeptCell:
        """Return a cell whose labels are yet to be written, in a file that no other cell has."""
        text = json_text(made_of, exclude={"model"})
        name = hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]
        return KeptCell(made_of=made_of, labels=self._folder / f"{name}.tif")

    def put(self, cell: KeptCell) -> None:
        """Keep a cell in the list; raises `DataError` if the disk does not take it."""
        if self._cells.get(cell.made_of.key) != cell:
            self._cells[cell.made_of.key] = cell
            self._write()

    def prune(self, kept: Collection[Path] = ()) -> tuple[Path, ...]:
        """Remove labels whose model or image is gone or has changed, and return their files; those in `kept` stay.

        Only what is in the list is removed, for all else may be anyone's.
        """
        removed = []
        for cell in [one for one in self._cells.values() if not one.made_of.is_current and one.labels not in kept]:
            with contextlib.suppress(OSError):  # someone has it open, or the disk is read-only: another time, then
                cell.labels.unlink(missing_ok=True)
                removed.append(self._cells.pop(cell.made_of.key).labels)
        if removed:
            self._write()
        return tuple(removed)

    def _write(self) -> None:
        write_file(self._folder / CELLS, json_text(list(self._cells.values()), list[KeptCell], indent=1))


@dataclass(frozen=True)
class LastComparison:
    """What is known of the last comparison without computing anything.

    Parameters
    ----------
    images
        Those of which something is known, in the order of that comparison.
    cells
        What each model makes of each image, as far as that is known, by the model as the request named it and the
        name of the image.
    outdated
        Images whose scores are left out, because their masks are others now.
    channels
        Which channel of the images the models saw.
    split
        Whether objects that touch were cut apart.
    """

    images: tuple[str, ...]
    cells: dict[tuple[str, str], ImageCompared]
    outdated: frozenset[str]
    channels: ChannelRule | None = None
    split: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """The models of which something is known."""
        return tuple(dict.fromkeys(model for model, _ in self.cells))


def read_last_comparison(job: Path, folder: Path, project: Project) -> LastComparison | None:
    """Return what is kept in `folder` of the comparison that `job` asked for; None if that is nothing."""
    try:
        request = read_request(job)
    except RunError:
        return None
    if not isinstance(request, CompareRequest):
        return None
    cells: dict[tuple[str, str], ImageCompared] = {}
    outdated = set()
    for model, image, cell in _found(request, KeptCells(folder)):
        if image not in project.names:
            continue
        if cell.truth != Truth.of(project.image(image).pair):
            outdated.add(image)
        else:
            scores = asdict(cell.scores) if cell.scores else {}
            cells[model, image] = ImageCompared(model, image, cell.labels, shown=cell.shown, **scores)
    known = {image for _, image in cells} | outdated
    images = tuple(image.name for image in request.images if image.name in known)
    config = request.config
    return LastComparison(images, cells, frozenset(outdated), config.channels, config.instances) if cells else None


def _found(request: CompareRequest, kept: KeptCells) -> Iterator[tuple[str, str, KeptCell]]:
    for model in request.models:
        for image in request.images:
            cell = kept.find(MadeOf.of(model.model, image, request.config))
            if cell is not None:
                yield model.model, image.name, cell
