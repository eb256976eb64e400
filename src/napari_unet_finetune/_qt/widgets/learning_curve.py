"""The learning curve: Dice over the number of images, one point per seed, the old dataset as a second line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...learning_curve.folder import CurvePoint
from ...learning_curve.words import mean_by_count

NEW, OLD = 2, 1
_NAMES = {NEW: "this dataset", OLD: "Dataset 1"}
_FAINT = 70  # of 255
_GAP_PX, _DOT_PX, _SEED_PX, _SAMPLE_PX = 5, 4.5, 2.2, 34
_TICKS, _FINE = 5, 0.1  # so many lines so far apart, else half as dense


class CurveChart(QWidget):
    """Draws the points of a study; dots have the colors of the models, lines those of the theme."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: tuple[CurvePoint, ...] = ()
        self._colors: dict[int, QColor] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip("Dots: mean over seeds, in the color of the model; small dots and bars: seeds and their range.")
        self.setAccessibleName("Learning curve")

    def set_points(self, points: Sequence[CurvePoint], colors: Mapping[int, str]) -> None:
        """Show `points`; `colors` are those of the models by their number of images."""
        self._points = tuple(points)
        self._colors = {count: QColor(color) for count, color in colors.items()}
        self.update()

    def sizeHint(self) -> QSize:
        """Return a size that shows the curve well."""
        return QSize(320, 220)

    def minimumSizeHint(self) -> QSize:
        """Return the least size at which it can be read."""
        return QSize(200, 140)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw axes, legend and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = QFontMetricsF(painter.font())
        area = self._area(metrics)
        ticks = self._ticks()
        low = ticks[0]
        self._draw_axes(painter, area, metrics, ticks)
        for dataset in (OLD, NEW):
            self._draw_line(painter, area, dataset, low)
        self._draw_legend(painter, area, metrics)
        painter.end()

    def _area(self, metrics: QFontMetricsF) -> QRectF:
        left, line = metrics.horizontalAdvance("0.0") + 2 * _GAP_PX, metrics.height()
        rect = QRectF(self.rect())
        return rect.adjusted(left, line + 2 * _GAP_PX, -2 * _GAP_PX, -2 * line - _GAP_PX)

    def _ticks(self) -> list[float]:
        """Return where the lines of the Dice are, the lowest of them below all points."""
        least = min((point.dice for point in self._points), default=0.0)
        step = _FINE if least >= 1 - _TICKS * _FINE else 2 * _FINE
        first = min(math.floor(least / step + 1e-9), round(1 / step) - 1)
        return [number * step for number in range(first, round(1 / step) + 1)]

    def _draw_axes(self, painter: QPainter, area: QRectF, metrics: QFontMetricsF, ticks: Sequence[float]) -> None:
        text = self._text_color()
        height = metrics.height()
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for dice in ticks:
            y = self._y(area, dice, ticks[0])
            painter.setPen(QPen(self._faint(), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(text)
            painter.drawText(QRectF(0, y - height / 2, area.left() - _GAP_PX, height), right, f"{dice:.1f}")
        center = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        for count in self._counts():
            x = self._x(area, count)
            label = str(count) if count else "raw"
            painter.drawText(QRectF(x - 25, area.bottom() + 2, 50, height), center, label)
        below = QRectF(area.left(), area.bottom() + height + 2, area.width(), height)
        painter.drawText(below, center, "images to finetune with")

    def _draw_line(self, painter: QPainter, area: QRectF, dataset: int, low: float) -> None:
        means = mean_by_count(self._points, dataset)
        text = self._text_color()
        style = Qt.PenStyle.SolidLine if dataset == NEW else Qt.PenStyle.DashLine
        painter.setPen(QPen(text, 1.6 if dataset == NEW else 1.2, style))
        places = {count: QPointF(self._x(area, count), self._y(area, dice, low)) for count, dice in means.items()}
        painter.drawPolyline(QPolygonF(list(places.values())))
        for count, place in places.items():
            seeds = [point.dice for point in self._points if (point.dataset, point.count) == (dataset, count)]
            painter.setPen(QPen(text, 1))
            tops = (self._y(area, dice, low) for dice in (min(seeds), max(seeds)))
            painter.drawLine(*(QPointF(place.x(), y) for y in tops))
            painter.setBrush(text)
            for dice in seeds if len(seeds) > 1 else ():
                painter.drawEllipse(QPointF(place.x(), self._y(area, dice, low)), _SEED_PX, _SEED_PX)
            painter.setBrush(self._colors.get(count, text))
            _mark(painter, place, dataset)

    def _draw_legend(self, painter: QPainter, area: QRectF, metrics: QFontMetricsF) -> None:
        """Name both lines above the curve; solid with disks, dashed with squares."""
        x, y = area.left(), metrics.height() / 2 + _GAP_PX
        text = self._text_color()
        shown = {point.dataset for point in self._points}
        for dataset in (NEW, OLD):
            name = f"Dice, {_NAMES[dataset]}" if dataset in shown or dataset == NEW else f"{_NAMES[dataset]}: not known"
            style = Qt.PenStyle.SolidLine if dataset == NEW else Qt.PenStyle.DashLine
            painter.setPen(QPen(text, 1.4, style))
            painter.drawLine(QPointF(x, y), QPointF(x + _SAMPLE_PX, y))
            painter.setPen(QPen(text, 1))
            painter.setBrush(text)
            _mark(painter, QPointF(x + _SAMPLE_PX / 2, y), dataset)
            width = metrics.horizontalAdvance(name) + 4
            painter.drawText(
                QRectF(x + _SAMPLE_PX + 5, y - metrics.height() / 2, width, metrics.height()),
                Qt.AlignmentFlag.AlignVCenter,
                name,
            )
            x += _SAMPLE_PX + width + 17

    def _counts(self) -> list[int]:
        return sorted({point.count for point in self._points})

    def _x(self, area: QRectF, count: int) -> float:
        counts = self._counts()
        span = max(counts[-1] - counts[0], 1)
        inner = area.width() - 24
        return float(area.left() + 12 + inner * (count - counts[0]) / span)

    def _y(self, area: QRectF, dice: float, low: float) -> float:
        return float(area.bottom() - area.height() * (dice - low) / (1 - low))

    def _text_color(self) -> QColor:
        return QColor(self.palette().windowText().color())

    def _faint(self) -> QColor:
        color = self._text_color()
        color.setAlpha(_FAINT)
        return color


def _mark(painter: QPainter, place: QPointF, dataset: int) -> None:
    if dataset == NEW:
        painter.drawEllipse(place, _DOT_PX, _DOT_PX)
    else:
        side = 2 * _DOT_PX - 1
        painter.drawRect(QRectF(place.x() - side / 2, place.y() - side / 2, side, side))
