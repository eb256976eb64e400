"""The footer of the dock "Predict": the last message and, while something is predicted, how far it is, with Stop."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ..session.dock import Panel
from ..session.jobs import Job
from ..session.session import Session
from ..widgets.message_line import MessageLine
from .controller import PredictController

_BAR = 1000


class PredictFooter(Panel):
    """Shows how far the prediction, or another job beside a training, is."""

    def __init__(self, session: Session, predicting: PredictController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.predicting = session, predicting
        self.message = MessageLine()
        self.bar, self.stop = QProgressBar(), QPushButton("Stop")
        self.bar.setRange(0, _BAR)
        self.stop.setToolTip("End after the tiles in work. What is predicted until then stays.")
        self._job = QWidget()
        row = QHBoxLayout(self._job)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, stretch=1)
        row.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.addWidget(self.message)
        layout.addWidget(self._job)
        self.stop.clicked.connect(self._on_stop)
        self.listen(session.message_changed, self._on_message)
        self.listen(session.jobs.changed, self.refresh)
        self.listen(predicting.changed, self.refresh)
        self._on_message()
        self.refresh()

    def refresh(self) -> None:
        """Show how far it is."""
        task, job = self.predicting.task, self.session.jobs.job
        self._job.setVisible(task is not None or job is not None)
        self.stop.setEnabled(not (job and job.is_stopping) and not (task and task.is_stopped))
        if task is not None and not task.is_asked:
            self.bar.setValue(round(_BAR * task.read / len(task.indices)))
            self.bar.setFormat(task.words)
        elif job is not None:
            self.bar.setValue(round(_BAR * (job.progress.fraction or 0.0)))
            self.bar.setFormat("Stopping…" if job.is_stopping else self._words(job))

    def _words(self, job: Job) -> str:
        progress, files = job.progress, self.predicting.files
        if progress.fraction is None:
            return "Starting…"
        if self.predicting.task is not None:
            return self.predicting.task.words
        done, total = progress.images
        if files.is_predicting and files.ends:
            return f"{done} of {total} files, last {files.ends[-1].path.name}"
        return f"{done} of {total}" if total else job.title

    def _on_stop(self) -> None:
        if self.predicting.task is not None:
            self.predicting.stop()
        else:
            self.session.jobs.stop()

    def _on_message(self) -> None:
        self.message.say(self.session.message.text, self.session.message.tone)
