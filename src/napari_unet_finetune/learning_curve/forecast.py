"""Whether more images are worth annotating: the learning curve of a study, carried on as a range."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..evaluation.rows import Row
from ..result import Result, ResultTable
from ..text import count_of, first_of, shortened
from .folder import load_all_rows

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

ForecastVerdict = Literal["worth it", "perhaps", "little", "cannot say"]
_HEADLINES: dict[ForecastVerdict, str] = {
    "worth it": "Yes, more images are likely to help.",
    "perhaps": "Perhaps: more images may help, or add little.",
    "little": "Hardly: more images are likely to add little.",
    "cannot say": "That cannot be said yet.",
}


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

    def __str__(self) -> str:
        """Return the range for a sentence."""
        return f"{self.low:+.3f} to {self.high:+.3f}"


@dataclass(frozen=True)
class Forecast(Result):
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
    verdict: ForecastVerdict

    @property
    def headline(self) -> str:
        """Whether more images are worth it."""
        return _HEADLINES[self.verdict]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was measured, what is likely, and how sure that is."""
        return tuple(self._sentences())

    @property
    def table(self) -> ResultTable:
        """The curve that was measured."""
        rows = tuple((str(one.count), f"{one.dice:.3f}", str(one.seeds)) for one in self.points)
        return ResultTable(("images", "Dice", "trainings"), rows, title="Learning curve")

    def _sentences(self) -> Iterator[str]:
        if not self.gains:
            reason = f"a curve needs at least {FEWEST_COUNTS} different numbers of images, and there are "
            yield _unknown(f"{reason}{len(self.points)}")
            return
        first, last, nearest = self.points[0], self.points[-1], self.gains[0]
        yield f"From {first.count} to {last.count} images, the mean Dice went from {first.dice:.3f} to {last.dice:.3f}."
        match self.verdict:
            case "little":
                flat = f"{nearest.more} more images are likely to give less than {WORTHWHILE:g} Dice"
                yield f"The curve is flat: {flat}."
            case "cannot say":
                yield _unknown(
                    f"the spread between seeds and test images leaves {nearest} open for {nearest.more} more images"
                )
            case _:
                likely = "; ".join(f"{gain.more} more images are likely to give {gain} Dice" for gain in self.gains)
                yield f"{likely[:1].upper()}{likely[1:]}."
        if self.verdict == "perhaps":
            yield f"Whether that is worth it cannot be told: less than {WORTHWHILE:g} is little."
        if min(point.seeds for point in self.points) == 1:
            yield "With one seed per number of images, this range leaves out what another seed would give."


def forecast(
    study: Sequence[Row] | Path | str, *, more: Sequence[int] | None = None, dataset: int = 2, seed: int = 0
) -> Forecast:
    """Return what `more` images than the largest number in a study are likely to add, as a range or that it is open.

    `study` is its folder, or its scores.

    Seeds and test images are drawn anew 300 times, the same images for all counts; each draw gives one curve, and
    the range is that of the middle 95 % of the curves. The raw model (0 images) is not on the curve. In simulated
    studies of three seeds and eleven test images the range held the true gain in four of five cases. Without `more`,
    5 and 10 are looked at as far as that is no more than twice what was measured.

    Raises
    ------
    DataError
        If there are no rows of models finetuned on the dataset, or of more than one preset, or `more` reaches too far.
    """
    rows = load_all_rows(Path(study)) if isinstance(study, Path | str) else study
    finetuned = [row for row in rows if row.dataset == dataset and row.count > 0]
    presets = sorted({row.preset for row in finetuned})
    if len(presets) != 1:
        found = shortened(first_of(presets) or "none", 80)
        raise DataError(f"A forecast needs scores of models finetuned with one preset; found: {found}.")
    scores = _Scores.of(finetuned)
    points = tuple(
        CountMean(count, float(np.nanmean(dice)), dice.shape[0])
        for count, dice in zip(scores.counts, scores.dice, strict=True)
    )
    ahead = _ahead(scores.counts[-1], more)
    if len(points) < FEWEST_COUNTS:
        return Forecast(presets[0], dataset, points, gains=(), curve=(), ceiling=None, verdict="cannot say")
    fitted = scores.resampled_curves(np.random.default_rng(seed))
    gains = tuple(_gain(fitted, scores.counts[-1], extra) for extra in ahead)
    low, high = np.percentile(fitted[:, 0], (TAIL_PERCENT, 100 - TAIL_PERCENT)).tolist()
    curve = tuple(_along(fitted, scores.counts[0], scores.counts[-1] + max(ahead)))
    return Forecast(presets[0], dataset, points, gains, curve, (low, high), _verdict(points, gains[0]))


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


def _along(fitted: NDArray[np.float64], first: int, last: int) -> Iterator[tuple[float, float, float]]:
    """Yield the range of the curves at 40 places from `first` to `last` images."""
    for count in np.linspace(first, last, 40).tolist():
        low, high = np.percentile(_curve(fitted, count), (TAIL_PERCENT, 100 - TAIL_PERCENT))
        yield count, float(low), float(high)


def _gain(fitted: NDArray[np.float64], last: int, more: int) -> Gain:
    gains = _curve(fitted, last + more) - _curve(fitted, last)
    low, high = np.percentile(gains, (TAIL_PERCENT, 100 - TAIL_PERCENT))
    return Gain(more, float(low), float(high))


def _verdict(points: Sequence[CountMean], nearest: Gain) -> ForecastVerdict:
    if nearest.high < WORTHWHILE:
        return "little"
    if nearest.high - nearest.low > max(2 * WORTHWHILE, points[-1].dice - points[0].dice):
        return "cannot say"
    return "worth it" if nearest.low >= WORTHWHILE else "perhaps"


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
