"""Save what is painted in one layer: soon after each edit, in the background, and at once when it is asked for."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from ...errors import FinetuneError
from ...project.guess import Guess
from ...project.project import Origin, Project, SavedMask
from ..session.listener import Listener
from ..session.worker import Work, in_background
from .paint import differs, is_painted, snapshot

if TYPE_CHECKING:
    from napari.layers import Labels

PAUSE_MS = 1000  # without an edit, before it is saved
LONGEST_WAIT_S = 10.0  # also while the painting goes on
_POLL_S = 0.002


class Autosave(Listener):
    """Keeps the mask of one image on disk equal to what is painted in its layer.

    A layer without any paint is no mask: an image is annotated as empty only when the user says so.

    Parameters
    ----------
    project, name
        The image.
    layer
        Its painting layer.
    on_disk
        Its mask as it is stored; None if there is none.
    """

    saved = Signal(str)  # the mask on disk is another one now, or gone; the name of the image
    met_another = Signal(str, object)  # another window has painted the image too; its name, and where that mask is now
    changed = Signal()  # there is, or no longer is, something unsaved, or saving failed

    def __init__(self, project: Project, name: str, layer: Labels, on_disk: NDArray[np.uint16] | None) -> None:
        self.project, self.name, self.layer = project, name, layer
        self.is_unsaved = False
        self.problem = ""
        image = project.image(name)
        self.guess = Guess.of(on_disk, image.origin, image.made_by)
        self._on_disk: NDArray[np.uint16] = np.zeros(layer.data.shape, np.uint16) if on_disk is None else on_disk
        self._since = 0.0
        self._writing: _Writing | None = None
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._on_timeout)
        self.listen(layer.events.paint, self._on_paint)
        for event in (layer.events.labels_update, layer.events.set_data, layer.events.reload):
            self.listen(event, self._on_touched)  # undo and redo emit nothing but these

    def save(self, *, even_if_empty: bool = False) -> bool:
        """Save what is painted now, and tell whether it is on disk; if not, `problem` says why.

        Parameters
        ----------
        even_if_empty
            Save a layer without paint as a mask without objects.
        """
        self._timer.stop()
        overtaken = self._overtake()
        labels = snapshot(self.layer)
        try:
            if labels.any() or even_if_empty:
                if overtaken or even_if_empty or not np.array_equal(labels, self._on_disk):
                    mask = self.project.write_labels(self.name, labels, *self._origin(labels))
                    self.project.keep(mask)
                    self._entered(labels, mask.aside)
            elif overtaken or self._on_disk.any():
                self._remove()
            self.project.write_record()  # in case a thread is about to
        except FinetuneError as error:
            self._failed(error)
            return False
        self._settle()
        return True

    def begin_guess(self, added: NDArray[np.bool_], made_by: str) -> bool:
        """Save what is painted now as a prediction of the model `made_by`, which painted the pixels `added`.

        Return what `save` returns.
        """
        before = self.project.image(self.name).origin
        self.guess = Guess(snapshot(self.layer), added, before, self.guess, made_by=made_by)
        return self.save()

    def accept(self) -> None:
        """Count a prediction as looked at; raises `DataError` if the disk does not take that."""
        self.project.accept([self.name])
        if self.guess is not None:
            self.guess = self.guess.accepted()
        self.saved.emit(self.name)

    def close(self) -> None:
        """Let go of the layer; what is unsaved stays so."""
        self._timer.stop()
        self._overtake()
        self.release()

    def _on_paint(self) -> None:
        if not self.is_unsaved:
            self.is_unsaved = True
            self.changed.emit()
        self._on_touched()

    def _on_touched(self) -> None:
        now = time.monotonic()
        if not self._timer.isActive():
            self._since = now
        if now - self._since < LONGEST_WAIT_S:
            self._timer.start()

    def _on_timeout(self) -> None:
        if self._writing is not None:
            self._timer.start()
        elif not differs(self.layer, self._on_disk):
            self._settle()
        elif not is_painted(self.layer):
            self.save()
        else:
            self._write_aside(snapshot(self.layer))

    def _write_aside(self, labels: NDArray[np.uint16]) -> None:
        try:
            origin = self._origin(labels)
        except FinetuneError as error:
            self._failed(error)
            return
        self._writing = writing = _Writing(self.project, self.name, labels, *origin)
        writing.work = Work(
            writing.events,
            title=f"Saving the mask of {self.name}",
            on_end=lambda mask: self._on_written(writing, mask),
            on_error=lambda error: self._on_write_failed(writing, error),
            on_abort=lambda: self._on_written(writing, None),
        )

    def _on_written(self, writing: _Writing, mask: SavedMask | None) -> None:
        if writing is not self._writing:  # a later save has overtaken it
            return
        self._writing = None
        if mask is None:
            return
        self.project.enter(mask)
        self._entered(writing.labels, mask.aside)
        self._write_record_aside()
        if not self._timer.isActive():
            self._settle()

    def _write_record_aside(self) -> None:
        in_background(
            self.project.write_record,
            title="Saving the record of the dataset",
            on_end=lambda _none: None,
            on_error=self._on_error,
        )

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, FinetuneError):
            raise error
        self._failed(error)

    def _on_write_failed(self, writing: _Writing, error: Exception) -> None:
        if writing is not self._writing:
            return
        self._writing = None
        self._on_error(error)

    def _overtake(self) -> bool:
        """Make sure that no earlier save writes from now on, and tell whether one may have written."""
        writing, self._writing = self._writing, None
        if writing is None:
            return False
        writing.is_overtaken = True
        while writing.work is not None and writing.work.is_running:
            time.sleep(_POLL_S)  # it is about to end: one file is being written
        return True

    def _origin(self, labels: NDArray[np.uint16]) -> tuple[Origin, str]:
        """Return how a mask came about, and which model has made it."""
        if self.guess is not None:
            origin, made_by = self.guess.origin_of(labels), self.guess.maker_of(labels)
        else:
            was_corrected = self.project.image(self.name).origin == "corrected"
            origin, made_by = "corrected" if was_corrected else "painted", ""
        self.project.expect(self.name, origin)
        return origin, made_by

    def _entered(self, labels: NDArray[np.uint16], aside: Path | None) -> None:
        self._on_disk = labels
        if aside is not None:
            self.met_another.emit(self.name, aside)
        self.saved.emit(self.name)

    def _remove(self) -> None:
        self.project.remove_labels(self.name)
        self._on_disk = np.zeros_like(self._on_disk)
        self.saved.emit(self.name)

    def _settle(self) -> None:
        self.is_unsaved, self.problem = False, ""
        self.changed.emit()

    def _failed(self, error: FinetuneError) -> None:
        self.is_unsaved, self.problem = True, str(error)
        self.changed.emit()


class _Writing:
    """One mask on its way to the disk."""

    def __init__(self, project: Project, name: str, labels: NDArray[np.uint16], origin: Origin, made_by: str) -> None:
        self.labels = labels
        self.is_overtaken = False
        self.work: Work[SavedMask | None] | None = None
        self._arguments = (project, name, origin, made_by)

    def events(self) -> Generator[None, None, SavedMask | None]:
        """Write the file, unless a later save has overtaken this one."""
        project, name, origin, made_by = self._arguments
        yield
        if self.is_overtaken:
            return None
        return project.write_labels(name, self.labels, origin, made_by)
