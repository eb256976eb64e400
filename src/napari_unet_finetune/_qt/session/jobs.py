"""Jobs as the docks see them: started, watched, paused and stopped, one at a time in each slot."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from psygnal import Signal
from pydantic import BaseModel
from qtpy.QtCore import QTimer

from ...errors import FinetuneError, RunError
from ...events import Event, JobEnded, StepEnd, TileEnd
from ...io.images import ImageRef
from ...io.regions.region import InView
from ...progress import RunProgress, advance
from ...runs.child import ChildJob, WarmChild
from ...runs.request import TRAININGS, PredictRequest, write_request
from .worker import Work

# Events that only say how far it is come to the GUI at most this often.
SHORTEST_PAUSE_S = 0.1
# A process that keeps a model for the next prediction ends when there was none for so long.
IDLE_MS = 5 * 60 * 1000


@dataclass(frozen=True)
class Report:
    """An event, and the progress of the job after it."""

    event: Event
    progress: RunProgress


Prepare = Callable[[], Generator[str, None, BaseModel]]


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

    def look(self, view: InView) -> None:
        """Say what the user looks at by now."""

    def close(self) -> None:
        """End it now."""


class Job:
    """A job from its request to its end. Its signals, emitted in the GUI thread, are connected before it is started.

    Parameters
    ----------
    folder
        Where it keeps its files.
    title
        What the user reads while it is under way.
    request
        Written into the folder when it is started; None if it is there already. What takes long to prepare is made by
        a generator in a thread: it says what it is doing, ends soon if `is_stopping`, and returns the request.
    is_temporary
        Remove the folder when the job has ended and all have heard of it.
    gives_way
        Nobody asked for it: it ends as soon as somebody asks for another one.
    """

    event = Signal(object)  # an `Event`; of those that come often some are left out
    ended = Signal(object)  # with the file of the result, or None
    failed = Signal(object)  # with the exception, which the user has been told of

    def __init__(
        self,
        folder: Path,
        title: str,
        request: BaseModel | Prepare | None = None,
        *,
        is_temporary: bool = False,
        gives_way: bool = False,
    ) -> None:
        self.folder, self.title, self.request, self.gives_way = folder, title, request, gives_way
        self.doing = ""  # while it is prepared
        self.progress = RunProgress()
        self.is_paused = self.is_stopping = False
        self._is_temporary = is_temporary
        self._slot: JobSlot | None = None
        self._process: RunningJob | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether it was started and has neither ended nor been closed."""
        return self._slot is not None

    @property
    def is_training(self) -> bool:
        """Tell whether it trains a network; one without a request goes on with an earlier training."""
        return self.request is None or getattr(self.request, "task", "") in TRAININGS

    @property
    def pid(self) -> int | None:
        """Number of its process, None if it has none of its own."""
        return getattr(self._process, "pid", None)

    def stop(self) -> None:
        """Ask it to end by itself."""
        if self._slot is not None:
            self.is_stopping = True
            if self._process is not None:
                self._process.stop()
            self._slot.changed.emit()

    def give_way(self) -> None:
        """End now, for somebody has asked for another job."""
        if self._process is not None:
            self._process.close()
        self.on_end(None)

    def toggle_pause(self) -> None:
        """Let it wait, or go on."""
        if self._process is not None and self._slot is not None:
            self.is_paused = not self.is_paused
            (self._process.pause if self.is_paused else self._process.resume)()
            self._slot.changed.emit()

    def preview(self, image: ImageRef | None) -> None:
        """Choose the image that a training predicts as it learns."""
        if self._process is not None:
            self._process.preview(image)

    def look(self, view: InView) -> None:
        """Have a prediction go on with what the user looks at by now."""
        if self._process is not None:
            self._process.look(view)

    def start(self, slot: JobSlot, runner: JobRunner) -> None:
        """Prepare it, write the request and begin, as the job of `slot`."""
        self._slot = slot
        if not callable(self.request):
            self._begin(runner, self.request)
            return
        prepare = self.request
        Work(
            prepare,
            title=self.title,
            on_event=self._on_prepared,
            on_end=lambda request: self._begin_prepared(runner, request),
            on_error=self.on_error,
            on_abort=lambda: self.on_end(None),
        )

    def _begin(self, runner: JobRunner, request: BaseModel | None) -> None:
        if request is not None:
            self.request = request
            write_request(self.folder, request)
        process = runner(self)
        if self._slot is not None:  # a runner for tests may have finished already
            self._process = process

    def _begin_prepared(self, runner: JobRunner, request: BaseModel) -> None:
        self.doing = ""
        if self.is_stopping or not self.is_running:
            self.on_end(None)
            return
        try:
            self._begin(runner, request)
        except FinetuneError as error:
            self.on_error(error)

    def _on_prepared(self, doing: str) -> None:
        self.doing = doing
        if self._slot is not None:
            self._slot.changed.emit()

    def close(self) -> None:
        """End it now; nobody is told any more, for whoever listened may be gone."""
        self._slot, self.is_stopping = None, True
        if self._process is not None:
            self._process.close()
        self._remove()

    def on_report(self, report: Report) -> None:
        """Tell how it gets on; called by its runner, as the next two."""
        if self._slot is not None:
            self.progress = report.progress
            self.event.emit(report.event)
            self._slot.changed.emit()

    def on_end(self, file: Path | None) -> None:
        """Tell that it has ended."""
        if self._leave():
            self.ended.emit(file)
            self._remove()

    def on_error(self, error: Exception) -> None:
        """Tell what went wrong, first to the user."""
        slot = self._slot
        if slot is not None and self._leave():
            try:
                slot.on_error(error)
            finally:
                self.failed.emit(error)
                self._remove()

    def _leave(self) -> bool:
        """Make room for the next job, and tell whether anybody is to hear of the end of this one."""
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.free()
        return slot is not None

    def _remove(self) -> None:
        if self._is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


