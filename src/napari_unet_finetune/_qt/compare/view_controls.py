"""How a comparison is shown: overlay, grid or errors, which model, with or without the contour of the truth."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QLabel, QPushButton
from superqt import QElidingLabel

from ...colors import ERRORS
from ..session.dock import Panel
from ..widgets.layout import in_column, in_row, push_button, tipped
from ..widgets.wrapped_label import WrappedLabel
from .layers import Mode
from .score_table import swatch
from .view import NEXT_KEY, PREVIOUS_KEY, ComparisonView

_MODES: tuple[tuple[Mode, str, str], ...] = (
    ("overlay", "Overlay", "One model laid over the image. The keys , and . go from model to model."),
    (
        "grid",
        "Grid",
        "All models side by side, and the truth; zoom and contrast are shared. Other layers are hidden meanwhile.",
    ),
    ("errors", "Errors", "Where the chosen model differs from the truth."),
)


class ViewControls(Panel):
    """Buttons for `view`."""

    def __init__(self, view: ComparisonView) -> None:
        super().__init__()
        self.view = view
        self.modes: dict[Mode, QPushButton] = {}
        self.previous = push_button("◀", f"The model before this one. Key: <b>{PREVIOUS_KEY}</b>")
        self.next = push_button("▶", f"The model after this one. Key: <b>{NEXT_KEY}</b>")
        self.truth = tipped(QCheckBox("truth"), "Draw the outline of the truth over the image.")
        self.clear = push_button("Clear", "Remove the layers of the comparison from the viewer.")
        self.model, self.words = QElidingLabel(), WrappedLabel()
        self.model.setElideMode(Qt.TextElideMode.ElideMiddle)
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
        for mode, text, tip in _MODES:
            self.modes[mode] = push_button(text, tip)
            self.modes[mode].setCheckable(True)
            self._group.addButton(self.modes[mode])
        self.truth.setChecked(True)
        for one, name in ((self.previous, "Previous model"), (self.next, "Next model")):
            one.setFixedWidth(32)
            one.setAccessibleName(name)
        self.model.setMinimumWidth(60)
        modes = in_row(*self.modes.values(), spacing=2)
        flick = in_row(self.previous, self._color, self.model, self.next, self.truth, self.clear, stretch=self.model)
        self.setLayout(in_column(modes, flick, self.words, self.legend))

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
