"""The curve of a training, loss and Dice on held-out images, drawn in the colors of the theme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...colors import TRAINING_LOSS, VALIDATION_DICE
from ...progress import RunProgress

LOSS, DICE = QColor(TRAINING_LOSS), QColor(VALIDATION_DICE)
_MOST_POINTS = 4000
_FAINT = 90  # of 255
_GAP_PX = 4

Points = Sequence[tuple[int, float]]


class CurvePlot(QWidget):
    """Draws `RunProgress`; the loss is scaled to its largest value, the Dice from 0 to 1."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._losses = self._dices = np.zeros((0, 2))
        self._raw: float | None = None
        self._steps = 1
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Loss of the training batches, and Dice on held-out images. Dotted: Dice of the base model.")
        self.setAccessibleName("Curve of the training")

    def set_progress(self, progress: RunProgress) -> None:
        """Show how far a training is."""
        self._losses = decimate(progress.losses, max(50, self.width()))
        dices = progress.val_dices
        if progress.raw_dice is not None:
            dices = ((0, progress.raw_dice), *dices)
        self._dices = decimate(dices, max(50, self.width()))
        self._raw, self._steps = progress.raw_dice, max(progress.steps, progress.step, 1)
        self.update()

    def sizeHint(self) -> QSize:
        """Return a height that leaves room for the sections above."""
        return QSize(300, 84)

    def minimumSizeHint(self) -> QSize:
        """Return the least height at which two curves can be told apart."""
        return QSize(160, 72)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw frame, legend and both curves."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = QFontMetricsF(painter.font())
        left, bottom = metrics.horizontalAdvance("1.0") + _GAP_PX, metrics.height()
        area = QRectF(self.rect()).adjusted(left, metrics.height() + _GAP_PX, -_GAP_PX, -bottom)
        self._draw_frame(painter, area, metrics)
        largest = float(self._losses[:, 1].max()) if len(self._losses) else 1.0
        self._draw_line(painter, area, self._losses, LOSS, largest or 1.0)
        if self._raw is not None:
            self._draw_line(painter, area, np.array([(0, self._raw), (self._steps, self._raw)]), DICE, 1.0, dotted=True)
        self._draw_line(painter, area, self._dices, DICE, 1.0)
        self._draw_legend(painter, area, metrics)
        painter.end()

    def _draw_frame(self, painter: QPainter, area: QRectF, metrics: QFontMetricsF) -> None:
        text = self.palette().windowText().color()
        faint = QColor(text)
        faint.setAlpha(_FAINT)
        painter.setPen(QPen(faint, 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.topLeft(), area.bottomLeft())
        painter.setPen(text)
        height = metrics.height()
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for label, y in (("1.0", area.top()), ("0", area.bottom())):
            painter.drawText(QRectF(0, y - height / 2, area.left() - _GAP_PX, height), right, label)
        painter.drawText(QRectF(area.left(), area.bottom(), area.width(), height), right, f"step {self._steps}")

    def _draw_line(
        self, painter: QPainter, area: QRectF, points: NDArray[np.float64], color: QColor, largest: float,
        *, dotted: bool = False,
    ) -> None:  # fmt: skip
        if not len(points):
            return
        x = area.left() + area.width() * points[:, 0] / self._steps
        y = area.bottom() - area.height() * np.clip(points[:, 1] / largest, 0, 1)
        pen = QPen(color, 1.0 if dotted else 1.8, Qt.PenStyle.DotLine if dotted else Qt.PenStyle.SolidLine)
        painter.setPen(pen)
        line = QPolygonF([QPointF(*point) for point in zip(x.tolist(), y.tolist(), strict=True)])
        painter.drawPolyline(line)
        if len(points) == 1:
            painter.drawEllipse(line[0], 1.5, 1.5)

    def _draw_legend(self, painter: QPainter, area: QRectF, metrics: QFontMetricsF) -> None:
        x, middle = round(area.left()), round(metrics.height() / 2)
        for color, name, points in ((LOSS, "loss", self._losses), (DICE, "held-out Dice", self._dices)):
            label = f"{name} {points[-1, 1]:.2f}" if len(points) else name
            painter.fillRect(QRectF(x, middle - 1, 14, 3), color)
            painter.setPen(self.palette().windowText().color())
            width = metrics.horizontalAdvance(label) + 2
            painter.drawText(QRectF(x + 18, 0, width, metrics.height()), Qt.AlignmentFlag.AlignVCenter, label)
            x += round(18 + width + 12)


def decimate(points: Points, width: int) -> NDArray[np.float64]:
    """Return at most `width` points (x, y): means of neighbours, so that noise is smoothed and the ends stay."""
    few = points[:: len(points) // _MOST_POINTS + 1]
    array = np.asarray(few, np.float64).reshape(-1, 2)
    if len(array) <= width // 2:
        return array
    parts = np.array_split(array, width // 2)
    means = np.array([part.mean(axis=0) for part in parts])
    means[0, 0], means[-1, 0] = points[0][0], points[-1][0]
    return means
