"""The charts of a report as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from ..colors import BLUE, GRAY, VERMILION
from ..evaluation.areas import Estimation
from ..evaluation.figures import add_key, learning_curve, new_chart, to_svg
from ..evaluation.rows import Row
from ..learning_curve.forecast import Forecast
from .run_record import RunRecord


class PageChart(NamedTuple):
    """A drawing, made by this program and never from outside text, and what it shows."""

    svg: str
    caption: str


def training_charts(record: RunRecord) -> Iterator[PageChart]:
    """Yield the loss over the steps, and the Dice on held-out images if there were any."""
    yield _loss(record.losses or ((0, float("nan")),))
    if any(end.val_dice is not None for end in record.validations):
        yield _held_out(record)


def _loss(losses: Sequence[tuple[int, float]]) -> PageChart:
    figure, axes = new_chart("step", "training loss")
    steps, values = zip(*losses, strict=True)
    axes.plot(steps, values, color=GRAY, linewidth=0.6, alpha=0.5, label="loss of each step")
    axes.plot(steps, _running_mean(values, max(1, len(losses) // 40)), color=BLUE, label="running mean")
    add_key(axes)
    return PageChart(to_svg(figure), "Loss of the training batches.")


def _held_out(record: RunRecord) -> PageChart:
    figure, axes = new_chart("step", "mean Dice")
    points = [(end.step, end.val_dice) for end in record.validations if end.val_dice is not None]
    axes.plot(*zip(*points, strict=True), ".-", color=BLUE, label="held-out images")
    if record.started.raw_dice is not None and not record.from_scratch:
        axes.axhline(record.started.raw_dice, color=GRAY, linestyle="--", label=f"{record.base_name}, the base")
    if record.best is not None and not record.kept_raw:
        axes.axvline(record.best.step, color=VERMILION, linestyle="--", label="step that was kept")
    add_key(axes)
    return PageChart(to_svg(figure), "Dice on held-out images, at the threshold from which its calibration starts.")


def threshold_charts(estimation: Estimation) -> Iterator[PageChart]:
    """Yield the Dice and the ratio of areas at every threshold."""
    ratios = [point.area_ratio for point in estimation.curve]
    yield PageChart(
        _over_thresholds(estimation, "mean Dice", [point.dice for point in estimation.curve]),
        "Dice at every threshold, with the weights as they are.",
    )
    if any(ratio is not None for ratio in ratios):
        svg = _over_thresholds(estimation, "predicted / true area", ratios, balanced=True)
        yield PageChart(svg, "Predicted over true area of all images together.")


def _over_thresholds(
    estimation: Estimation, y_label: str, values: Sequence[float | None], *, balanced: bool = False
) -> str:
    figure, axes = new_chart("threshold", y_label)
    known = [(one.threshold, value) for one, value in zip(estimation.curve, values, strict=True) if value is not None]
    axes.plot(*zip(*known, strict=True), color=BLUE)
    axes.axvline(estimation.threshold, color=GRAY, linestyle="--", label="this model's threshold")
    if balanced:
        axes.axhline(1.0, color=VERMILION, linestyle="--", label="balanced")
    add_key(axes)
    return to_svg(figure)


def study_charts(rows: Sequence[Row], ahead: Forecast | None, base: str) -> Iterator[PageChart]:
    """Yield the learning curve of a study, and how it may go on."""
    caption = (
        "Mean over test images and seeds; the band reaches from the lowest to the highest seed. 0 images stand "
        f"for {base}, the base, as it is."
    )
    yield PageChart(to_svg(learning_curve(rows, base)), caption)
    if ahead is not None and ahead.curve:
        yield PageChart(_forecast(ahead), "The curve carried on; the range comes from resampled seeds and test images.")


def _forecast(ahead: Forecast) -> str:
    figure, axes = new_chart("annotated images used for finetuning", "mean Dice on test images")
    counts, low, high = zip(*ahead.curve, strict=True)
    axes.fill_between(counts, low, high, color=GRAY, alpha=0.3, linewidth=0, label="likely range")
    axes.plot([point.count for point in ahead.points], [point.dice for point in ahead.points], "o-", color=BLUE,
              markersize=4.5, linewidth=1.4, markeredgecolor="white", label="measured")  # fmt: skip
    add_key(axes)
    return to_svg(figure)


def _running_mean(values: Sequence[float], radius: int) -> list[float]:
    return [fmean(values[max(0, index - radius) : index + radius + 1]) for index in range(len(values))]
