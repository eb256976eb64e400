"""The table of images as a widget: sorted, filtered, with a menu for the rows that are selected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from psygnal import Signal
from qtpy.QtCore import (
    QAbstractItemModel,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QItemSelectionRange,
    QModelIndex,
    QPoint,
    QSize,
    Qt,
)
from qtpy.QtGui import QAction, QFont, QFontMetrics, QKeyEvent, QMouseEvent, QResizeEvent  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from ...project.project import ROLES, Role
from .table_model import ROLE_TIPS, Column, ImageFilter, ImageTableModel
from .thumbnails import THUMBNAIL_PX


class RoleDelegate(QStyledItemDelegate):
    """A combo box of roles.

    Parameters
    ----------
    on_chosen
        Called with the names of the images and their new role.
    names_for
        Returns the names of the images that an edit in a row is meant for.
    """

    def __init__(
        self,
        on_chosen: Callable[[Sequence[str], Role], object],
        names_for: Callable[[QModelIndex], Sequence[str]],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._on_chosen, self._names_for = on_chosen, names_for

    def createEditor(
        self,
        parent: QWidget | None,
        option: QStyleOptionViewItem,  # noqa: ARG002 - Qt's signature
        index: QModelIndex,  # noqa: ARG002 - Qt's signature
    ) -> QWidget:
        """Return a combo box that is done as soon as something is chosen."""
        box = QComboBox(parent)
        for place, role in enumerate(ROLES):
            box.addItem(role)
            box.setItemData(place, ROLE_TIPS[role], Qt.ItemDataRole.ToolTipRole)
        box.activated.connect(lambda _place: self._finish(box))
        return box

    def setEditorData(self, editor: QWidget | None, index: QModelIndex) -> None:
        """Show the role that the image has, and all others."""
        assert isinstance(editor, QComboBox)
        editor.setCurrentText(str(index.data(Qt.ItemDataRole.EditRole)))
        editor.showPopup()

    def setModelData(
        self,
        editor: QWidget | None,
        model: QAbstractItemModel | None,  # noqa: ARG002 - Qt's signature
        index: QModelIndex,
    ) -> None:
        """Set the role of all images that are meant."""
        assert isinstance(editor, QComboBox)
        chosen = next(role for role in ROLES if role == editor.currentText())
        names = self._names_for(index)
        if len(names) > 1 or chosen != index.data(Qt.ItemDataRole.EditRole):
            self._on_chosen(names, chosen)

    def _finish(self, box: QComboBox) -> None:
        self.commitData.emit(box)
        self.closeEditor.emit(box)


_ROW_MARGIN_PX = 4
_COLUMN_MARGIN_PX = 10
_WIDEST = {
    Column.SIZE: ("0000 × 0000",),
    Column.MASK: ("corrected · 00 %", "corrected · 0.0 %", "imported · 0.0 %"),
    Column.FOREGROUND: ("Object",),
    Column.ROLE: ("unused",),
    Column.DICE: ("Dice",),
}
_OPTIONAL = (Column.SIZE, Column.FOREGROUND)  # what they tell stands in the second lines, too, but cannot be sorted by
_NARROWEST_NAME_PX = 90
_ROWS_SHOWN = 8


def _runs(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of rows that follow each other."""
    for _, run in groupby(enumerate(rows), lambda one: one[1] - one[0]):
        places = [row for _, row in run]
        yield places[0], places[-1]


