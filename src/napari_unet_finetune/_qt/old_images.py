"""Two folders, with images and masks of the old dataset, against forgetting; both may be left empty."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLineEdit, QPushButton, QWidget

from ..runs.plan import OldImages


class OldImagesForm(QWidget):
    """Folders of the old dataset."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.images, self.masks = QLineEdit(), QLineEdit()
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        tip = (
            "Folder with {} of the data that the base model was trained on. They are replayed and scored before and "
            "after, so that you see what is forgotten. Empty takes the patches that the base model carries."
        )
        for title, edit, what in (("Old images", self.images, "images"), ("Old masks", self.masks, "the masks")):
            layout.addRow(title, self._row(edit, title, f"<qt>{tip.format(what)}</qt>"))
            edit.textChanged.connect(lambda _: self.changed.emit())

    @property
    def problem(self) -> str:
        """What is wrong with the folders, in a sentence; empty if nothing is."""
        named = [Path(edit.text()) for edit in (self.images, self.masks) if edit.text().strip()]
        if len(named) == 1:
            return "Old images need their masks, and old masks their images. Choose both folders or none."
        missing = [path for path in named if not path.exists()]
        return f"{missing[0]}: there is no such folder." if missing else ""

    @property
    def value(self) -> OldImages | None:
        """The folders, None if they are empty."""
        if not self.images.text().strip() or self.problem:
            return None
        return OldImages(Path(self.images.text()), Path(self.masks.text()))

    def _row(self, edit: QLineEdit, title: str, tip: str) -> QWidget:
        row, button = QWidget(), QPushButton("…")
        button.setFixedWidth(28)
        button.setAccessibleName(f"Choose the folder of {title.lower()}")
        button.clicked.connect(lambda: self._choose(edit, title))
        edit.setPlaceholderText("none")
        edit.setToolTip(tip)
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(edit, stretch=1)
        layout.addWidget(button)
        return row

    def _choose(self, edit: QLineEdit, title: str) -> None:
        folder = QFileDialog.getExistingDirectory(self, title, edit.text())
        if folder:
            edit.setText(folder)
