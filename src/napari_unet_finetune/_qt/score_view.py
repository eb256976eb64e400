"""The table of scores as a widget: which score, sorted by the worst, a cell to click."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableView, QVBoxLayout, QWidget

from .comparing import Comparing
from .editors import ChoiceBox
from .score_table import KEY, SCORES, ScoreTable

_ROWS_SHOWN = 6
_ROW_PX = 24


class ScoreView(QWidget):
    """Shows `ScoreTable`; `cell_chosen` is emitted with an image and a model."""

    cell_chosen = Signal(str, str)

    def __init__(self, comparing: Comparing) -> None:
        super().__init__()
        self.table = ScoreTable(comparing, self)
        self.view = QTableView()
        self.score = ChoiceBox([(title, key) for key, (title, _) in SCORES.items()])
        self.key = QLabel(KEY)
        self._shown = ("", "")
        self._set_up()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.view, stretch=1)
        layout.addWidget(self.key)
        self.score.changed.connect(lambda: self._refresh(self.table.set_score, self.score.value()))
        self.view.clicked.connect(self._on_clicked)
        self.view.activated.connect(self._on_clicked)
        header = self.view.horizontalHeader()
        assert header is not None
        header.sectionClicked.connect(self._on_header_clicked)

    def refresh(self) -> None:
        """Show the scores anew."""
        self._refresh()

    def mark(self, image: str, label: str) -> None:
        """Mark the cell that is shown in the viewer."""
        self._shown = (image, label)
        place = self.table.place_of(image, label)
        if place.isValid():
            self.view.setCurrentIndex(place)
        else:
            self.view.clearSelection()

    def _set_up(self) -> None:
        for key, (_, tip) in SCORES.items():
            self.score.setItemData(self.score.findData(key), tip, Qt.ItemDataRole.ToolTipRole)
        self.score.setToolTip("Which score the table shows.")
        self.key.setWordWrap(True)
        self.key.setSizePolicy(self.key.sizePolicy().Policy.Ignored, self.key.sizePolicy().Policy.Preferred)
        view = self.view
        view.setModel(self.table)
        view.setAccessibleName("Scores of models on images")
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setTabKeyNavigation(False)
        view.setMinimumHeight(_ROWS_SHOWN * _ROW_PX)
        rows, columns = view.verticalHeader(), view.horizontalHeader()
        assert rows is not None
        assert columns is not None
        rows.setDefaultSectionSize(_ROW_PX)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        columns.setSectionsClickable(True)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setMinimumSectionSize(52)
        view.setCornerButtonEnabled(False)

    def _refresh(self, change: object = None, *arguments: object) -> None:
        if callable(change):
            change(*arguments)
        else:
            self.table.refresh()
        self.key.setVisible(self.table.rowCount() > 0)
        self.mark(*self._shown)

    def _on_clicked(self, index: QModelIndex) -> None:
        name, column = self.table.at(index)
        if name is not None:
            self.cell_chosen.emit(name, column.label)

    def _on_header_clicked(self, section: int) -> None:
        _, column = self.table.at(self.table.index(0, section))
        label = None if self.table.sorted_by == column.label else column.label
        self._refresh(self.table.sort_by, label)
