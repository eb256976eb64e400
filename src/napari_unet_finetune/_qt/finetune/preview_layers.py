"""What a training shows in the viewer: a preview of the current image as it learns, predictions when it has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...colors import PREDICTED
from ...config import PredictConfig
from ...errors import RunError
from ...events import Event, PreviewReady, how_seen, is_doubtful
from ..annotate.annotation import annotation_of
from ..annotate.paint import IMAGE, PAINTING
from ..layers.colors import steady
from ..layers.layers import (
    OURS,
    find_ours,
    placement_of,
    placement_of_pixels,
    remove_ours,
    selection_kept,
    show_labels,
    update_labels,
)
from ..layers.prediction import RUN_PREDICTION as PREDICTION
from ..layers.prediction import RUN_PREVIEW as PREVIEW
from ..layers.redraw import drawn_later
from ..session.predict_frames import above, predict_frames
from ..session.session import Session
from ..session.stage import Place

Labels = NDArray[np.uint8]


class RunLayers:
    """Keeps the layers `preview` and `prediction` on the image that is shown; what is painted in stays selected."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._found: dict[str, Labels] = {}
        self._shown: str | None = None  # the image whose prediction was shown from here
        self._waiting: tuple[str, PredictConfig] | None = None
        self._outcome = session.message  # what came of the training, while its first images are predicted
        session.stage.join(Place.TRAINING, self)
        session.jobs.changed.connect(self._predict_when_free)

    def watch(self) -> None:
        """Have the training that runs show the current image, unless it is large, which would take long."""
        job, project, current = self.session.trainings.job, self.session.project, self.session.current
        if job is not None:
            image = None if project is None or current is None else project.image(current)
            job.preview(None if image is None or image.is_large else image.ref)

    @property
    def about_large(self) -> str:
        """That the current image is not predicted by itself, in a sentence; empty if it is."""
        project, current = self.session.project, self.session.current
        if project is None or current is None or not project.image(current).is_large:
            return ""
        return f"{current} is large: what the model finds in it is shown by the dock Predict."

    def on_event(self, event: Event) -> None:
        """Show a preview, if it is of the image that is shown."""
        current = self.session.current
        if not isinstance(event, PreviewReady) or self.session.project is None or current is None:
            return
        if current != event.image or not event.file.is_file():
            return
        seen_by = f"step {event.step}" if event.step else "base model"
        self._show(PREVIEW, f"preview · {seen_by}", np.load(event.file))

    def finish(self, model: Path | None, config: PredictConfig) -> None:
        """Predict the current image and the next to annotate with a new `model`, or take the preview away."""
        self._found.clear()
        if model is None:
            remove_ours(self.session.viewer, PREVIEW)
        else:
            self._waiting = (str(model), config)
            self._predict_when_free()

    def follow(self, name: str) -> None:
        """Show the prediction of the image called `name`, and a preview of it while a training runs."""
        if self.session.trainings.is_running:
            self.watch()
            self._blank_preview()
        else:
            remove_ours(self.session.viewer, PREVIEW)
        if name in self._found:
            self._show_prediction()
        elif self._shown is not None:
            remove_ours(self.session.viewer, PREDICTION)
            self._shown = None

    def _blank_preview(self) -> None:
        """Empty the preview until there is one of the new image: to remove a layer holds napari up."""
        painting = find_ours(self.session.viewer, PAINTING)
        if painting is None:
            remove_ours(self.session.viewer, PREVIEW)
        elif find_ours(self.session.viewer, PREVIEW) is not None:
            self._show(PREVIEW, "preview · soon", np.zeros(painting.data.shape, np.uint8))

    def clear(self) -> None:
        """Take away what was shown of the former dataset."""
        self._found.clear()
        self._waiting = self._shown = None
        for mark in (PREVIEW, PREDICTION):
            remove_ours(self.session.viewer, mark)

    def _predict_when_free(self) -> None:
        session, project = self.session, self.session.project
        if self._waiting is None or session.jobs.is_running or project is None:
            return
        (model, config), self._waiting = self._waiting, None
        names = self._first_looks()
        if not names:
            remove_ours(session.viewer, PREVIEW)
            return

        shown_so: list[tuple[str, str]] = []

        def on_predicted(number: int, probabilities: NDArray[np.uint8], threshold: float, shown: str) -> None:
            if session.is_open(project):
                self._found[names[number]] = above(probabilities, threshold)
                shown_so.append((names[number], shown))
                self._show_prediction()

        def on_end() -> None:
            remove_ours(session.viewer, PREVIEW)
            doubtful = [(name, shown) for name, shown in shown_so if is_doubtful(shown)]
            message = session.message
            if doubtful and message is self._outcome and session.is_open(project):
                told = " ".join(filter(None, (message.text, *how_seen(doubtful, "image"))))
                session.tell(told, message.tone, holds=message.holds)

        title = f"Predicting {' and '.join(names)} with the new model"
        files = [project.image(name).ref for name in names]
        job = predict_frames(session, title, files, model=model, config=config)
        job.gives_way = True
        job.predicted.connect(on_predicted)
        job.ended.connect(on_end)
        job.failed.connect(lambda: remove_ours(session.viewer, PREVIEW))
        try:
            session.jobs.start(job)
            self._outcome = session.message
        except RunError as error:
            remove_ours(session.viewer, PREVIEW)
            session.fail(error)

    def _first_looks(self) -> tuple[str, ...]:
        """Return the names of the current image and of the one that is annotated next, but for large ones."""
        project, current = self.session.project, self.session.current
        images = [] if project is None or current is None else [project.image(current)]
        images += annotation_of(self.session).waiting[:1]
        return tuple(image.name for image in images if not image.is_large)

    def _show_prediction(self) -> None:
        current = self.session.current
        if current is not None and current in self._found:
            if not self.session.trainings.is_running:
                self._turn_into_prediction(find_ours(self.session.viewer, PREVIEW))
            self._show(PREDICTION, f"prediction · {current}", self._found[current])
            self._shown = current

    def _turn_into_prediction(self, preview: Any) -> None:
        """Let the layer of the preview become that of the prediction: to remove a layer holds napari up."""
        if preview is None:
            return
        if find_ours(self.session.viewer, PREDICTION) is not None:
            remove_ours(self.session.viewer, PREVIEW)
            return
        preview.metadata[OURS] = PREDICTION

    def _show(self, mark: str, name: str, labels: Labels) -> None:
        """Show labels on the image that is shown, below what is painted."""
        viewer = self.session.viewer
        if update_labels(viewer, mark, name, labels):
            return
        with drawn_later(), selection_kept(viewer):
            show_labels(
                viewer, mark, name, labels.copy(), placement=self._placement(), below=PAINTING, editable=False,
                opacity=0.4, colormap=steady({None: PREDICTED}),
            )  # fmt: skip

    def _placement(self) -> dict[str, Any]:
        """Return where the current image lies, be its layer there or deleted."""
        image, project, current = find_ours(self.session.viewer, IMAGE), self.session.project, self.session.current
        if image is not None:
            return placement_of(image, 2)
        assert project is not None
        assert current is not None
        return placement_of_pixels(project.read_image(current))
