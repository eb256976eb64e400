"""Where comparisons of a dataset are kept, and how the last one is read again without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from ..data.project import Project
from ..evaluation.last_comparison import LastComparison, read_last_comparison
from ..runs.request import REQUEST
from .run_folders import home_of
from .worker import Work

COMPARISON = "comparison"


def job_folder(project: Project) -> Path:
    """Return the folder of the job that compares, of which there is one."""
    return home_of(project) / COMPARISON / "job"


def labels_folder(project: Project) -> Path:
    """Return the folder in which labels are kept, see `evaluation.kept_labels`."""
    return home_of(project) / COMPARISON / "labels"


def recall_comparison(
    project: Project, on_end: Callable[[LastComparison], object], on_error: Callable[[Exception], object]
) -> None:
    """Read in a thread what is kept of the last comparison; `on_end` is not called if that is nothing."""
    job, cache = job_folder(project), labels_folder(project)
    if not (job / REQUEST).is_file():
        return

    def read() -> Generator[None, None, LastComparison | None]:
        yield
        return read_last_comparison(job, cache, project)

    Work(
        read,
        title="Reading the last comparison",
        on_event=lambda _none: None,
        on_end=lambda last: on_end(last) if last is not None else None,
        on_error=on_error,
    )
