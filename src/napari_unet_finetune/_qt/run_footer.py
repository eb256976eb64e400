"""The footer of the docks: the last message and, while a job runs, how far it is, with Pause and Stop."""

from __future__ import annotations

import time

import psutil
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from .curve_plot import CurvePlot
from .jobs import JobSlot
from .message_line import MessageLine
from .progress_words import place, position, scores
from .session import Session

REDRAW_MS = 200
_MEMORY_S = 2.0
_BAR = 1000


class RunFooter(QWidget):
    """Shows the training that runs and, when there is none, the other job."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.message = MessageLine()
        self.curve = CurvePlot()
        self.scores, self.place = QLabel(), QLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, _BAR)
        self.pause, self.stop = QPushButton("Pause"), QPushButton("Stop")
        self._memory = Memory()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._lay_out()
        self._timer.timeout.connect(self.redraw)
        self.pause.clicked.connect(lambda: self.slot.toggle_pause())
        self.stop.clicked.connect(lambda: self.slot.stop())
        session.message_changed.connect(self._on_message)
        session.run.changed.connect(self._on_changed)
        session.aside.changed.connect(self._on_changed)
        self._on_message()
        self.redraw()

    @property
    def slot(self) -> JobSlot:
        """The job that is shown."""
        return (
            self.session.run if self.session.run.is_running or not self.session.aside.is_running else self.session.aside
        )

    def redraw(self) -> None:
        """Show how far the job is."""
        slot = self.slot
        progress, running = slot.progress, slot.is_running
        self._job.setVisible(running)
        if not running:
            return
        is_training = bool(progress.steps)
        self.curve.setVisible(is_training)
        self.scores.setVisible(is_training and bool(scores(progress)))
        if is_training:
            self.curve.set_progress(progress)
            self.scores.setText(scores(progress))
        self.bar.setUpdatesEnabled(False)  # or it is painted at once, and the canvas with it
        self.bar.setValue(round(_BAR * (progress.fraction or 0.0)))
        self.bar.setFormat(position(progress, is_paused=slot.is_paused, is_stopping=slot.is_stopping))
        self.bar.setUpdatesEnabled(True)
        self.pause.setText("Resume" if slot.is_paused else "Pause")
        self.pause.setEnabled(not slot.is_stopping)
        self.stop.setEnabled(not slot.is_stopping)
        self.place.setText(place(progress, self._memory.of(slot.pid)))

    def release(self) -> None:
        """Let go of the session."""
        self._timer.stop()
        self.session.message_changed.disconnect(self._on_message)
        self.session.run.changed.disconnect(self._on_changed)
        self.session.aside.changed.disconnect(self._on_changed)

    def _lay_out(self) -> None:
        self.bar.setTextVisible(True)
        self.pause.setToolTip("Let the computation wait after the step in work, and go on later.")
        self.stop.setToolTip("End the computation after the step in work. The best model so far is kept.")
        self.place.setToolTip("Where it computes, and the memory of its process.")
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        buttons = QHBoxLayout()
        buttons.addWidget(self.pause)
        buttons.addWidget(self.stop)
        buttons.addWidget(self.place, stretch=1)
        self._job = QWidget()
        inside = QVBoxLayout(self._job)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(4)
        for widget in (self.scores, self.curve, self.bar):
            inside.addWidget(widget)
        inside.addLayout(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.setSpacing(4)
        layout.addWidget(self.message)
        layout.addWidget(self._job)

    def _on_message(self) -> None:
        message = self.session.message
        self.message.say(message.text, message.tone)

    def _on_changed(self) -> None:
        """Redraw soon: at once when a job begins or ends, else with what else comes meanwhile."""
        if self._job.isHidden() == self.slot.is_running:
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
