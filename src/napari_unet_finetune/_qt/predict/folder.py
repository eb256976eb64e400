"""What predicting and measuring of files does: a child works through a folder, and what became of each file is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...colors import PREDICTED
from ...config import PredictConfig
from ...data.pairing import FilePair
from ...errors import DataError, FinetuneError
from ...events import Event, ImageEnd, told_of
from ...io.disk import file_stamp
from ...io.images import list_images, read_image
from ...io.pixels import ImagePixels
from ...measure.files import check_tables, images_table
from ...runs.request import MeasureRequest, PredictFolderRequest
from ...text import count_of, place_in_words
from ..layers.colors import palette
from ..layers.contrast import give_channels_their_contrast
from ..layers.layers import OURS, find_ours, mark_of, placement_of_pixels
from ..layers.prediction import PREDICTION
from ..session.jobs import Job
from ..session.session import Session, tells_errors
from ..session.settings import default_device
from ..session.worker import in_background

if TYPE_CHECKING:
    from napari.layers import Layer

_OPENED = "file:"
_STAMP = f"{OURS}-stamp"  # in the metadata of labels: the file as it was read


class FolderController:
    """Predicts all images of a folder, or of one stack file, into labels files.

    Parameters
    ----------
    session
        Whose model predicts, and where results are opened.
    """

    changed = Signal()  # what is under way, or what became of the files

    def __init__(self, session: Session) -> None:
        self.session = session
        self.ends: list[ImageEnd] = []
        self.is_predicting = self.is_measuring = False
        self._failed: list[ImageEnd] = []

    @property
    def is_busy(self) -> bool:
        """Tell whether one of its jobs is under way."""
        return self.is_predicting or self.is_measuring

    @property
    def can_measure(self) -> bool:
        """Tell whether an image has a labels file now."""
        return any(end.labels for end in self.ends)

    @property
    def measurable(self) -> tuple[FilePair, ...]:
        """Images that have a labels file now."""
        return tuple(FilePair(image=end.path, labels=end.labels) for end in self.ends if end.labels)

    @tells_errors
    def predict(self, source: Path, out: Path, config: PredictConfig, *, overwrite: bool = False) -> None:
        """Write labels of all images of `source` into `out`; the user is told of errors."""
        request = PredictFolderRequest(
            checkpoint=self.session.predictor,
            source=source,
            out=out,
            overwrite=overwrite,
            config=config.model_copy(update={"device": default_device()}),
        )
        self._start(request, f"Predicting the images in {place_in_words(source)}", lambda: self._on_predicted(out))

    @tells_errors
    def measure(self, table: Path, *, overwrite: bool = False) -> None:
        """Write a table of all objects in the labels files; the user is told of errors."""
        files = self.measurable
        if not files:
            raise DataError("There are no labels files to measure. Predict a folder first.")
        check_tables((table, images_table(table)), overwrite=overwrite)
        request = MeasureRequest(files=files, out=table, overwrite=overwrite)
        self._start(request, f"Measuring {len(files)} files", lambda: self._on_measured(table))

    def show(self, end: ImageEnd) -> None:
        """Open the image of a file and its labels in the viewer; what was opened here before is hidden."""
        if end.labels is None:
            self.session.tell(f"{end.path.name} has no labels: {end.error}", "warning")
            return
        labels = end.labels
        for layer in self.session.viewer.layers:
            if is_opened(layer):
                layer.visible = False
        shown = find_ours(self.session.viewer, _mark(labels))
        if shown is not None and shown.metadata[_STAMP] == file_stamp(labels):
            for path in (end.path, labels):
                if (layer := find_ours(self.session.viewer, _mark(path))) is not None:
                    layer.visible = True
            return
        if shown is not None:  # of a file that was overwritten since; somebody may have painted in it
            shown.metadata = {key: value for key, value in shown.metadata.items() if key not in (OURS, _STAMP)}
        in_background(
            lambda: _read(end.path, labels),
            title=f"Opening {end.path.name}",
            on_end=lambda opened: _add(self.session, end.path, labels, opened),
            on_error=self.session.fail,
        )

    def _start(self, request: Any, title: str, on_done: Any) -> None:
        measuring, session = isinstance(request, MeasureRequest), self.session
        session.jobs.require_free()
        session.about_to_read_files.emit()
        self._failed = []
        if not measuring:
            self.ends = []
        self.is_predicting, self.is_measuring = not measuring, measuring
        job = Job(session.scratch(), title, request, is_temporary=True)
        job.event.connect(self._on_event)
        job.ended.connect(lambda _file: on_done())
        for signal in (job.ended, job.failed):
            signal.connect(self._on_over)
        try:
            session.jobs.start(job)
        except FinetuneError as error:
            self._on_over()
            session.fail(error)
        self.changed.emit()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, ImageEnd):
            if self.is_predicting:
                self.ends.append(event)
            if event.error:
                self._failed.append(event)
        self.changed.emit()

    def _on_over(self) -> None:
        self.is_predicting = self.is_measuring = False
        self.changed.emit()

    def _on_predicted(self, out: Path) -> None:
        written = sum(end.labels is not None and not end.skipped for end in self.ends)
        skipped = sum(end.skipped for end in self.ends)
        words = [f"{count_of(written, 'labels file')} written to {out}"]
        if skipped:
            words.append(f"{skipped} existed already")
        total = max((end.total for end in self.ends), default=0)
        if len(self.ends) < total:
            words.append(f"stopped after {len(self.ends)} of {total}")
        told = " ".join((f"{', '.join(words)}.{self._failures()}", *told_of(self.ends)))
        self.session.tell(told, "warning" if self._failed else "info")

    def _on_measured(self, table: Path) -> None:
        text = f"Objects measured into {table}, one row per image in {images_table(table).name}."
        self.session.tell(f"{text}{self._failures()}", "warning" if self._failed else "info")

    def _failures(self) -> str:
        if not self._failed:
            return ""
        first = self._failed[0]
        if len(self._failed) == 1:
            return f" One failed. {first.error}"
        return f" {len(self._failed)} failed. The first: {first.error}"


@dataclass(frozen=True, eq=False)
class _Opened:
    image: ImagePixels
    frames: int | None
    labels: NDArray[Any]
    stamp: tuple[int, int]


def is_opened(layer: Layer) -> bool:
    """Tell whether `layer` was opened here: an image that was predicted, or its labels."""
    return mark_of(layer).startswith(_OPENED)


def _mark(path: Path) -> str:
    return f"{_OPENED}{path}"


def _read(path: Path, labels: Path) -> _Opened:
    stamp = file_stamp(labels)
    images = [read_image(ref) for ref in list_images(path).images]
    masks = [read_image(ref, as_labels=True).array for ref in list_images(labels).images]
    first = images[0]
    if len(images) == 1:
        return _Opened(first, None, masks[0], stamp)
    stack = ImagePixels(np.stack([one.array for one in images]), first.scale, first.unit)
    return _Opened(stack, len(images), np.stack(masks), stamp)


def _add(session: Session, path: Path, labels: Path, opened: _Opened) -> None:
    """Add an image and its labels; channels lie before rows and columns, frames before channels."""
    viewer, array, stem = session.viewer, opened.image.array, list_images(path).images[0].stem
    lead = "" if opened.frames is None else "t"
    is_color = array.ndim - len(lead) == 3
    if is_color and array.shape[-3] == 3 and array.dtype == np.uint8:
        array, axes, rgb = np.moveaxis(array, -3, -1), lead, True
    else:
        axes, rgb = f"{lead}c" if is_color else lead, False
    plane = placement_of_pixels(opened.image)
    if (image := find_ours(viewer, _mark(path))) is None:
        image = viewer.add_image(array, name=stem, rgb=rgb, metadata={OURS: _mark(path)}, **_with_lead(plane, axes))
        if is_color and not rgb:
            give_channels_their_contrast(viewer, image, axis=len(lead))
    else:
        image.visible = True
    viewer.add_labels(
        opened.labels if not is_color or rgb or not lead else opened.labels[:, None],
        name=f"{stem} {PREDICTION}",
        metadata={OURS: _mark(labels), _STAMP: opened.stamp},
        opacity=0.5,
        colormap=palette(PREDICTED),
        **_with_lead(plane, axes if lead else ""),
    )


def _with_lead(plane: dict[str, Any], axes: str) -> dict[str, Any]:
    """Return where `plane` lies with `axes` before it, one letter each."""
    return {
        "scale": (*(1.0,) * len(axes), *plane["scale"]),
        "units": (*("pixel",) * len(axes), *plane["units"]),
        "axis_labels": (*axes, *plane["axis_labels"]),
    }
