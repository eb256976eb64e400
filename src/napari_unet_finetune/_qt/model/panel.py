"""The section "Model": which base finetunings start from, which model predicts, and what is known of them."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QCheckBox, QWidget

from ...errors import FinetuneError
from ...models.card import FileCard, read_card
from ...models.packages import is_foreign
from ...text import elided
from ..session.dock import Panel
from ..session.known_models import LOAD_TIP, KnownModel, accept_model, ask_for_model, name_of_model, parent_of
from ..session.session import Session
from ..widgets.layout import in_column, in_form, in_row, push_button, tipped
from ..widgets.message_line import MessageLine
from .card import ModelCardView
from .choices import ModelBox, list_choices
from .export import ask_and_export
from .sight import ModelSight

_SAME = "the model to start from"
_EXPORT = "Write the model for Fiji, QuPath, ilastik or your own program."
_NO_EXPORT = "This model is a package of another program already, which is not exported again."


class ModelPanel(Panel):
    """Chooses the models of the session and shows the card of the one chosen last."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.base = tipped(ModelBox(), "The model that every finetuning starts from.")
        self.predictor = ModelBox(_SAME)
        self.to_base = push_button("", "Choose the base of this model as the one that finetunings start from.")
        self.load_button = push_button("Load…", LOAD_TIP)
        self.warning, self.card = MessageLine(), ModelCardView()
        self.seen = tipped(
            QCheckBox("What the model sees"),
            "Show the current image as it enters the network: its channels, normalized, and exchanged where Dark and "
            "bright in Predict says so.",
        )
        self.export_button = push_button("Export…", _EXPORT)
        self._sight = ModelSight(session)
        self._card: FileCard | None = None
        self._parent: KnownModel | None = None  # of the model to start from
        self._lay_out()
        self._connect()
        self.refresh()

    def load(self, path: Path) -> None:
        """Start from the model in a file, or predict with one that can do no more; the file is remembered.

        One that is no model is refused in a sentence.
        """
        accepted = accept_model(self.session, path)
        if accepted is None:
            return
        if reason := read_card(accepted).why_not_trained:
            self.session.predictor = accepted
            base = name_of_model(self.session, self.session.model)
            self.session.tell(f"{reason} It is chosen to predict with, and finetunings still start from {base}.")
        else:
            self.session.model = accepted
        self.refresh()

    def refresh(self) -> None:
        """List the models anew."""
        choices = list_choices(self.session)
        self.base.set_choices(tuple(one for one in choices if not is_foreign(one.file)), self.session.model)
        chosen = None if self.session.predictor == self.session.model else self.session.predictor
        self.predictor.set_choices(choices, chosen)
        self._show_card(self.session.predictor)
        self._warn()

    def _lay_out(self) -> None:
        self.to_base.setVisible(False)
        start = in_row(self.base, self.load_button, stretch=self.base)
        models = in_form(("Start from", start), ("Predict with", self.predictor))
        below = in_row(self.seen, None, self.export_button)
        self.setLayout(in_column(models, self.warning, self.to_base, below, self.card, spacing=6))

    def _connect(self) -> None:
        session = self.session
        self.base.changed.connect(self._on_base_chosen)
        self.predictor.changed.connect(self._on_predictor_chosen)
        self.load_button.clicked.connect(self._choose_file)
        self.to_base.clicked.connect(self._start_from_its_base)
        self.seen.toggled.connect(self._on_seen)
        self.export_button.clicked.connect(self._export)
        self.keep(self._sight)
        self.listen(self._sight.changed, self._on_sight_changed)
        self.listen(session.model_changed, self._on_model_changed)
        self.listen(session.predictor_changed, self._on_predictor_changed)
        self.listen(session.models_changed, self.refresh)
        self.listen(session.project_changed, self.refresh)

    def _choose_file(self) -> None:
        if (path := ask_for_model(self)) is not None:
            self.load(path)

    def _on_base_chosen(self) -> None:
        self.session.model = self.base.value()

    def _on_predictor_chosen(self) -> None:
        self.session.predictor = self.predictor.value()

    def _start_from_its_base(self) -> None:
        """Predict with the finetuned model, and start from what it was finetuned from."""
        finetuned, base = self.session.model, self._parent
        if base is not None:
            self.session.model = base.model
            self.session.predictor = finetuned

    def _on_model_changed(self) -> None:
        self.base.choose(self.session.model)
        self._show_card(self.session.model)
        self._warn()

    def _on_predictor_changed(self) -> None:
        predictor = self.session.predictor
        self.predictor.choose(None if predictor == self.session.model else predictor)
        self._show_card(predictor)

    def _show_card(self, model: str) -> None:
        try:
            self._card = read_card(model)
        except FinetuneError as error:
            self._card = None
            self.card.show_problem(str(error))
        else:
            self._card = self._named(self._card)
            self.card.show_card(self._card)
        self.seen.setEnabled(self._card is not None)
        may_leave = self._card is None or not self._card.only_predicts
        self.export_button.setEnabled(self._card is not None and may_leave)
        tipped(self.export_button, _EXPORT if may_leave else _NO_EXPORT)
        if self._sight.is_shown:
            self._on_seen(self._card is not None)

    def _named(self, card: FileCard) -> FileCard:
        """Return a card in which the model and its parent are called as everywhere; the parent may be gone."""
        found, parent = parent_of(self.session, card) if card.is_finetuned else None, card.provenance.parent
        if card.is_finetuned:
            called = parent or "a model without a name"
            parent = found.label if found is not None else f"{called}, which is gone"
        names = {"name": name_of_model(self.session, card.path), "parent": parent}
        return card.model_copy(update={"provenance": card.provenance.model_copy(update=names)})

    def _warn(self) -> None:
        """Say that finetunings should not be chained, if that is about to happen."""
        try:
            card = read_card(self.session.model)
        except FinetuneError:
            card = None
        self._parent = parent_of(self.session, card) if card and card.is_finetuned else None
        self.to_base.setVisible(self._parent is not None)
        if card is None or not card.is_finetuned:
            self.warning.say("")
            return
        name = card.provenance.parent or "another one"
        if self._parent is not None:
            name = self._parent.label
            self.to_base.setText(elided(f"Start from {name}"))
        self.warning.say(
            f"This model was itself finetuned, from {name}. Start from its base with all images instead: one "
            "finetuning after another forgets more and gains less.",
            "warning",
        )

    def _export(self) -> None:
        if self._card is not None:
            ask_and_export(self.session, self._card, self)

    def _on_seen(self, wanted: bool) -> None:
        if wanted and self._card is not None:
            self._sight.show(self._card)
        else:
            self._sight.hide()

    def _on_sight_changed(self) -> None:
        self.seen.setChecked(self._sight.is_shown)
