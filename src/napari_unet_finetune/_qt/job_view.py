"""How far the job of one slot is, with Pause and Stop."""

from __future__ import annotations

import time

import psutil
from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from .jobs import JobSlot
from .progress_words import place, position
from .wrapped_label import WrappedLabel

REDRAW_MS = 200
_MEMORY_S = 2.0
_BAR = 1000


class JobView(QWidget):
    """Shows a job while there is one; `redrawn` is emitted when that has changed."""

    redrawn = Signal()

    def __init__(self, slot: JobSlot, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slot = slot
        self.title, self.bar, self.place = WrappedLabel(), QProgressBar(), QLabel()
        self.bar.setRange(0, _BAR)
        self.pause, self.stop = QPushButton("Pause"), QPushButton("Stop")
        self._memory = Memory()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._lay_out()
        self._timer.timeout.connect(self.redraw)
        self.pause.clicked.connect(slot.toggle_pause)
        self.stop.clicked.connect(slot.stop)
        slot.changed.connect(self._on_changed)
        self.redraw()

    def redraw(self) -> None:
        """Show how far the job is."""
        slot = self.slot
        self.setVisible(slot.is_running)
        if slot.is_running:
            self.title.setText(slot.title)
            self.bar.setUpdatesEnabled(False)  # or it is painted at once, and the canvas with it
            self.bar.setValue(round(_BAR * (slot.progress.fraction or 0.0)))
            self.bar.setFormat(position(slot.progress, is_paused=slot.is_paused, is_stopping=slot.is_stopping))
            self.bar.setUpdatesEnabled(True)
            self.pause.setText("Resume" if slot.is_paused else "Pause")
            self.pause.setEnabled(not slot.is_stopping)
            self.stop.setEnabled(not slot.is_stopping)
            self.place.setText(place(slot.progress, self._memory.of(slot.pid)))
        self.redrawn.emit()

    def release(self) -> None:
        """Let go of the slot."""
        self._timer.stop()
        self.slot.changed.disconnect(self._on_changed)

    def _lay_out(self) -> None:
        self.bar.setTextVisible(True)
        self.pause.setToolTip("Let the computation wait after the step in work, and go on later.")
        self.stop.setToolTip("End the computation after the step in work. What is done until then is kept.")
        self.place.setToolTip("Where it computes, and the memory of its process.")
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        buttons = QHBoxLayout()
        buttons.addWidget(self.pause)
        buttons.addWidget(self.stop)
        buttons.addWidget(self.place, stretch=1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.title)
        layout.addWidget(self.bar)
        layout.addLayout(buttons)

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
