"""A label that wraps its text and asks for just the height that takes at its width."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from ...text import elided


class WrappedLabel(QLabel):
    """Text of several lines, which can be copied.

    A plain QLabel guesses its height from a width that it does not get in a narrow dock, and leaves a gap.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text, self._has_own_tip = "", False
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def text(self) -> str:
        """Return what it says, in full."""
        return self._text

    def setText(self, text: str | None) -> None:
        """Show `text`; words that are longer than a line, such as names, are cut in their middle and told in a tip."""
        self._text = text or ""
        is_plain = self.textFormat() != Qt.TextFormat.RichText and "<" not in self._text
        shown = elided(self._text) if is_plain else self._text
        super().setText(shown)
        if is_plain and self._has_own_tip:
            self.setToolTip("")
        self._has_own_tip = shown != self._text
        if self._has_own_tip:
            self.setToolTip(self._text)

    def sizeHint(self) -> QSize:
        """Return the height of the text at the width it has."""
        width = max(self.width(), 100)
        return QSize(width, self.heightForWidth(width))

    def minimumSizeHint(self) -> QSize:
        """Return the same height for any width."""
        return QSize(0, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Ask for another height at another width."""
        super().resizeEvent(event)
        self.updateGeometry()
