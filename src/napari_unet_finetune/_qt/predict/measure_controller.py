"""What Measure does: the objects of a Labels layer become rows, and a row leads back to its object."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...data.masks import BACKGROUND
from ...errors import DataError
from ...io.axes import COLORS
from ...io.disk import write_file
from ...io.images import channel_names
from ...measure.files import check_tables
from ...measure.objects import Measured, MeasuredRow, Place, columns_of, is_mask, measure, to_csv
from ...text import count_of
from ..annotate.paint import IMAGE, PAINTING
from ..layers.frames import channel_axis, current_frame, frame_shape, frames_of
from ..layers.layers import PLANE, mark_of
from ..layers.stacks import pixel_size
from ..session.session import Session, tells_errors
from ..session.worker import Work

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from ..layers.prediction import Index

    Pairs = list[tuple[Image | None, list[tuple[Index, Index]]]]


class MeasureController:
    """Measures one Labels layer at a time and keeps the last result."""

    changed = Signal()  # what is under way
    measured_anew = Signal()  # there is a result

    def __init__(self, session: Session) -> None:
        self.session = session
        self.measured = Measured()
        self.labels: Labels | None = None
        self.name = ""  # of the layer, as it was measured
        self._data: Any = None
        self.is_busy = False
        self.frame, self.frames = 0, 0
        self._is_stopped = False

    @tells_errors
    def measure(self, labels: Labels, images: Sequence[Image] = ()) -> None:
        """Measure the objects of `labels` in all frames, with intensities of `images`; the user is told of errors."""
        if self.is_busy:
            return
        pairs = [(image, list(_pairs(self.session, labels, image))) for image in images or (None,)]
        channels = (_channel_names(self.session, image, alone=len(images) == 1) for image in images)
        names = tuple(name for of_image in channels for name in of_image)
        self.is_busy, self._is_stopped, self.frame, self.frames = True, False, 0, len(pairs[0][1])
        self.changed.emit()
        Work(
            lambda: _measured(labels, pairs, names, lambda: self._is_stopped),
            title=f"Measuring {labels.name}",
            on_event=self._on_frame,
            on_end=lambda measured: self._on_end(labels, measured),
            on_error=self._on_error,
        )

    def stop(self) -> None:
        """End after the frame in work, without a result."""
        self._is_stopped = True

    @tells_errors
    def save(self, rows: tuple[MeasuredRow, ...], table: Path) -> None:
        """Write rows as CSV; the user, who has chosen the file, is told where it is or why it could not be written."""
        check_tables((table,), overwrite=True)
        write_file(table, to_csv(rows))
        self.session.tell(f"{len(rows)} rows written to {table}.")

    def show_object(self, row: MeasuredRow) -> None:
        """Bring the object of a row into the middle of the viewer and select it in its layer."""
        viewer, layer = self.session.viewer, self.labels
        if layer is None or layer not in viewer.layers:
            self.session.tell("The Labels layer that was measured is no longer in the viewer.", "warning")
            return
        if layer.data is not self._data:
            self.session.tell(f"{self.name} was measured, but its layer shows something else by now.", "warning")
            return
        index = tuple(int(number) for number in str(row["frame"]).split(",") if number)
        position = (row.get("centroid_y_px"), row.get("centroid_x_px"))
        middle = tuple((size - 1) / 2 for size in layer.data.shape[-PLANE:])
        plane = middle if None in position else tuple(float(number) for number in position if number is not None)
        world = layer.data_to_world((*index, *plane))
        for axis in range(len(index)):
            viewer.dims.set_point(axis - layer.ndim + viewer.dims.ndim, world[axis])
        viewer.layers.selection.active = layer
        if viewer.dims.ndisplay == PLANE:
            viewer.scene.camera.center = tuple(world[-PLANE:])
        if "label" in row and not is_mask(_frame(layer, index)):
            layer.selected_label = int(row["label"])

    def _on_frame(self, number: int) -> None:
        self.frame = number
        self.changed.emit()

    def _on_end(self, labels: Labels, measured: Measured | None) -> None:
        self.is_busy = False
        self.changed.emit()
        if measured is None:
            self.session.tell("Stopped before all frames were measured.")
            return
        self.measured, self.labels, self.name, self._data = measured, labels, labels.name, labels.data
        _attach(labels, measured)
        self.session.tell(_summary(labels.name, measured))
        self.measured_anew.emit()

    def _on_error(self, error: Exception) -> None:
        self.is_busy = False
        self.changed.emit()
        self.session.fail(error)


def _pairs(session: Session, labels: Labels, image: Image | None) -> Iterator[tuple[Index, Index]]:
    """Yield each frame of `labels` with that of `image` which it lies on.

    Raises
    ------
    DataError
        If the frames of both do not go together.
    """
    lead = labels.data.shape[:-PLANE]
    frames = frame_shape(image) if image is not None else ()
    dropped = channel_axis(image) if image is not None and labels.ndim == image.ndim else None
    kept = tuple(size for axis, size in enumerate(lead) if axis != dropped)
    for index in np.ndindex(lead):
        if image is None or not frames:
            yield index, ()
        elif kept == frames:
            yield index, tuple(number for axis, number in enumerate(index) if axis != dropped)
        elif not lead:
            yield index, current_frame(session.viewer, image)
        else:
            raise DataError(
                f"{labels.name} has {lead} frames, {image.name} has {frames}. Choose two layers of the same stack."
            )


def _channel_names(session: Session, image: Image, *, alone: bool) -> tuple[str, ...]:
    """Return the names of the channels of an image, empty ones where they are not known; of one of several, its own."""
    axis = channel_axis(image)
    count = len(COLORS) if image.rgb else 1 if axis is None else image.data.shape[axis]
    names = COLORS if image.rgb else ("",) * count
    if mark_of(image) == IMAGE and session.project is not None and session.current is not None:
        names = _names_in_file(session.project.image(session.current).ref.path, names)
    if alone:
        return names
    if count == 1:
        return (image.name,)
    return tuple(f"{image.name}_{name or number}" for number, name in enumerate(names, start=1))


def _names_in_file(path: Path, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    try:
        names = channel_names(path)
    except DataError:  # the layer is there, whatever became of its file
        return otherwise
    return names if len(names) == len(otherwise) else otherwise


def _measured(
    labels: Labels, pairs: Pairs, channels: tuple[str, ...], is_stopped: Any
) -> Generator[int, None, Measured | None]:
    images = [image for image, _ in pairs if image is not None]
    name = images[0].name if len(images) == 1 else labels.name
    scale, unit = pixel_size(labels)
    if images and unit == "px":
        scale, unit = pixel_size(images[0])
    found = Measured()
    planes = [frames_of(image, iter([of_image for _, of_image in one])) for image, one in pairs if image is not None]
    for number, (index, _) in enumerate(pairs[0][1], start=1):
        pixels = _stacked([next(one).pixels for one in planes], labels)
        frame = ",".join(map(str, index))
        found += measure(_frame(labels, index), pixels, Place(name, frame, scale, unit, channels))
        yield number
        if is_stopped():
            return None
    return found


def _stacked(planes: list[NDArray[Any]], labels: Labels) -> NDArray[Any] | None:
    """Return the images of one frame, each (Y, X) or (C, Y, X), as the channels of one; None if there are none.

    Raises
    ------
    DataError
        If they are not of one size.
    """
    if len(planes) < 2:
        return planes[0] if planes else None
    if len({plane.shape[-PLANE:] for plane in planes}) > 1:
        raise DataError(f"{labels.name}: the images are not of one size. Choose images of the same field of view.")
    return np.concatenate([plane.reshape(-1, *plane.shape[-PLANE:]) for plane in planes])


def _frame(labels: Labels, index: Index) -> NDArray[Any]:
    data = labels.data[0] if labels.multiscale else labels.data
    frame = np.array(data[index])  # a copy: somebody may be painting
    if mark_of(labels) == PAINTING:
        frame[frame == BACKGROUND] = 0
    return frame


def _attach(labels: Labels, measured: Measured) -> None:
    """Give the layer a table of its objects where a number stands for one object; a mask has none."""
    numbers = [row["label"] for row in measured.objects]
    if not numbers or len(set(numbers)) < len(numbers) or len(measured.images) > 1 or is_mask(np.asarray(labels.data)):
        return
    columns = [name for name in columns_of(measured.objects) if name not in ("image", "frame", "label")]
    labels.features = {"index": numbers, **{name: [row.get(name) for row in measured.objects] for name in columns}}


def _summary(name: str, measured: Measured) -> str:
    count, frames = len(measured.objects), len(measured.images)
    where = f" in {frames} frames" if frames > 1 else ""
    return f"{name}: {count_of(count, 'object')}{where} measured."
