"""Where the trainings of a dataset are kept: beside its masks, or in the folder that the user prefers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...io.disk import file_stamp
from ...learning_curve.folder import StudyFolder, find_studies
from ...project.project import Project
from ...project.run_folders import new_run_folder, run_folders
from ...runs.folder import EVENTS, RunFolder
from ...runs.history import PastRun, past_trainings, seconds_per_pixel
from ...runs.request import REQUEST
from .settings import runs_folder


@dataclass(frozen=True)
class Past:
    """What earlier trainings of the dataset left: the newest one, the newest learning curve, and how long they took."""

    training: PastRun | None = None
    study: StudyFolder | None = None
    pace: float | None = None  # seconds per patch pixel

    @classmethod
    def of(cls, project: Project | None) -> Past:
        """Look into the folders of the trainings of a dataset."""
        folders = runs_of(project)[::-1] if project is not None else ()
        training = next((run for run in reversed(past_runs(project)) if run.model is not None), None)
        study = next((study for study in find_studies(folders) if study.rows), None)
        pace = seconds_per_pixel(training.progress, training.request.config) if training is not None else None
        return cls(training, study, pace)

    @property
    def newest(self) -> tuple[Path, str] | None:
        """Folder of the newest of both, and what it is in words."""
        found = []
        if self.training is not None:
            found.append((self.training.folder.path, f"training of {self.training.when}"))
        if self.study is not None:
            found.append((self.study.path, f"learning curve of {when_of(self.study.path)}"))
        return max(found, key=lambda one: one[0].name, default=None)


def when_of(folder: Path) -> str:
    """Return day and time a job was begun, as its folder says."""
    return PastRun(RunFolder(folder)).when


_MOST_RUNS = 256  # that are remembered, of all datasets


def home_of(project: Project) -> Path:
    """Return the folder in which trainings and comparisons are kept."""
    return _elsewhere(project) or project.folder


def new_run(project: Project, label: str) -> Path:
    """Return a folder for a new training, not yet made."""
    return new_run_folder(home_of(project), label)


def runs_of(project: Project) -> tuple[Path, ...]:
    """Return the folders of all trainings and other jobs of a dataset, oldest first."""
    elsewhere = _elsewhere(project)
    found = (*run_folders(project.folder), *(run_folders(elsewhere) if elsewhere else ()))
    return tuple(sorted(found, key=lambda folder: folder.name))


def past_runs(project: Project | None) -> tuple[PastRun, ...]:
    """Return the trainings of a dataset, oldest first; the log of one is long, and read again only if it has grown."""
    folders = runs_of(project) if project is not None else ()
    found = (_read(folder, tuple(file_stamp(folder / name) for name in (REQUEST, EVENTS))) for folder in folders)
    return tuple(run for run in found if run is not None)


@lru_cache(maxsize=_MOST_RUNS)
def _read(folder: Path, _stamps: tuple[tuple[int, int], ...]) -> PastRun | None:
    """Return the training in `folder`, None if that holds something else."""
    return next(past_trainings([folder]), None)


def _elsewhere(project: Project) -> Path | None:
    preferred = runs_folder()
    if preferred is None:
        return None
    mark = hashlib.sha256(str(project.folder.absolute()).encode()).hexdigest()[:8]
    return preferred / f"{project.source.stem}-{mark}"
