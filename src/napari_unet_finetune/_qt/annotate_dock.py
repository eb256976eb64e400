"""The dock "Annotate and finetune": five sections, one of them open, over a footer that stays in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import FinetuneConfig
from .annotate.panel import AnnotatePanel
from .finetune.panel import FinetunePanel
from .images.panel import ImagesPanel
from .model.panel import ModelPanel
from .questions.panel import QuestionsPanel
from .session.dock import Dock, open_dock
from .session.run_footer import RunFooter
from .widgets.accordion import Accordion

if TYPE_CHECKING:
    import napari.viewer

IMAGES, ANNOTATE, MODEL, FINETUNE, QUESTIONS = range(5)


class AnnotateAndFinetuneWidget(Dock):
    """Open a dataset, annotate some of its images, choose a model, finetune it, and ask about all of them."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        session = self.session
        self.images, self.annotate = ImagesPanel(session), AnnotatePanel(session)
        self.model, self.finetune = ModelPanel(session), FinetunePanel(session)
        self.questions = QuestionsPanel(session)
        self.footer = RunFooter(session, above=self.finetune.interrupted)
        self.accordion = Accordion()
        for title, panel in (
            ("1  Images", self.images),
            ("2  Annotate", self.annotate),
            ("3  Model", self.model),
            ("4  Finetune", self.finetune),
            ("5  Questions", self.questions),
        ):
            self.accordion.add(title, panel)
        self.accordion.open(IMAGES)
        self.fill(self.accordion, self.footer)
        self.keep(self.images, self.annotate, self.model, self.finetune, self.questions, self.footer)
        self.listen(session.models_changed, self._show_outcome)
        self.images.view.open_requested.connect(lambda _name: self.accordion.open(ANNOTATE))
        self.finetune.compare_requested.connect(lambda: open_dock(napari_viewer, "Compare models"))
        self.finetune.predict_requested.connect(lambda: self._predict_all(napari_viewer))
        self.finetune.weighed.connect(lambda: self.accordion.show_part(FINETUNE, self.finetune.outcome.weighing))
        self.finetune.annotate_requested.connect(lambda: self.accordion.open(ANNOTATE))
        self.questions.rescale_requested.connect(lambda factor: self._use_setting("rescale", factor))
        self.questions.penalty_requested.connect(lambda weight: self._use_setting("false_positive_weight", weight))

    def _show_outcome(self) -> None:
        """Bring the button into view, and below it what came of a training."""
        self.accordion.show_top(FINETUNE)

    def _predict_all(self, viewer: napari.viewer.Viewer) -> None:
        """Predict all images of the dataset with the model that is chosen, after the one that is shown."""
        predict = open_dock(viewer, "Predict").predict
        predict.source.set_value("dataset")
        predict.start_when_free()

    def _use_setting(self, name: str, value: float) -> None:
        """Write what an answer advises into the settings of a training, and show them."""
        settings, title = self.finetune.settings, FinetuneConfig.model_fields[name].title
        if settings.config is None:
            self.session.tell(f"{title} was not changed: {settings.problem}", "warning")
            return
        settings.set_value(settings.config.model_copy(update={name: value}))
        settings.show_setting(name)
        self.session.tell(f"{title} is now {value:g} for the next finetuning.")
        self.accordion.open(FINETUNE)
