"""Whether more images are worth annotating: the learning curve of a study, carried on as a range."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..evaluation.rows import Row
from ..text import count_of

RESAMPLES = 300
# The range that is stated leaves out this much of the resampled curves at either end.
TAIL_PERCENT = 2.5
FEWEST_COUNTS = 3
# A smaller gain in Dice is not worth the annotation of images; another seed may make as much of a difference.
WORTHWHILE = 0.01
# What falls from the ceiling: a power of the number of images, or an exponential of it; which of them, the points say.
_Shape = Callable[[NDArray[np.floating[Any]]], NDArray[np.floating[Any]]]
_SHAPES: tuple[_Shape, ...] = (
    *(lambda n, c=c: n**-c for c in np.geomspace(0.1, 3, 21)),
    *(lambda n, t=t: np.exp(-n / t) for t in np.geomspace(1, 100, 21)),
)
# Curves reach at most this far beyond the largest count that was measured, as a factor.
FARTHEST = 2
# How many more images are looked at if nobody asks for other numbers.
MORE = (5, 10)

Verdict = Literal["worth it", "perhaps", "little", "cannot say"]


@dataclass(frozen=True, slots=True)
class CountMean:
    """Mean Dice over test images and seeds of the models finetuned with `count` images."""

    count: int
    dice: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Gain:
    """What `more` further images are likely to add to the Dice, as a range."""

    more: int
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """The learning curve carried on: a - b n^-c or a - b exp(-n / t), fitted to resampled seeds and test images.

    `curve` holds count, lowest and highest Dice of the range. `ceiling` is the range of a, what endlessly many images
    would give if the curve held; it is far outside of what was measured.
    """

    preset: str
    dataset: int
    points: tuple[CountMean, ...]
    gains: tuple[Gain, ...]
    curve: tuple[tuple[float, float, float], ...]
    ceiling: tuple[float, float] | None
    verdict: Verdict
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def read_rows(study: Path) -> list[Row]:
    """Return the scores that a study has left in its folder so far.

    Raises
    ------
    DataError
        If there are none, or one cannot be read.
    """
    known = {field.name for field in fields(Row)}
    rows = []
    for file in sorted((study / "rows").glob("*.json")):
        try:
            content = json.loads(file.read_bytes())
            rows += [Row(**{name: value for name, value in row.items() if name in known}) for row in content]
        except (OSError, ValueError, TypeError) as error:
            raise DataError(
                f"{file}: these scores cannot be read ({error}). Run that part of the study again."
            ) from error
    if not rows:
        raise DataError(
            f"{study}: there are no scores of a study here. Run `unet-finetune curve` with this folder first."
        )
    return rows


def forecast(rows: Sequence[Row], *, more: Sequence[int] | None = None, dataset: int = 2, seed: int = 0) -> Forecast:
    """Return what `more` images than the largest number in `rows` are likely to add, as a range or that it is open.

    Seeds and test images are drawn anew 300 times, the same images for all counts; each draw gives one curve, and
    the range is that of the middle 95 % of the curves. The raw model (0 images) is not on the curve. In simulated
    studies of three seeds and eleven test images the range held the true gain in four of five cases. Without `more`,
    5 and 10 are looked at as far as that is no more than twice what was measured.

    Raises
    ------
    DataError
        If there are no rows of models finetuned on the dataset, or of more than one preset, or `more` reaches too far.
    """
    finetuned = [row for row in rows if row.dataset == dataset and row.count > 0]
    presets = sorted({row.preset for row in finetuned})
    if len(presets) != 1:
        found = ", ".join(presets) or "none"
        raise DataError(f"A forecast needs scores of models finetuned with one preset; found: {found}.")
    scores = _Scores.of(finetuned)
    points = tuple(
        CountMean(count, float(np.nanmean(dice)), dice.shape[0])
        for count, dice in zip(scores.counts, scores.dice, strict=True)
    )
    ahead = _ahead(scores.counts[-1], more)
    base: dict[str, Any] = {"preset": presets[0], "dataset": dataset, "points": points}
    if len(points) < FEWEST_COUNTS:
        reason = f"a curve needs at least {FEWEST_COUNTS} different numbers of images, and there are {len(points)}"
        return Forecast(**base, gains=(), curve=(), ceiling=None, verdict="cannot say", summary=_unknown(reason))
    fitted = scores.resampled_curves(np.random.default_rng(seed))
    return _conclude(base, scores.counts, fitted, ahead)


def _ahead(last: int, more: Sequence[int] | None) -> Sequence[int]:
    """Return for how many images more than `last` the curve is carried on."""
    farthest = (FARTHEST - 1) * last
    if more is None:
        return [extra for extra in MORE if extra <= farthest] or [max(1, last // 2)]
    for extra in more:
        if not 1 <= extra <= farthest:
            raise DataError(
                f"What {extra} more images would give cannot be told from a curve of up to {count_of(last, 'image')}. "
                f"Ask for 1 to {farthest} more."
            )
    return more


def _conclude(
    base: dict[str, Any], counts: Sequence[int], fitted: NDArray[np.float64], ahead: Sequence[int]
) -> Forecast:
    last = counts[-1]
    gains = tuple(_gain(fitted, last, extra) for extra in ahead)
    along = np.linspace(counts[0], last + max(ahead), 40)
    values = np.array([_curve(fitted, count) for count in along])
    low, high = np.percentile(values, (TAIL_PERCENT, 100 - TAIL_PERCENT), axis=1)
    a_low, a_high = np.percentile(fitted[:, 0], (TAIL_PERCENT, 100 - TAIL_PERCENT))
    verdict, summary = _words(base["points"], gains)
    if min(point.seeds for point in base["points"]) == 1:
        summary += " With one seed per count, what another seed would give is not in this range."
    return Forecast(
        **base,
        gains=gains,
        curve=tuple(zip(along.tolist(), low.tolist(), high.tolist(), strict=True)),
        ceiling=(float(a_low), float(a_high)),
        verdict=verdict,
        summary=summary,
    )


def _gain(fitted: NDArray[np.float64], last: int, more: int) -> Gain:
    gains = _curve(fitted, last + more) - _curve(fitted, last)
    low, high = np.percentile(gains, (TAIL_PERCENT, 100 - TAIL_PERCENT))
    return Gain(more, float(low), float(high))


def _words(points: Sequence[CountMean], gains: Sequence[Gain]) -> tuple[Verdict, str]:
    first, last = points[0], points[-1]
    measured = (
        f"From {first.count} to {last.count} images, the mean Dice went from {first.dice:.3f} to {last.dice:.3f}."
    )
    nearest = gains[0]
    if nearest.high < WORTHWHILE:
        flat = f"{nearest.more} more images are likely to give less than {WORTHWHILE:g} Dice"
        return "little", f"{measured} The curve is flat: {flat}."
    if nearest.high - nearest.low > max(2 * WORTHWHILE, last.dice - first.dice):
        reason = (
            f"the spread between seeds and test images leaves {_signed(nearest)} open for {nearest.more} more images"
        )
        return "cannot say", f"{measured} {_unknown(reason)}"
    likely = "; ".join(f"{gain.more} more images are likely to give {_signed(gain)} Dice" for gain in gains)
    worth = nearest.low >= WORTHWHILE
    doubt = "" if worth else f" Whether that is worth it cannot be told: less than {WORTHWHILE:g} is little."
    return ("worth it" if worth else "perhaps"), f"{measured} {likely[:1].upper()}{likely[1:]}.{doubt}"


def _signed(gain: Gain) -> str:
    return f"{gain.low:+.3f} to {gain.high:+.3f}"


def _unknown(reason: str) -> str:
    return f"What more images would give cannot be said: {reason}."


@dataclass(frozen=True, eq=False)
class _Scores:
    """Dice of every count as an array (seeds, images), nan where a row is missing."""

    counts: list[int]
    dice: list[NDArray[np.float64]]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Scores:
        counts, images = sorted({row.count for row in rows}), sorted({row.image for row in rows})
        arrays = []
        for count in counts:
            of_count = [row for row in rows if row.count == count]
            seeds = sorted({row.seed for row in of_count})
            array = np.full((len(seeds), len(images)), np.nan)
            for row in of_count:
                array[seeds.index(row.seed), images.index(row.image)] = row.dice
            arrays.append(array)
        return cls(counts, arrays)

    def resampled_curves(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return level, height and shape (resamples, 3) of curves through resampled seeds and images."""
        images = self.dice[0].shape[1]
        curves = []
        for _ in range(RESAMPLES):
            drawn = rng.integers(images, size=images)
            means = [_resampled_mean(dice[:, drawn], rng) for dice in self.dice]
            curves.append(_fit(np.array(self.counts, float), np.array(means)))
        return np.array(curves)


