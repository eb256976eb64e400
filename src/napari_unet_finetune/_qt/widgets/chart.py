"""A small chart for the docks, painted in the colors of the theme: a plotting library takes a second to load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

_FAINT = 80  # of 255
_GAP_PX, _DOT_PX, _SEED_PX, _SAMPLE_PX, _INSET_PX = 4, 4.5, 2.2, 26, 12


@dataclass(frozen=True)
class Dot:
    """A point (x, y) of a line that is marked in a color, and the values whose mean y is."""

    x: float
    y: float
    color: QColor | None = None
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line through points (x, y), of which `dots` are marked.

    Without a color it has that of the theme's text, without a name it is not in the legend.
    """

    points: Iterable[tuple[float, float]]
    name: str = ""
    color: QColor | None = None
    style: Qt.PenStyle = Qt.PenStyle.SolidLine
    dots: Sequence[Dot] = ()


class Chart(QWidget):
    """Draws lines in a frame of ticks, the first and last of which are the ends of the axes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.draw((), {0: ""}, {0: "0", 1: "1"})

    def draw(
        self, lines: Sequence[Line], x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], x_title: str = "",
        *, right_ticks: Mapping[float, str] | None = None, right_color: QColor | None = None,
    ) -> None:  # fmt: skip
        """Show `lines`; ticks are words at places on an axis, in ascending order.

        Those on the right are of an axis with other words at the same places, for lines of that color.
        """
        self._lines, self._x_ticks, self._y_ticks, self._title = lines, x_ticks, y_ticks, x_title
        self._right_ticks, self._right_color = right_ticks or {}, right_color
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw frame, lines and legend."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics = QFontMetricsF(painter.font())
        self._text = QColor(self.palette().windowText().color())
        self._frame = self._place_frame(metrics)
        self._draw_ticks(painter, metrics)
        for line in self._lines:
            self._draw_line(painter, line)
        self._draw_legend(painter, metrics)
        painter.end()

    def _place_frame(self, metrics: QFontMetricsF) -> QRectF:
        left = max(map(metrics.horizontalAdvance, self._y_ticks.values())) + 2 * _GAP_PX
        below = metrics.height() * (2 if self._title else 1) + _GAP_PX
        right = max(map(metrics.horizontalAdvance, self._right_ticks.values()), default=0) + 2 * _GAP_PX
        return QRectF(self.rect()).adjusted(left, metrics.height() + 2 * _GAP_PX, -right, -below)

    def _place(self, x: float, y: float) -> QPointF:
        margin = _INSET_PX if any(line.dots for line in self._lines) else 0
        inside = self._frame.adjusted(margin, 0, -margin, 0)
        (first, last), (low, high) = (_ends(ticks) for ticks in (self._x_ticks, self._y_ticks))
        right, up = (x - first) / (last - first or 1), min(max((y - low) / (high - low), 0.0), 1.0)
        return QPointF(inside.left() + inside.width() * right, inside.bottom() - inside.height() * up)

    def _draw_ticks(self, painter: QPainter, metrics: QFontMetricsF) -> None:
        faint, frame, height = QColor(self._text), self._frame, metrics.height()
        faint.setAlpha(_FAINT)
        align = Qt.AlignmentFlag
        for value, label in self._y_ticks.items():
            y = self._place(0, value).y()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(self._text)
            room = QRectF(0, y - height / 2, frame.left() - _GAP_PX, height)
            painter.drawText(room, align.AlignRight | align.AlignVCenter, label)
        painter.setPen(self._right_color or self._text)
        for value, label in self._right_ticks.items():
            room = QRectF(frame.right() + _GAP_PX, self._place(0, value).y() - height / 2, self.width(), height)
            painter.drawText(room, align.AlignLeft | align.AlignVCenter, label)
        painter.setPen(self._text)
        end = frame.right() if self._right_ticks else self.width()
        for value, label in self._x_ticks.items():
            width = metrics.horizontalAdvance(label) + 2
            left = min(self._place(value, 0).x() - width / 2, end - width)
            painter.drawText(QRectF(left, frame.bottom() + 2, width, height), align.AlignCenter, label)
        below = QRectF(frame.left(), frame.bottom() + height + 2, frame.width(), height)
        painter.drawText(below, align.AlignCenter, self._title)

    def _draw_line(self, painter: QPainter, line: Line) -> None:
        painter.setPen(self._pen(line))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        places = [self._place(x, y) for x, y in line.points]
        painter.drawPolyline(QPolygonF(places))
        if len(places) == 1:
            painter.drawEllipse(places[0], 1.5, 1.5)
        for dot in line.dots:
            seeds = [self._place(dot.x, value) for value in sorted(dot.values)]
            painter.setPen(QPen(self._text, 1))
            painter.setBrush(self._text)
            painter.drawPolyline(QPolygonF(seeds))
            for seed in seeds if len(seeds) > 1 else ():
                painter.drawEllipse(seed, _SEED_PX, _SEED_PX)
            painter.setBrush(dot.color or self._text)
            _draw_dot(painter, self._place(dot.x, dot.y), line.style)

    def _draw_legend(self, painter: QPainter, metrics: QFontMetricsF) -> None:
        """Name the lines above the frame, each beside a sample of it."""
        x, y = 2.0 * _GAP_PX, metrics.height() / 2 + _GAP_PX
        painter.setBrush(self._text)
        for line in (line for line in self._lines if line.name):
            painter.setPen(self._pen(line))
            painter.drawLine(QPointF(x, y), QPointF(x + _SAMPLE_PX, y))
            painter.setPen(QPen(self._text, 1))
            if line.dots:
                _draw_dot(painter, QPointF(x + _SAMPLE_PX / 2, y), line.style)
            painter.drawText(QPointF(x + _SAMPLE_PX + 5, y + metrics.ascent() / 2 - 1), line.name)
            x += _SAMPLE_PX + metrics.horizontalAdvance(line.name) + 19

    def _pen(self, line: Line) -> QPen:
        return QPen(line.color or self._text, 1.7 if line.style == Qt.PenStyle.SolidLine else 1.2, line.style)


def _ends(ticks: Iterable[float]) -> tuple[float, float]:
    places = (*ticks,)
    return places[0], places[-1]


def _draw_dot(painter: QPainter, place: QPointF, style: Qt.PenStyle) -> None:
    """Draw a disk, or a square on a dashed line: lines are told apart without color."""
    if style == Qt.PenStyle.DashLine:
        painter.drawRect(QRectF(place.x() - _DOT_PX + 0.5, place.y() - _DOT_PX + 0.5, 2 * _DOT_PX - 1, 2 * _DOT_PX - 1))
    else:
        painter.drawEllipse(place, _DOT_PX, _DOT_PX)
