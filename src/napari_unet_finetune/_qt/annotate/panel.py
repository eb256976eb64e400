"""The section "Annotate": go from image to image, start from a prediction, say that there is nothing, undo removals."""

from __future__ import annotations

from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel

from ...colors import BACKGROUND_STROKE, PAINTED
from ...data.masks import BACKGROUND
from ...errors import FinetuneError
from ...project.image import mask_text
from ..session.dock import Panel
from ..session.session import Session
from ..session.shortcuts import CanvasKeys, bind_keys
from ..widgets.file_dialogs import confirm
from ..widgets.layout import in_column, in_row, push_button, tipped
from ..widgets.wrapped_label import WrappedLabel
from .annotation import annotation_of, image_keys
from .first_guess import start_from_prediction
from .helping import Helping
from .paint import OBJECT, is_painted

_PATCH_PX = 12
_DENSE = "Paint the objects, all with label 1 or each with its own. What you do not paint is background."
_SPARSE = "Paint some background and some object, with the buttons below. What you do not paint stays unknown."
_HELP = (
    "<b>Shift+click</b> adds the object that the model finds there, or removes a painted one. <b>Shift+drag</b> shows "
    "the prediction within a rectangle only; your paint stays. After a <b>right click</b>, circle an object: back at "
    "the start, it is filled."
)


