"""The footer of the docks: the last message and, while jobs run, how far each of them is, with Pause and Stop."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QWidget

from ...progress import RunProgress
from ..widgets.curves import TrainingCurve
from ..widgets.layout import in_column
from ..widgets.message_line import MessageLine
from .dock import Panel
from .job_view import JobView, scores
from .session import Session


class RunFooter(Panel):
    """Shows the training that runs and, below it, the other job.

    Parameters
    ----------
    session
        What the docks share.
    has_curve
        Draw how the training learns.
    above
        What else is to stay in sight.
    """

    def __init__(self, session: Session, *, has_curve: bool = True, above: QWidget | None = None) -> None:
        super().__init__()
        self.session, self._has_curve = session, has_curve
        self.message, self.scores, self.curve = MessageLine(), QLabel(), TrainingCurve()
        self.training, self.other = JobView(session.trainings), JobView(session.jobs)
        parts = (self.message, self.scores, self.curve, self.training, self.other)
        layout = in_column(*parts) if above is None else in_column(above, *parts)
        layout.setContentsMargins(6, 4, 6, 6)
        self.setLayout(layout)
        self.training.redrawn.connect(self._show_learning)
        self.listen(session.message_changed, self._on_message)
        self.keep(self.training, self.other)
        self._on_message()
        self._show_learning()

    def _show_learning(self) -> None:
        """Show how the training learns."""
        job = self.session.trainings.job
        progress = job.progress if job is not None else RunProgress()
        is_learning = bool(progress.steps)
        self.curve.setVisible(is_learning and self._has_curve)
        self.scores.setVisible(is_learning and bool(scores(progress)))
        if is_learning:
            self.curve.set_progress(progress)
            self.scores.setText(scores(progress))

    def _on_message(self) -> None:
        message = self.session.message
        self.message.say(message.text, message.tone)
