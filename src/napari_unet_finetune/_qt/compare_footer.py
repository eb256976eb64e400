"""The footer of the dock "Compare models": the last message and, while a job runs, how far it is."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from .jobs import JobSlot
from .message_line import MessageLine
from .progress_words import position
from .session import Session

_BAR = 1000


class CompareFooter(QWidget):
    """Shows the comparison that runs and, when there is none, the training."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.message, self.bar = MessageLine(), QProgressBar()
        self.pause, self.stop = QPushButton("Pause"), QPushButton("Stop")
        self.bar.setRange(0, _BAR)
        self.pause.setToolTip("Let the computation wait, and go on later.")
        self.stop.setToolTip("End soon; what is done until then is kept.")
        self._job = QWidget()
        row = QHBoxLayout(self._job)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, stretch=1)
        row.addWidget(self.pause)
        row.addWidget(self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 6)
        column.addWidget(self.message)
        column.addWidget(self._job)
        self.pause.clicked.connect(lambda: self.slot.toggle_pause())
        self.stop.clicked.connect(lambda: self.slot.stop())
        session.message_changed.connect(self._on_message)
        session.run.changed.connect(self.refresh)
        session.aside.changed.connect(self.refresh)
        self._on_message()
        self.refresh()

    @property
    def slot(self) -> JobSlot:
        """The job that is shown."""
        return self.session.aside if self.session.aside.is_running else self.session.run

    def refresh(self) -> None:
        """Show how far the job is."""
        slot = self.slot
        self._job.setVisible(slot.is_running)
        if not slot.is_running:
            return
        words = position(slot.progress, is_paused=slot.is_paused, is_stopping=slot.is_stopping)
        self.bar.setValue(round(_BAR * (slot.progress.fraction or 0.0)))
        self.bar.setFormat(words)
        self.bar.setToolTip(f"{slot.title}: {words}")
        self.pause.setText("Resume" if slot.is_paused else "Pause")
        for button in (self.pause, self.stop):
            button.setEnabled(not slot.is_stopping)

    def release(self) -> None:
        """Let go of the session."""
        self.session.message_changed.disconnect(self._on_message)
        self.session.run.changed.disconnect(self.refresh)
        self.session.aside.changed.disconnect(self.refresh)

    def _on_message(self) -> None:
        self.message.say(self.session.message.text, self.session.message.tone)
