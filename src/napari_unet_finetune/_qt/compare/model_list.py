"""The models to tick: each with its color and its label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from ..session.known_models import KnownModel
from .models import Colors
from .score_table import swatch

_ROWS_SHOWN = 5


class ModelList(QListWidget):
    """A list of models, any number of which can be ticked."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Models to compare")
        self.setToolTip("Tick the models to compare.")
        self.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.setMinimumHeight(self.sizeHint().height())
        self.setMaximumHeight(self.sizeHint().height())
        self.itemChanged.connect(lambda _item: self.changed.emit())

    def sizeHint(self) -> QSize:
        """Return the height of a few rows."""
        return QSize(200, _ROWS_SHOWN * (self.fontMetrics().height() + 6) + 6)

    def set_entries(self, entries: Sequence[KnownModel], chosen: Iterable[str], colors: Colors) -> None:
        """Show `entries`, those of `chosen` ticked."""
        ticked = set(chosen)
        with QSignalBlocker(self):
            self.clear()
            for entry in entries:
                item = QListWidgetItem(QIcon(swatch(colors.get(entry.model))), entry.label)
                item.setData(Qt.ItemDataRole.UserRole, entry.model)
                item.setToolTip(entry.tip)
                item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
                item.setCheckState(Qt.CheckState.Checked if entry.model in ticked else Qt.CheckState.Unchecked)
                self.addItem(item)

    def value(self) -> list[str]:
        """Return the models that are ticked."""
        items = [item for row in range(self.count()) if (item := self.item(row)) is not None]
        return [
            str(item.data(Qt.ItemDataRole.UserRole)) for item in items if item.checkState() == Qt.CheckState.Checked
        ]
