"""A dialog in which images of the dataset are ticked one by one."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from ..data.project_image import ProjectImage


class ImagePicker(QDialog):
    """Shows names of images, those with a mask marked, with a filter."""

    def __init__(self, images: Sequence[ProjectImage], ticked: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Images to compare on")
        self.words, self.list = QLineEdit(), QListWidget()
        self.words.setPlaceholderText("filter by name")
        self.words.setClearButtonEnabled(True)
        for image in images:
            item = QListWidgetItem(f"{image.name}   ● mask" if image.is_annotated else image.name)
            item.setData(Qt.ItemDataRole.UserRole, image.name)
            item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
            item.setCheckState(Qt.CheckState.Checked if image.name in ticked else Qt.CheckState.Unchecked)
            self.list.addItem(item)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        for widget in (self.words, self.list, buttons):
            column.addWidget(widget)
        self.words.textChanged.connect(self._filter)
        self.resize(340, 420)

    def value(self) -> tuple[str, ...]:
        """Return the names that are ticked, also of images that the filter hides."""
        return tuple(
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in self._items()
            if item.checkState() == Qt.CheckState.Checked
        )

    def _filter(self, words: str) -> None:
        for item in self._items():
            item.setHidden(words.strip().casefold() not in str(item.data(Qt.ItemDataRole.UserRole)).casefold())

    def _items(self) -> list[QListWidgetItem]:
        return [item for row in range(self.list.count()) if (item := self.list.item(row)) is not None]
