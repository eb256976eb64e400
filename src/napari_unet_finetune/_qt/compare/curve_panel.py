"""The section "Learning curve": how many images are enough, and what is forgotten."""

from __future__ import annotations

from typing import get_args

from qtpy.QtWidgets import (
    QLineEdit,
    QSpinBox,
    QWidget,
)

from ...config import FinetuneConfig, PresetName
from ...errors import FinetuneError
from ...evaluation.rows import Row
from ...project.curve_plan import COUNTS, CurvePlanning, parse_counts
from ..session.dock import Panel
from ..session.session import Session, tells_errors
from ..session.settings import default_device
from ..widgets.curves import LearningCurve
from ..widgets.editors import ChoiceBox
from ..widgets.file_dialogs import ask_for_file
from ..widgets.layout import in_column, in_form, in_row, push_button, tipped
from ..widgets.path_box import PathBox
from ..widgets.wrapped_label import WrappedLabel
from .controller import CompareController
from .curve_controller import CurveController
from .export import save_figures

_MOST_SEEDS = 9
_FIGURES = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"
_NOT_HERE = "from scratch"  # every model of a curve begins with the base


class CurvePanel(Panel):
    """Starts a learning curve and shows the last one."""

    def __init__(
        self, session: Session, curve: CurveController, comparing: CompareController, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.session, self.curve, self._comparing = session, curve, comparing
        self.counts = tipped(
            QLineEdit(", ".join(map(str, COUNTS))), "How many annotated images to train with, one training each."
        )
        self.seeds = tipped(QSpinBox(), "Trainings per number of images; their spread shows how much is chance.")
        names = [(name, name) for name in get_args(PresetName) if name != _NOT_HERE]
        self.preset = tipped(ChoiceBox(names), "Settings of every training.")
        self.old = tipped(
            PathBox("Folder of old images and their masks"),
            "To see what is forgotten: a folder with old images, in <i>images</i> and <i>masks</i>; the last 10 images "
            "are tested. Left empty, the patches that the base carries are tested.",
        )
        self.plan, self.words, self.chart = WrappedLabel(), WrappedLabel(), LearningCurve()
        self.start = push_button("Train all", "Train and test one model after the other in the background.")
        self.resume = push_button("Resume", "Continue the curve below from where it was interrupted.")
        self.save = push_button("Save chart…", "Save the chart as a figure.")
        self._lay_out()
        self._connect()
        self.refresh()

    @property
    def config(self) -> FinetuneConfig:
        """The settings of each training."""
        return FinetuneConfig(preset=self.preset.value(), device=default_device())

    def refresh(self) -> None:
        """Show what a curve would use, and what the last one says."""
        self._show_plan()
        rows = self._draw()
        self.chart.setVisible(bool(rows))
        self.words.setText("\n".join(self.curve.sentences))
        self.words.setVisible(bool(rows))
        self.save.setVisible(bool(rows))
        self.resume.setVisible(self.curve.is_interrupted)
        self.resume.setEnabled(not self.session.trainings.is_running)

    def _lay_out(self) -> None:
        self.seeds.setRange(1, _MOST_SEEDS)
        self.seeds.setValue(1)
        self.old.set_hint("patches of the base")
        fields = in_form(
            ("Images", self.counts), ("Seeds", self.seeds), ("Preset", self.preset), ("Old images", self.old)
        )  # fmt: skip
        self.setLayout(
            in_column(
                fields, self.plan, in_row(self.start, self.resume), self.chart, self.words, self.save, None,
                stretch=self.chart, spacing=5,
            )
        )  # fmt: skip

    def _connect(self) -> None:
        self.counts.textChanged.connect(lambda _text: self._show_plan())
        self.seeds.valueChanged.connect(lambda _value: self._show_plan())
        self.preset.changed.connect(self._show_plan)
        self.old.changed.connect(self._show_plan)
        self.start.clicked.connect(self._start)
        self.resume.clicked.connect(lambda: self.curve.resume())
        self.save.clicked.connect(lambda: self._save_chart())
        self.listen(self.curve.changed, self.refresh)
        self.listen(self._comparing.listed, self._draw)  # its models may have colors now
        self.listen(self.session.images_changed, self._show_plan)

    def _draw(self) -> tuple[Row, ...]:
        """Show the curve, and return what it is made of."""
        rows = self.curve.study.rows_and_patches if self.curve.study is not None else ()
        self.chart.set_rows(rows, self.curve.colors(self._comparing.colors))
        return rows

    def _planned(self) -> CurvePlanning:
        try:
            return self.curve.plan(parse_counts(self.counts.text()), self.seeds.value())
        except FinetuneError as error:
            return CurvePlanning(problem=str(error))

    def _show_plan(self) -> None:
        planning = self._planned()
        old = self.old.value()
        problem = planning.problem
        if not problem and old is not None and not old.is_dir():
            problem = f"{old}: there is no such folder."
        duration = self.curve.duration(len(planning.counts) * self.seeds.value(), self.config)
        self.plan.setText(problem or "\n".join(filter(None, (*planning.sentences, duration))))
        self.start.setEnabled(not problem)

    def _start(self) -> None:
        self.curve.start(parse_counts(self.counts.text()), self.seeds.value(), self.config, self.old.value())

    @tells_errors
    def _save_chart(self) -> None:
        study = self.curve.study
        path = ask_for_file(self, "Save the chart", "learning-curve.png", _FIGURES)
        if path is None or study is None:
            return
        save_figures(self._comparing, [], None, study=study.path, curve=path)
