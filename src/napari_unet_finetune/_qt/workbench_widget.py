"""The dock "Annotate and finetune": four sections, one of them open, over a footer that stays in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout

from .accordion import Accordion
from .annotate_panel import AnnotatePanel
from .dock import Dock
from .finetune_panel import FinetunePanel
from .images_panel import ImagesPanel
from .model_panel import ModelPanel
from .run_footer import RunFooter
from .windows import open_dock

if TYPE_CHECKING:
    import napari.viewer

IMAGES, ANNOTATE, MODEL, FINETUNE = range(4)


class AnnotateAndFinetuneWidget(Dock):
    """Open a dataset, annotate some of its images, choose a model and finetune it."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        session = self.session
        self.images, self.annotate = ImagesPanel(session), AnnotatePanel(session)
        self.model, self.finetune = ModelPanel(session), FinetunePanel(session)
        self.footer = RunFooter(session)
        self.accordion = Accordion()
        for title, panel in (
            ("1  Images", self.images),
            ("2  Annotate", self.annotate),
            ("3  Model", self.model),
            ("4  Finetune", self.finetune),
        ):
            self.accordion.add(title, panel)
        self.accordion.open(IMAGES)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.accordion, stretch=1)
        layout.addWidget(self.footer)
        self.keep(self.images, self.annotate, self.model, self.finetune, self.footer)
        session.models_changed.connect(self._show_outcome)
        self.images.view.open_requested.connect(lambda _name: self.accordion.open(ANNOTATE))
        self.finetune.compare_requested.connect(lambda: open_dock(napari_viewer, "Compare models"))
        self.finetune.predict_requested.connect(lambda: open_dock(napari_viewer, "Predict"))
        self.finetune.annotate_requested.connect(lambda: self.accordion.open(ANNOTATE))

    def release(self) -> None:
        """Let go of the session."""
        self.session.models_changed.disconnect(self._show_outcome, missing_ok=True)
        super().release()

    def _show_outcome(self) -> None:
        """Bring into view what came of a training."""
        self.accordion.show_top(FINETUNE)
