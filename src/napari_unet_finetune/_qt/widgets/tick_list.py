"""A list of which any number can be ticked, and a dialog around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QLineEdit, QListWidget, QListWidgetItem, QWidget

from .layout import in_column

_KEY = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class Tick:
    """A row: what it stands for, its text, whether it is ticked, what the mouse is told, and a picture."""

    key: Any
    text: str
    is_on: bool = False
    tip: str = ""
    picture: QPixmap | None = None


class TickList(QListWidget):
    """Rows that can be ticked; `changed` is emitted when the user ticks one."""

    changed = Signal()

    def __init__(self, ticks: Iterable[Tick] = ()) -> None:
        super().__init__()
        self.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.set_ticks(ticks)
        self.itemChanged.connect(lambda _item: self.changed.emit())

    def set_ticks(self, ticks: Iterable[Tick]) -> None:
        """Show other rows, without telling anybody."""
        with QSignalBlocker(self):
            self.clear()
            for tick in ticks:
                item = QListWidgetItem(tick.text)
                if tick.picture is not None:
                    item.setIcon(QIcon(tick.picture))
                item.setData(_KEY, tick.key)
                item.setToolTip(tick.tip)
                item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                item.setCheckState(Qt.CheckState.Checked if tick.is_on else Qt.CheckState.Unchecked)
                self.addItem(item)

    def value(self) -> list[Any]:
        """Return what the ticked rows stand for, also of those that are hidden."""
        return [item.data(_KEY) for item in self._items() if item.checkState() == Qt.CheckState.Checked]

    def show_only(self, words: str) -> None:
        """Hide rows whose text does not hold `words`."""
        for item in self._items():
            item.setHidden(words.strip().casefold() not in item.text().casefold())

    def _items(self) -> list[QListWidgetItem]:
        return [item for row in range(self.count()) if (item := self.item(row)) is not None]


class TickDialog(QDialog):
    """Asks which rows of a list are wanted; they can be filtered.

    Parameters
    ----------
    title, hint
        Of the dialog, and what stands above the list.
    ticks
        The rows.
    """

    def __init__(self, title: str, ticks: Iterable[Tick], parent: QWidget | None = None, *, hint: str = "") -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.words, self.list = QLineEdit(), TickList(ticks)
        self.words.setPlaceholderText("filter by name")
        self.words.setClearButtonEnabled(True)
        self.words.textChanged.connect(self.list.show_only)
        about = QLabel(hint)
        about.setWordWrap(True)
        about.setVisible(bool(hint))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = in_column(about, self.words, self.list, buttons, spacing=6)
        layout.setContentsMargins(9, 9, 9, 9)
        self.setLayout(layout)
        self.resize(340, 420)
