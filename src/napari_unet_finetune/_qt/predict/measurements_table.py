"""Measurements in two sortable tables, one row per object and one per image; a click leads to the object."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QLabel,
    QTableView,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from ...measure.objects import Measured, MeasuredRow, columns_of
from ...text import plain
from ..widgets.file_dialogs import ask_for_file
from ..widgets.layout import push_button

_SIZE = (800, 290)
_NOWHERE = QModelIndex()
RowAction = Callable[[MeasuredRow], object]
SaveAction = Callable[[tuple[MeasuredRow, ...], Path], object]


class RowsModel(QAbstractTableModel):
    """Rows of one kind; numbers sort as numbers."""

    def __init__(self, rows: tuple[MeasuredRow, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows, self.columns = rows, columns_of(rows)

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a value as text, as it is for sorting, or how it is aligned."""
        value = self.rows[index.row()].get(self.columns[index.column()], "")
        if role == Qt.ItemDataRole.DisplayRole:
            return plain(value) if isinstance(value, float) else str(value)
        if role == Qt.ItemDataRole.UserRole:
            return value
        if role == Qt.ItemDataRole.TextAlignmentRole and not isinstance(value, str):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | None:
        """Return the name of a column in words."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return _words(self.columns[section])


class RowsView(QTableView):
    """A sortable table of rows."""

    def __init__(self, rows: tuple[MeasuredRow, ...], on_row: RowAction) -> None:
        super().__init__()
        self._rows = RowsModel(rows, self)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self._rows)
        self._sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        if (header := self.verticalHeader()) is not None:
            header.setVisible(False)
        self.resizeColumnsToContents()
        selection = self.selectionModel()
        assert selection is not None
        selection.currentRowChanged.connect(lambda index, _: self._on_row(index, on_row))

    def row(self, number: int) -> MeasuredRow:
        """Return the row shown at `number`."""
        return self._rows.rows[self._sorted.mapToSource(self._sorted.index(number, 0)).row()]

    def _on_row(self, index: QModelIndex, on_row: RowAction) -> None:
        if index.isValid():
            on_row(self._rows.rows[self._sorted.mapToSource(index).row()])


class MeasurementsDialog(QDialog):
    """Both tables of one measurement.

    Parameters
    ----------
    measured
        What to show.
    on_row
        Called with a row that is clicked.
    on_save
        Called with the rows of a table and the file that the user wants them in.
    """

    def __init__(
        self, measured: Measured, on_row: RowAction, on_save: SaveAction, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Measurements")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._on_save = on_save
        self.tabs = QTabWidget()
        self.objects, self.images = RowsView(measured.objects, on_row), RowsView(measured.images, on_row)
        self._rows = (measured.objects, measured.images)
        frames = len(measured.images)
        self.tabs.addTab(self.objects, f"Objects ({len(measured.objects)})")
        self.tabs.addTab(self.images, f"{'Frames' if frames > 1 else 'Image'} ({frames})")
        save = push_button("Save as CSV…", "Save the table that is shown.")
        close = push_button("Close", "Close the table; what is not saved can be measured again.")
        save.clicked.connect(self._choose_file)
        close.clicked.connect(self.close)
        save.setAutoDefault(False)
        buttons = QHBoxLayout()
        buttons.addWidget(QLabel("Click a row to go to the object."), stretch=1)
        buttons.addWidget(save)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.tabs)
        layout.addLayout(buttons)
        self.resize(*_SIZE)

    def save(self, path: Path) -> None:
        """Save the table that is shown."""
        self._on_save(self._rows[self.tabs.currentIndex()], path)

    def _choose_file(self) -> None:
        name = ("objects.csv", "images.csv")[self.tabs.currentIndex()]
        path = ask_for_file(self, "Save measurements", Path.home() / name, "CSV (*.csv)")
        if path is not None:
            self.save(path)


def _words(column: str) -> str:
    """Return the name of a column as people write it: ``area (µm²)``."""
    for unit in ("um", "nm", "mm", "px"):
        for power, sign in (("2", "²"), ("", "")):
            if column.endswith(f"_{unit}{power}"):
                symbol = "µm" if unit == "um" else unit
                is_area = "area" in column
                name = column.removesuffix(f"_{unit}{power}").replace("_", " ")
                return f"{name} ({symbol}{sign or ('²' if is_area and unit != 'px' else '')})"
    return column.replace("_", " ")
