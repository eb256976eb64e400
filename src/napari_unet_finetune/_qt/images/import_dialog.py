"""The dialog in which masks from elsewhere are paired with images, corrected and imported."""

from __future__ import annotations

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from ...io.images import ImageRef
from ...project.mask_import import ImportPlan, take_masks
from ...project.project import Project
from .take_dialog import TakeDialog

NO_MASK = "– none –"
_TITLES = ("Image", "Mask", "Why")
_MASK_COLUMN = 1
_SIZE_PX = (640, 460)
_HINT = "Check which mask belongs to which image; click a mask to choose a different one."
_Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()


class ImportDialog(TakeDialog):
    """Shows which mask goes to which image and why; a click on a mask chooses another one.

    Parameters
    ----------
    project, plan
        The dataset, and the pairing to begin with.
    parent
        The panel, whose theme it takes.
    """

    def __init__(self, project: Project, plan: ImportPlan, parent: QWidget | None) -> None:
        self.plan, self.table = plan, QTableView()
        super().__init__(project, "Import masks", _HINT, (self.table,), parent)
        self._model = PlanModel(plan, self)
        self._set_up_table()
        self._model.dataChanged.connect(self._show_summary)
        self.button.clicked.connect(lambda: self.take(take_masks(project, plan.pairs), len(plan.pairs)))
        self._show_summary()

    def refused_before(self) -> tuple[str, ...]:
        """Return the masks that belong to no image of their size."""
        return self.plan.misfits

    def _set_up_table(self) -> None:
        self.resize(*_SIZE_PX)
        self.middle.addWidget(self.table)
        self.table.setModel(self._model)
        self.table.setItemDelegate(_MaskDelegate(self.plan, self.table))
        self.table.setEditTriggers(QTableView.EditTrigger.AllEditTriggers)
        rows, header = self.table.verticalHeader(), self.table.horizontalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)  # the reasons are long
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)

    def _show_summary(self) -> None:
        self.offer(len(self.plan.pairs), self.plan.summary)


class PlanModel(QAbstractTableModel):
    """The rows of an `ImportPlan`; its masks can be edited."""

    def __init__(self, plan: ImportPlan, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plan = plan

    def rowCount(self, parent: _Index = _NOWHERE) -> int:
        """Return the number of images."""
        return 0 if parent.isValid() else len(self._plan.rows)

    def columnCount(self, parent: _Index = _NOWHERE) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(_TITLES)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | None:
        """Return the title of a column."""
        is_title = orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole
        return _TITLES[section] if is_title else None

    def flags(self, index: _Index) -> Qt.ItemFlag:
        """Let masks be chosen."""
        flags = super().flags(QModelIndex(index))
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == _MASK_COLUMN else flags

    def data(self, index: _Index, role: int = Qt.ItemDataRole.DisplayRole) -> str | None:
        """Return what a cell shows."""
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.EditRole):
            return None
        row = self._plan.rows[index.row()]
        mask = row.mask.name if row.mask else NO_MASK
        return (row.image.name, mask, row.problem or row.reason)[index.column()]

    def choose(self, row: int, mask: ImageRef | None) -> None:
        """Give the image in `row` another mask, or none."""
        self._plan.choose(row, mask)
        self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, len(_TITLES) - 1))


class _MaskDelegate(QStyledItemDelegate):
    """A combo box of all masks."""

    def __init__(self, plan: ImportPlan, parent: QWidget) -> None:
        super().__init__(parent)
        self._plan = plan

    def createEditor(
        self,
        parent: QWidget | None,
        option: QStyleOptionViewItem,  # noqa: ARG002 - Qt's signature
        index: QModelIndex,  # noqa: ARG002 - Qt's signature
    ) -> QWidget:
        box = QComboBox(parent)
        box.addItems([NO_MASK, *(mask.name for mask in self._plan.masks)])
        box.activated.connect(lambda _place: self._finish(box))
        return box

    def setEditorData(self, editor: QWidget | None, index: QModelIndex) -> None:
        assert isinstance(editor, QComboBox)
        mask = self._plan.rows[index.row()].mask
        editor.setCurrentIndex(0 if mask is None else self._plan.masks.index(mask) + 1)
        editor.showPopup()

    def setModelData(self, editor: QWidget | None, model: object, index: QModelIndex) -> None:
        assert isinstance(editor, QComboBox)
        assert isinstance(model, PlanModel)
        place = editor.currentIndex()
        chosen = None if place == 0 else self._plan.masks[place - 1]
        if chosen != self._plan.rows[index.row()].mask:
            model.choose(index.row(), chosen)

    def _finish(self, box: QComboBox) -> None:
        self.commitData.emit(box)
        self.closeEditor.emit(box)
