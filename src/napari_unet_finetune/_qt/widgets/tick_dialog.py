"""A question which of many things to take: a list with a tick each, and a line that filters it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from .wrapped_label import WrappedLabel

T = TypeVar("T")


class TickDialog(QDialog, Generic[T]):
    """Asks which of some things to take.

    Parameters
    ----------
    title, hint
        What is asked, and what is to be known for the answer.
    choices
        The things and the words for them.
    ticked
        Those that are ticked at first.
    """

    def __init__(
        self, title: str, choices: Mapping[T, str], ticked: Collection[T], parent: QWidget | None, *, hint: str = ""
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.words, self.list = QLineEdit(), QListWidget()
        self.words.setPlaceholderText("filter by name")
        self.words.setClearButtonEnabled(True)
        self._items = {choice: QListWidgetItem(text) for choice, text in choices.items()}
        for choice, item in self._items.items():
            item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
            item.setCheckState(Qt.CheckState.Checked if choice in ticked else Qt.CheckState.Unchecked)
            self.list.addItem(item)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        about = WrappedLabel()
        about.setText(hint)
        about.setVisible(bool(hint))
        layout = QVBoxLayout(self)
        for widget in (about, self.words, self.list, buttons):
            layout.addWidget(widget)
        self.words.textChanged.connect(self._filter)
        self.resize(340, 420)

    def value(self) -> tuple[T, ...]:
        """Return what is ticked, also what the filter hides."""
        return tuple(one for one, item in self._items.items() if item.checkState() == Qt.CheckState.Checked)

    def _filter(self, words: str) -> None:
        for item in self._items.values():
            item.setHidden(words.strip().casefold() not in item.text().casefold())
