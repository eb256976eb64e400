"""The section "Models × images": tick models, choose images, compare, look, and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QLabel, QWidget

from ...errors import FinetuneError
from ...text import first_of
from ..session.dock import Panel
from ..session.known_models import ask_for_model
from ..session.session import Session
from ..session.shortcuts import bind_keys
from ..widgets.editors import ChoiceBox
from ..widgets.file_dialogs import ask_for_file, may_replace
from ..widgets.layout import in_column, in_row, menu_button, push_button, tipped
from ..widgets.tick_dialog import TickDialog
from ..widgets.wrapped_label import WrappedLabel
from .controller import CompareController
from .curve_controller import CurveController
from .export import MOST_ROWS, is_drawing, save_canvas, save_figures, save_table
from .model_list import ModelList
from .score_table import ScoreView
from .view import ComparisonView
from .view_controls import ViewControls

_CHOOSE = "choose"
_FIGURES = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"


class ComparePanel(Panel):
    """Everything about a comparison but its learning curve."""

    def __init__(self, session: Session, curve: CurveController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self._curve = session, curve
        self.comparing = session.shared(CompareController)
        self.shown = ComparisonView(self.comparing)
        self.models = ModelList()
        self.images = tipped(ChoiceBox([]), "The images to compare on; only those with a mask can be scored.")
        self.add = push_button("Add file…", "Also compare a model from another folder.")
        self.compare = push_button(
            "Compare", "Predict with every ticked model on all these images; earlier predictions are kept."
        )
        self.export = push_button("Export ▾", "Save a figure, the canvas, or the table.")
        self.problem, self.without_base, self.stale = WrappedLabel(), WrappedLabel(), WrappedLabel()
        self._score = QLabel("Score")
        self.scores, self.controls = ScoreView(self.comparing), ViewControls(self.shown)
        self._lay_out()
        self._connect()
        self._on_listed()
        self._on_changed()
        self.shown.bring_back()
        self.destroyed.connect(self.shown.layers.abandon)  # napari does not say when its window goes

    def _lay_out(self) -> None:
        models, images = (
            in_row(QLabel("Models"), None, self.add),
            in_row(self.images, self.compare, stretch=self.images),
        )
        scores = in_row(self._score, self.scores.score, None, self.export)
        self.setLayout(
            in_column(
                models, self.models, self.without_base, images, self.problem, scores, self.scores, self.stale,
                self.controls, None, stretch=self.scores,
            )
        )  # fmt: skip
        self.menu = menu_button(
            self.export,
            (
                ("Figure of this image…", "", self._save_figure_of_shown),
                (f"Figure of all images (at most {MOST_ROWS})…", "", self._save_figure_of_all),
                ("Canvas as shown…", "", self._save_canvas),
                ("Table as CSV…", "", self._save_table),
            ),
        )

    def _connect(self) -> None:
        comparing = self.comparing
        self.models.changed.connect(lambda: comparing.choose_models(self.models.value()))
        self.images.changed.connect(self._on_images_chosen)
        self.add.clicked.connect(self._add_file)
        self.compare.clicked.connect(lambda: comparing.compare())
        self.scores.cell_chosen.connect(self.shown.show)
        self.keep(self.shown, self.controls)
        self.listen(comparing.listed, self._on_listed)
        self.listen(comparing.changed, self._on_changed)
        self.listen(self.shown.changed, self._on_shown)
        self.listen(self.session.jobs.changed, self._on_slot_changed)
        for signal in (self.session.mask_saved, self.session.channels_changed):
            self.listen(signal, self._show_stale)
        self.listen(self._curve.ended, self._on_curve_ended)
        bind_keys(self, self.shown.keys)

    def _on_listed(self) -> None:
        comparing = self.comparing
        self.models.set_entries(comparing.entries, comparing.chosen, comparing.colors)
        self.without_base.setText(comparing.without_base)
        self.without_base.setVisible(bool(comparing.without_base))
        chosen = comparing.image_set
        with QSignalBlocker(self.images):
            self.images.clear()
            for one in comparing.sets:
                self.images.addItem(one.text, one.key)
            if chosen is not None:
                self.images.addItem("Choose…", _CHOOSE)
                self.images.set_value(chosen.key)
        self._on_slot_changed()
        self._show_stale()

    def _on_changed(self) -> None:
        self.scores.refresh()
        for widget in (self.export, self.controls, self.scores, self.scores.score, self._score):
            widget.setVisible(bool(self.comparing.cells))
        self._show_export()
        self._show_stale()

    def _on_shown(self) -> None:
        self.scores.mark(self.shown.image or "", self.shown.label)

    def _on_slot_changed(self) -> None:
        problem = self.comparing.problem
        self.compare.setEnabled(not problem)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self._show_export()

    def _show_export(self) -> None:
        """Show that a figure is being drawn, so that nobody asks for it twice."""
        drawing = is_drawing(self.comparing)
        self.export.setText("Drawing…" if drawing else "Export ▾")
        self.export.setEnabled(bool(self.comparing.cells) and not drawing)

    def _on_curve_ended(self, study: object) -> None:
        """Tick the models of a curve that has just ended, and compare them if nothing else is under way."""
        self.comparing.choose_study(study)  # type: ignore[arg-type]
        if not self.comparing.problem:
            self.comparing.compare()

    def _show_stale(self) -> None:
        if self.session.jobs.is_running:
            return
        stale = self.comparing.stale
        words = f"Masks have changed since: {first_of(stale)}. Press Compare to score them again." if stale else ""
        if self.comparing.is_of_other_channels:
            words = "These scores are of another channel. Press Compare to see those of the one that is chosen now."
        self.stale.setText(words)
        self.stale.setVisible(bool(words))

    def _on_images_chosen(self) -> None:
        key, project = self.images.value(), self.session.project
        if key != _CHOOSE or project is None:
            self.comparing.choose_images(key)
            return
        chosen = self.comparing.image_set
        images = {one.name: f"{one.name}   ● mask" if one.is_annotated else one.name for one in project.images}
        picker = TickDialog("Images to compare on", images, chosen.names if chosen else (), self)
        if picker.exec() and picker.value():
            self.comparing.choose_names(picker.value())
        else:
            self._on_listed()
        picker.deleteLater()

    def _add_file(self) -> None:
        if (path := ask_for_model(self)) is not None:
            self.comparing.add_file(path)

    def _save_figure_of_shown(self) -> None:
        if self.shown.image is None:
            self.session.tell("No image is shown. Click a cell of the table first.", "warning")
            return
        self._save_figure([self.shown.image], f"{self.shown.image}-comparison.png")

    def _save_figure_of_all(self) -> None:
        self._save_figure(list(self.comparing.images), "comparison.png")

    def _save_figure(self, names: list[str], suggestion: str) -> None:
        """Save a figure, and the learning curve beside it if there is one."""
        path = self._ask(suggestion, _FIGURES)
        if path is None:
            return
        study = self._curve.study if self._curve.study is not None and self._curve.study.rows else None
        curve = path.with_stem(f"{path.stem}-learning-curve") if study is not None else None
        if curve is not None and not may_replace(self, curve):
            curve = None
        self._try(
            lambda: save_figures(
                self.comparing, names, path, study=study.path if study is not None and curve else None, curve=curve
            )
        )

    def _save_canvas(self) -> None:
        path = self._ask("canvas.png", "PNG (*.png)")
        if path is not None:
            self._try(lambda: save_canvas(self.comparing, path), f"Saved {path}.")

    def _save_table(self) -> None:
        path = self._ask("comparison.csv", "CSV (*.csv)")
        if path is not None:
            self._try(lambda: save_table(self.comparing, path), f"Saved {path}.")

    def _ask(self, suggestion: str, kinds: str) -> Path | None:
        return ask_for_file(self, "Save", suggestion, kinds)

    def _try(self, save: Callable[[], None], done: str = "") -> None:
        try:
            save()
        except FinetuneError as error:
            self.session.fail(error)
            return
        if done:
            self.session.tell(done)
