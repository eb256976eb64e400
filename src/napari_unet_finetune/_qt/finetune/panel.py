"""The section "Finetune": settings, a check of the data, the button, and what came of it."""

from __future__ import annotations

import html
from collections.abc import Callable

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QWidget

from ...config import FinetuneConfig
from ...errors import FinetuneError
from ...models.card import FileCard, read_card
from ...project.project import Project
from ...project.training_plan import ENOUGH_FROM_SCRATCH, TrainingPlan, plan_training
from ...project.uses import NOTHING
from ...runs.history import PastRun
from ...text import elided
from ..annotate.annotation import annotation_of
from ..session.dock import Panel
from ..session.known_models import name_of_model
from ..session.session import Session
from ..session.settings import default_device
from ..widgets.layout import in_column, push_button
from ..widgets.message_line import MessageLine
from ..widgets.wrapped_label import WrappedLabel
from .controller import FinetuneController
from .data_check import DataCheck
from .old_images import OldImagesForm
from .outcome_box import InterruptedBox, OutcomeBox
from .settings_form import SettingsForm
from .weigh_controller import WeighController

_SOON_MS = 400


class FinetunePanel(Panel):
    """Starts a finetuning when everything is there for it, and says what is missing until then."""

    compare_requested = Signal()
    predict_requested = Signal()
    annotate_requested = Signal()
    weighed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.finetuning, self.check = session.shared(FinetuneController), DataCheck()
        self.weighing = session.shared(WeighController)
        self.interrupted, self.outcome = InterruptedBox(), OutcomeBox()
        self.settings, self.old = SettingsForm(), OldImagesForm()
        self.base, self.words = WrappedLabel(), WrappedLabel()
        self.changed_since, self.reason = MessageLine(), MessageLine()
        self.button = push_button("Finetune", "Train on the annotated images, in the background.")
        self._missing = ""  # for a training to start
        self._plan = TrainingPlan()  # as shown
        self._card: FileCard | None = None
        self._is_outdated = self._is_recalling = False
        self._project: Project | None = None  # whose settings are shown
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._lay_out()
        self._connect()
        self._recall()
        self._on_finetuning_changed()
        self._show_weighing()

    @property
    def config(self) -> FinetuneConfig | None:
        """The settings; None if they do not go together."""
        return self.settings.config

    @property
    def problem(self) -> str:
        """Why no training can start now, in a sentence; empty if one can."""
        return self.session.trainings.busy or self._missing

    def start(self) -> None:
        """Start a training with what is set."""
        config = self.config
        if config is not None and not self.problem:
            self.finetuning.start(config, self.old.value)

    def refresh(self) -> None:
        """Show what a training would use, and whether it can start."""
        self._look_up()
        project = self.session.project
        annotated = sum(len(image.pieces) for image in project.images if image.is_annotated) if project else 0
        self.settings.offer("from scratch", annotated >= ENOUGH_FROM_SCRATCH)
        self.settings.set_pace(self.finetuning.pace)
        self._name_base()
        self._show_problem()
        names = ", ".join(self.finetuning.changed_since)
        which = "this training" if self.session.trainings.is_running else "the last training"
        self.changed_since.say(f"Labels changed since {which} began: {names}." if names else "")
        self._show_words()
        self._soon.start()

    def _look_up(self) -> None:
        """Make the plan, read the card of the base, and see what is missing: once for all that is shown."""
        session, config = self.session, self.config
        self._is_outdated, self._plan, self._card = False, TrainingPlan(), None
        if session.project is None or config is None:
            self._missing = self.settings.problem if session.project else "Open a dataset first."
            return
        known, missing = NOTHING, ""
        try:
            known = session.known_to_base(config)
            self._card = None if config.preset == "from scratch" else read_card(session.model).seeing(session.channels)
        except FinetuneError as error:
            missing = str(error)
        self._plan = plan_training(session.project, config, known)
        self._missing = self._plan.problem or missing or self.old.problem

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look at the data as soon as the section is opened."""
        super().showEvent(event)
        self._soon.start()

    def _lay_out(self) -> None:
        self.settings.add_folded(self.old)
        self.setLayout(
            in_column(
                self.base, self.words, self.settings, self.button, self.reason, self.changed_since, self.outcome,
                self.settings.fold, spacing=6,
            )
        )  # fmt: skip

    def _connect(self) -> None:
        session = self.session
        self.listen(session.project_changed, self._recall)
        for signal in (
            session.project_changed, session.images_changed, session.model_changed, session.channels_changed,
        ):  # fmt: skip
            self.listen(signal, self.refresh)
        self.listen(session.mask_saved, self._on_mask_saved)
        self.listen(session.trainings.changed, self._show_problem)
        self.settings.changed.connect(self._on_chosen)
        self.old.changed.connect(self._on_chosen)
        self.at_release(self.check.forget)
        self.listen(self.check.changed, self._show_words)
        self.listen(self.finetuning.changed, self._on_finetuning_changed)
        self.at_release(self._soon.stop)
        self._soon.timeout.connect(self._look)
        self.button.clicked.connect(self.start)
        self.outcome.compare_requested.connect(self.compare_requested)
        self.outcome.predict_requested.connect(self.predict_requested)
        self.outcome.annotate_requested.connect(self._annotate_more)
        self.outcome.weigh_requested.connect(self.weighing.ask)
        self.outcome.weighing.keep_requested.connect(self.weighing.keep)
        self.listen(self.weighing.changed, self._show_weighing)
        self.interrupted.resume_requested.connect(lambda: self._with_interrupted(self.finetuning.resume))
        self.interrupted.best_requested.connect(lambda: self._with_interrupted(self.finetuning.use_best))
        self.interrupted.discard_requested.connect(lambda: self._with_interrupted(self.finetuning.discard))

    def _on_chosen(self) -> None:
        """Remember what the user has set, if it goes together."""
        if not self._is_recalling and self.config is not None:
            self.session.remember(config=self.config, old=self.old.value)
        self.refresh()

    def _recall(self) -> None:
        """Show what was set for the dataset, or what a new one begins with; one that is opened anew keeps it."""
        before, self._project = self._project, self.session.project
        if self._project is None or (before is not None and before.folder == self._project.folder):
            return
        chosen, self._is_recalling = self.session.choices, True
        if chosen.config is not None:
            self.settings.set_value(chosen.config.model_copy(update={"device": default_device()}))
        elif before is not None:
            self.settings.set_preset("default")
        self.old.set_value(chosen.old)
        self._is_recalling = False

    def _with_interrupted(self, do: Callable[[PastRun], None]) -> None:
        if self.finetuning.interrupted:
            do(self.finetuning.interrupted[0])

    def _annotate_more(self) -> None:
        annotation_of(self.session).next_to_annotate()
        self.annotate_requested.emit()

    def _name_base(self) -> None:
        config, card, name = self.config, self._card, name_of_model(self.session, self.session.model)
        if config is not None and config.preset == "from scratch":
            text = "Starts from scratch."
        elif card is None or not card.is_finetuned:
            text = f"Starts from {name}."
        else:
            text = (
                f"Starts from {name}, which was itself finetuned. Choose its base in section Model: finetuning "
                "again from there with all images works better."
            )
        self.base.setText(text)

    def _show_problem(self) -> None:
        if self.reason.text != self.problem or self.button.isEnabled() == bool(self.problem):
            self.button.setEnabled(not self.problem)
            self.reason.say(self.problem)

    def _on_mask_saved(self) -> None:
        """Follow somebody who paints only while the section is in sight, and not stroke by stroke."""
        self._is_outdated = True
        self._soon.start()

    def _on_finetuning_changed(self) -> None:
        interrupted = self.finetuning.interrupted
        self.interrupted.set_run(interrupted[0] if interrupted else None, is_busy=self.session.trainings.is_running)
        self.outcome.set_outcome(self.finetuning.outcome)
        self.refresh()

    def _show_weighing(self) -> None:
        self.outcome.weighing.set_weighing(self.weighing.weighing)
        if self.weighing.weighing is not None:
            self.weighed.emit()

    def _look(self) -> None:
        """Have the data looked at, if the section is in sight."""
        project = self.session.project
        if not self.isVisible() or self.config is None or project is None or self.session.trainings.is_running:
            return
        if self._is_outdated:
            self.refresh()
        self.check.look(self._plan, self._card)
        self._show_words()

    def _show_words(self) -> None:
        found = self.check.sentences if not self.check.is_looking else ("Looking at the images…",)
        sentences = (*self._plan.sentences, *found)
        points = "".join(f"<li>{html.escape(elided(sentence))}</li>" for sentence in sentences)
        self.words.setText(f"<ul style='margin-left: -24px'>{points}</ul>" if points else "")
        self.words.setVisible(bool(points))
