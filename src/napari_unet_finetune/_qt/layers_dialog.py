"""The dialog in which open layers are chosen to become a dataset."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from .opening import LayerChoice


class LayersDialog(QDialog):
    """A list of image layers with a box each."""

    def __init__(self, choices: Sequence[LayerChoice], parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Use open layers")
        self._choices = choices
        self.list = QListWidget()
        for choice in choices:
            item = QListWidgetItem(choice.text)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked)
            self.list.addItem(item)
        hint = QLabel(
            "Choose the layers whose images you want to annotate. A layer that was read from a file uses that file; "
            "others are copied, frame by frame, into a folder you choose."
        )
        hint.setWordWrap(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        for widget in (hint, self.list, buttons):
            layout.addWidget(widget)

    @property
    def chosen(self) -> list[LayerChoice]:
        """The layers whose box is ticked."""
        items = (self.list.item(row) for row in range(self.list.count()))
        ticked = [item is not None and item.checkState() == Qt.CheckState.Checked for item in items]
        return [choice for choice, is_ticked in zip(self._choices, ticked, strict=True) if is_ticked]
