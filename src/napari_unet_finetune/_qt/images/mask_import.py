"""From the click to the imported masks: of a folder or a file, or of layers, each by way of a dialog."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from ...project.mask_import import ImportPlan, plan_import
from ...text import count_of
from ..annotate.annotation import Annotation
from ..session.session import Session
from ..session.worker import Work, in_background
from .import_dialog import ImportDialog
from .labels_dialog import LabelsDialog, labels_choices
from .take_dialog import TakeDialog


class MaskImportController:
    """Imports masks into the dataset that is open, and shows them.

    Parameters
    ----------
    session, annotation
        What the docks share.
    parent
        The panel over which the dialogs open.
    """

    def __init__(self, session: Session, annotation: Annotation, parent: QWidget) -> None:
        self._session, self._annotation, self._parent = session, annotation, parent
        self._planning: Work[ImportPlan] | None = None
        self._is_released = False

    @property
    def is_busy(self) -> bool:
        """Whether masks are being paired with images."""
        return self._planning is not None

    def from_files(self, masks: Path) -> None:
        """Pair the masks in a folder or a file with the images, and show the pairing."""
        project = self._session.project
        if project is None or self.is_busy or not self._annotation.save():
            return

        self._planning = in_background(
            lambda: plan_import(project, masks),
            title="Pairing masks",
            on_end=self._show_plan,
            on_error=self._on_no_plan,
        )

    def from_layers(self) -> None:
        """Show which Labels layers of this viewer can become masks of which images."""
        project, choices = self._session.project, labels_choices(self._session.viewer)
        if project is None:
            first = "Open a dataset first, for instance with Use open layers."
            self._session.tell(first, holds=lambda: self._session.project is None)
        elif not choices:
            self._session.tell("There is no Labels layer in this viewer but those of this plugin. Open or draw one.")
        elif self._annotation.save():
            self._open(LabelsDialog(project, self._session.current, choices, self._parent))

    def release(self) -> None:
        """Open no dialog any more."""
        self._is_released = True

    def _show_plan(self, plan: ImportPlan) -> None:
        self._planning = None
        project = self._session.project
        if project is not None and not self._is_released and self._annotation.save():
            self._open(ImportDialog(project, plan, self._parent))

    def _on_no_plan(self, error: Exception) -> None:
        self._planning = None
        self._session.fail(error)

    def _open(self, dialog: TakeDialog) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.finished.connect(lambda _result: self._on_imported(dialog))
        dialog.open()

    def _on_imported(self, dialog: TakeDialog) -> None:
        imported = dialog.imported
        if imported.names:
            self._annotation.reload(imported.names)
            refused = f", {len(imported.refused)} refused" if imported.refused else ""
            self._session.tell(f"{count_of(len(imported.names), 'mask')} imported{refused}.")
