"""The models to tick: each with its color and its label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtpy.QtCore import QSize

from ..session.known_models import KnownModel
from ..widgets.tick_list import Tick, TickList
from .models import Colors
from .score_table import swatch

_ROWS_SHOWN = 5


class ModelList(TickList):
    """A list of models, any number of which can be ticked."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Models to compare")
        self.setToolTip("Tick the models to compare.")
        self.setMinimumHeight(self.sizeHint().height())
        self.setMaximumHeight(self.sizeHint().height())

    def sizeHint(self) -> QSize:
        """Return the height of a few rows."""
        return QSize(200, _ROWS_SHOWN * (self.fontMetrics().height() + 6) + 6)

    def set_entries(self, entries: Sequence[KnownModel], chosen: Iterable[str], colors: Colors) -> None:
        """Show `entries`, those of `chosen` ticked."""
        ticked = set(chosen)
        self.set_ticks(
            Tick(entry.model, entry.label, entry.model in ticked, entry.tip, swatch(colors.get(entry.model)))
            for entry in entries
        )
