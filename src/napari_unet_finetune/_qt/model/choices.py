"""The models to choose from: those that ship, those of this dataset's trainings, and files used lately."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QStandardItemModel

from ...errors import FinetuneError
from ...models.card import find_model_file, name_of_file, read_card
from ...models.zoo import list_models
from ...runs.history import PastRun
from ...runs.recent import RecentModels
from ...text import count_of
from ..session.history import History
from ..widgets.editors import ChoiceBox


@dataclass(frozen=True)
class ModelChoice:
    """A model under the words by which a user knows it."""

    text: str
    model: str
    group: str
    tip: str = ""


def list_choices(history: History, recent: RecentModels) -> tuple[ModelChoice, ...]:
    """Return all models that can be chosen without looking for a file."""
    shipped = [ModelChoice(name, name, "Shipped") for name in list_models()]
    runs = list(_of_runs(history))
    known = {choice.model for choice in runs}
    files = [
        ModelChoice(path.stem, str(path), "Recent files", str(path))
        for path in recent.paths
        if str(path) not in known
    ]  # fmt: skip
    return (*shipped, *runs, *files)


def _of_runs(history: History) -> Iterator[ModelChoice]:
    """Yield the models of this dataset's trainings, the newest first."""
    for run in reversed(history.trainings):
        if run.model is not None:
            yield ModelChoice(_run_text(run), str(run.model), "Finetuned on this dataset", str(run.model))


def _run_text(run: PastRun) -> str:
    images = count_of(run.image_count, "image")
    dice = run.end.finetuned_dice if run.end else None
    return " · ".join(filter(None, (images, "" if dice is None else f"Dice {dice:.2f}", run.when)))


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

    def set_choices(self, choices: tuple[ModelChoice, ...], chosen: str | None) -> None:
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
