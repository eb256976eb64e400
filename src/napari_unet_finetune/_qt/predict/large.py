"""Large layers are predicted in pieces, what is looked at first; finished ones appear, and are kept on disk."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from psygnal import Signal

from ...config import PredictConfig
from ...data.folders import open_unannotated
from ...errors import FinetuneError
from ...events import Event, ImageEnd, PieceEnd, how_seen
from ...io.images import list_images
from ...io.regions.parts import DAMAGED, read_part
from ...io.regions.region import InView, Region, regions_of
from ...runs.request import PredictFolderRequest
from ..layers.frames import current_frame, in_view
from ..layers.pyramid import Levels, PyramidLayer
from ..session.jobs import Job
from ..session.session import Session, tells_errors
from ..session.worker import Work
from .large_source import Copies, LargeTask
from .live_prediction import is_plain

if TYPE_CHECKING:
    from napari.layers import Image

_LARGEST_PX = 8192**2  # such an image takes 1.3 GB as a layer that is predicted in memory
_LARGEST_OF_LEVELS_PX = 4096**2  # of what napari shows in levels
PIECE_PX = 1024  # smaller than on the command line, so that something is seen soon
_READ_PX = 2048
_REFRESH_S = 0.2


def is_large(layer: Image) -> bool:
    """Tell whether a layer is predicted in pieces: arrays of its labels and probabilities would fill the memory."""
    pixels = prod(layer.data.shape[: layer.ndim][-2:])
    return bool(pixels > (_LARGEST_OF_LEVELS_PX if layer.multiscale else _LARGEST_PX))


class LargeController:
    """Predicts large layers into labels files, and shows what is finished of them.

    Parameters
    ----------
    session
        Whose model predicts, and whose viewer shows the labels.
    """

    changed = Signal()  # what is under way

    def __init__(self, session: Session) -> None:
        self.session = session
        self.task: LargeTask | None = None
        self._copies = Copies(session.scratch())
        self._shown: WeakKeyDictionary[Image, _Arriving] = WeakKeyDictionary()  # by the layer that is predicted

    @property
    def is_showing(self) -> bool:
        """Tell whether finished pieces are still on their way into their layer."""
        return any(arriving.is_busy for arriving in self._shown.values())

    @tells_errors
    def predict(self, task: LargeTask, config: PredictConfig, out: Path, *, overwrite: bool = False) -> None:
        """Write the labels of a layer into `out`, and show each piece that is finished; the user is told of errors."""
        session, first = self.session, self._looked_at(task)
        session.jobs.require_free()
        model = session.predictor

        def prepare() -> Generator[str, None, PredictFolderRequest]:
            source = yield from self._copies.source(task)
            _load_what_labels_need()
            seen = config if source.channel is None else config.model_copy(update={"channels": source.channel})
            return PredictFolderRequest(
                checkpoint=model,
                source=source.path,
                out=out,
                overwrite=overwrite,
                chunk=PIECE_PX,
                first=first,
                config=seen,
            )

        job = Job(session.scratch(), f"Predicting {task.stack.name} in pieces", prepare, is_temporary=True)
        arriving = self._arriving(task, config, model)
        job.event.connect(arriving.take)
        job.event.connect(self._follow(job, task, first))  # at least twice a second
        job.ended.connect(lambda _file: self._on_end(arriving))
        for signal in (job.ended, job.failed):
            signal.connect(self._on_over)
        self.task = task
        try:
            session.jobs.start(job)
        except FinetuneError:
            self._on_over()
            raise
        self.changed.emit()

    def _follow(self, job: Job, task: LargeTask, seen: InView) -> Callable[[Event], None]:
        """Return what tells the job when, since the last time, the user has come to look at something else."""

        def follow(_event: Event) -> None:
            nonlocal seen
            if task.layer in self.session.viewer.layers and (view := self._looked_at(task)) != seen:
                job.look(view)
                seen = view

        return follow

    def _looked_at(self, task: LargeTask) -> InView:
        return InView(_frame_looked_at(task, self.session.viewer), in_view(task.layer))

    def _arriving(self, task: LargeTask, config: PredictConfig, model: str) -> _Arriving:
        """Return what shows the pieces: what shows those of before if they are of the same prediction."""
        earlier, made_by = self._shown.get(task.layer), (task.indices, config, model)
        if earlier is not None and earlier.made_by == made_by and earlier.is_shown:
            earlier.begin()
            return earlier
        if earlier is not None:
            earlier.remove()
        self._shown[task.layer] = new = _Arriving(self.session, task, config, made_by)
        return new

    def _on_end(self, arriving: _Arriving) -> None:
        name, end, (done, total) = arriving.stack.name, arriving.end, arriving.counts
        if end is None:
            kept = f": {done} of {total} pieces are finished and kept. Predict goes on with them" if done else ""
            self.session.tell(f"Stopped{kept}.", holds=lambda: self.task is None)
        elif end.error is not None:
            self.session.tell(end.error, "error")
        elif end.skipped:
            told = f"{end.labels} existed already and is shown. Tick Overwrite existing labels to predict {name} anew."
            self.session.tell(told)
        else:
            seen = how_seen([(name, end.shown)], "image")
            self.session.tell(" ".join((f"Predicted {name}. Its labels are in {end.labels}.", *seen, *end.notes)))

    def _on_over(self, *_: object) -> None:
        self.task = None
        self.changed.emit()


def _load_what_labels_need() -> None:
    """Have napari load, in this thread, what its first layer of labels takes seconds to load."""
    from napari.layers import Labels

    Labels(np.zeros((1, 1), np.uint8))


def _frame_looked_at(task: LargeTask, viewer: Any) -> int:
    """Return which frame of a task is looked at, by its number."""
    shown = current_frame(viewer, task.layer)
    return task.indices.index(shown) if shown in task.indices else 0


class _Arriving:
    """Pieces on their way into a layer: they are read in a thread, and the layer is drawn anew now and then."""

    def __init__(self, session: Session, task: LargeTask, config: PredictConfig, made_by: object) -> None:
        self.session, self.stack, self.made_by = session, task.stack, made_by
        self._indices, self._config = task.indices, config
        self._output = PyramidLayer(session.viewer, task.stack, task.layer)
        self._waiting: deque[Callable[[], Generator[None, None, None]]] = deque()
        self._work: Work[None] | None = None
        self._levels: Levels | None = None
        self._drawn = 0.0
        self.begin()

    def begin(self) -> None:
        """Await a prediction that is begun or goes on."""
        self.end: ImageEnd | None = None
        self.counts = (0, 0)
        self._is_missing = False

    @property
    def is_shown(self) -> bool:
        """Tell whether its layer is in the viewer."""
        return self._output.is_shown

    @property
    def is_busy(self) -> bool:
        """Tell whether pieces are still being read."""
        return self._work is not None

    def remove(self) -> None:
        """Take the layer away."""
        self._waiting.clear()
        self._output.remove()

    def take(self, event: Event) -> None:
        """Show what is finished."""
        if isinstance(event, PieceEnd):
            self.counts = event.done, event.total
            self._waiting.append(lambda: self._read_piece(event))
        elif isinstance(event, ImageEnd):
            self.end = event
            if (labels := event.labels) is not None:
                self._waiting.append(lambda: self._read_all(labels, event.skipped))
        self._go_on()

    def _go_on(self) -> None:
        if self._work is None and self._waiting:
            self._work = Work(
                self._read_waiting,
                title=f"Showing the labels of {self.stack.name}",
                on_event=lambda _: self._draw(),
                on_end=lambda _: self._on_read(),
                on_error=self._on_failed,
            )

    def _read_waiting(self) -> Generator[None, None, None]:
        while self._waiting:
            with suppress(IndexError):  # taken away meanwhile
                yield from self._waiting.popleft()()

    def _read_piece(self, event: PieceEnd) -> Generator[None, None, None]:
        try:
            labels = read_part(event.file)
        except DAMAGED:  # no longer there: its labels are in their file already, or will be
            self._is_missing = True
            return
        region = Region(event.top, event.left, event.bottom, event.right)
        self._levels = self._levels or self._new_levels(np.uint8)
        self._levels.write(self._indices[event.frame], region, labels)
        yield

    def _read_all(self, labels: Path, was_there: bool) -> Generator[None, None, None]:
        """Show what is in the labels file, unless that is what was shown piece by piece."""
        if is_plain(self._config) and not self._is_missing and not was_there:
            return
        images = [open_unannotated(ref) for ref in list_images(labels)]
        levels = self._new_levels(images[0].dtype)
        for index, image in zip(self._indices, images, strict=True):
            for region in regions_of(self.stack.size, _READ_PX, _READ_PX):
                levels.write(index, region, image.read(region))
        self._levels = levels
        yield

    def _new_levels(self, dtype: Any) -> Levels:
        return Levels(self.stack, dtype, self.session.scratch())

    def _draw(self) -> None:
        now = time.monotonic()
        if self._levels is not None and (now - self._drawn > _REFRESH_S):
            self._output.show(self._levels)
            self._drawn = now

    def _on_read(self) -> None:
        self._work = None
        self._drawn = 0.0
        self._draw()
        self._go_on()

    def _on_failed(self, error: Exception) -> None:
        self._work = None
        self.session.fail(error)
