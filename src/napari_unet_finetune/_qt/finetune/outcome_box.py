"""How the last training ended, with what to do next; and a training that was interrupted, with what to do about it."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QWidget

from ...runs.history import PastRun
from ...text import count_of
from ..widgets.curves import TrainingCurve
from ..widgets.layout import in_column, in_row, push_button
from ..widgets.message_line import MessageLine
from .controller import Outcome
from .weigh_box import WeighBox


class OutcomeBox(QWidget):
    """Shows an outcome until there is another one."""

    compare_requested = Signal()
    predict_requested = Signal()
    annotate_requested = Signal()
    weigh_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.when, self.message, self.curve = QLabel(), MessageLine(), TrainingCurve()
        self.compare = push_button("Compare", "See the predictions of the new model and of the base side by side.")
        self.predict = push_button("Predict all", "Predict all images of the dataset with the new model.")
        self.annotate = push_button(
            "Annotate more", "Go to the next image, with the new model's prediction over it."
        )  # fmt: skip
        self.weigh = push_button(
            "Old or new…",
            "Choose between the base and the finetuned weights, kept or not, by what old and new images are worth to "
            "you.",
        )
        self.weighing = WeighBox()
        self._buttons = QWidget()
        first = in_row(self.compare, self.predict, self.annotate)
        self._buttons.setLayout(in_column(first, in_row(self.weigh, None), self.weighing))
        self.setLayout(in_column(self.when, self.message, self._buttons, self.curve))
        self.compare.clicked.connect(self.compare_requested)
        self.predict.clicked.connect(self.predict_requested)
        self.annotate.clicked.connect(self.annotate_requested)
        self.weigh.clicked.connect(self.weigh_requested)
        self.setVisible(False)

    def set_outcome(self, outcome: Outcome | None) -> None:
        """Show an outcome, or nothing."""
        self.setVisible(outcome is not None)
        if outcome is None:
            return
        self.when.setText(f"Training of {outcome.when}")
        self.when.setVisible(bool(outcome.when))
        self.message.say(outcome.message.text, outcome.message.tone)
        self.curve.setVisible(bool(outcome.progress.losses))
        self.curve.set_progress(outcome.progress)
        self._buttons.setVisible(outcome.message.tone != "error")
        for button in (self.compare, self.predict):
            button.setEnabled(outcome.model is not None)
        self.weigh.setEnabled(outcome.run is not None)


class InterruptedBox(QWidget):
    """Offers to go on with a training that was interrupted."""

    resume_requested = Signal()
    best_requested = Signal()
    discard_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.message = MessageLine()
        self.resume = push_button("Resume", "Continue from the last saved step, with the masks as they were then.")
        self.best = push_button("Use best so far", "Finish it now, with its best model so far as the result.")
        self.discard = push_button("Discard", "Move the training out of sight; its files are kept.")
        self.setLayout(in_column(self.message, in_row(self.resume, self.best, self.discard)))
        self.resume.clicked.connect(self.resume_requested)
        self.best.clicked.connect(self.best_requested)
        self.discard.clicked.connect(self.discard_requested)
        self.setVisible(False)

    def set_run(self, run: PastRun | None, *, is_busy: bool) -> None:
        """Show an interrupted training, or nothing; while another one runs it cannot be resumed."""
        self.setVisible(run is not None)
        if run is None:
            return
        progress = run.progress
        where = f"at step {progress.step} of {progress.steps}" if progress.steps else "before its first step"
        images = count_of(run.image_count, "image")
        self.message.say(f"The training of {run.when} with {images} was interrupted {where}.", "warning")
        self.resume.setEnabled(not is_busy)
        self.best.setEnabled(run.folder.best_path.is_file())
