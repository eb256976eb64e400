"""The section "Finetune": settings, a check of the data, the button, and what came of it."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ...config import FinetuneConfig
from ...errors import FinetuneError
from ...models.card import FileCard, read_card
from ...project.training_plan import ENOUGH_FROM_SCRATCH, TrainingPlan, plan_training
from ...runs.history import PastRun
from ..session.session import Session
from ..widgets.message_line import MessageLine
from ..widgets.wrapped_label import WrappedLabel
from .controller import FinetuneController
from .data_check import DataCheck
from .old_images import OldImagesForm
from .outcome_box import InterruptedBox, OutcomeBox
from .settings_form import SettingsForm

_SOON_MS = 400


class FinetunePanel(QWidget):
    """Starts a finetuning when everything is there for it, and says what is missing until then."""

    compare_requested = Signal()
    predict_requested = Signal()
    annotate_requested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.finetuning, self.check = session.shared(FinetuneController), DataCheck()
        self.interrupted, self.outcome = InterruptedBox(), OutcomeBox()
        self.settings, self.old = SettingsForm(), OldImagesForm()
        self.base, self.words = WrappedLabel(), WrappedLabel()
        self.changed_since, self.reason = MessageLine(), MessageLine()
        self.button = QPushButton("Finetune")
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._lay_out()
        self._connect()
        self._on_finetuning_changed()

    @property
    def config(self) -> FinetuneConfig | None:
        """The settings; None if they do not go together."""
        return self.settings.config

    @property
    def problem(self) -> str:
        """Why no training can start now, in a sentence; empty if one can."""
        if self.session.run.is_running:
            return "A training is under way."
        if self.session.project is None:
            return "Open a dataset first."
        if self.config is None:
            return self.settings.problem
        _, problem = self._card(self.config)
        return self._plan().problem or problem or self.old.problem

    def start(self) -> None:
        """Start a training with what is set."""
        config = self.config
        if config is not None and not self.problem:
            self.finetuning.start(config, self.old.value)

    def refresh(self) -> None:
        """Show what a training would use, and whether it can start."""
        project, problem = self.session.project, self.problem
        annotated = sum(image.is_annotated for image in project.images) if project else 0
        self.settings.offer("from scratch", annotated >= ENOUGH_FROM_SCRATCH)
        self.settings.set_pace(self.finetuning.pace)
        self._name_base()
        self.button.setEnabled(not problem)
        self.reason.say(problem)
        names = ", ".join(self.finetuning.changed_since)
        which = "this training" if self.session.run.is_running else "the last training"
        self.changed_since.say(f"Labels changed since {which} began: {names}." if names else "")
        self._show_words()
        self._soon.start()

    def release(self) -> None:
        """Let go of the session."""
        self._soon.stop()
        self.check.changed.disconnect(self._show_words)
        self.check.forget()
        self.finetuning.changed.disconnect(self._on_finetuning_changed)
        session = self.session
        for signal in (session.project_changed, session.images_changed, session.model_changed):
            signal.disconnect(self.refresh)
        session.run.changed.disconnect(self._on_run_changed)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look at the data as soon as the section is opened."""
        super().showEvent(event)
        self._soon.start()

    def _lay_out(self) -> None:
        self.settings.add_folded(self.old)
        self.button.setToolTip("Train on the annotated images, in the background.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.interrupted, self.outcome, self.base, self.settings, self.button, self.reason, self.changed_since,
            self.words, self.settings.fold,
        ):  # fmt: skip
            layout.addWidget(widget)

    def _connect(self) -> None:
        session = self.session
        for signal in (session.project_changed, session.images_changed, session.model_changed):
            signal.connect(self.refresh)
        session.run.changed.connect(self._on_run_changed)
        self.settings.changed.connect(self.refresh)
        self.old.changed.connect(self.refresh)
        self.check.changed.connect(self._show_words)
        self.finetuning.changed.connect(self._on_finetuning_changed)
        self._soon.timeout.connect(self._look)
        self.button.clicked.connect(self.start)
        self.outcome.compare_requested.connect(self.compare_requested)
        self.outcome.predict_requested.connect(self.predict_requested)
        self.outcome.annotate_requested.connect(self._annotate_more)
        self.interrupted.resume_requested.connect(lambda: self._with_interrupted(self.finetuning.resume))
        self.interrupted.best_requested.connect(lambda: self._with_interrupted(self.finetuning.use_best))
        self.interrupted.discard_requested.connect(lambda: self._with_interrupted(self.finetuning.discard))

    def _with_interrupted(self, do: Callable[[PastRun], None]) -> None:
        if self.finetuning.interrupted:
            do(self.finetuning.interrupted[0])

    def _annotate_more(self) -> None:
        if self.session.annotation is not None:
            self.session.annotation.next_to_annotate()
        self.annotate_requested.emit()

    def _plan(self) -> TrainingPlan:
        project, config = self.session.project, self.config
        return plan_training(project, config) if project is not None and config is not None else TrainingPlan()

    def _card(self, config: FinetuneConfig) -> tuple[FileCard | None, str]:
        """Return the card of the base, or what is wrong with it."""
        if config.preset == "from scratch":
            return None, ""
        try:
            return read_card(self.session.model), ""
        except FinetuneError as error:
            return None, f"Model not found. {error}"

    def _name_base(self) -> None:
        config = self.config
        card = self._card(config)[0] if config else None
        if config is not None and config.preset == "from scratch":
            text = "Starts from nothing."
        elif card is None:
            text = f"Starts from {Path(self.session.model).stem}."
        elif card.is_finetuned:
            text = (
                f"Starts from {card.name}, which was itself finetuned. Choose its base in section Model: finetuning "
                "again from there with all images works better."
            )
        else:
            text = f"Starts from {card.name}."
        self.base.setText(text)

    def _on_run_changed(self) -> None:
        """Follow only the begin and the end of a training, not its steps."""
        if self.button.isEnabled() == self.session.run.is_running or not self.button.isEnabled():
            self.button.setEnabled(not self.problem)
            self.reason.say(self.problem)

    def _on_finetuning_changed(self) -> None:
        interrupted = self.finetuning.interrupted
        self.interrupted.set_run(interrupted[0] if interrupted else None, is_busy=self.session.run.is_running)
        self.outcome.set_outcome(self.finetuning.outcome)
        self.refresh()

    def _look(self) -> None:
        """Have the data looked at, if the section is in sight."""
        config, project = self.config, self.session.project
        if not self.isVisible() or config is None or project is None or self.session.run.is_running:
            return
        self.check.look(self._plan(), self._card(config)[0])
        self._show_words()

    def _show_words(self) -> None:
        found = self.check.sentences if not self.check.is_looking else ("Looking at the images…",)
        sentences = (*self._plan().sentences, *found)
        points = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        self.words.setText(f"<ul style='margin-left: -24px'>{points}</ul>" if points else "")
        self.words.setVisible(bool(points))
