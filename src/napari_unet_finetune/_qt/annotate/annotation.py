"""What opening, painting, going on and removing do: the images of a dataset, one at a time in the viewer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from ...data.masks import BACKGROUND
from ...errors import FinetuneError
from ...project.guess import Guess
from ...project.image import ProjectImage, to_annotate
from ...project.project import Origin, Project
from ...project.shared_record import FolderGoneError
from ...text import count_of, first_of, verb_for
from ..layers.frames import channel_axis
from ..layers.layers import PLANE, show_image
from ..layers.redraw import drawn_later
from ..session.known_models import name_of_model
from ..session.listener import Listener
from ..session.session import Session
from ..session.shortcuts import Actions
from ..session.stage import Place
from .autosave import Autosave
from .paint import (
    IMAGE,
    OBJECT,
    PAINTING,
    Brush,
    Histories,
    History,
    color_by_meaning,
    disown_copies,
    fill_with,
    new_painting,
    repaint,
    show_whole,
)

if TYPE_CHECKING:
    from napari.layers import Image, Labels


_logger = logging.getLogger(__name__)
_STILL_THERE = "What you painted is still in the viewer; File > Save Selected Layers… keeps it elsewhere."


@dataclass(frozen=True)
class Removed:
    """A mask that was removed: moved to `file`, None if its file was gone already, so that it cannot come back."""

    name: str
    file: Path | None
    origin: Origin
    made_by: str = ""


def move_aside(project: Project, names: Iterable[str]) -> Iterator[Removed]:
    """Remove the masks of images one by one; raises `DataError` where that fails."""
    for image in map(project.image, names):
        if image.mask is not None:
            yield Removed(image.name, project.remove_labels(image.name), image.origin, image.made_by)


def bring_back(project: Project, removed: Iterable[Removed]) -> Iterator[str]:
    """Restore masks one by one, except where there is a new one meanwhile; raises `DataError` where that fails."""
    for one in removed:
        if one.file is not None and project.image(one.name).mask is None:
            project.restore_labels(one.name, one.file, one.origin, one.made_by)
            yield one.name


_MOST_TRIED = 5  # a whole disk may be gone
_LOOK_MS = 2000  # how often it is looked whether another window has changed the dataset


class Annotation(Listener):
    """Shows one image of the dataset with a layer to paint its mask in, and sees to it that the paint is saved.

    Only layers made here are changed or removed. It stays for as long as the session: whoever goes on painting after
    the dock was closed has that saved as well. Get it with `annotation_of`.
    """

    changed = Signal()  # what is unsaved, what can be undone, or the layer

    def __init__(self, session: Session) -> None:
        self.session = session
        self.order: Callable[[], Sequence[str]] = self.names
        self.removed: tuple[Removed, ...] = ()
        self._is_released = False
        self._autosave: Autosave | None = None
        self._kind = (False, False, False, 1)
        self._image: Image | None = None
        self._brush: Brush | None = None
        self._histories = Histories()
        self.listen(session.about_to_read_files, self.save)
        self.listen(session.channels_changed, self._show_channel)
        self.listen(session.viewer.dims.events.ndisplay, lambda: session.look_at_message())
        self.listen(self.changed, session.look_at_message)
        session.stage.join(Place.IMAGE, self)
        self.at_release(lambda: session.stage.leave(self))
        self.listen(session.viewer.layers.events.removed, self._on_layer_removed)
        self._gone: Project | None = None  # the dataset whose folder is gone, of which the user knows
        self._look = QTimer()
        self._look.timeout.connect(self.catch_up)
        self.at_release(self._look.stop)
        self._look.start(_LOOK_MS)

    @property
    def layer(self) -> Labels | None:
        """The layer that is painted in, if it is in the viewer."""
        autosave = self._autosave
        return autosave.layer if autosave and autosave.layer in self.session.viewer.layers else None

    @property
    def unsaved(self) -> str | None:
        """Name of the image whose paint is not on disk yet."""
        return self._autosave.name if self._autosave and self._autosave.is_unsaved else None

    @property
    def problem(self) -> str:
        """Why the last save failed; empty if it did not."""
        return self._autosave.problem if self._autosave else ""

    @property
    def after_current(self) -> list[str]:
        """All other images in the order of the table, beginning behind the current one."""
        order, current = list(self.order()), self.session.current
        if current not in order:
            return order
        place = order.index(current)
        return order[place + 1 :] + order[:place]

    @property
    def waiting(self) -> list[ProjectImage]:
        """The images without a mask, but for the current one, in the order in which they come next."""
        project, current = self.session.project, self.session.current
        if project is None:
            return []
        return to_annotate(project.image(name) for name in self.after_current if name != current)

    def names(self) -> tuple[str, ...]:
        """Return the names of all images in their own order."""
        return self.session.project.names if self.session.project else ()

    def open(self, name: str) -> bool:
        """Show the image called `name`, ready for painting, and tell whether that worked; if not, the user is told."""
        if not self.save():
            return False
        try:
            self._check_there()
            if not self._is_shown(name):
                with drawn_later():
                    self._show(name)
        except FinetuneError as error:
            self.session.fail(error)
            return False
        self.session.current = name
        self.changed.emit()
        if self.session.viewer.dims.ndisplay != PLANE:
            in_space = "The viewer shows three dimensions. Switch it to two to paint."
            self.session.tell(in_space, "warning", holds=lambda: self.session.viewer.dims.ndisplay != PLANE)
        return True

    def open_first(self, names: Sequence[str]) -> bool:
        """Open the first of `names` that can be read, and tell whether there is one; the user is told of the others."""
        try:
            self._check_there()
        except FinetuneError as error:  # once, and not for each of the images
            self.session.fail(error)
            return False
        return self.save() and any(self.open(name) for name in names[:_MOST_TRIED])

    def next(self) -> bool:
        """Go to the next image in the order of the table; at its end, begin anew."""
        return self.open_first(self.after_current)

    def previous(self) -> bool:
        """Go to the image before."""
        return self.open_first(self.after_current[::-1])

    def next_to_annotate(self) -> bool:
        """Go to the next image that is suggested or, if none is, to the next without a mask."""
        if self.session.project is None:
            return False
        waiting = self.waiting
        if not waiting:
            self.session.tell("All images are annotated.", holds=lambda: not self.waiting)
        return self.open_first([image.name for image in waiting])

    def save(self) -> bool:
        """Save what is painted now, and tell whether it is on disk."""
        if self._autosave is None or self._autosave.save():
            return True
        self.session.tell(f"{self._autosave.problem} {_STILL_THERE}", "error", holds=lambda: bool(self.problem))
        return False

    def mark_empty(self) -> bool:
        """Annotate the current image as one without any object, and tell whether that is saved."""
        autosave = self._painting()
        if autosave is None:
            return False
        fill_with(autosave.layer, BACKGROUND if autosave.project.sparse else 0)
        return autosave.save(even_if_empty=True)

    def begin_guess(self, added: NDArray[np.bool_]) -> None:
        """Count the mask of the current image, whose pixels `added` were predicted, as not looked at yet."""
        if self._autosave is not None:
            self._autosave.begin_guess(added, name_of_model(self.session, self.session.predictor))

    @property
    def guess(self) -> Guess | None:
        """The prediction with which the mask of the current image began, as far as that is known."""
        return self._autosave.guess if self._autosave else None

    def accept(self) -> None:
        """Count the prediction that is the mask of the current image as looked at."""
        autosave = self._autosave
        if autosave is None or not self.save() or not autosave.project.image(autosave.name).is_predicted:
            return
        try:
            autosave.accept()
        except FinetuneError as error:
            self.session.fail(error)
            return
        project, name = autosave.project, autosave.name
        self.session.tell(
            f"{name}: the prediction is accepted and counts as its mask. It cannot judge the model that made it.",
            holds=lambda: self.session.project is project and project.image(name).origin == "accepted",
        )

    def accept_all(self, names: Iterable[str]) -> None:
        """Count the predictions among the masks of these images as looked at."""
        project, autosave = self.session.project, self._autosave
        if project is None or not self.save():
            return
        predicted = [name for name in names if project.image(name).is_predicted]
        try:
            project.accept(predicted)
            if autosave is not None and autosave.name in predicted:
                autosave.accept()
        except FinetuneError as error:
            self.session.fail(error)
            return
        what = f"{count_of(len(predicted), 'prediction')} {verb_for(len(predicted), 'be')} accepted"
        self.session.tell(f"{what} and {verb_for(len(predicted), 'count')} as annotated.")
        self.session.images_changed.emit()
        self.changed.emit()

    def remove_masks(self, names: Iterable[str]) -> None:
        """Move masks aside; `undo_remove` brings them back."""
        project = self.session.project
        if project is None or not self.save():
            return
        removed: list[Removed] = []
        try:
            removed.extend(move_aside(project, names))
        except FinetuneError as error:
            self.session.fail(error)
        self.removed = tuple(removed)
        self.reload([one.name for one in removed])

    def undo_remove(self) -> None:
        """Bring back what was removed last, except where there is a new mask meanwhile."""
        project, removed = self.session.project, self.removed
        if project is None or not self.save():
            return
        restored: list[str] = []
        try:
            restored.extend(bring_back(project, removed))
        except FinetuneError as error:
            self.session.fail(error)
        self.removed = ()
        self.reload(restored)

    def set_sparse(self, sparse: bool) -> None:
        """Choose whether unpainted pixels are unknown or background; no mask changes with it."""
        project, layer = self.session.project, self.layer
        if project is None or not self.save():
            return
        try:
            project.sparse = sparse
        except FinetuneError as error:
            self.session.fail(error)
        if layer is not None:
            color_by_meaning(layer, sparse=sparse)
            if not sparse and layer.selected_label == BACKGROUND:
                layer.selected_label = OBJECT
        if bare := _without_background(project):
            self.session.tell(
                f"{count_of(bare, 'mask')} {verb_for(bare, 'have')} no strokes of background yet.",
                holds=lambda: _without_background(project) == bare,
            )
        self.session.images_changed.emit()
        self.changed.emit()

    def catch_up(self) -> None:
        """Show what another window has changed of this dataset; paint that is not saved stays."""
        project, unsaved = self.session.project, self.unsaved
        if project is None:
            return
        channels = project.channels
        try:
            news = project.catch_up([] if unsaved is None else [unsaved])
        except FolderGoneError as error:
            if self._gone is not project:
                self._gone = project
                self.session.tell(f"{error} {_STILL_THERE}", "warning", holds=lambda: self._gone is project)
            return
        except FinetuneError as error:
            _logger.warning("%s", error)  # it may be written at this moment; saving tells it if it stays so
            return
        if self._gone is not None:
            self._gone = None
            self.session.look_at_message()
        if news.masks:
            self.reload(news.masks)
            what = "the mask" if len(news.masks) == 1 else "masks"
            self.session.tell(f"Another window has changed {what} of {first_of(news.masks)}, as it is shown here now.")
        elif news.images:
            self.session.images_changed.emit()
        if project.channels != channels:
            self.session.channels_changed.emit()
            self.session.tell("Another window has chosen another channel for this dataset; it holds here too.")

    def reload(self, names: Iterable[str]) -> None:
        """Show masks that were changed on disk, by anything else than painting."""
        current = self.session.current
        names = set(names)
        self._histories.forget(names)
        if current in names and self.layer is not None:
            self._drop_layer()
            self.open(current)
        self.session.images_changed.emit()
        self.changed.emit()

    def follow(self, name: str) -> None:
        """Do nothing: what is shown was shown from here."""

    def clear(self) -> None:
        """Take the layers of the former dataset away; its last paint is saved where it belongs."""
        if self.save():
            self._drop_layer()
        self._let_go()
        self._histories.clear()
        self._brush, self.removed = None, ()
        disown_copies(self.session.viewer, self._image)
        if self._image is not None and self._image in self.session.viewer.layers:
            self.session.viewer.layers.remove(self._image)
        self._image = None
        self.changed.emit()

    def release(self) -> None:
        """Save, and let go of the viewer; the layers stay there and are the user's from now on."""
        if self._is_released:
            return
        self._is_released = True
        self.save()
        super().release()
        self._let_go()
        disown_copies(self.session.viewer)

    def _is_shown(self, name: str) -> bool:
        is_painted = self.layer is not None and self._autosave is not None and self._autosave.name == name
        return is_painted and self._image in self.session.viewer.layers

    def _check_there(self) -> None:
        if self.session.project is not None:
            self.session.project.check_there()

    def _painting(self) -> Autosave | None:
        """Return what saves the layer that is painted in, which is put into the viewer again if it was deleted."""
        if self.layer is None and (self.session.current is None or not self.open(self.session.current)):
            return None
        return self._autosave

    def _show(self, name: str) -> None:
        """Show an image and its painting layer instead of those before.

        Raises
        ------
        DataError
            If one of the files cannot be read; then nothing has changed.
        """
        project, viewer = self.session.project, self.session.viewer
        assert project is not None
        pixels, labels = project.read_image(name), project.read_labels(name)
        size = pixels.array.shape[-2:]
        stored = np.zeros(size, np.uint16) if labels is None else labels
        layer = self.layer
        if layer is None or History.of(layer) is None:
            self._drop_layer()
            layer = None
        else:
            self._let_go()
        disown_copies(viewer, self._image, layer)
        before, self._image = self._image, show_image(viewer, IMAGE, name, pixels, below=PAINTING)
        if self._image is not before:
            self._show_channel()
        history = self._histories.take(name, stored)
        if layer is None:
            layer = new_painting(name, stored, pixels)
            if history.undo or history.redo:
                history.give_to(layer)
            viewer.layers.append(layer)
            (self._brush or Brush.first(size)).apply(layer)
        else:
            repaint(layer, name, history, pixels)
        color_by_meaning(layer, sparse=project.sparse)
        viewer.layers.selection.active = layer
        show_whole(viewer, layer)
        self._autosave = Autosave(project, name, layer, labels)
        self._kind = self._kind_of(name)
        self._autosave.saved.connect(self._on_saved)
        self._autosave.met_another.connect(self._on_met_another)
        self._autosave.changed.connect(self.changed.emit)

    def _show_channel(self) -> None:
        """Move the slider of the channels to the one that is chosen."""
        dims, image, chosen = self.session.viewer.dims, self._image, self.session.channels
        axis = None if image is None else channel_axis(image)
        if image is not None and axis is not None and chosen is not None and chosen.method == "channel":
            dims.set_current_step(dims.ndim - image.ndim + axis, chosen.channel)

    def _drop_layer(self) -> None:
        """Take the painting layer out of the viewer; what can be undone is kept."""
        autosave = self._let_go()
        if autosave is None:
            return
        self._brush = Brush.of(autosave.layer)
        if autosave.layer in self.session.viewer.layers:
            self.session.viewer.layers.remove(autosave.layer)

    def _let_go(self) -> Autosave | None:
        autosave, self._autosave = self._autosave, None
        if autosave is not None:
            autosave.close()
            self._histories.keep(autosave.name, autosave.layer)
        return autosave

    def _on_saved(self, name: str) -> None:
        """Tell those who count images and regions with a mask, or with objects, only if one is new or gone."""
        before, self._kind = self._kind, self._kind_of(name)
        if before == self._kind:
            self.session.mask_saved.emit(name)
        else:
            self.session.images_changed.emit()

    def _on_met_another(self, name: str, aside: Path) -> None:
        self.session.tell(
            f"Another window or program has changed the mask of {name} meanwhile. Yours is saved; that one is kept in "
            f"{aside}.",
            "warning",
        )

    def _kind_of(self, name: str) -> tuple[bool, bool, bool, int]:
        """Return whether an image is annotated, or predicted, and whether with an object, and in how many regions."""
        assert self._autosave is not None
        image = self._autosave.project.image(name)
        return image.is_annotated, image.is_predicted, bool(image.foreground), len(image.pieces)

    def _on_layer_removed(self, event: Any) -> None:
        """Save the paint of a layer that the user deletes; it is made anew when its image is opened again."""
        if self._autosave is not None and event.value is self._autosave.layer:
            self.save()
            self.changed.emit()


def _without_background(project: Project) -> int:
    """Return how many masks of a dataset of strokes have none of background; 0 where unpainted is background."""
    return sum(image.is_annotated and not image.background_px for image in project.images if project.sparse)


def annotation_of(session: Session) -> Annotation:
    """Return what the panels of `session` share for annotating, made for the first of them."""
    return session.shared(Annotation)


def image_keys(annotation: Annotation) -> Actions:
    """Return the keys that go from image to image, and accept a prediction."""
    return {
        "PageDown": annotation.next,
        "N": annotation.next,
        "PageUp": annotation.previous,
        "Shift-N": annotation.previous,
        "A": annotation.accept,
    }