JobRunner = Callable[[Job], RunningJob]
"""Carries out a job and calls its `on_report`, `on_end` and `on_error` in the GUI thread."""


class Processes:
    """Carries out jobs in processes of their own; that of a prediction stays for the next one.

    It ends when nothing was predicted for `IDLE_MS`, and gives its memory back before a training begins. While one
    runs, no process stays.
    """

    def __init__(self) -> None:
        self.warm = WarmChild()
        self._trainings: list[ChildJob] = []

    def __call__(self, job: Job) -> RunningJob:
        """Carry out `job`."""
        child = self._begin(job)
        Work(
            lambda: report(child.events()),
            title=job.title,
            on_event=job.on_report,
            on_end=job.on_end,
            on_error=job.on_error,
            on_abort=child.close,
        )
        return child

    def close(self) -> None:
        """End the process that stays."""
        if "_clock" in self.__dict__:
            self._clock.stop()
        self.warm.let_go()

    def _begin(self, job: Job) -> ChildJob:
        self._trainings = [training for training in self._trainings if training.is_alive]
        if isinstance(job.request, PredictRequest) and not self._trainings:
            self._clock.start()
            return self.warm.begin(job.folder)
        if not job.is_training:
            return ChildJob(job.folder)
        self.warm.let_go()
        self._trainings.append(training := ChildJob(job.folder))
        return training

    @cached_property
    def _clock(self) -> QTimer:
        clock = QTimer()
        clock.setSingleShot(True)
        clock.setInterval(IDLE_MS)
        clock.timeout.connect(self._on_idle)
        return clock

    def _on_idle(self) -> None:
        if self.warm.is_busy:
            self._clock.start()
        else:
            self.warm.let_go()


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
    """Room for one job; `changed` is emitted when it begins, gets on, is paused and ends.

    Parameters
    ----------
    runner
        How jobs are carried out.
    on_error
        Tells the user of what went wrong.
    """

    changed = Signal()
    begins = Signal()  # before anything of a job is done that the user has asked for

    def __init__(self, runner: JobRunner, on_error: Callable[[Exception], object]) -> None:
        self._runner, self.on_error = runner, on_error
        self.job: Job | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether there is a job that has not ended."""
        return self.job is not None

    @property
    def busy(self) -> str:
        """What is under way, in a sentence; empty if nothing is, or only what gives way."""
        return f"{self.job.title} is still running." if self.job is not None and not self.job.gives_way else ""

    def require_free(self) -> None:
        """Raise `RunError` if there is a job already."""
        if self.busy:
            raise RunError(f"{self.busy} Wait for it to finish, or stop it first.")

    def start(self, job: Job) -> None:
        """Start a job.

        Raises
        ------
        RunError
            If there is one already, or its folder cannot be used.
        """
        self.require_free()
        if self.job is not None:
            self.job.give_way()
        if not job.gives_way:
            self.begins.emit()
        self.job = job
        try:
            job.start(self, self._runner)
        except Exception:
            self.close()
            raise
        if self.job is job:
            self.changed.emit()

    def stop(self) -> None:
        """Ask the job, if there is one, to end by itself."""
        if self.job is not None:
            self.job.stop()

    def toggle_pause(self) -> None:
        """Let the job wait, or go on."""
        if self.job is not None:
            self.job.toggle_pause()

    def free(self) -> None:
        """Let the job go, which has ended."""
        self.job = None
        self.changed.emit()

    def close(self) -> None:
        """End the job now, without a word."""
        job, self.job = self.job, None
        if job is not None:
            job.close()
