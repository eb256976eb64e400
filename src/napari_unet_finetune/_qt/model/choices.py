"""The models to choose from: those that ship, those of this dataset's trainings, and files used lately."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QStandardItemModel

from ...models.card import find_model_file
from ...models.names import name_of_file
from ..session.known_models import CURVES, FILES, SHIPPED, KnownModel, known_models, name_of_model
from ..session.session import Session
from ..widgets.editors import ChoiceBox


def list_choices(session: Session) -> tuple[KnownModel, ...]:
    """Return all models that can be chosen without looking for a file, the newest training first; none of a curve."""
    known = known_models(session)
    runs = [one for one in known if one.is_trained_here and one.group != CURVES][::-1]
    return (*[one for one in known if one.group == SHIPPED], *runs, *[one for one in known if one.group == FILES])


class ModelBox(ChoiceBox):
    """A box of models in groups; one that is not among them is added when it is chosen."""

    def __init__(self, none: str = "") -> None:
        super().__init__([(none, None)] if none else [])
        self._none = none

    def set_choices(self, choices: tuple[KnownModel, ...], chosen: str | None) -> None:
        """Offer `choices` and choose one, without telling anybody."""
        with QSignalBlocker(self):
            self.clear()
            if self._none:
                self.addItem(self._none, None)
            group = ""
            for choice in choices:
                if choice.group != group:
                    group = choice.group
                    self._add_heading(group)
                self.addItem(choice.text, choice.model)
                self.setItemData(self.count() - 1, choice.tip, Qt.ItemDataRole.ToolTipRole)
            self.choose(chosen)

    def choose(self, model: str | None) -> None:
        """Show `model` as chosen."""
        if model is not None and self.findData(model) < 0:
            self.addItem(name_of_file(model), model)
        with QSignalBlocker(self):
            self.setCurrentIndex(self.findData(model))
        self.setToolTip(str(self.itemData(self.currentIndex(), Qt.ItemDataRole.ToolTipRole) or ""))

    def _add_heading(self, text: str) -> None:
        self.addItem(text, object())
        items = self.model()
        assert isinstance(items, QStandardItemModel)
        if (item := items.item(self.count() - 1)) is not None:
            item.setEnabled(False)


def output_name(session: Session, model: str) -> str:
    """Return a name for the folder of what `model` predicts, which no other model ever has.

    That of a model that ships is enough; of any other name there may be another file some day.
    """
    file, name = find_model_file(model).absolute(), re.sub(r"[^\w.-]+", "-", name_of_model(session, model)).strip("-")
    is_shipped = file != Path(model).absolute()
    return name if is_shipped else f"{name}-{hashlib.sha256(os.fsencode(file)).hexdigest()[:6]}"
