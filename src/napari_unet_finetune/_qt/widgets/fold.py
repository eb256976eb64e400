"""A section that can be folded away, whose arrow has the color of the theme."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget
from superqt import QCollapsible

_OPEN, _CLOSED = "▼", "▶"
_NO_LIMIT = 2**24 - 1  # Qt's own


class Fold(QCollapsible):
    """A section under a title, closed at first."""

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__(title, expandedIcon=_OPEN, collapsedIcon=_CLOSED)
        self.setDuration(0)
        self.addWidget(content)
        layout = self.layout()
        if layout is not None:
            layout.setContentsMargins(0, 2, 0, 2)
        self.collapse(animate=False)
        self._on_toggled(False)
        self.toggled.connect(self._on_toggled)

    def eventFilter(self, _watched: QObject | None, _event: QEvent | None) -> bool:
        """Let what is inside grow: the height it had when it was opened is no limit."""
        return False

    def changeEvent(self, event: QEvent | None) -> None:
        """Draw the arrows anew in the colors of another theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self.setExpandedIcon(_OPEN)
            self.setCollapsedIcon(_CLOSED)

    def _on_toggled(self, is_open: bool) -> None:
        self.content().setVisible(is_open)  # or the keyboard gets lost in what nobody sees
        if is_open:
            self.content().setMaximumHeight(_NO_LIMIT)
