"""Measure the objects of any Labels layer, with the intensities of any image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from ..layers.layers import mark_of
from ..layers.prediction import is_made_of
from ..session.dock import Panel
from ..session.session import Session
from ..widgets.editors import ChoiceBox
from ..widgets.layout import in_column, in_form, push_button, tipped
from .measure_controller import MeasureController
from .measurements_table import MeasurementsDialog
from .what_to_measure import images_in, is_mask, is_seen, labels_in, may_lie_on, size_of, usual_image, usual_labels

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

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
        self._chosen_labels: Labels | None = None  # by the user, or new
        self._chosen_image: Image | str | None = ""  # by the user, or empty
        self._chosen_for: object = None  # labels for which that image was chosen
        self._met: list[tuple[int, str]] = []  # labels by id and mark, in the order in which they came
        layers = in_form(("Objects", self.labels), ("Intensities", self.image))
        self.setLayout(in_column(layers, self.button, spacing=6))
        self.button.clicked.connect(self.start)
        shown = session.viewer.layers
        for event in (
            shown.events.inserted, shown.events.removed, shown.events.renamed, session.current_changed,
        ):  # fmt: skip
            self.listen(event, self.refresh)
        self.listen(shown.selection.events.active, self._on_selected)
        self.labels.changed.connect(self._on_labels)
        self.image.changed.connect(self._on_image)
        self.listen(measuring.changed, self._on_busy)
        self.listen(measuring.measured_anew, self.show_table)
        self.refresh()
        self._on_selected()

    def start(self) -> None:
        """Measure the chosen layers, or stop if that is under way."""
        if self.measuring.is_busy:
            self.measuring.stop()
        elif (labels := self._layer(self.labels.value())) is not None:
            self.measuring.measure(labels, self._images(labels))

    def refresh(self) -> None:
        """List the layers, with what is new, or was selected or chosen last, as the choice."""
        layers = list(self.session.viewer.layers)
        labels, images = labels_in(layers), images_in(layers)
        measured = self._labels_to_choose(labels)
        _fill(self.labels, labels, measured)
        everything = [(f"all {len(images)} images", _ALL)] if len(images) > 1 else []
        _fill(self.image, images, self._image_to_choose(images, measured), [*everything, (_NO_IMAGE, None)])
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
        if self.image.value() != _ALL:
            return [layer for layer in (self._layer(self.image.value()),) if layer is not None]
        return [image for image in images_in(list(self.session.viewer.layers)) if size_of(image) == size_of(labels)]

    def _layer(self, key: object) -> Any:
        return next((layer for layer in self.session.viewer.layers if id(layer) == key), None)

    def _labels_to_choose(self, labels: Sequence[Labels]) -> Labels | None:
        """Return a prediction that is new, else what was chosen before, else what is usual."""
        there = {(id(layer), mark_of(layer)): layer for layer in labels}
        new = [layer for key, layer in there.items() if key not in self._met]
        self._met = [*(key for key in self._met if key in there), *(key for key in there if key not in self._met)]
        self._chosen_labels = next((layer for layer in reversed(new) if is_seen(layer)), self._chosen_labels)
        if self._chosen_labels not in labels:
            self._chosen_labels = None
        return self._chosen_labels or usual_labels([there[key] for key in self._met])

    def _image_to_choose(self, images: Sequence[Image], measured: Labels | None) -> Image | str | None:
        """Return what was chosen before, while it is there and of the size of the labels, else what is usual."""
        chosen, usual = self._chosen_image, usual_image(images, measured)
        if chosen == "" or (chosen == _ALL and len(images) < 2):
            return usual
        is_layer = chosen is not None and not isinstance(chosen, str)
        if is_layer and (chosen not in images or (measured is not None and not self._may_stay(chosen, measured))):
            self._chosen_image = ""
            return usual
        return chosen

    def _may_stay(self, image: Any, measured: Labels) -> bool:
        """Tell whether an image that was chosen before can be meant: an intensity of another image is a wrong one."""
        return size_of(image) == size_of(measured) and (id(measured) == self._chosen_for or is_made_of(measured, image))

    def _on_selected(self) -> None:
        """Choose the layer that was selected; one is painted in all the time, which chooses nothing."""
        layers, active = list(self.session.viewer.layers), self.session.viewer.layers.selection.active
        labels = labels_in(layers)
        if active in labels and not is_mask(active):
            self._chosen_labels = active
        if active in images_in(layers):
            self._chosen_labels = next(
                (one for one in reversed(labels) if is_made_of(one, active)), self._chosen_labels
            )
            meant = self._chosen_labels or self._layer(self.labels.value())
            if may_lie_on(meant, active) and self._chosen_image != _ALL:
                self._chosen_image, self._chosen_for = active, id(meant)
        self.refresh()

    def _on_labels(self) -> None:
        self._chosen_labels = self._layer(self.labels.value())
        self.refresh()  # the image is that below

    def _on_image(self) -> None:
        key = self.image.value()
        self._chosen_image = key if key is None or key == _ALL else self._layer(key)
        self._chosen_for = self.labels.value()

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
