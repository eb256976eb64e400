"""The dock "Predict": apply a model to images, stacks and folders, and measure what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QGroupBox, QScrollArea, QVBoxLayout, QWidget

from .predict.controller import predict_controller_of
from .predict.files_panel import FilesPanel
from .predict.measure_panel import MeasurePanel
from .predict.objects_panel import ObjectsPanel
from .predict.panel import PredictPanel
from .session.dock import Dock
from .session.run_footer import RunFooter
from .widgets.layout import in_column

if TYPE_CHECKING:
    import napari.viewer


class PredictWidget(Dock):
    """Predict, tune what becomes an object, measure, and save."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        session = self.session
        predicting = predict_controller_of(session)
        self.predict = PredictPanel(session, predicting)
        self.files = FilesPanel(predicting.files)
        self.objects = ObjectsPanel(session, predicting)
        self.measure = MeasurePanel(session, predicting.measuring)
        self.footer = RunFooter(session, has_curve=False)
        self._lay_out()
        self.keep(self.predict, self.files, self.objects, self.measure, self.footer)

    def _lay_out(self) -> None:
        measure = _group("Measure", self.measure)
        measure.setVisible(self.measure.can_measure)
        self.measure.refreshed.connect(lambda: measure.setVisible(self.measure.can_measure))
        sections = in_column(
            _group("Images and model", self.predict, self.files), _group("What becomes an object", self.objects),
            measure, None,
        )  # fmt: skip
        sections.setContentsMargins(4, 4, 4, 4)
        inside = QWidget()
        inside.setLayout(sections)
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        self.fill(scroll, self.footer)


def _group(title: str, *panels: QWidget) -> QGroupBox:
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    for panel in panels:
        layout.addWidget(panel)
    return group
