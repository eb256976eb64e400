"""How far the job of one slot is, with Pause and Stop."""

from __future__ import annotations

import time

import psutil
from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QProgressBar, QSizePolicy, QWidget

from ...progress import RunProgress
from ...text import device_name, duration, number, precision_name
from ..widgets.layout import in_column, in_row, push_button, tipped
from ..widgets.wrapped_label import WrappedLabel
from .dock import Panel
from .jobs import JobSlot


def position(progress: RunProgress, *, is_paused: bool = False, is_stopping: bool = False) -> str:
    """Return what to write on a progress bar."""
    if is_stopping:
        return "Stopping…"
    where = ", ".join(filter(None, (_part(progress), _inside(progress))))
    if is_paused:
        return f"Paused: {where[:1].lower()}{where[1:]}" if where else "Paused"
    left = progress.seconds_left
    if progress.steps and progress.step >= progress.steps:
        return f"{where} · finishing…"
    return f"{where} · {duration(left)} left" if where and left is not None else where or "Starting…"


def scores(progress: RunProgress) -> str:
    """Return how the Dice on held-out images has changed; empty while it is not known."""
    raw, best = progress.raw_dice, progress.best_dice
    if best is None:
        return "" if raw is None else f"Dice on held-out images: {number(raw)} before"
    begin = "" if raw is None else f"{number(raw)} → "
    return f"Dice on held-out images: {begin}{number(best)} (best, step {progress.best_step})"


def place(progress: RunProgress, memory: int | None = None) -> str:
    """Return where it computes, with what numbers, and how many bytes of memory it takes."""
    used = "" if memory is None else f"{memory / 1e9:.1f} GB"
    return ", ".join(filter(None, (device_name(progress.device), precision_name(progress.precision), used)))


def _part(progress: RunProgress) -> str:
    done, total = progress.parts
    return f"{progress.part} ({min(done + 1, total)} of {total})" if total else ""


def _inside(progress: RunProgress) -> str:
    if progress.steps:
        return f"Step {progress.step} of {progress.steps}"
    done, total = progress.images
    if total:
        return f"Image {min(done + 1, total)} of {total}"
    done, total = progress.tiles
    return f"Tile {done} of {total}" if total else ""


REDRAW_MS = 200
_MEMORY_S = 2.0
_BAR = 1000


class JobView(Panel):
    """Shows a job while there is one; `redrawn` is emitted when that has changed."""

    redrawn = Signal()

    def __init__(self, slot: JobSlot, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slot = slot
        self.title, self.bar, self.place = WrappedLabel(), QProgressBar(), QLabel()
        self.bar.setRange(0, _BAR)
        self.pause = push_button("Pause", "Pause after the current step, and continue later.")
        self.stop = push_button(
            "Stop", "Stop after the current step. What is done by then is kept."
        )  # fmt: skip
        self._memory = Memory()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._lay_out()
        self._timer.timeout.connect(self.redraw)
        self.pause.clicked.connect(slot.toggle_pause)
        self.stop.clicked.connect(slot.stop)
        self.listen(slot.changed, self._on_changed)
        self.at_release(self._timer.stop)
        self.redraw()

    def redraw(self) -> None:
        """Show how far the job is."""
        job = self.slot.job
        self.setVisible(job is not None)
        if job is not None:
            self.title.setText(job.title)
            self.bar.setUpdatesEnabled(False)  # or it is painted at once, and the canvas with it
            self.bar.setValue(round(_BAR * (job.progress.fraction or 0.0)))
            where = position(job.progress, is_paused=job.is_paused, is_stopping=job.is_stopping)
            self.bar.setFormat(where if job.is_stopping else job.doing or where)
            self.bar.setUpdatesEnabled(True)
            self.pause.setText("Resume" if job.is_paused else "Pause")
            self.pause.setEnabled(not job.is_stopping and not job.doing)
            self.stop.setEnabled(not job.is_stopping)
            self.place.setText(place(job.progress, self._memory.of(job.pid)))
        self.redrawn.emit()

    def _lay_out(self) -> None:
        self.bar.setTextVisible(True)
        tipped(self.place, "The device it runs on, and the memory it uses.")
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setLayout(in_column(self.title, self.bar, in_row(self.pause, self.stop, self.place, stretch=self.place)))

    def _on_changed(self) -> None:
        """Redraw soon: at once when a job begins or ends, else with what else comes meanwhile."""
        if self.isHidden() == self.slot.is_running:
            self.redraw()
        elif not self._timer.isActive():
            self._timer.start()


class Memory:
    """How many bytes a process takes, looked up every other second."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._time, self._bytes = 0.0, 0

    def of(self, pid: int | None) -> int | None:
        """Return the bytes of process `pid`; None if there is none."""
        if pid is None:
            return None
        now = time.monotonic()
        if pid != self._pid or now - self._time > _MEMORY_S:
            try:
                self._bytes = psutil.Process(pid).memory_info().rss
            except psutil.Error:
                return None
            self._pid, self._time = pid, now
        return self._bytes
