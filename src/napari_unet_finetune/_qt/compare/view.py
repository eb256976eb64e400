"""Which image of a comparison is shown, with which model and how; keys go from model to model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from psygnal import Signal

from ...events import ImageCompared
from ...text import number, times
from ..session.listener import Listener
from ..session.session import Session, tells_errors
from ..session.shortcuts import Actions, CanvasKeys
from ..session.stage import Place
from .controller import CompareController
from .layers import ComparisonLayers, Mode
from .picture import Picture, read_picture

PREVIOUS_KEY, NEXT_KEY = ",", "."


@dataclass(frozen=True)
class Shown:
    """What is shown: an image of a dataset, the model called `label`, and how."""

    dataset: Path
    image: str
    label: str
    mode: Mode


class Left:
    """What was shown when the view was put away; the session keeps it for the next one."""

    def __init__(self, _session: Session) -> None:
        self.shown: Shown | None = None


class ComparisonView(Listener):
    """Shows cells of the table of `comparing` in the viewer; `changed` is emitted when another one is shown."""

    changed = Signal()

    def __init__(self, comparing: CompareController) -> None:
        self.comparing = comparing
        self.session = comparing.session
        self.layers = ComparisonLayers(self.session.viewer)
        self.image: str | None = None
        self.label = ""
        self.mode: Mode = "overlay"
        self._left, self._is_away = self.session.shared(Left), False
        self._picture: Picture | None = None
        self._cells: tuple[ImageCompared | None, ...] = ()
        self.keep(self.layers, CanvasKeys(self.session.viewer, self.keys))
        self.listen(self.layers.left, self._on_left)
        self.listen(comparing.changed, self._on_cells_changed)
        self.session.stage.join(Place.COMPARISON, self)
        self.at_release(lambda: self.session.stage.leave(self))
        self.at_release(self.put_away)

    @property
    def keys(self) -> Actions:
        """The keys that go from model to model."""
        return {PREVIOUS_KEY: self.previous, NEXT_KEY: self.next}

    @property
    def words(self) -> str:
        """What is shown, in words; empty if nothing is."""
        if self.image is None:
            return ""
        cell = self.comparing.cell(self.label, self.image)
        if cell is None:
            return f"{self.image} · {self.label}: not predicted yet"
        if cell.error is not None:
            return f"{self.image} · {self.label}: {cell.error}"
        dice = "no mask to score with" if cell.dice is None else f"Dice {number(cell.dice)}"
        return f"{self.image} · {self.label} · {dice}{_area(cell)}"

    @tells_errors
    def show(self, image: str, label: str) -> None:
        """Show an image with a model; what keeps it from that is told."""
        project = self.session.project
        if project is None:
            return
        cells = tuple(self.comparing.cell(column.label, image) for column in self.comparing.columns)
        if self._picture is None or self.image != image or cells != self._cells:
            self.session.about_to_read_files.emit()
            self.comparing.require_labels([image])
            self._picture, self._cells = read_picture(self.comparing, project, image), cells
        self.image, self.label = image, label
        self.layers.show(self._picture, label, self.mode)
        self.changed.emit()

    def set_mode(self, mode: Mode) -> None:
        """Show models laid over the image, side by side, or the errors of one."""
        self.mode = mode
        if self.image is None:
            self._show_first()
        else:
            self._show_again()

    def set_truth(self, *, is_shown: bool) -> None:
        """Show the contour of the truth, or not."""
        self.layers.with_truth = is_shown
        self._show_again()

    def next(self) -> None:
        """Go to the next model on the same image; behind the last comes the first."""
        self._flick(1)

    def previous(self) -> None:
        """Go to the model before."""
        self._flick(-1)

    def clear(self) -> None:
        """Take the comparison out of the viewer."""
        self.layers.clear()
        self.image, self._picture = None, None
        self.changed.emit()

    def put_away(self) -> None:
        """Take the comparison out of the viewer until `bring_back` shows it again, be it another view's by then."""
        if self._is_away:
            return
        project, is_seen = self.session.project, self.layers.picture is not None
        if project is not None and self.image is not None and is_seen:
            self._left.shown = Shown(project.folder, self.image, self.label, self.mode)
        self._is_away = True
        self.clear()

    def bring_back(self) -> None:
        """Show what was put away last, if it is still of the comparison."""
        shown, self._left.shown, self._is_away = self._left.shown, None, False
        project, comparing = self.session.project, self.comparing
        if shown is None or project is None or shown.dataset != project.folder or shown.image not in comparing.images:
            return
        self.mode = shown.mode
        self.show(shown.image, shown.label if comparing.column(shown.label) else comparing.columns[0].label)

    def _flick(self, step: int) -> None:
        labels = [column.label for column in self.comparing.columns]
        if self.image is None or not labels:
            return
        place = labels.index(self.label) + step if self.label in labels else 0
        self.show(self.image, labels[place % len(labels)])

    def _show_first(self) -> None:
        """Show the first image with a score: those of another day are there before anything is shown."""
        cell = next(iter(self.comparing.cells.values()), None)
        if cell is not None:
            self.show(cell.image, cell.model)
        else:
            self.changed.emit()

    def _show_again(self) -> None:
        if self.image is not None:
            self.show(self.image, self.label)
        else:
            self.changed.emit()

    def _on_cells_changed(self) -> None:
        """Show a model as soon as it is predicted; of another comparison, nothing that was shown is left."""
        comparing = self.comparing
        if self.image is not None and self.image not in comparing.images:
            self.clear()
        if self.image is not None:
            cells = tuple(comparing.cell(column.label, self.image) for column in comparing.columns)
            if cells != self._cells and self.layers.picture is not None and any(cells):
                self.show(self.image, self.label if comparing.column(self.label) else comparing.columns[0].label)
        elif len(comparing.cells) == 1 and self.session.jobs.is_running and not self._is_away:
            (first,) = comparing.cells.values()
            self.show(first.image, first.model)

    def follow(self, _name: str) -> None:
        """Make room for the image that is annotated."""
        if self.layers.picture is not None:
            self.layers.hide()
            self.mode = "overlay" if self.mode == "grid" else self.mode
            self.changed.emit()

    def _on_left(self) -> None:
        self.mode = self.layers.mode
        self.changed.emit()


def _area(cell: ImageCompared) -> str:
    return "" if cell.area_ratio is None else f" · area {times(cell.area_ratio)} true"
