"""Jobs as the docks see them: started, watched, paused and stopped, one at a time in each slot."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from psygnal import Signal
from pydantic import BaseModel

from ...errors import RunError
from ...events import Event, JobEnded, StepEnd, TileEnd
from ...io.images import ImageRef
from ...progress import RunProgress, advance
from ...runs.child import ChildJob
from ...runs.request import write_request
from .worker import Work

# Events that only say how far it is come to the GUI at most this often.
SHORTEST_PAUSE_S = 0.1


@dataclass(frozen=True)
class Report:
    """An event, and the progress of the job after it."""

    event: Event
    progress: RunProgress


@dataclass(frozen=True)
class Listener:
    """Who is told of a job, in the GUI thread."""

    on_report: Callable[[Report], object]
    on_end: Callable[[Path | None], object]
    on_error: Callable[[Exception], object]


class RunningJob(Protocol):
    """A job that can be talked to."""

    def stop(self) -> None:
        """Ask it to end by itself soon; what was best is kept."""

    def pause(self) -> None:
        """Ask it to wait."""

    def resume(self) -> None:
        """Let it go on."""

    def preview(self, image: ImageRef | None) -> None:
        """Choose the image it predicts as it learns."""

    def close(self) -> None:
        """End it now."""


JobRunner = Callable[[Path, str, Listener], RunningJob]
"""Starts the job in a folder under a title and tells the listener of it."""


def run_in_child(folder: Path, title: str, listener: Listener) -> RunningJob:
    """Start the job in `folder` in a process of its own."""
    child = ChildJob(folder)

    def reports() -> Generator[Report, None, Path | None]:
        return (yield from report(child.events()))

    Work(
        reports,
        title=title,
        on_event=listener.on_report,
        on_end=listener.on_end,
        on_error=listener.on_error,
        on_abort=child.close,
    )
    return child


def report(events: Iterator[Event]) -> Generator[Report, None, Path | None]:
    """Fold `events` into progress, thin out those that come often, and return the file of the result."""
    progress, last, result = RunProgress(), 0.0, None
    for event in events:
        progress = advance(progress, event)
        if isinstance(event, JobEnded):
            result = event.file
        now = time.monotonic()
        if isinstance(event, StepEnd | TileEnd) and now - last < SHORTEST_PAUSE_S:
            continue
        last = now
        yield Report(event, progress)
    return result


class JobSlot:
    """Room for one job; `changed` is emitted when it begins, gets on, is paused and ends."""

    changed = Signal()

    def __init__(self, runner: JobRunner, on_error: Callable[[Exception], object]) -> None:
        self._runner, self._on_error = runner, on_error
        self._job: RunningJob | None = None
        self._listener: Listener | None = None
        self.title = ""
        self.folder: Path | None = None
        self.progress = RunProgress()
        self.is_paused = self.is_stopping = False

    @property
    def is_running(self) -> bool:
        """Tell whether there is a job that has not ended."""
        return self._listener is not None

    @property
    def pid(self) -> int | None:
        """Number of the job's process, None if it has none of its own."""
        return getattr(self._job, "pid", None)

    def start(
        self,
        folder: Path,
        title: str,
        *,
        request: BaseModel | None = None,
        on_event: Callable[[Event], object] = lambda _event: None,
        on_end: Callable[[Path | None], object] = lambda _file: None,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        """Start the job in `folder`, after writing `request` there if one is given.

        `on_end` gets the file of the result, `on_error` what went wrong; by default the user is told of it.

        Raises
        ------
        RunError
            If this slot has a job already, or the folder cannot be used.
        """
        if self.is_running:
            raise RunError(f"{self.title} is under way. Wait for it to end, or stop it first.")
        if request is not None:
            write_request(folder, request)
        self.title, self.folder, self.progress = title, folder, RunProgress()
        self.is_paused = self.is_stopping = False
        listener = self._listener = self._listening(on_event, on_end, on_error or self._on_error)
        try:
            job = self._runner(folder, title, listener)
        except Exception:
            self._free()
            raise
        if self._listener is listener:  # a runner for tests may have finished already
            self._job = job
            self.changed.emit()

    def stop(self) -> None:
        """Ask the job to end by itself."""
        if self._job is not None:
            self.is_stopping = True
            self._job.stop()
            self.changed.emit()

    def toggle_pause(self) -> None:
        """Let the job wait, or go on."""
        if self._job is None:
            return
        self.is_paused = not self.is_paused
        (self._job.pause if self.is_paused else self._job.resume)()
        self.changed.emit()

    def preview(self, image: ImageRef | None) -> None:
        """Choose the image that a training predicts as it learns."""
        if self._job is not None:
            self._job.preview(image)

    def close(self) -> None:
        """End the job now; nobody is told any more, for whoever listened may be gone."""
        job, self._job, self._listener = self._job, None, None
        if job is not None:
            job.close()

    def _listening(
        self,
        on_event: Callable[[Event], object],
        on_end: Callable[[Path | None], object],
        on_error: Callable[[Exception], object],
    ) -> Listener:
        """Return a listener that passes things on for as long as its job is the one of this slot."""

        def reported(report: Report) -> None:
            if self._listener is listener:
                self.progress = report.progress
                on_event(report.event)
                self.changed.emit()

        def ended(file: Path | None) -> None:
            if self._listener is listener:
                self._free()
                on_end(file)

        def failed(error: Exception) -> None:
            if self._listener is listener:
                self._free()
                on_error(error)

        listener = Listener(reported, ended, failed)
        return listener

    def _free(self) -> None:
        self._job = self._listener = None
        self.is_paused = self.is_stopping = False
        self.changed.emit()
