"""The two curves of the docks: how a training learns, and how much more images help."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from ...colors import TRAINING_LOSS, VALIDATION_DICE
from ...evaluation.rows import BASE, Row, score_by_count
from ...progress import RunProgress
from ...text import number
from .chart import Chart, Dot, Line

LOSS, DICE = QColor(TRAINING_LOSS), QColor(VALIDATION_DICE)
_MOST_POINTS = 4000
_TICKS, _FINE = 5, 0.1  # so many lines so far apart, else half as dense


class TrainingCurve(Chart):
    """Dice on held-out images, with its axis on the left, and the loss of a training, with its axis on the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(84)
        self.setMinimumWidth(160)
        self.setToolTip(
            "Loss of the training batches (axis on the right), and Dice on held-out images (axis on the left). "
            "Dotted: Dice of the base model. Dot: the model that is kept, at its own threshold."
        )
        self.setAccessibleName("Curve of the training")

    def set_progress(self, progress: RunProgress) -> None:
        """Show how far a training is."""
        steps, width, raw = max(progress.steps, progress.step, 1), max(50, self.width()), progress.raw_dice
        losses = decimate(progress.losses, width)
        dices = decimate((*([] if raw is None else [(0, raw)]), *progress.val_dices), width)
        largest = (float(losses[:, 1].max()) if len(losses) else 0) or 1.0
        kept = progress.dice
        dots = [Dot(progress.best_step, kept, DICE)] if kept is not None else []
        lines = [
            Line((losses / (1, largest)).tolist(), _with_last("loss", losses), LOSS),
            Line(dices.tolist(), f"held-out Dice {number(kept)}" if dots else "", DICE, dots=dots),
        ]
        if raw is not None:
            lines.append(Line([(0, raw), (steps, raw)], "", DICE, Qt.PenStyle.DotLine))
        of_dice: dict[float, str] = {0: "0", 1: "1.0"} if dots or raw is not None else {0: "", 1: ""}
        of_loss: dict[float, str] = {0: "0", 1: f"{largest:.2g}"} if len(losses) else {}
        self.draw(lines, {0: "", steps: f"step {steps}"}, of_dice, right_ticks=of_loss, right_color=LOSS)


class LearningCurve(Chart):
    """Mean Dice over the number of images, and that of every seed; Dataset 1 and the F1 of objects are other lines.

    Dots have the colors of the models, lines those of the theme.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(200, 140)
        self.setToolTip("Dots: mean over seeds, in the color of the model; small dots and bars: seeds and their range.")
        self.setAccessibleName("Learning curve")

    def set_rows(self, rows: Sequence[Row], colors: Mapping[int, str]) -> None:
        """Show the scores of all models; `colors` are those of the models by their number of images."""
        new, old = (score_by_count(rows, dataset) for dataset in (2, 1))
        objects = score_by_count(rows, 2, "f1")
        lines = [
            _curve(new, colors, "Dice, this dataset", Qt.PenStyle.SolidLine),
            _curve(old, colors, "Dice, old images" if old else "old images: not known", Qt.PenStyle.DashLine),
        ]
        if objects:
            lines.insert(1, _curve(objects, colors, "F1 of objects", Qt.PenStyle.DotLine))
        counts: dict[float, str] = {count: str(count or BASE) for count in sorted({*new, *old})}
        dice = [value for curve in (new, old, objects) for values in curve.values() for value in values]
        self.draw(lines, counts or {0: ""}, _dice_ticks(dice), "images to finetune with")


def _curve(dice: Mapping[int, tuple[float, ...]], colors: Mapping[int, str], name: str, style: Qt.PenStyle) -> Line:
    means = [(count, fmean(seeds)) for count, seeds in dice.items()]
    shown = {count: QColor(color) for count, color in colors.items()}
    dots = [Dot(count, mean, shown.get(count), dice[count]) for count, mean in means]
    return Line(means, name, style=style, dots=dots)


def _dice_ticks(dice: Sequence[float]) -> dict[float, str]:
    """Return where the lines of the Dice are, the lowest of them below all of `dice`."""
    least = min(dice, default=0.0)
    step = _FINE if least >= 1 - _TICKS * _FINE else 2 * _FINE
    first = min(math.floor(least / step + 1e-9), round(1 / step) - 1)
    return {number * step: f"{number * step:.1f}" for number in range(first, round(1 / step) + 1)}


def _with_last(name: str, points: NDArray[np.float64]) -> str:
    return f"{name} {points[-1, 1]:.2f}" if len(points) else name


def decimate(points: Sequence[tuple[float, float]], width: int) -> NDArray[np.float64]:
    """Return at most `width` points (x, y): means of neighbors, so that noise is smoothed and the ends stay."""
    few = points[:: len(points) // _MOST_POINTS + 1]
    array = np.asarray(few, np.float64).reshape(-1, 2)
    if len(array) <= width // 2:
        return array
    parts = np.array_split(array, width // 2)
    means = np.array([part.mean(axis=0) for part in parts])
    means[0, 0], means[-1, 0] = points[0][0], points[-1][0]
    return means
