"""How a comparison is shown: overlay, grid or errors, which model, with or without the contour of the truth."""

from __future__ import annotations

from qtpy.QtWidgets import QButtonGroup, QCheckBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from ...colors import ERRORS
from ..session.dock import Panel
from .layers import Mode
from .score_table import swatch
from .view import NEXT_KEY, PREVIOUS_KEY, ComparisonView

_MODES: tuple[tuple[Mode, str, str], ...] = (
    ("overlay", "Overlay", "One model laid over the image. The keys , and . go from model to model."),
    (
        "grid",
        "Grid",
        "All models side by side, and the truth; zoom and contrast are shared. Other layers hide meanwhile.",
    ),
    ("errors", "Errors", "Where the chosen model differs from the truth."),
)


class ViewControls(Panel):
    """Buttons for `view`."""

    def __init__(self, view: ComparisonView) -> None:
        super().__init__()
        self.view = view
        self.modes: dict[Mode, QPushButton] = {}
        self.previous, self.next, self.model = QPushButton("◀"), QPushButton("▶"), QLabel()
        self.truth, self.clear, self.words = QCheckBox("truth"), QPushButton("Clear"), QLabel()
        self.legend = QLabel("<br>".join(_sign(color, meaning) for color, meaning in ERRORS.items()))
        self._color = QLabel()
        self._group = QButtonGroup(self)
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show what is shown."""
        view = self.view
        for mode, button in self.modes.items():
            button.setChecked(mode == view.mode)
        column = view.comparing.column(view.label) if view.image is not None else None
        self.setEnabled(bool(view.comparing.columns))
        self.model.setText(column.label if column else "no model")
        self._color.setVisible(column is not None)
        if column is not None:
            self._color.setPixmap(swatch(column.color))
        self.words.setText(view.words)
        self.words.setVisible(bool(view.words))
        self.legend.setVisible(view.mode == "errors" and view.image is not None)
        self.clear.setEnabled(view.image is not None)

    def _lay_out(self) -> None:
        modes = QHBoxLayout()
        modes.setSpacing(2)
        for mode, text, tip in _MODES:
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(f"<qt>{tip}</qt>")
            self._group.addButton(button)
            self.modes[mode] = button
            modes.addWidget(button, stretch=1)
        self.truth.setChecked(True)
        self.truth.setToolTip("Draw the outline of the truth over the image.")
        self.clear.setToolTip("Take the layers of the comparison out of the viewer.")
        for button, key in ((self.previous, PREVIOUS_KEY), (self.next, NEXT_KEY)):
            button.setFixedWidth(32)
            button.setToolTip(f"<qt>The model before or after this one. Key: <b>{key}</b></qt>")
        self.previous.setAccessibleName("Previous model")
        self.next.setAccessibleName("Next model")
        self.words.setWordWrap(True)
        self.model.setMinimumWidth(60)
        flick = QHBoxLayout()
        flick.setSpacing(4)
        for widget in (self.previous, self._color, self.model, self.next):
            flick.addWidget(widget, stretch=int(widget is self.model))
        flick.addWidget(self.truth)
        flick.addWidget(self.clear)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(modes)
        column.addLayout(flick)
        column.addWidget(self.words)
        column.addWidget(self.legend)

    def _connect(self) -> None:
        view = self.view
        for mode, button in self.modes.items():
            button.clicked.connect(lambda _checked, mode=mode: view.set_mode(mode))
        self.previous.clicked.connect(lambda: view.previous())
        self.next.clicked.connect(lambda: view.next())
        self.truth.toggled.connect(lambda checked: view.set_truth(is_shown=checked))
        self.clear.clicked.connect(lambda: view.clear())
        self.listen(view.changed, self.refresh)
        self.listen(view.comparing.changed, self.refresh)


def _sign(color: str, words: str) -> str:
    return f'<span style="color: {color}">■</span> {words}'
