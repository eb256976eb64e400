"""Where the trainings of a dataset are kept: beside its masks, or in the folder that the user prefers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..data.project import Project
from ..data.project_runs import new_run_folder, run_folders
from .settings import runs_folder


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


def _elsewhere(project: Project) -> Path | None:
    preferred = runs_folder()
    if preferred is None:
        return None
    mark = hashlib.sha256(str(project.folder.absolute()).encode()).hexdigest()[:8]
    return preferred / f"{project.source.stem}-{mark}"
