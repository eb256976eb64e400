"""A slider for the threshold, with a mark at the model's own."""

from __future__ import annotations

from qtpy.QtCore import QRect, QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QDoubleSpinBox, QSlider, QStyle, QStyleOptionSlider, QWidget

from ...config import THRESHOLD_RANGE
from .layout import in_column, in_row, push_button, tipped

LOWEST, HIGHEST = THRESHOLD_RANGE
_STEPS = 100
_MARK_PX = 3
_BOX_PX = 90


class ThresholdSlider(QWidget):
    """A threshold, or None for the model's own, which is marked and can be gone back to."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._own, self._value = 0.5, None  # type: float, float | None
        tip = "Probability above which a pixel belongs to an object: lower finds more, higher less."
        self.slider, self.box = tipped(_MarkedSlider(), tip), tipped(QDoubleSpinBox(), tip)
        tip = "Go back to the threshold that the model was calibrated to, marked on the slider."
        self.restore = push_button("", tip)
        self.slider.setRange(round(LOWEST * _STEPS), round(HIGHEST * _STEPS))
        self.box.setRange(LOWEST, HIGHEST)
        self.box.setSingleStep(0.01)
        self.box.setFixedWidth(_BOX_PX)
        row = in_row(self.slider, self.box, stretch=self.slider)
        self.setLayout(in_column(row, in_row(self.restore, None), spacing=2))
        self.slider.valueChanged.connect(lambda step: self._on_changed(step / _STEPS))
        self.box.valueChanged.connect(self._on_changed)
        self.restore.clicked.connect(lambda: self._on_changed(None))
        self._refresh()

    def value(self) -> float | None:
        """Return the threshold; None for the model's own."""
        return self._value

    def set_value(self, value: float | None, own: float) -> None:
        """Show a threshold, None for the model's `own`, without telling anybody."""
        self._value, self._own = value, own
        self._refresh()

    def _on_changed(self, value: float | None) -> None:
        self._value = value
        self._refresh()
        self.changed.emit()

    def _refresh(self) -> None:
        shown = self._own if self._value is None else self._value
        with QSignalBlocker(self.slider), QSignalBlocker(self.box):
            self.slider.setValue(round(shown * _STEPS))
            self.box.setValue(shown)
        self.slider.set_mark(round(self._own * _STEPS))
        self.restore.setText(f"Model's own: {self._own:.2f}")
        self.restore.setEnabled(self._value is not None)


class _MarkedSlider(QSlider):
    """A slider with a mark at one value."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._mark = 0
        self.setMinimumHeight(26)

    def set_mark(self, value: int) -> None:
        self._mark = value
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the mark, a line below the groove in the color of the text, under the slider itself."""
        option = QStyleOptionSlider()
        self.initStyleOption(option)
        style = self.style()
        assert style is not None
        handle = style.subControlRect(QStyle.ComplexControl.CC_Slider, option, QStyle.SubControl.SC_SliderHandle, self)
        room = self.width() - handle.width()
        at = QStyle.sliderPositionFromValue(self.minimum(), self.maximum(), self._mark, room) + handle.width() // 2
        painter = QPainter(self)
        painter.fillRect(QRect(at - _MARK_PX // 2, 0, _MARK_PX, self.height()), self.palette().text())
        painter.end()
        super().paintEvent(event)
