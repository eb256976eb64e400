"""The models to choose from: those that ship, those of this dataset's trainings, and files used lately."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QStandardItemModel

from ...errors import FinetuneError
from ...models.card import find_model_file, name_of_file, read_card
from ...models.zoo import list_models
from ...runs.recent import RecentModels
from ..session.history import History
from ..session.known_models import KnownModel, model_files, shipped_models, trained_models
from ..widgets.editors import ChoiceBox


def list_choices(history: History, recent: RecentModels) -> tuple[KnownModel, ...]:
    """Return all models that can be chosen without looking for a file, the newest training first."""
    runs = trained_models(history)[::-1]
    known = {run.model for run in runs}
    return (*shipped_models(), *runs, *model_files(path for path in recent.paths if str(path) not in known))


def base_of(model: str, history: History) -> str | None:
    """Return the base that a finetuned model began with, if it can still be found."""
    path = find_model_file(model)
    for run in history.trainings:
        if run.model == path:
            return run.request.checkpoint
    try:
        parent = read_card(model).provenance.parent
    except FinetuneError:
        return None
    return parent if parent in list_models() else None


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
            self.addItem(find_model_file(model).stem, model)
        with QSignalBlocker(self):
            self.setCurrentIndex(self.findData(model))
        self.setToolTip(str(self.itemData(self.currentIndex(), Qt.ItemDataRole.ToolTipRole) or ""))

    def _add_heading(self, text: str) -> None:
        self.addItem(text, object())
        items = self.model()
        assert isinstance(items, QStandardItemModel)
        if (item := items.item(self.count() - 1)) is not None:
            item.setEnabled(False)


def output_name(model: str, runs: Iterable[Path]) -> str:
    """Return a name for the folder of what `model` predicts, which no other model has.

    Models that ship, and those of `runs`, are named well enough; of a file elsewhere there may be others so called.
    """
    file, label = find_model_file(model).absolute(), name_of_file(model)
    if file != Path(model).absolute() or file.parent in runs:
        return label
    return f"{label}-{hashlib.sha256(str(file).encode()).hexdigest()[:6]}"
