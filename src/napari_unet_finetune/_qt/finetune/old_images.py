"""Two folders, with images and masks of the old dataset, against forgetting; the masks or both may be left empty."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ...project.training_plan import OldImages
from ..widgets.layout import in_form, tipped
from ..widgets.path_box import PathBox

IMAGES_TIP = (
    "Folder with images that the base model was trained on, or is good at. They are replayed, so that it stays good at "
    "them. Left empty, the patches that the base model carries are replayed."
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
        self.images, self.masks = PathBox("Choose the folder of old images"), PathBox("Choose the folder of old masks")
        self.setLayout(in_form(("Old images", self.images), ("Old masks", self.masks)))
        for box, tip in ((self.images, IMAGES_TIP), (self.masks, MASKS_TIP)):
            tipped(box.edit, tip)
            box.set_hint("none")
            box.changed.connect(self.changed)

    @property
    def problem(self) -> str:
        """What is wrong with the folders, in a sentence; empty if nothing is."""
        images, masks = self.images.value(), self.masks.value()
        if masks and not images:
            return "Old masks need their images. Choose the folder of old images too, or leave both empty."
        missing = [path for path in (images, masks) if path and not path.exists()]
        return f"{missing[0]}: there is no such folder." if missing else ""

    def set_value(self, old: OldImages | None) -> None:
        """Show these folders."""
        self.images.set_value(old.images if old else None)
        self.masks.set_value(old.masks if old else None)

    @property
    def value(self) -> OldImages | None:
        """The folders, None if they are empty."""
        images = self.images.value()
        return OldImages(images, self.masks.value()) if images and not self.problem else None
