"""What earlier trainings and learning curves of a dataset left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..data.project import Project
from ..evaluation.study_folder import StudyFolder, find_studies
from ..runs.folder import RunFolder
from ..runs.history import PastRun, seconds_per_pixel
from .run_folders import past_runs, runs_of


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
        return cls(training, study, seconds_per_pixel(training) if training is not None else None)

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