class ImageView(QTableView):
    """Rows of images; what the user wants done with them is emitted."""

    open_requested = Signal(str)  # name
    role_requested = Signal(list, str)  # names, role
    removal_requested = Signal(list)  # names
    accept_requested = Signal(list)  # names

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.images = ImageTableModel(self._request_role, self)
        self.filter = ImageFilter(self.images, self)
        self.setModel(self.filter)
        self._set_up()
        self._set_up_header()
        self.doubleClicked.connect(self._on_double_clicked)
        self.clicked.connect(self._on_clicked)

    @property
    def selected(self) -> list[str]:
        """Names of the images in the selected rows, from top to bottom."""
        selection = self.selectionModel()
        rows = selection.selectedRows() if selection else []
        return [self.filter.image_at(index).name for index in sorted(rows, key=lambda index: index.row())]

    def select(self, names: Sequence[str]) -> None:
        """Select the rows of `names` that are shown, and scroll to the first."""
        selection = self.selectionModel()
        assert selection is not None
        wanted, last = set(names), self.filter.columnCount() - 1
        rows = [row for row, name in enumerate(self.filter.names()) if name in wanted]
        chosen = QItemSelection()  # made whole, for each change of the model's selection looks at all that is selected
        for first, end in _runs(rows):
            chosen.append(QItemSelectionRange(self.filter.index(first, 0), self.filter.index(end, last)))
        selection.select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if rows:
            index = self.filter.index(rows[0], 0)
            selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
            self.scrollTo(index)

    def _set_up(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setItemDelegateForColumn(
            Column.ROLE, RoleDelegate(self._request_role, self._names_for, self)
        )  # fmt: skip
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self.setIconSize(QSize(THUMBNAIL_PX, THUMBNAIL_PX))
        self.setSortingEnabled(True)
        self.sortByColumn(Column.IMAGE, Qt.SortOrder.AscendingOrder)
        self.setShowGrid(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMinimumHeight(_ROWS_SHOWN * (THUMBNAIL_PX + _ROW_MARGIN_PX))
        rows = self.verticalHeader()
        assert rows is not None
        rows.hide()
        rows.setDefaultSectionSize(THUMBNAIL_PX + _ROW_MARGIN_PX)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)

    def _set_up_header(self) -> None:
        header = self.horizontalHeader()
        assert header is not None
        header.setMinimumSectionSize(THUMBNAIL_PX)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        for column in _OPTIONAL:
            self.setColumnHidden(column, True)
            action = QAction(f"Show column {self.images.headerData(column, Qt.Orientation.Horizontal)}", header)
            action.setCheckable(True)
            action.toggled.connect(lambda is_shown, column=column: self._show_column(column, is_shown=is_shown))
            header.addAction(action)

    def _show_column(self, column: Column, *, is_shown: bool) -> None:
        self.setColumnHidden(column, not is_shown)
        self._share_width()

    def selectionCommand(self, index: QModelIndex, event: QEvent | None = None) -> QItemSelectionModel.SelectionFlag:
        """Keep the selected rows when one of their uses is clicked, which is for all of them."""
        is_plain = isinstance(event, QMouseEvent) and event.modifiers() == Qt.KeyboardModifier.NoModifier
        selection = self.selectionModel()
        assert selection is not None
        if is_plain and index.column() == Column.ROLE and selection.isRowSelected(index.row(), index.parent()):
            return QItemSelectionModel.SelectionFlag.NoUpdate
        return super().selectionCommand(index, event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Open the current image on Enter."""
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open_current()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Share the width."""
        super().resizeEvent(event)
        self._share_width()

    def _share_width(self) -> None:
        """Give the names what the other columns leave; asking each of hundreds of rows for its width takes long."""
        viewport = self.viewport()
        assert viewport is not None
        rest = viewport.width()
        bold = QFont(self.font())  # the current row
        bold.setBold(True)
        metrics = QFontMetrics(bold)
        for column, texts in _WIDEST.items():
            width = max(map(metrics.horizontalAdvance, texts)) + _COLUMN_MARGIN_PX
            self.setColumnWidth(column, width)
            rest -= 0 if self.isColumnHidden(column) else width
        self.setColumnWidth(Column.IMAGE, max(rest, _NARROWEST_NAME_PX))

    def _names_for(self, index: QModelIndex) -> list[str]:
        """Return all selected images if the edited row is one of them, else its own."""
        name = self.filter.image_at(index).name
        return self.selected if name in self.selected else [name]

    def _request_role(self, names: Sequence[str], role: Role) -> None:
        self.role_requested.emit(list(names), role)

    def _open_current(self) -> None:
        if self.currentIndex().isValid():
            self.open_requested.emit(self.filter.image_at(self.currentIndex()).name)

    def _on_double_clicked(self, index: QModelIndex) -> None:
        if index.column() != Column.ROLE:
            self.open_requested.emit(self.filter.image_at(index).name)

    def _on_clicked(self, index: QModelIndex) -> None:
        if index.column() == Column.ROLE:
            self.edit(index)

    def _show_menu(self, position: QPoint) -> None:
        names = self.selected
        viewport = self.viewport()
        if names and viewport is not None:
            self.menu_for(names).popup(viewport.mapToGlobal(position))

    def menu_for(self, names: Sequence[str]) -> QMenu:
        """Return the menu of what can be done with images; it deletes itself when it closes."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.setToolTipsVisible(True)
        opening = menu.addAction("Open")
        removing = menu.addAction("Remove mask" if len(names) == 1 else f"Remove {len(names)} masks")
        self._offer_to_accept(menu, names)
        roles = menu.addMenu("Use for")
        assert opening is not None
        assert removing is not None
        assert roles is not None
        opening.triggered.connect(lambda: self.open_requested.emit(names[0]))
        removing.triggered.connect(lambda: self.removal_requested.emit(list(names)))
        roles.setToolTipsVisible(True)
        for role in ROLES:
            action = roles.addAction(role)
            assert action is not None
            action.setToolTip(ROLE_TIPS[role])
            action.triggered.connect(lambda _checked=False, role=role: self._request_role(names, role))
        return menu

    def _offer_to_accept(self, menu: QMenu, names: Sequence[str]) -> None:
        rows = (self.images.row_of(name) for name in names)
        count = sum(self.images.image_at(row).is_predicted for row in rows if row is not None)
        if count:
            accepting = menu.addAction("Accept prediction" if count == 1 else f"Accept {count} predictions")
            assert accepting is not None
            accepting.triggered.connect(lambda: self.accept_requested.emit(list(names)))
