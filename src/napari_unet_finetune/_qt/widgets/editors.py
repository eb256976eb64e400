"""Boxes in which one value is edited: each has `value()`, `set_value()` and `changed`, and knows what empty means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QValidator, QWheelEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLineEdit

EMPTY = "(empty)"
_DECIMALS = 10
_SEPARATOR = ";"


class NumberBox(QDoubleSpinBox):
    """A number, whole or not, small ones written as 1e-05; if it is optional, it may be empty.

    Parameters
    ----------
    low, high, step
        Range and how far an arrow goes.
    whole
        Only whole numbers.
    optional
        An empty box stands for None.
    """

    changed = Signal()

    def __init__(self, low: float, high: float, step: float, *, whole: bool = False, optional: bool = False) -> None:
        super().__init__()
        self._low, self._whole, self._optional = low, whole, optional
        self._exact: float | None = None  # the box rounds what is put in
        self.setDecimals(0 if whole else _DECIMALS)
        self.setRange(low - 1 if optional else low, high)
        self.setSingleStep(step)
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumWidth(90)
        if optional:
            self.setSpecialValueText(EMPTY)
        self.valueChanged.connect(lambda _: self.changed.emit())

    def value(self) -> Any:
        """Return the number, None if the box is empty."""
        shown = super().value()
        if self._is_empty():
            return None
        if self._exact is not None and abs(self._exact - shown) < 10**-_DECIMALS:
            return self._exact
        return round(shown) if self._whole else shown

    def set_value(self, value: float | None) -> None:
        """Put a number, or nothing, into the box."""
        self._exact = value
        self.setValue(self.minimum() if value is None else value)

    def stepBy(self, steps: int) -> None:
        """Go up or down; from the smallest number down to empty."""
        if not self._optional:
            super().stepBy(steps)
        elif self._is_empty():
            self.setValue(max(self._low, 0.0) if steps > 0 else self.minimum())
        else:
            target = super().value() + steps * self.singleStep()
            at_the_end = super().value() <= self._low
            self.setValue(target if target >= self._low else self.minimum() if at_the_end else self._low)

    def textFromValue(self, value: float) -> str:
        """Return the shortest text for a number."""
        return f"{value:.0f}" if self._whole else f"{value:.{_DECIMALS}g}"

    def valueFromText(self, text: str | None) -> float:
        """Return the number in a text; empty stands for None."""
        text = (text or "").strip()
        if self._optional and text in ("", EMPTY):
            return float(self.minimum())
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return float(super().value())

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Let anything be typed that is or may become a number."""
        text = text or ""
        state = QValidator.State
        if text.strip() in ("", EMPTY):
            return (state.Acceptable if self._optional else state.Intermediate), text, position
        try:
            number = float(text.replace(",", "."))
        except ValueError:
            may_become = all(letter in "0123456789.,eE+-" for letter in text)
            return (state.Intermediate if may_become else state.Invalid), text, position
        if self._whole and not number.is_integer():
            return state.Invalid, text, position
        return (state.Acceptable if self._low <= number <= self.maximum() else state.Intermediate), text, position

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to the scroll area, unless somebody works in this box."""
        _wheel(self, QDoubleSpinBox, event)

    def _is_empty(self) -> bool:
        return self._optional and super().value() < self._low


class ChoiceBox(QComboBox):
    """One of several values, each under words; if it is optional, the first stands for None."""

    changed = Signal()

    def __init__(self, choices: Sequence[tuple[str, Any]], *, optional: bool = False) -> None:
        super().__init__()
        for text, value in ((EMPTY, None), *choices) if optional else choices:
            self.addItem(text, value)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        shrink(self)
        self.currentIndexChanged.connect(lambda _: self.changed.emit())

    def value(self) -> Any:
        """Return the chosen value."""
        return self.currentData()

    def set_value(self, value: Any) -> None:
        """Choose `value`, which must be one of the choices."""
        self.setCurrentIndex(self.findData(value))

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to the scroll area, unless somebody works in this box."""
        _wheel(self, QComboBox, event)


class FlagBox(QCheckBox):
    """Yes or no."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.toggled.connect(lambda _: self.changed.emit())

    def value(self) -> bool:
        """Tell whether it is ticked."""
        return bool(self.isChecked())

    def set_value(self, value: bool) -> None:
        """Tick it or not."""
        self.setChecked(value)


class NamesBox(QLineEdit):
    """Some names, with semicolons between them; an empty box stands for None."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText(f"names, with {_SEPARATOR} between them")
        self.textChanged.connect(lambda _: self.changed.emit())

    def value(self) -> tuple[str, ...] | None:
        """Return the names."""
        names = (name.strip() for name in self.text().split(_SEPARATOR))
        return tuple(name for name in names if name) or None

    def set_value(self, value: Sequence[str] | None) -> None:
        """Show names."""
        self.setText(f"{_SEPARATOR} ".join(value or ()))


def shrink(combo: QComboBox) -> None:
    """Let a combo box be narrower than its longest entry, for docks are narrow."""
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    view = combo.view()
    if view is not None:
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)


def step_for(default: float | None, high: float, *, whole: bool) -> float:
    """Return how far an arrow should move a number that is `default` at first."""
    size = 10.0 ** math.floor(math.log10(abs(default))) if default else 1.0
    if whole:
        return max(1.0, size / 10)
    if high <= 1 and (default is None or default == 0 or 0.01 <= default <= 0.9):
        return 0.05
    return size / 10 if default else 0.01


def _wheel(box: Any, kind: type[Any], event: QWheelEvent | None) -> None:
    if event is None or box.hasFocus():
        kind.wheelEvent(box, event)
    else:
        event.ignore()
