"""Measure the objects of any Labels layer, with the intensities of any image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ..layers.layers import PLANE, mark_of
from ..layers.prediction import PREDICTION, is_prediction
from ..session.dock import Panel
from ..session.session import Session
from ..widgets.editors import ChoiceBox
from ..widgets.layout import in_column, in_form, push_button, tipped
from .measure_controller import MeasureController
from .measurements_table import MeasurementsDialog

if TYPE_CHECKING:
    from napari.layers import Layer

_NO_IMAGE, _ALL = "no intensities", "all"
_MARGIN_PX = 30


class MeasurePanel(Panel):
    """Chooses a Labels layer and an image, and opens the table."""

    refreshed = Signal()  # there may be something to measure now, or nothing any more

    def __init__(self, session: Session, measuring: MeasureController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.measuring = session, measuring
        self.labels = tipped(
            ChoiceBox([]), "Each number is one object; labels that are all 1 are measured region by region."
        )
        self.image = tipped(
            ChoiceBox([]), "The image whose intensities are measured in the objects, or all as channels."
        )
        self.button = push_button(
            "Measure", "Area, outline, axes, shape, intensities and position of every object, and counts per image."
        )
        self.dialog: MeasurementsDialog | None = None
        layers = in_form(("Objects", self.labels), ("Intensities", self.image))
        self.setLayout(in_column(layers, self.button, spacing=6))
        self.button.clicked.connect(self.start)
        shown = session.viewer.layers
        for event in (
            shown.events.inserted, shown.events.removed, shown.events.renamed, shown.selection.events.active,
            session.current_changed,
        ):  # fmt: skip
            self.listen(event, self.refresh)
        self.listen(measuring.changed, self._on_busy)
        self.listen(measuring.measured_anew, self.show_table)
        self.refresh()

    def start(self) -> None:
        """Measure the chosen layers, or stop if that is under way."""
        if self.measuring.is_busy:
            self.measuring.stop()
        elif (labels := self._layer(self.labels.value())) is not None:
            self.measuring.measure(labels, self._images(labels))

    def refresh(self) -> None:
        """List the layers, the selected ones chosen."""
        from napari.layers import Image, Labels

        layers = list(self.session.viewer.layers)
        labels = [layer for layer in layers if isinstance(layer, Labels)]
        images = [layer for layer in layers if isinstance(layer, Image) and not is_prediction(layer)]
        _fill(self.labels, labels, self._chosen(labels, self.labels))
        everything = [(f"all {len(images)} images", _ALL)] if len(images) > 1 else []
        chosen = _ALL if everything and self.image.value() == _ALL else self._chosen(images, self.image)
        _fill(self.image, images, chosen, [*everything, (_NO_IMAGE, None)])
        self._on_busy()
        self.refreshed.emit()

    @property
    def can_measure(self) -> bool:
        """Whether there are labels to measure."""
        return self.labels.count() > 0

    def show_table(self) -> None:
        """Open the table of what was measured last."""
        if self.dialog is not None:
            self.dialog.close()
        measuring = self.measuring
        dialog = MeasurementsDialog(measuring.measured, measuring.show_object, measuring.save, self)
        dialog.setWindowTitle(f"Measurements of {measuring.name}")
        dialog.destroyed.connect(self._forget_dialog)
        self.dialog = dialog
        dialog.show()
        _place_low(dialog, self.window())

    def release(self) -> None:
        """Let go of the viewer, and close the table."""
        super().release()
        if self.dialog is not None:
            self.dialog.destroyed.disconnect(self._forget_dialog)
            self.dialog.close()
            self.dialog = None

    def _images(self, labels: Any) -> list[Any]:
        """Return the images that are chosen; if all are, those that lie under the labels."""
        from napari.layers import Image

        if self.image.value() != _ALL:
            return [layer for layer in (self._layer(self.image.value()),) if layer is not None]
        images = [one for one in self.session.viewer.layers if isinstance(one, Image) and not is_prediction(one)]
        return [image for image in images if _size(image) == _size(labels)]

    def _layer(self, key: object) -> Any:
        return next((layer for layer in self.session.viewer.layers if id(layer) == key), None)

    def _chosen(self, layers: list[Layer], box: ChoiceBox) -> Layer | None:
        """Return a prediction that is new, else the selected layer, else what was chosen before, else the topmost."""
        active = self.session.viewer.layers.selection.active
        known = {box.itemData(row) for row in range(box.count())}
        new = [layer for layer in layers if mark_of(layer) == PREDICTION and id(layer) not in known]
        before = [layer for layer in layers if id(layer) == box.value()]
        chosen = [layer for layer in layers if layer is active]
        return next(iter([*new, *chosen, *before, *reversed(layers)]), None)

    def _on_busy(self) -> None:
        measuring = self.measuring
        self.button.setEnabled(measuring.is_busy or self.labels.value() is not None)
        at = min(measuring.frame + 1, measuring.frames)
        self.button.setText(f"Stop measuring (frame {at} of {measuring.frames})" if measuring.is_busy else "Measure")

    def _forget_dialog(self) -> None:
        self.dialog = None


def _place_low(dialog: QWidget, window: QWidget | None) -> None:
    """Put the table at the lower edge of the window, so that the middle of the viewer stays in sight."""
    if window is None:
        return
    frame = window.geometry()
    dialog.move(frame.left() + _MARGIN_PX, frame.bottom() - dialog.frameGeometry().height() - _MARGIN_PX)


def _size(layer: Any) -> tuple[int, ...]:
    """Return the size (Y, X) of a layer in pixels."""
    data = layer.data[0] if layer.multiscale else layer.data
    size: tuple[int, ...] = data.shape[:-1][-PLANE:] if getattr(layer, "rgb", False) else data.shape[-PLANE:]
    return size


def _fill(
    box: ChoiceBox, layers: list[Layer], chosen: Layer | str | None, others: Sequence[tuple[str, str | None]] = ()
) -> None:
    with QSignalBlocker(box):
        box.clear()
        for layer in reversed(layers):
            box.addItem(layer.name, id(layer))
        for title, key in others:
            box.addItem(title, key)
        box.setCurrentIndex(box.findData(chosen if isinstance(chosen, str | None) else id(chosen)))
