"""A sentence with an icon that says how serious it is; the icon has the color, the text that of the theme."""

from __future__ import annotations

import html
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

from ...colors import FAULT, INFO, WARNING
from .layout import in_row
from .wrapped_label import WrappedLabel

Tone = Literal["info", "warning", "error"]
# Shapes and colors that the color-blind tell apart, on dark and light ground.
_ICONS: dict[Tone, tuple[str, str]] = {
    "info": ("●", INFO),
    "warning": ("▲", WARNING),
    "error": ("✖", FAULT),
}


class MessageLine(QWidget):
    """Shows a sentence, or nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon, self._text = QLabel(), WrappedLabel()
        row = in_row(self._icon, self._text, stretch=self._text, spacing=5)
        row.setAlignment(self._icon, Qt.AlignmentFlag.AlignTop)
        self.setLayout(row)
        self.setVisible(False)

    @property
    def text(self) -> str:
        """What it says."""
        return str(self._text.text())

    def say(self, text: str, tone: Tone = "info") -> None:
        """Show a sentence; without one, nothing is shown."""
        icon, color = _ICONS[tone]
        self._icon.setText(f'<span style="color: {color}">{html.escape(icon)}</span>')
        self._icon.setAccessibleName(tone)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setText(text)
        self.setVisible(bool(text))
