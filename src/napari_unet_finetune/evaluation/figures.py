"""Figures: overlays of what each model got right and wrong, the learning curve, and charts as SVG for a page."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..colors import CORRECT, DATASETS, ERRORS, FALSE_POSITIVE, MISSED
from ..errors import DataError
from ..io.disk import write_file
from ..metrics import dice, error_map
from .rows import Row, score_by_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..data.annotated_image import AnnotatedImage

_Item = TypeVar("_Item")

FORMATS = (".png", ".pdf", ".svg")
DPI = 300

_PRESET_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
_OBJECTS_STYLE = (":", "X")

_PANEL_IN, _GAP_IN, _TITLE_IN, _NAME_IN = 1.35, 0.05, 0.2, 0.34
_LEGEND_LINE_IN, _WIDE_LEGEND_IN = 0.18, 5.8
_TALLEST_PANEL = 1.6
_FONT_PT = 7.5
_TITLE_CHARS, _LONGEST_NAME = 20, 30
_CONTRAST_PERCENTILES = (0.5, 99.8)
# Text stays text, and what a file holds does not depend on when it was made.
_VECTORS: dict[Any, Any] = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "figure"}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_OBJECT_OPACITY, _ERROR_OPACITY = 0.55, 0.8


@dataclass(frozen=True, eq=False)
class OverlayRow:
    """One image of the overlay figure.

    Parameters
    ----------
    name
        Written beside the row.
    image
        ``(Y, X)`` or ``(C, Y, X)``; three channels are shown in color, of other numbers the mean.
    truth
        ``(Y, X)``, above 0 is object.
    predictions
        Title of the column (the name of a model) and labels ``(Y, X)``, from left to right; None if they were
        not kept.
    annotated
        ``(Y, X)`` bool, where the truth holds; everywhere if None.
    """

    name: str
    image: NDArray[Any]
    truth: NDArray[Any]
    predictions: Mapping[str, NDArray[Any] | None]
    annotated: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, name: str, image: AnnotatedImage, predictions: Mapping[str, NDArray[Any] | None]) -> OverlayRow:
        """Return the row of an annotated image."""
        return cls(name, image.image, image.target, predictions, image.annotated)


@dataclass(frozen=True, eq=False)
class OverlayPanel:
    """One picture of a row: RGB (Y, X, 3) from 0 to 1, the title of its column, and a note such as its Dice."""

    title: str
    rgb: NDArray[np.float64]
    note: str = ""


NAMES = {1: "old images", 2: "new images"}  # as the docks call datasets 1 and 2


def overlay_figure(rows: Sequence[OverlayRow], path: Path) -> Path:
    """Draw one row per image: original, every prediction with its errors and Dice, ground truth.

    The format follows from the suffix of `path`: ``.png``, ``.pdf`` or ``.svg``. Rows need the same columns.

    Raises
    ------
    DataError
        If there are no rows, or the file cannot be written.
    """
    if not rows:
        raise DataError(f"{path.name}: there is no image to show. Evaluate at least one image.")
    layout = _Layout.of(rows)
    figure = _new_figure(*layout.size_in)
    for index, row in enumerate(rows):
        axes = [figure.add_axes(layout.panel(index, column)) for column in range(layout.columns)]
        _draw_row(row, axes, with_headers=index == 0)
    _add_legend(figure, layout.legend_columns)
    return _save(figure, path)


def learning_curve_figure(rows: Sequence[Row], path: Path, base: str) -> Path:
    """Draw mean Dice over the number of finetuning images of the model `base`, Dataset 1 and 2 in one panel.

    Where masks number their objects, their F1 is a line, too. Lines are means over test images and seeds, dots single
    seeds, bands reach from the lowest to the highest seed.
    The format follows from the suffix of `path`: ``.png``, ``.pdf`` or ``.svg``.

    Raises
    ------
    DataError
        If there are no rows, or the file cannot be written.
    """
    if not rows:
        raise DataError(f"{path.name}: there is no score to show. Evaluate at least one image.")
    return _save(learning_curve(rows, base), path)


def learning_curve(rows: Sequence[Row], base: str) -> Figure:
    """Return the learning curve of `learning_curve_figure`, which a page shows too."""
    of_base = textwrap.shorten(base, _LONGEST_NAME, placeholder="…") or f"{base[:_LONGEST_NAME]}…"
    x_label = f"annotated images used for finetuning (0: {of_base}, the base)"
    figure, axes = new_chart(x_label, "mean Dice on test images")
    presets = sorted({row.preset for row in rows})
    for dataset in sorted({row.dataset for row in rows}, reverse=True):
        for index, preset in enumerate(presets):
            label = NAMES[dataset] + (f", {preset}" if len(presets) > 1 else "")
            curve = score_by_count([row for row in rows if row.preset == preset], dataset)
            _draw_curve(axes, curve, label, DATASETS.get(dataset, "#000000"), _style(index))
    if len(presets) == 1 and (objects := score_by_count(rows, 2, "f1")):
        axes.set_ylabel("mean Dice or F1 on test images")
        _draw_curve(axes, objects, f"{NAMES[2]}, F1 of objects", DATASETS[2], _OBJECTS_STYLE)
    axes.set_xticks(sorted({row.count for row in rows}))
    axes.set_ylim(top=min(1.0, axes.get_ylim()[1]))
    seeds = len({row.seed for row in rows})
    add_key(axes, title=f"band: lowest to highest of {seeds} seeds" if seeds > 1 else None)
    return figure


def new_chart(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Return an empty chart and its axes, in the look of all charts."""
    figure = _new_figure(4.2, 3.0)
    axes = figure.add_axes((0.13, 0.155, 0.845, 0.82))
    axes.set_xlabel(x_label, fontsize=_FONT_PT + 0.5)
    axes.set_ylabel(y_label, fontsize=_FONT_PT + 0.5)
    axes.tick_params(labelsize=_FONT_PT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    return figure, axes


def add_key(axes: Axes, title: str | None = None) -> None:
    """Say what is what in a chart, where there is room for it."""
    axes.legend(frameon=False, fontsize=_FONT_PT, title=title, title_fontsize=_FONT_PT - 1)


def to_svg(figure: Figure) -> str:
    """Return a chart as an SVG element for a page, whose fonts it takes; the same chart is the same text."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context(_VECTORS):
        figure.savefig(text, format="svg", metadata=_NO_METADATA, bbox_inches="tight", pad_inches=0.05)
    svg = re.sub(r' id="[\w.]+_\d+"', "", text.getvalue()[text.getvalue().index("<svg") :])  # no link leads to these
    return svg.replace("<svg", f'<svg role="img" aria-label="{figure.axes[0].get_ylabel()}"', 1)


def evenly(ordered: Sequence[_Item], count: int) -> list[_Item]:
    """Return at most `count` of the images to show, in even steps from the first to the last."""
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]


def error_overlay(row: OverlayRow, prediction: NDArray[Any]) -> NDArray[np.float64]:
    """Return RGB (Y, X, 3) from 0 to 1: the image in gray, and where `prediction` is right or wrong in color."""
    errors = error_map(prediction, row.truth, row.annotated)
    shown = np.repeat(contrast(row.image).mean(axis=-1, keepdims=True), 3, axis=-1)
    for kind, color, opacity in (
        (metrics.TRUE_POSITIVE, CORRECT, _OBJECT_OPACITY),
        (metrics.FALSE_POSITIVE, FALSE_POSITIVE, _ERROR_OPACITY),
        (metrics.FALSE_NEGATIVE, MISSED, _ERROR_OPACITY),
    ):
        where = errors == kind
        shown[where] = (1 - opacity) * shown[where] + opacity * _rgb(color)
    return shown


def contrast(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return `image` (Y, X) or (C, Y, X) as RGB (Y, X, 3) from 0 to 1, stretched by percentiles."""
    if image.ndim == 3 and len(image) != 3:
        image = image.mean(axis=0)
    planes = np.moveaxis(np.broadcast_to(image, (3, *image.shape[-2:])), 0, -1)
    low, high = np.percentile(planes, _CONTRAST_PERCENTILES)
    stretched: NDArray[np.float64] = np.clip((planes - low) / max(float(high - low), 1e-12), 0, 1)
    return stretched


@dataclass(frozen=True)
class _Layout:
    """Where panels lie, in inches: one column width for all, a height per row that follows its image."""

    columns: int
    panel_width: float
    panel_heights: tuple[float, ...]

    @classmethod
    def of(cls, rows: Sequence[OverlayRow]) -> _Layout:
        aspects = [row.truth.shape[0] / row.truth.shape[1] for row in rows]
        widths = [_PANEL_IN * min(1.0, _TALLEST_PANEL / aspect) for aspect in aspects]
        heights = (width * aspect for width, aspect in zip(widths, aspects, strict=True))
        return cls(len(rows[0].predictions) + 2, max(widths), tuple(heights))

    @property
    def legend_columns(self) -> int:
        return len(ERRORS) if self.size_in[0] >= _WIDE_LEGEND_IN else 1

    @property
    def size_in(self) -> tuple[float, float]:
        width = _NAME_IN + self.columns * (self.panel_width + _GAP_IN)
        lines = 1 if width >= _WIDE_LEGEND_IN else len(ERRORS)
        rows = sum(self.panel_heights) + len(self.panel_heights) * (_TITLE_IN + _GAP_IN)
        return width, _TITLE_IN + rows + 0.12 + lines * _LEGEND_LINE_IN

    def panel(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height of a panel as shares of the figure."""
        width, height = self.size_in
        left = _NAME_IN + column * (self.panel_width + _GAP_IN)
        above = _TITLE_IN + sum(self.panel_heights[: row + 1]) + row * (_TITLE_IN + _GAP_IN) + _TITLE_IN
        return left / width, 1 - above / height, self.panel_width / width, self.panel_heights[row] / height


def _rgb(color: str) -> NDArray[np.float64]:
    return np.array([int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)])


def _draw_row(row: OverlayRow, axes: Sequence[Axes], *, with_headers: bool) -> None:
    for place, panel in zip(axes, panels(row), strict=True):
        place.imshow(panel.rgb)
        place.set_axis_off()
        place.set_title(panel.note, fontsize=_FONT_PT, pad=2)
        if with_headers:
            # Names are text and no formulas: a dollar sign in one is a dollar sign.
            header_at: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
            header_at["parse_math"] = False
            title = "\n".join(textwrap.wrap(panel.title, _TITLE_CHARS))
            place.annotate(title, (0.5, 1), (0, 13), fontsize=_FONT_PT, fontweight="bold", **header_at)
    axes[0].text(
        -0.04,
        0.5,
        row.name,
        rotation=90,
        ha="right",
        va="center",
        ma="center",
        fontsize=_FONT_PT,
        parse_math=False,
        transform=axes[0].transAxes,
    )


def panels(row: OverlayRow) -> Iterator[OverlayPanel]:
    """Yield original, every prediction with its errors and its Dice, and ground truth, from left to right."""
    known = slice(None) if row.annotated is None else row.annotated
    yield OverlayPanel("original", contrast(row.image))
    for title, labels in row.predictions.items():
        if labels is None or labels.shape != row.truth.shape:
            yield OverlayPanel(title, contrast(row.image), "not kept")
        else:
            yield OverlayPanel(title, error_overlay(row, labels), f"Dice {dice(labels[known], row.truth[known]):.3f}")
    yield OverlayPanel("ground truth", error_overlay(row, row.truth))


def _add_legend(figure: Figure, columns: int) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=color, edgecolor="0.3", linewidth=0.4, label=text) for color, text in ERRORS.items()]
    figure.legend(handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=_FONT_PT, borderpad=0.2)


def _style(index: int) -> tuple[str, str]:
    return _PRESET_STYLES[index % len(_PRESET_STYLES)]


def _draw_curve(
    axes: Axes, curve: Mapping[int, Sequence[float]], label: str, color: str, style: tuple[str, str]
) -> None:
    if not curve:
        return
    counts = list(curve)
    low, mean, high = (list(map(reduce, curve.values())) for reduce in (min, fmean, max))
    axes.fill_between(counts, low, high, color=color, alpha=0.15, linewidth=0)
    seeds = [(count, value) for count, values in curve.items() for value in values]
    axes.plot(*zip(*seeds, strict=True), ".", color=color, markersize=3, alpha=0.5)
    axes.plot(
        counts,
        mean,
        linestyle=style[0],
        marker=style[1],
        color=color,
        label=label,
        markersize=4.5,
        linewidth=1.4,
        markeredgecolor="white",
        markeredgewidth=0.6,
    )


def _new_figure(width_in: float, height_in: float) -> Figure:
    """Return a figure outside of pyplot, which would keep it alive and needs the main thread."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), facecolor="white")


def _save(figure: Figure, path: Path) -> Path:
    """Write the figure with text that stays text in vector formats."""
    from matplotlib import rc_context

    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise DataError(f"{path.name}: figures are saved as {', '.join(FORMATS)}. Choose one of these endings.")

    def write(file: BinaryIO) -> None:
        figure.savefig(file, format=suffix[1:], dpi=DPI, bbox_inches="tight", pad_inches=0.05)

    with rc_context(_VECTORS):
        write_file(path, write)
    return path
