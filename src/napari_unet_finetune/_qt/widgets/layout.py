"""Widgets side by side, one below the other, in a form or in a menu, each in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QBoxLayout,
    QFormLayout,
    QHBoxLayout,
    QLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

W = TypeVar("W", bound=QWidget)
Part = QWidget | QLayout | None  # None is room between the others


def tipped(widget: W, tip: str) -> W:
    """Return `widget`, which explains itself to the mouse; the lines of the tip are broken."""
    widget.setToolTip(f"<qt>{tip}</qt>")
    return widget


def push_button(text: str, tip: str) -> QPushButton:
    """Return a button that explains itself; what it does heeds numbers that are typed and not confirmed yet."""
    button = QPushButton(text)
    button.pressed.connect(lambda: confirm_numbers(button.window()))
    return tipped(button, tip)


def confirm_numbers(window: QWidget | None) -> None:
    """Take what is typed in the boxes of `window`: a button pressed by key, or on a Mac, leaves the focus there."""
    lines = (
        [] if window is None else window.findChildren(QLineEdit)
    )  # PyQt lets nobody ask a box of napari for its line
    for line in lines:
        box = line.parent()
        if isinstance(box, QAbstractSpinBox) and line.isModified():
            box.interpretText()


def in_row(*parts: Part, stretch: QWidget | None = None, spacing: int = 4) -> QHBoxLayout:
    """Return `parts` side by side; that of `stretch` gets the room that is left."""
    return _filled(QHBoxLayout(), parts, stretch, spacing)


def in_column(*parts: Part, stretch: QWidget | None = None, spacing: int = 4) -> QVBoxLayout:
    """Return `parts` one below the other, without a margin."""
    return _filled(QVBoxLayout(), parts, stretch, spacing)


def in_form(*rows: tuple[str, QWidget | QLayout] | QWidget) -> QFormLayout:
    """Return rows of a label and its field, which is as wide as it can be; one without a label fills its row."""
    found = QFormLayout()
    found.setContentsMargins(0, 0, 0, 0)
    found.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for one in rows:
        if isinstance(one, QWidget):
            found.addRow(one)
        else:
            label, field = one
            found.addRow(label, field)
    return found


def menu_button(button: QPushButton, entries: Iterable[tuple[str, str, Callable[[], object]]]) -> QMenu:
    """Return the menu that `button` opens: entries of a text, a tip and what they do."""
    menu = QMenu(button)
    menu.setToolTipsVisible(True)
    for text, tip, act in entries:
        action = menu.addAction(text)
        assert action is not None
        action.setToolTip(tip)
        action.triggered.connect(lambda _checked=False, act=act: act())
    button.clicked.connect(lambda: menu.popup(button.mapToGlobal(button.rect().bottomLeft())))
    return menu


Box = TypeVar("Box", bound=QBoxLayout)


def _filled(box: Box, parts: Iterable[Part], stretch: QWidget | None, spacing: int) -> Box:
    box.setContentsMargins(0, 0, 0, 0)
    box.setSpacing(spacing)
    for part in parts:
        if part is None:
            box.addStretch()
        elif isinstance(part, QLayout):
            box.addLayout(part)
        else:
            box.addWidget(part, stretch=int(part is stretch))
    return box