class AnnotatePanel(Panel):
    """What one does with the image that is shown; the brush is napari's own.

    Parameters
    ----------
    session
        What the docks share.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, self._annotation = session, annotation_of(session)
        self.title, self.state, self.hint = WrappedLabel(), QLabel(), WrappedLabel()
        self.problem, self.removed = WrappedLabel(), WrappedLabel()
        self.previous_button = push_button("◀ Previous", "Save, and show the previous image (Page Up, or Shift+N)")
        self.next_button = push_button("Save && next ▶", "Save, and show the next image (Page Down, or N)")
        self.jump_button = push_button(
            "Next to annotate", "Show an image that is suggested or, if there is none, one without a mask"
        )
        self.guess_button = push_button(
            "Start from prediction", "Let the current model find the objects, then correct what it gets wrong"
        )
        self.accept_button = push_button(
            "Accept prediction", "Count the prediction as the mask of this image, for you have looked at it (A)"
        )
        self.empty_button = push_button(
            "No object here", "Annotate this image as having no objects; that is worth learning too"
        )
        self.remove_button = push_button(
            "Remove mask", "Remove the mask of this image; the file is moved aside, not deleted"
        )
        self.undo_button = push_button("Undo", "Bring the removed mask back")
        self.background_button = push_button("Background", "Paint background strokes")
        self.object_button = push_button("Object", "Paint object strokes")
        self.dense_box = tipped(
            QCheckBox("Unpainted = background"),
            "On: what is not painted is background. Off: a few strokes will do; what is not painted is not used.",
        )
        self._lay_out()
        self._connect()
        self.keep(CanvasKeys(session.viewer, image_keys(self._annotation)), Helping(self._annotation))
        self._refresh()

    def confirm(self, question: str, yes: str) -> bool:
        """Ask before anything that was painted changes."""
        return confirm(self, "Annotate", question, yes)

    def _lay_out(self) -> None:
        for brush, color in ((self.background_button, BACKGROUND_STROKE), (self.object_button, PAINTED)):
            patch = QPixmap(_PATCH_PX, _PATCH_PX)
            patch.fill(QColor(color))  # the color of the label, whatever the theme
            brush.setIcon(QIcon(patch))
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        grid = QGridLayout()
        for place, one in enumerate((
            self.previous_button, self.next_button, self.jump_button, self.guess_button, self.empty_button,
            self.remove_button, self.accept_button,
        )):  # fmt: skip
            grid.addWidget(one, place // 2, place % 2)
        brushes, undo = in_row(self.background_button, self.object_button), in_row(self.removed, self.undo_button)
        self.setLayout(
            in_column(self.title, self.state, grid, self.dense_box, self.hint, brushes, undo, self.problem, spacing=6)
        )

    def _connect(self) -> None:
        session, annotation = self._session, self._annotation
        for signal in (
            session.project_changed, session.images_changed, session.mask_saved, session.current_changed,
            session.jobs.changed, annotation.changed,
        ):  # fmt: skip
            self.listen(signal, self._refresh)
        self.previous_button.clicked.connect(annotation.previous)
        self.next_button.clicked.connect(annotation.next)
        self.jump_button.clicked.connect(annotation.next_to_annotate)
        self.guess_button.clicked.connect(self._on_guess)
        self.accept_button.clicked.connect(annotation.accept)
        self.empty_button.clicked.connect(self._on_empty)
        self.remove_button.clicked.connect(self._on_remove)
        self.undo_button.clicked.connect(annotation.undo_remove)
        self.dense_box.clicked.connect(self._on_dense)
        self.background_button.clicked.connect(lambda: self._paint_with(BACKGROUND))
        self.object_button.clicked.connect(lambda: self._paint_with(OBJECT))
        bind_keys(self, image_keys(annotation))

    def _refresh(self) -> None:
        project, name = self._session.project, self._session.current
        image = project.image(name) if project and name else None
        is_sparse = bool(project and project.sparse)
        self.title.setText(
            name or ("Double-click an image in the table to open it." if project else "Open a folder first.")
        )
        is_unsaved = self._annotation.unsaved == name
        self.state.setText("" if image is None else "◐ painting" if is_unsaved else _state(mask_text(image)))
        self.state.setVisible(image is not None)
        self.hint.setText(f"{_SPARSE if is_sparse else _DENSE} {_HELP}")
        self.dense_box.setChecked(not is_sparse)
        for widget in (self.previous_button, self.next_button, self.jump_button, self.dense_box):
            widget.setEnabled(project is not None)
        for widget in (self.guess_button, self.empty_button):
            widget.setEnabled(image is not None)
        self.guess_button.setEnabled(image is not None and not self._session.jobs.is_running)
        self.remove_button.setEnabled(image is not None and (image.mask is not None or is_unsaved))
        self.accept_button.setVisible(image is not None and image.is_predicted)
        for widget in (self.background_button, self.object_button):
            widget.setVisible(is_sparse)
        self._refresh_notes()

    def _refresh_notes(self) -> None:
        removed, problem = self._annotation.removed, self._annotation.problem
        names = removed[0].name if len(removed) == 1 else f"{len(removed)} images"
        self.removed.setText(f"The mask of {names} is removed." if removed else "")
        self.problem.setText(f"⚠ Not saved: {problem}" if problem else "")
        can_undo = any(one.file for one in removed)
        for widget, is_shown in ((self.removed, removed), (self.undo_button, can_undo), (self.problem, problem)):
            widget.setVisible(bool(is_shown))

    def _on_guess(self) -> None:
        name = self._session.current
        layer = self._annotation.layer
        if name is None or (layer is None and not self._annotation.open(name)):
            return
        layer = self._annotation.layer
        question = f"{name} is painted already. Add what the model finds where nothing is painted?"
        if layer is not None and is_painted(layer) and not self.confirm(question, "Add to what is painted"):
            return
        try:
            start_from_prediction(self._annotation)
        except FinetuneError as error:
            self._session.fail(error)

    def _on_empty(self) -> None:
        layer, name = self._annotation.layer, self._session.current
        question = f"{name} is painted. Erase that, and mark it as having no objects?"
        if layer is None or not is_painted(layer) or self.confirm(question, "Erase"):
            self._annotation.mark_empty()

    def _on_remove(self) -> None:
        if self._session.current is not None:
            self._annotation.remove_masks([self._session.current])

    def _on_dense(self, is_dense: bool) -> None:
        self._annotation.set_sparse(not is_dense)
        self._refresh()

    def _paint_with(self, label: int) -> None:
        layer = self._annotation.layer
        if layer is not None:
            layer.selected_label, layer.mode = label, "paint"


def _state(text: str) -> str:
    """Return the two lines of the table as one."""
    return ", ".join(line.strip() for line in text.splitlines())
