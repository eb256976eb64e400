"""What Predict does: frames of a layer go to a model in a child process, and come back as labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...config import ChannelRule, PredictConfig
from ...errors import DataError, FinetuneError
from ...events import how_seen
from ...io.axes import COLORS
from ...io.images import ImageRef
from ..annotate.annotation import annotation_of
from ..annotate.paint import IMAGE
from ..layers.frames import channel_axis, current_frame
from ..layers.layers import mark_of
from ..layers.prediction import PREDICTION, SIGHT, is_made_of, is_of_model
from ..layers.stacks import Stack, stack_of
from ..session.known_models import name_of_model
from ..session.predict_frames import predict_frames
from ..session.session import Session, tells_errors
from ..session.settings import default_device
from ..session.stage import Place
from .folder import FolderController
from .large import LargeController, is_large
from .large_source import LargeTask
from .live_prediction import LivePrediction
from .measure_controller import MeasureController
from .task import Task, write_task

if TYPE_CHECKING:
    from napari.layers import Image


class PredictController:
    """Predicts layers of the viewer and keeps what was predicted; get it with `predict_controller_of`."""

    changed = Signal()  # what is under way, what was predicted, or the settings

    def __init__(self, session: Session) -> None:
        self.session = session
        self.results: list[LivePrediction] = []
        self.task: Task | None = None
        self.elsewhere: ChannelRule | None = None  # channel chosen for images that are not in the dataset
        self._config = PredictConfig()  # as set last, for when nothing is predicted; but for the threshold
        self._thresholds: dict[str, float | None] = {}  # of each model: probabilities of another mean something else
        self._folder = session.scratch()
        self.files, self.measuring = FolderController(session), MeasureController(session)
        self.large = LargeController(session)
        session.viewer.layers.events.removed.connect(self._on_layer_removed)
        session.stage.join(Place.PREDICTION, self)

    @property
    def live(self) -> LivePrediction | None:
        """The prediction that the settings belong to: that of the selected layer, else the last one."""
        active = self.session.viewer.layers.selection.active
        chosen = (live for live in self.results if active is not None and active in (live.source, live.output.layer))
        return next(chosen, self.results[-1] if self.results else None)

    @property
    def config(self) -> PredictConfig:
        """Threshold and what makes tidy labels, of the live prediction or of the next one."""
        return self.live.config if self.live else self.config_of(self.session.predictor)

    def config_of(self, model: str) -> PredictConfig:
        """Return the settings of the next prediction by `model`: its own threshold, the others those of `config`."""
        shown = self.live.config if self.live else self._config
        return shown.model_copy(update={"threshold": self._thresholds.get(model)})

    def config_of_files(self, channels: ChannelRule | None) -> PredictConfig:
        """Return the settings of the next prediction into files, of images of which `channels` is seen."""
        model = self.session.predictor
        seen = {"device": default_device(), "channels": channels, "appearance": self.session.appearance_of(model)}
        return self.config_of(model).model_copy(update=seen)

    def set_config(self, **changes: Any) -> None:
        """Change settings; the labels of the live prediction follow at once."""
        live = self.live
        self._config = self.config.model_copy(update=changes)
        if "threshold" in changes:
            self._thresholds[live.model if live else self.session.predictor] = self._config.threshold
        if live is not None:
            live.set_config(self._config)
        self.changed.emit()

    def set_threshold(self, model: str, threshold: float) -> None:
        """Change the threshold of `model`; the labels of all its predictions follow."""
        self._thresholds[model] = threshold
        for live in self.results:
            if live.model == model:
                live.set_config(live.config.model_copy(update={"threshold": threshold}))
        self.changed.emit()

    def source(self) -> Image | None:
        """Return the image to predict: the selected one, that of what a model made of it, else the topmost visible."""
        from napari.layers import Image

        layers = self.session.viewer.layers
        active = layers.selection.active
        if isinstance(active, Image) and not is_of_model(active):
            return active
        if active is not None and mark_of(active) in (PREDICTION, SIGHT):
            of_active = (layer for layer in layers if isinstance(layer, Image) and is_made_of(active, layer))
            if (found := next(of_active, None)) is not None:
                return found
        images = [layer for layer in reversed(layers) if isinstance(layer, Image) and not is_of_model(layer)]
        visible = [layer for layer in images if layer.visible]
        return next(iter(visible or images), None)

    def is_own(self, layer: Image) -> bool:
        """Tell whether `layer` shows an image of the dataset."""
        project, current = self.session.project, self.session.current
        return mark_of(layer) == IMAGE and project is not None and current is not None

    def channel_names(self, layer: Image) -> tuple[str, ...]:
        """Return the names of the channels of `layer`, empty ones where they are not known."""
        if self.is_own(layer) and self.session.project is not None:
            return self.session.project.channel_names
        axis = channel_axis(layer)
        return COLORS if layer.rgb else ("",) * layer.data.shape[axis] if axis is not None else ()

    def channels(self, names: Sequence[str], *, is_own: bool) -> ChannelRule | None:
        """Return which of these channels the model sees: that of the dataset, or the one chosen for other images."""
        if is_own:
            return self.session.channels
        chosen = self.elsewhere
        fits = chosen is not None and chosen.channel < len(names)
        return chosen if fits else self.session.usual_channels(names)

    def stack(self, layer: Image) -> Stack:
        """Return the frames of `layer`, named as the image being annotated is if it shows that."""
        return stack_of(layer, (self.session.current or "") if mark_of(layer) == IMAGE else "")

    @tells_errors
    def predict(self, *, whole: bool, out: Path | None = None, overwrite: bool = False) -> None:
        """Predict the frame that is looked at or, if `whole`, all frames of the image; the user is told of errors.

        A large image is predicted in pieces, and its labels are written into the folder `out`.
        """
        layer = self._checked_source()
        stack = self.stack(layer)
        indices = tuple(stack.indices) if whole else (current_frame(self.session.viewer, layer),)
        self.session.about_to_read_files.emit()
        if is_large(layer):
            self._start_large(LargeTask(layer, stack, indices, self._own_ref(layer)), out, overwrite=overwrite)
        else:
            self._start(Task(layer, stack, indices, self.session.predictor))

    def _own_ref(self, layer: Image) -> ImageRef | None:
        """Return the image of the dataset that a layer shows, None if it shows none."""
        project, current = self.session.project, self.session.current
        return project.image(current).ref if self.is_own(layer) and project and current else None

    def _start_large(self, task: LargeTask, out: Path | None, *, overwrite: bool) -> None:
        if out is None:
            raise DataError(f"{task.stack.name} is in no file of its own. Choose a folder for its labels.")
        channels = self.channels(self.channel_names(task.layer), is_own=self.is_own(task.layer))
        self.large.predict(task, self.config_of_files(channels), out, overwrite=overwrite)

    def _checked_source(self) -> Image:
        self.session.jobs.require_free()
        layer = self.source()
        if layer is None:
            raise DataError("There is no image in the viewer. Open one, or choose a folder to predict.")
        if layer.ndim < 2:
            raise DataError(f"{layer.name} has only one dimension. Choose an image.")
        return layer

    def _start(self, task: Task) -> None:
        """Start the child; an image of the dataset is read from its own file."""
        current = self.session.current
        own = self._own_ref(task.source) if current == task.stack.name else None
        is_own = own is not None
        images = [own] if own is not None else partial(write_task, task)
        ahead = [image.ref for image in annotation_of(self.session).waiting[:1]] if is_own else []
        channels = self.channels(self.channel_names(task.source), is_own=self.is_own(task.source))
        config = self.session.prediction_by(task.model).model_copy(update={"channels": channels})
        job = predict_frames(self.session, task.title, images, model=task.model, config=config, ahead=ahead)
        job.predicted.connect(partial(self._on_predicted, task))
        job.event.connect(lambda _event: self.changed.emit())
        job.ended.connect(lambda _file: self._on_end(task))
        job.failed.connect(self._end)
        self.task = task
        try:
            self.session.jobs.start(job)
        except FinetuneError:
            self._end()
            raise
        self.changed.emit()

    def _on_predicted(
        self, task: Task, number: int, probabilities: NDArray[np.uint8], threshold: float, shown: str
    ) -> None:
        task.shown.append((task.name(number), shown))
        if number < len(task.files):
            task.files[number].path.unlink(missing_ok=True)
        if self._is_out_of_sight(task):
            return
        self._result(task).add(task.indices[number], probabilities, threshold)
        task.done = number + 1

    def _is_out_of_sight(self, task: Task) -> bool:
        """Tell whether an image of the dataset is not shown any more; its layer may show another one by now."""
        is_there = task.source in self.session.viewer.layers and self.session.current == task.stack.name
        return mark_of(task.source) == IMAGE and not is_there

    def _result(self, task: Task) -> LivePrediction:
        """Return what the frame is added to: the prediction of the same image by the same model, else a new one."""
        config = self.config_of(task.model)  # as shown, which may be those of a prediction that is dropped
        earlier = next((live for live in self.results if live.source is task.source), None)
        if earlier is not None:
            if earlier.model == task.model and earlier.stack.fits(task.stack):
                return earlier
            self._drop(earlier)
        new = LivePrediction(self.session, task.source, stack=task.stack, model=task.model, folder=self._folder)
        new.config = config
        self.results.append(new)
        return new

    def _drop(self, live: LivePrediction) -> None:
        """Take away what is no longer true; what the user has painted in is kept."""
        self.results.remove(live)
        live.set_probability_shown(False)
        if live.output.is_edited():
            live.close()
        else:
            live.output.remove()
            live.close()

    def _on_end(self, task: Task) -> None:
        count = len(task.indices)
        if self._is_out_of_sight(task):
            self.session.tell(f"{task.name(0)} was closed before its prediction arrived. Open it and predict it again.")
        elif task.done < count:
            self.session.tell(f"Stopped after {task.done} of {count} frames.")
        else:
            what = task.name(0) if count == 1 else f"{count} frames of {task.stack.name}"
            seen = how_seen(task.shown, "image" if count == 1 else "frame")
            self.session.tell(" ".join((f"Predicted {what} with {name_of_model(self.session, task.model)}.", *seen)))
        self._end()

    def _end(self) -> None:
        self.task = None
        self.changed.emit()

    def _on_layer_removed(self, event: Any) -> None:
        """Forget a prediction whose labels the user deletes, unless more of it is on its way."""
        for live in list(self.results):
            if live.output.layer is event.value and not (self.task and self.task.source is live.source):
                self.results.remove(live)
                live.set_probability_shown(False)
                live.close()
                self.changed.emit()

    def clear(self) -> None:
        """Take away the predictions of images of the former dataset."""
        self.follow("")

    def follow(self, name: str) -> None:
        """Take the prediction of another image away from the image that is annotated now."""
        for live in list(self.results):
            if mark_of(live.source) == IMAGE and live.stack.name != name:
                if live.output.layer is not None and live.output.is_edited():
                    live.output.layer.visible = False
                self._drop(live)
        self.changed.emit()


def predict_controller_of(session: Session) -> PredictController:
    """Return what the docks of `session` share for predicting, made for the first of them."""
    return session.shared(PredictController)
