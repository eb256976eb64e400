"""The box in the table with which the role of an image, or of all selected images, is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import QAbstractItemModel, QModelIndex, Qt
from qtpy.QtWidgets import QComboBox, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from ..data.project import ROLES, Role
from .image_table import ROLE_TIPS


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
