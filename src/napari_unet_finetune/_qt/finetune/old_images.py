"""Two folders, with images and masks of the old dataset, against forgetting; the masks or both may be left empty."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLineEdit, QPushButton, QWidget

from ...project.training_plan import OldImages

IMAGES_TIP = (
    "Folder with images of the data that the base model was trained on, or is good at. They are replayed, so that it "
    "stays good at them. Empty takes the patches that the base model carries."
)
MASKS_TIP = (
    "Folder with the masks of the old images: they are scored before and after, so that you see what is forgotten. "
    "Left empty, what the base model predicts in the old images is replayed, and nothing is scored."
)


class OldImagesForm(QWidget):
    """Folders of the old dataset."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.images, self.masks = QLineEdit(), QLineEdit()
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, edit, tip in (("Old images", self.images, IMAGES_TIP), ("Old masks", self.masks, MASKS_TIP)):
            layout.addRow(title, self._row(edit, title, f"<qt>{tip}</qt>"))
            edit.textChanged.connect(lambda _: self.changed.emit())

    @property
    def problem(self) -> str:
        """What is wrong with the folders, in a sentence; empty if nothing is."""
        images, masks = self._folder(self.images), self._folder(self.masks)
        if masks and not images:
            return "Old masks need their images. Choose the folder of old images too, or leave both empty."
        missing = [path for path in (images, masks) if path and not path.exists()]
        return f"{missing[0]}: there is no such folder." if missing else ""

    @property
    def value(self) -> OldImages | None:
        """The folders, None if they are empty."""
        images = self._folder(self.images)
        return OldImages(images, self._folder(self.masks)) if images and not self.problem else None

    @staticmethod
    def _folder(edit: QLineEdit) -> Path | None:
        return Path(edit.text()) if edit.text().strip() else None

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
