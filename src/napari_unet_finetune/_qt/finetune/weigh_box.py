"""Old or new: a slider between the base and the finetuned model, with what each place on it is worth."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QLabel, QSlider, QWidget

from ...questions.weigh import ShareScores, Weighing
from ...text import number, percent
from ..widgets.layout import in_column, in_row, push_button, tipped
from ..widgets.wrapped_label import WrappedLabel

_TIP = (
    "How far from the weights of the base to those of the finetuned model: further to the right new images gain, and "
    "old ones may lose."
)


class WeighBox(QWidget):
    """Shows the scores of the mix that is chosen, until there is another weighing."""

    keep_requested = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self._weighing: Weighing | None = None
        self.slider = tipped(QSlider(Qt.Orientation.Horizontal), _TIP)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setPageStep(1)
        self.slider.setAccessibleName("old or new images")
        self.old, self.new, self.worst, self.what = QLabel(), QLabel(), WrappedLabel(), WrappedLabel()
        self.new.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.keep = push_button(
            "Keep this mix", "Write it as a new model beside the finetuned one, which stays, and predict with it."
        )
        self.setLayout(
            in_column(
                in_row(QLabel("old images"), self.slider, QLabel("new images"), stretch=self.slider),
                in_row(self.old, None, self.new),
                self.worst,
                in_row(self.what, self.keep, stretch=self.what),
            )
        )
        self.slider.valueChanged.connect(self._show)
        self.keep.clicked.connect(lambda: self.keep_requested.emit(self.scores.share))
        self.setVisible(False)

    @property
    def scores(self) -> ShareScores:
        """Those of the place where the slider stands."""
        assert self._weighing is not None
        return self._weighing.rows[self.slider.value()]

    def set_weighing(self, weighing: Weighing | None) -> None:
        """Show a weighing, beginning at the model that the training kept, or nothing; one that is shown stays."""
        if weighing is self._weighing:
            return
        self._weighing = weighing
        self.setVisible(weighing is not None)
        if weighing is None:
            return
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, len(weighing.rows) - 1)
            self.slider.setValue(0 if weighing.kept_base else self.slider.maximum())
        self._show()

    def _show(self) -> None:
        assert self._weighing is not None
        now, base = self.scores, self._weighing.rows[0]
        self.old.setText(_scores("Dice on old images", base.old, now.old))
        self.new.setText(_scores("Dice on new images", base.new, now.new))
        self.worst.setText(f"Worst old image: {now.worst_in_words}" if now.worst_old else "")
        self.worst.setVisible(any(row.worst_old for row in self._weighing.rows))
        kept_base = self._weighing.kept_base
        finetuned = "The finetuned weights, which the training did not keep." if kept_base else "The finetuned model."
        ends = {0.0: f"{self._weighing.base}, the base.", 1.0: finetuned}
        between = (
            f"{percent(now.share)} of the way from the base to the finetuned {'weights' if kept_base else 'model'}."
        )
        self.what.setText(ends.get(now.share, between))
        self.keep.setText("Keep these weights" if kept_base and now.share == 1 else "Keep this mix")
        self.keep.setEnabled(now.share not in ends or (kept_base and now.share == 1))


def _scores(title: str, base: float | None, now: float | None) -> str:
    """Return the score of a place beside that of the base, in two lines."""
    return f"{title}\nnot measured" if now is None else f"{title}\n{number(base)} → {number(now)}"
