"""Where the trainings of a dataset are kept: beside its masks, or in the folder that the user prefers."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from ..data.project import Project
from ..data.project_runs import new_run_folder, run_folders
from ..data.stamps import file_stamp
from ..runs.folder import EVENTS
from ..runs.history import PastRun, past_trainings
from ..runs.request import REQUEST
from .settings import runs_folder

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
