"""Boxes in which one value is edited: the number of a magicgui form, and a choice under words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

from magicgui.widgets import LineEdit
from magicgui.widgets.bases import ValuedContainerWidget
from qtpy.QtCore import QEvent, QObject, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QPaintEvent, QValidator
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QStyle, QStyleOptionComboBox, QStylePainter, QWidget

EMPTY = "(empty)"
_DECIMALS = 10


class NumberEdit(ValuedContainerWidget[Any]):
    """A number in a magicgui form; magicgui's own box rounds 1e-5 to 0 and cannot be empty.

    Parameters
    ----------
    min, max, step
        Range and how far an arrow goes.
    annotation
        ``int`` for whole numbers.
    nullable
        An empty box stands for None.
    """

    def __init__(self, *, min: float, max: float, step: float, **options: Any) -> None:  # noqa: A002
        kind = options.get("annotation")
        whole = int in (kind, *get_args(kind))
        self.box = _SpinBox(min, max, step, whole=whole, nullable=options.get("nullable", False))
        super().__init__(labels=False, **options)
        self.margins = (0, 0, 0, 0)
        self.native.layout().addWidget(self.box)
        self.native.setFocusProxy(self.box)
        self.box.valueChanged.connect(lambda _: self.changed.emit(self.value))

    def get_value(self) -> Any:
        """Return the number, None if the box is empty."""
        return self.box.number()

    def set_value(self, value: float | None) -> None:
        """Put a number, or nothing, into the box."""
        self.box.setValue(self.box.minimum() if value is None else value)


class TextEdit(LineEdit):
    """A line of text in a magicgui form; an empty one is None where that may be, which magicgui shows as a word."""

    def get_value(self) -> Any:
        """Return the text, None if the box is empty and may be."""
        return super().get_value() or (None if self._nullable else "")

    def set_value(self, value: str | None) -> None:
        """Put a text, or nothing, into the box."""
        super().set_value(value or "")


class _SpinBox(QDoubleSpinBox):
    """Writes numbers as short as they are, small ones as 1e-05; a number below the range stands for empty."""

    def __init__(self, low: float, high: float, step: float, *, whole: bool, nullable: bool) -> None:
        super().__init__()
        self._low = low
        self.setDecimals(0 if whole else _DECIMALS)
        self.setRange((math.ceil(low / step) - 1) * step if nullable else low, high)
        self.setSingleStep(step)
        self.setKeyboardTracking(False)
        self.setMinimumWidth(90)
        if (line := self.lineEdit()) is not None:
            line.setPlaceholderText(EMPTY)
        leave_wheel(self)

    def number(self) -> float | None:
        value = self.value()
        if value < self._low:
            return None
        return value if self.decimals() else round(value)

    def textFromValue(self, value: float) -> str:
        return "" if value < self._low else f"{value:.{_DECIMALS}g}"

    def valueFromText(self, text: str | None) -> float:
        return float(text.replace(",", ".")) if text and text.strip() else float(self.minimum())

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Let anything be typed that is or may become a number."""
        return self._state((text or "").strip()), text or "", position

    def _state(self, text: str) -> QValidator.State:
        state = QValidator.State
        if not text:
            return state.Acceptable if self.minimum() < self._low else state.Intermediate
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            return state.Intermediate if set(text) <= set("0123456789.,eE+-") else state.Invalid
        if not self.decimals() and not number.is_integer():
            return state.Invalid
        return state.Acceptable if self._low <= number <= self.maximum() else state.Intermediate


class ChoiceBox(QComboBox):
    """One of several values, each under words."""

    changed = Signal()

    def __init__(self, choices: Sequence[tuple[str, Any]]) -> None:
        super().__init__()
        for text, value in choices:
            self.addItem(text, value)
        shrink(self)
        self.currentIndexChanged.connect(lambda _: self.changed.emit())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Show a choice that is too long with its middle cut: names differ at both ends."""
        option, painter = QStyleOptionComboBox(), QStylePainter(self)
        self.initStyleOption(option)
        style = self.style()
        assert style is not None
        combo, field = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        width = style.subControlRect(combo, option, field, self).width()
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideMiddle, width)
        painter.drawComplexControl(combo, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()

    def value(self) -> Any:
        """Return the chosen value."""
        return self.currentData()

    def set_value(self, value: Any) -> None:
        """Choose `value`, which must be one of the choices."""
        self.setCurrentIndex(self.findData(value))


def shrink(combo: QComboBox) -> None:
    """Let a combo box be narrower than its longest entry, for docks are narrow, and leave them the wheel."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    view = combo.view()
    if view is not None:
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    leave_wheel(combo)


def leave_wheel(box: QWidget) -> None:
    """Leave the wheel to the scroll area, unless somebody works in the box."""
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    box.installEventFilter(_WheelGuard(box))


class _WheelGuard(QObject):
    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel or not isinstance(watched, QWidget) or watched.hasFocus():
            return False
        event.ignore()
        return True
