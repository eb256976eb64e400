"""What becomes an object: threshold, smallest size, holes and touching objects, acting at once on the prediction."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QLabel, QWidget

from ...errors import FinetuneError
from ...models.card import read_card
from ..layers.stacks import pixel_size
from ..session.dock import Panel
from ..session.session import Session
from ..widgets.editors import NumberEdit
from ..widgets.file_dialogs import ask_for_file
from ..widgets.fold import Fold
from ..widgets.layout import in_column, in_form, in_row, push_button, tipped
from ..widgets.threshold_slider import HIGHEST, LOWEST, ThresholdSlider
from .controller import PredictController
from .label_files import labels_to_save, save_labels, suggested_file

_LARGEST_PX = 10_000_000


class ObjectsPanel(Panel):
    """Edits the settings of the live prediction."""

    def __init__(self, session: Session, predicting: PredictController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session, self.predicting = session, predicting
        self.threshold = ThresholdSlider()
        self.min_size = NumberEdit(min=0, max=_LARGEST_PX, step=10, annotation=int)
        self.min_size.tooltip = "Objects with fewer pixels are removed."
        self.area = QLabel()
        self.fill_holes = tipped(QCheckBox("Fill holes"), "Close holes inside objects.")
        self.instances = tipped(
            QCheckBox("Split touching objects"),
            "Number the objects, and cut touching ones apart at their necks; for roundish objects.",
        )
        self.probability = tipped(
            QCheckBox("Show the probability map"),
            "Show each pixel's probability as an image: 0 is background, 255 is an object.",
        )
        self.save = push_button(
            "Save labels…", "Save the selected Labels layer, or else the prediction, as TIFF with its pixel size."
        )
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show the settings of the prediction that is selected."""
        config, live = self.predicting.config, self.predicting.live
        self.threshold.set_value(config.threshold, live.own_threshold if live else self._own_threshold())
        with self.min_size.changed.blocked(), QSignalBlocker(self.fill_holes), QSignalBlocker(self.instances):
            self.min_size.value = config.min_size_px
            self.fill_holes.setChecked(config.fill_holes)
            self.instances.setChecked(config.instances)
        with QSignalBlocker(self.probability):
            self.probability.setChecked(live is not None and live.is_probability_shown)
        self.probability.setEnabled(live is not None)
        self.save.setVisible(labels_to_save(self.session, live) is not None)
        self._show_area()

    def _own_threshold(self) -> float:
        try:
            return min(max(read_card(self.session.predictor).threshold, LOWEST), HIGHEST)
        except FinetuneError:  # whoever predicts with it is told
            return 0.5

    def _show_area(self) -> None:
        """Say how large the smallest object is in the unit of the image."""
        layer = self.predicting.source()
        pixels = int(self.min_size.value)
        (down, right), unit = pixel_size(layer) if layer is not None and layer.ndim > 1 else ((1.0, 1.0), "px")
        symbol = "µm" if unit == "um" else unit
        self.area.setText("" if unit == "px" or not pixels else f"= {pixels * down * right:.3g} {symbol}²")

    def _lay_out(self) -> None:
        size = in_row(self.min_size.native, QLabel("px"), self.area, stretch=self.area)
        more = QWidget()
        more.setLayout(
            in_column(
                in_form(("Smallest object", size)), in_row(self.instances, self.fill_holes, None), self.probability,
                spacing=6,
            )
        )  # fmt: skip
        self.fold = Fold("More", more)
        self.setLayout(in_column(in_form(("Threshold", self.threshold)), self.fold, in_row(None, self.save), spacing=6))

    def _connect(self) -> None:
        viewer, session, predicting = self.session.viewer, self.session, self.predicting
        self.threshold.changed.connect(lambda: predicting.set_config(threshold=self.threshold.value()))
        self.min_size.changed.connect(lambda: predicting.set_config(min_size_px=int(self.min_size.value)))
        self.fill_holes.toggled.connect(lambda on: predicting.set_config(fill_holes=on))
        self.instances.toggled.connect(lambda on: predicting.set_config(instances=on))
        self.probability.toggled.connect(self._on_probability)
        self.save.clicked.connect(self._choose_file)
        for signal in (
            viewer.layers.selection.events.active, viewer.layers.events.removed, session.predictor_changed,
            session.model_changed, predicting.changed,
        ):  # fmt: skip
            self.listen(signal, self.refresh)

    def _on_probability(self, shown: bool) -> None:
        if self.predicting.live is not None:
            self.predicting.live.set_probability_shown(shown)

    def _choose_file(self) -> None:
        layer = labels_to_save(self.session, self.predicting.live)
        if layer is None:
            return
        path = ask_for_file(self, "Save labels", suggested_file(layer), "TIFF (*.tif *.tiff)")
        if path is not None:
            save_labels(self.session, layer, path)