def _resampled_mean(dice: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Return the mean over images and a draw of seeds; where a draw holds nothing at all, nan.

    A draw from n seeds spreads too little by the factor (n - 1) / n in its variance, much for two or three seeds, so
    its distance from the mean is stretched.
    """
    seeds = len(dice)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        of_seeds = np.nanmean(dice, axis=1)
        mean, drawn = np.nanmean(of_seeds), np.nanmean(of_seeds[rng.integers(seeds, size=seeds)])
    stretch = np.sqrt(seeds / (seeds - 1)) if seeds > 1 else 1.0
    return float(mean + stretch * (drawn - mean))


def _fit(counts: NDArray[np.float64], dice: NDArray[np.float64]) -> tuple[float, float, int]:
    """Return level a, height b and number of the shape of the rising curve that is nearest to the points.

    For a given shape the curve is a straight line, so the best shape is looked for among all. No curve exceeds 1.
    """
    known = np.isfinite(dice)
    counts, dice = counts[known], dice[known]
    best, fit = np.inf, (float(dice.mean()), 0.0, 0)
    for number, shape in enumerate(_SHAPES):
        x = shape(counts)
        x_spread = x - x.mean()
        height = max(0.0, -float((x_spread * dice).sum() / (x_spread**2).sum()))
        level = float(dice.mean() + height * x.mean())
        if level > 1:  # of the curves that end at 1, the one that fits best
            level, height = 1.0, max(0.0, float(((1 - dice) * x).sum() / (x * x).sum()))
        error = float(((level - height * x - dice) ** 2).sum())
        if error < best:
            best, fit = error, (level, height, number)
    return fit


def _curve(fitted: NDArray[np.float64], count: float) -> NDArray[np.float64]:
    """Return the Dice of every curve at `count` images."""
    falling = np.array([float(shape(np.array(count))) for shape in _SHAPES])
    values: NDArray[np.float64] = fitted[:, 0] - fitted[:, 1] * falling[fitted[:, 2].astype(int)]
    return values
