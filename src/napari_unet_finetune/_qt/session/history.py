"""Where the trainings of a dataset are kept: beside its masks, or in the folder that the user prefers."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property, lru_cache
from pathlib import Path

from ...io.disk import Stamp, file_stamp
from ...io.regions.region import Region
from ...learning_curve.folder import StudyFolder, find_studies
from ...models.card import read_card
from ...models.names import when_of
from ...project.project import Project
from ...project.uses import NOTHING, Known
from ...runs.folder import EVENTS, RunFolder
from ...runs.folders import new_run_folder, run_folders
from ...runs.history import PastRun, past_trainings, scored_on_others, seconds_per_pixel, unreadable_trainings
from ...runs.request import REQUEST
from .settings import runs_folder

_MOST_RUNS = 256  # that are remembered, of all datasets


class History:
    """What earlier jobs of a dataset left in their folders, looked up when it is first asked for and then kept.

    The session has one of the dataset that is open, and a new one when another model or dataset is there.
    """

    def __init__(self, project: Project | None = None) -> None:
        self.project = project
        self._known: dict[tuple[str, frozenset[tuple[str, Region | None]]], Known] = {}

    def known_to(self, model: str) -> Known:
        """Return which images of the dataset `model` has seen, once looked up; raises `FinetuneError` if it is none."""
        if self.project is None:
            return NOTHING
        pieces = (image.pieces for image in self.project.images if image.is_in_regions)
        regions = frozenset((one.ref.name, one.region) for several in pieces for one in several)
        key = model, regions  # strokes may make others of them, and move edges of those that keep their names
        if key not in self._known:  # the log of a run is long
            self._known[key] = Known.of(read_card(model), self.project)
        return self._known[key]

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """The folders of all jobs, oldest first."""
        if self.project is None:
            return ()
        return tuple(sorted(_folders_of(self.project), key=lambda folder: folder.name))

    @cached_property
    def trainings(self) -> tuple[PastRun, ...]:
        """The trainings, oldest first; the log of one is long, and read again only if it has grown."""
        stamped = ((folder, *(file_stamp(folder / name) for name in (REQUEST, EVENTS))) for folder in self.folders)
        return tuple(run for one in stamped if (run := _read(*one)) is not None)

    @cached_property
    def mixes(self) -> tuple[tuple[PastRun, Path], ...]:
        """The mixes of base and model that were kept of trainings, each with its training, oldest training first."""
        return tuple((run, file) for run in self.trainings for file in run.folder.mixes)

    @cached_property
    def unreadable(self) -> tuple[tuple[RunFolder, str], ...]:
        """The trainings that cannot be read, oldest first, each with the reason."""
        return tuple(unreadable_trainings(self.folders))

    @cached_property
    def studies(self) -> tuple[StudyFolder, ...]:
        """The learning curves that were begun, newest first."""
        return tuple(find_studies(reversed(self.folders)))

    @cached_property
    def training(self) -> PastRun | None:
        """The newest training that left a model."""
        return next((run for run in reversed(self.trainings) if run.model is not None), None)

    @cached_property
    def study(self) -> StudyFolder | None:
        """The newest learning curve with a score."""
        return next((study for study in self.studies if study.rows), None)

    @cached_property
    def pace(self) -> float | None:
        """How many seconds per patch pixel the newest training took."""
        last = self.training
        return seconds_per_pixel(last.progress, last.request.config) if last is not None else None

    def other_images(self, folder: Path) -> str:
        """Return that the training in `folder` is scored on other images than the one before; empty if it is not."""
        older = (run for run in reversed(self.trainings) if run.folder.path.name < folder.name)
        before = next((run for run in older if run.model is not None), None)
        if before is None:
            return ""
        return scored_on_others(PastRun(RunFolder(folder)).scored_on, before.scored_on, f"training of {before.when}")

    @property
    def newest(self) -> tuple[Path, str] | None:
        """Folder of the newest training or learning curve, and what it is in words."""
        found = []
        if self.training is not None:
            found.append((self.training.folder.path, f"training of {self.training.when}"))
        if self.study is not None:
            found.append((self.study.path, f"learning curve of {when_of(self.study.path)}"))
        return max(found, key=lambda one: one[0].name, default=None)


def home_of(project: Project) -> Path:
    """Return the folder in which trainings and comparisons are kept."""
    return _elsewhere(project) or project.folder


def new_run(project: Project, label: str) -> Path:
    """Return a folder for a new training, not yet made; raises `FolderGoneError` if that of the dataset is gone."""
    project.check_there()
    return new_run_folder(home_of(project), label, earlier=_folders_of(project))


def _folders_of(project: Project) -> tuple[Path, ...]:
    elsewhere = _elsewhere(project)
    return (*run_folders(project.folder), *(run_folders(elsewhere) if elsewhere else ()))


@lru_cache(maxsize=_MOST_RUNS)
def _read(folder: Path, *_stamps: Stamp) -> PastRun | None:
    """Return the training in `folder`, None if that holds something else."""
    return next(past_trainings([folder]), None)


def _elsewhere(project: Project) -> Path | None:
    preferred = runs_folder()
    if preferred is None:
        return None
    mark = hashlib.sha256(os.fsencode(project.folder.absolute())).hexdigest()[:8]
    return preferred / f"{project.source.stem}-{mark}"
