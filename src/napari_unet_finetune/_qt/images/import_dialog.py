"""The dialog in which masks from elsewhere are paired with images, corrected and imported."""

from __future__ import annotations

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ...io.images import ImageRef
from ...project.mask_import import Imported, ImportPlan, Taken, collect, enter_masks, take_masks
from ...project.project import Project
from ..session.worker import Work
from ..widgets.wrapped_label import WrappedLabel

NO_MASK = "– none –"
_TITLES = ("Image", "Mask", "Why")
_MASK_COLUMN = 1
_SIZE_PX = (640, 460)
_Index = QModelIndex | QPersistentModelIndex
_NOWHERE = QModelIndex()


class ImportDialog(QDialog):
    """Shows which mask goes to which image and why; a click on a mask chooses another one.

    Parameters
    ----------
    project, plan
        The dataset, and the pairing to begin with.
    parent
        The panel, whose theme it takes.
    """

    def __init__(self, project: Project, plan: ImportPlan, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Import masks")
        self.project, self.plan = project, plan
        self.imported = Imported()
        self._work: Work[tuple[Taken, ...]] | None = None
        self._is_stopped = False
        self._model = PlanModel(plan, self)
        self.table = QTableView()
        self.summary, self.progress = WrappedLabel(), QProgressBar()
        self.button = QPushButton("Import")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self._lay_out()
        self._model.dataChanged.connect(self._show_summary)
        self.button.clicked.connect(self._on_import)
        self._show_summary()

    def reject(self) -> None:
        """Close; masks that are imported already stay."""
        if self._work is not None:
            self._is_stopped = True
            return
        super().reject()

    def _lay_out(self) -> None:
        self.resize(*_SIZE_PX)
        self.table.setModel(self._model)
        self.table.setItemDelegate(_MaskDelegate(self.plan, self.table))
        self.table.setEditTriggers(QTableView.EditTrigger.AllEditTriggers)
        rows = self.table.verticalHeader()
        assert rows is not None
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)  # the reasons are long
        header = self.table.horizontalHeader()
        assert header is not None
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.progress.hide()
        self.buttons.addButton(self.button, QDialogButtonBox.ButtonRole.ActionRole)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        hint = WrappedLabel()
        hint.setText("Check which mask belongs to which image; click a mask to choose another one.")
        for widget in (hint, self.table, self.summary, self.progress, self.buttons):
            layout.addWidget(widget)

    def _show_summary(self) -> None:
        self.summary.setText(self.plan.summary)
        self.button.setText(f"Import {len(self.plan.pairs)}")
        self.button.setEnabled(bool(self.plan.pairs))

    def _on_import(self) -> None:
        pairs = self.plan.pairs
        self.table.setEnabled(False)
        self.button.setEnabled(False)
        self.progress.setRange(0, len(pairs))
        self.progress.setValue(0)
        self.progress.show()

        self._work = Work(
            lambda: collect(take_masks(self.project, pairs), lambda: self._is_stopped),
            title=f"Importing {len(pairs)} masks",
            on_event=self.progress.setValue,
            on_end=self._on_copied,
            on_error=self._on_failed,
        )

    def _on_copied(self, taken: tuple[Taken, ...]) -> None:
        self._work = None
        imported = enter_masks(self.project, taken)
        self.imported = Imported(imported.names, (*self.plan.misfits, *imported.refused))
        if self.imported.refused and not self._is_stopped:
            self._show_refused()
        else:
            self.accept()

    def _on_failed(self, error: Exception) -> None:
        self._work = None
        self.reject()
        raise error

    def _show_refused(self) -> None:
        self.summary.setText(self.imported.text)
        self.progress.hide()
        self.button.hide()
        self.buttons.setStandardButtons(QDialogButtonBox.StandardButton.Close)


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
