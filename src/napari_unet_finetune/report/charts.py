"""Line charts as small SVG drawings, whose text takes the fonts of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 20, 26, 38  # the last number below an axis reaches half its width to the right
_NICE_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Line:
    """A curve; `dots` marks its points, `faint` draws it thin in the background."""

    label: str
    points: tuple[Point, ...]
    colour: str
    dots: bool = False
    faint: bool = False
    band: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Level:
    """A dashed line across the chart, upright at an x or level at a y."""

    label: str
    value: float
    colour: str = "#666666"
    upright: bool = False


@dataclass(frozen=True)
class _Axis:
    """One axis: its range, its ticks, and where on the drawing it lies."""

    low: float
    high: float
    ticks: tuple[float, ...]
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of `value` on the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return float(round(self.start + share * (self.end - self.start), 1))


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    levels: Sequence[Level] = (),
) -> str:
    """Return a chart of `lines` with their legend; values that are not finite are left out."""
    xs = [x for line in lines for x, _ in line.points] + [level.value for level in levels if level.upright]
    ys = [y for line in lines for _, y in line.points] + [level.value for level in levels if not level.upright]
    ys += [edge for line in lines for _, low, high in line.band for edge in (low, high)]
    across = _axis(_finite(xs), _LEFT, WIDTH - _RIGHT)
    up = _axis(_finite(ys), HEIGHT - _BOTTOM, _TOP)
    body = "".join(
        (*_frame(across, up, x_label, y_label), *_levels(levels, across, up), *_lines(lines, across, up))
    )  # fmt: skip
    legend = "".join(_legend(lines, levels))
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">{body}{legend}</svg>'


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)] or [0.0, 1.0]


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5 * abs(low or 1), high + 0.5 * abs(high or 1)
    step = _nice((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(round(index * step, 10) for index in range(first, last + 1))
    return _Axis(ticks[0], ticks[-1], ticks, start, end)


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * nice for nice in _NICE_STEPS if power * nice >= step * (1 - 1e-9))


def _frame(across: _Axis, up: _Axis, x_label: str, y_label: str) -> Iterator[str]:
    for tick in up.ticks:
        y = up.at(tick)
        yield f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" class="grid"/>'
        yield f'<text x="{_LEFT - 5}" y="{y + 3.5}" class="tick" text-anchor="end">{_number(tick)}</text>'
    base = HEIGHT - _BOTTOM
    yield f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}" class="axis"/>'
    for tick in across.ticks:
        x = across.at(tick)
        yield f'<line x1="{x}" x2="{x}" y1="{base}" y2="{base + 3}" class="axis"/>'
        yield f'<text x="{x}" y="{base + 14}" class="tick" text-anchor="middle">{_number(tick)}</text>'
    middle, half_up = (_LEFT + WIDTH - _RIGHT) / 2, (_TOP + base) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 6}" class="label" text-anchor="middle">{escape(x_label)}</text>'
    yield (
        f'<text x="11" y="{half_up}" class="label" text-anchor="middle" transform="rotate(-90 11 {half_up})">'
        f"{escape(y_label)}</text>"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:g}"


def _levels(levels: Sequence[Level], across: _Axis, up: _Axis) -> Iterator[str]:
    for level in levels:
        if level.upright:
            x = across.at(level.value)
            place = f'x1="{x}" x2="{x}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"'
        else:
            y = up.at(level.value)
            place = f'x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"'
        yield f'<line {place} stroke="{level.colour}" stroke-width="1.2" stroke-dasharray="5 3"/>'


def _lines(lines: Sequence[Line], across: _Axis, up: _Axis) -> Iterator[str]:
    for line in lines:
        if line.band:
            edge = [(x, high) for x, _, high in line.band] + [(x, low) for x, low, _ in reversed(line.band)]
            yield f'<polygon points="{_path(edge, across, up)}" fill="{line.colour}" opacity="0.15"/>'
        points = [point for point in line.points if math.isfinite(point[1])]
        width, opacity = (0.8, 0.35) if line.faint else (1.8, 1)
        yield (
            f'<polyline points="{_path(points, across, up)}" fill="none" stroke="{line.colour}" '
            f'stroke-width="{width}" opacity="{opacity}"/>'
        )
        if line.dots:
            for x, y in points:
                yield f'<circle cx="{across.at(x)}" cy="{up.at(y)}" r="3" fill="{line.colour}" stroke="white"/>'


def _path(points: Sequence[Point], across: _Axis, up: _Axis) -> str:
    return " ".join(f"{across.at(x)},{up.at(min(max(y, up.low), up.high))}" for x, y in points)


def _legend(lines: Sequence[Line], levels: Sequence[Level]) -> Iterator[str]:
    """Yield the keys of all named curves in one line above the chart."""
    entries = [(line.label, line.colour, "") for line in lines if line.label]
    entries += [(level.label, level.colour, ' stroke-dasharray="5 3"') for level in levels if level.label]
    x = float(_LEFT)
    for label, colour, dashes in entries:
        yield f'<line x1="{x}" x2="{x + 16}" y1="11" y2="11" stroke="{colour}" stroke-width="2"{dashes}/>'
        yield f'<text x="{x + 20}" y="14.5" class="tick">{escape(label)}</text>'
        x += 32 + 5.6 * len(label)
