"""Does a model predict too much or too little: areas, errors, thresholds and the penalty that would balance them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..config import THRESHOLD_RANGE
from ..metrics import ratio_of_areas
from ..result import Offer, Result, ResultTable
from ..text import count_of, first_of, number, percent, times

# Over fewer images an interval by resampling is too narrow to be taken at its word.
FEW_IMAGES = 5
THRESHOLDS = tuple(np.arange(0.02, 0.985, 0.02).round(2).tolist())
RESAMPLES = 2000
CONFIDENCE = 0.95
# A difference of less than this is no bias, however sure it is.
NEGLIGIBLE = 0.02
# Areas are called balanced if the whole interval of their ratio lies in this range; that none is seen is not enough.
BALANCED = (0.9, 1.1)
# Another threshold is worth mentioning if it gains this much Dice.
WORTHWHILE_GAIN = 0.002
LOWEST_WEIGHT, HIGHEST_WEIGHT = 0.05, 0.95
# The odds of the penalty change by at most this factor at once: where one kind of error is rare, its number is chance.
LARGEST_STEP = 4.0
# Of a model that finds less than this Dice, areas and thresholds mean nothing.
_FINDS = 0.5


AreaVerdict = Literal["overestimates", "underestimates", "balanced", "unclear"]
_HEADLINES: dict[AreaVerdict, str] = {
    "overestimates": "Too much: it finds more than there is.",
    "underestimates": "Too little: it misses part of what is there.",
    "balanced": "Neither: the areas agree to within 10 %.",
    "unclear": "That cannot be told from these images.",
}


@dataclass(frozen=True, slots=True)
class Bias:
    """The ratio of all predicted to all true areas or objects, its bootstrap interval, and what follows from it."""

    ratio: float | None
    low: float | None
    high: float | None
    verdict: AreaVerdict


@dataclass(frozen=True, slots=True)
class ImageAreas:
    """Areas of one image in annotated pixels; `area_ratio` is None where nothing is true but something predicted.

    Objects are counted where the mask numbers them, and None elsewhere.
    """

    image: str
    predicted_px: int
    true_px: int
    false_positive_px: int
    false_negative_px: int
    area_ratio: float | None
    dice: float
    predicted_objects: int | None = None
    true_objects: int | None = None

    @property
    def errors_px(self) -> tuple[int, int]:
        """Pixels that are falsely predicted, and those that are missed."""
        return self.false_positive_px, self.false_negative_px


@dataclass(frozen=True, slots=True)
class ThresholdPoint:
    """What a threshold would give: mean Dice over images, and predicted over true area of all images together."""

    threshold: float
    dice: float
    area_ratio: float | None


@dataclass(frozen=True)
class Estimation(Result):
    """Over- or underestimation of a model over some images.

    `area_ratio` is the sum of all predicted over the sum of all true areas, `low` and `high` its bootstrap interval.
    `false_positive_share` is the share of the predicted area that is false, `false_negative_share` that of the true
    area that is missed. `balancing_weight` is the `false_positive_weight` expected to balance a new finetuning.
    `trained_on` names the images that took part in the model's training. `objects` says of the numbers of objects what
    `area_ratio` and its interval say of areas, None where no mask numbers them.
    """

    images: tuple[ImageAreas, ...]
    threshold: float
    dice: float
    area_ratio: float | None
    low: float | None
    high: float | None
    false_positive_share: float
    false_negative_share: float
    verdict: AreaVerdict
    curve: tuple[ThresholdPoint, ...]
    balanced_threshold: float | None
    best_threshold: float
    false_positive_weight: float
    balancing_weight: float | None
    trained_on: tuple[str, ...] = ()
    objects: Bias | None = None

    @property
    def finds(self) -> bool:
        """Whether the model finds the objects at all: else areas and thresholds mean nothing."""
        return self.dice >= _FINDS or self.area_ratio is None  # without a true object there is none to find

    @property
    def is_biased(self) -> bool:
        """Whether too much or too little is predicted."""
        return self.finds and self.verdict in ("overestimates", "underestimates")

    @property
    def headline(self) -> str:
        """Whether it is too much or too little."""
        if not self.finds:
            return f"It does not find these objects yet: Dice {self.dice:.2f}. Finetune it first."
        return _HEADLINES[self.verdict]

    @property
    def sentences(self) -> tuple[str, ...]:
        """By how much, what is wrong, and what would balance it."""
        parts = (
            self._bias(), self._errors(), self._counts(), self._thresholds(), self._penalty(), self._seen(),
        )  # fmt: skip
        return tuple(filter(None, parts))

    @property
    def is_warning(self) -> bool:
        """Whether the model needs to be changed."""
        return self.is_biased or not self.finds

    @property
    def table(self) -> ResultTable:
        """Areas and errors of each image."""
        columns = ["image", "area", "false px", "missed px", "Dice"]
        rows = [[one.image, times(one.area_ratio), *map(str, one.errors_px), number(one.dice)] for one in self.images]
        if self.objects is not None:
            columns.append("objects")
            for row, one in zip(rows, self.images, strict=True):
                row.append("–" if one.true_objects is None else f"{one.predicted_objects} / {one.true_objects}")
        return ResultTable(
            tuple(columns), tuple(map(tuple, rows)), of_images=True, title=f"At threshold {self.threshold:.2f}"
        )

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What would balance the areas, a threshold only if it can be set."""
        if not self.is_biased:
            return ()
        offers, threshold, weight = [], self.balanced_threshold, self.balancing_weight
        lowest, highest = THRESHOLD_RANGE
        if threshold is not None and lowest <= threshold <= highest:
            offers.append(Offer("threshold", f"Use threshold {threshold:.2f}", round(threshold, 2)))
        if weight is not None and weight != self.false_positive_weight:
            offers.append(Offer("penalty", f"Use penalty {weight:.2f}", weight))
        return tuple(offers)

    def _bias(self) -> str:
        count = len(self.images)
        images = count_of(count, "image")
        if self.area_ratio is None:
            return f"There is no true object in {images}, yet the model predicts some: it overestimates."
        ratio = f"The model predicts {self.area_ratio:.2f} × the true area"
        if self.low is None or self.high is None:
            return f"{ratio} ({images}): with so few images, a bias cannot be told from chance."
        doubt = f" With only {count} images, this interval is rough." if count < FEW_IMAGES else ""
        meaning = {
            "overestimates": "it overestimates",
            "underestimates": "it underestimates",
            "balanced": "the areas agree to within 10 %",
            "unclear": "a bias cannot be told from the spread between images",
        }[self.verdict]
        return f"{ratio} ({self.low:.2f} to {self.high:.2f} over {images}): {meaning}.{doubt}"

    def _errors(self) -> str:
        return (
            f"{percent(self.false_positive_share)} of what it predicts is false, "
            f"and {percent(self.false_negative_share)} of the true area is missed."
        )

    def _counts(self) -> str:
        """Return whether there are too many or too few objects; empty where no mask numbers them."""
        if self.objects is None or self.objects.ratio is None or not self.finds:
            return ""
        counted = [one for one in self.images if one.true_objects is not None]
        predicted = sum(one.predicted_objects or 0 for one in counted)
        true = sum(one.true_objects or 0 for one in counted)
        found = f"It counts {predicted} objects where there are {true}"
        if self.objects.low is None or self.objects.high is None:
            return f"{found} ({count_of(len(counted), 'image')})."
        meaning = {
            "overestimates": "it counts too many",
            "underestimates": "it counts too few. Objects that touch count as one unless they are split",
            "balanced": "the numbers agree to within 10 %",
            "unclear": "whether it counts too many or too few cannot be told from the spread between images",
        }[self.objects.verdict]
        interval = f"{self.objects.ratio:.2f} ×, {self.objects.low:.2f} to {self.objects.high:.2f}"
        return f"{found} ({interval} over {count_of(len(counted), 'image')}): {meaning}."

    def _thresholds(self) -> str:
        """Return which threshold would do better; empty if none does."""
        if not self.finds:
            return ""
        by_threshold = {point.threshold: point for point in self.curve}
        now, best = by_threshold[self.threshold], by_threshold[self.best_threshold]
        parts = []
        if self.balanced_threshold is not None and self.is_biased:
            parts.append(
                f"A threshold of {self.balanced_threshold:.2f} instead of {now.threshold:.2f} balances the area"
            )
        if best is not now:
            parts.append(f"the best Dice on these images is at {best.threshold:.2f} ({now.dice:.3f} → {best.dice:.3f})")
        text = "; ".join(parts)
        return f"{text[:1].upper()}{text[1:]}." if text else ""

    def _penalty(self) -> str:
        if self.balancing_weight is None or not self.is_biased:
            return ""
        return (
            f"In a new finetuning, a penalty on false positives of {self.balancing_weight:.2f} instead of "
            f"{self.false_positive_weight:.2f} should bring it closer to balance: an estimate from the ratio of both "
            "errors."
        )

    def _seen(self) -> str:
        """Return which images the model knows from its training; empty if none."""
        if not self.trained_on:
            return ""
        some = f"{count_of(len(self.trained_on), 'image')} of {len(self.images)} ({first_of(self.trained_on)})"
        return f"It was trained or validated on {some}, so the answer may be too good."


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """Predicted and truly predicted pixels (thresholds,) of one image at every threshold, and its true pixels.

    `objects` are the predicted and the true ones at the threshold of the model, None if the mask does not number them.
    """

    image: str
    predicted: NDArray[np.int64]
    correct: NDArray[np.int64]
    true: int
    objects: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        image: str,
        probabilities: NDArray[np.floating[Any]],
        truth: NDArray[np.bool_],
        thresholds: Sequence[float],
        annotated: NDArray[np.bool_] | None = None,
    ) -> ThresholdCounts:
        """Count `probabilities` (Y, X) above each of the ascending `thresholds`, on `annotated` pixels only."""
        known = slice(None) if annotated is None else annotated
        # A threshold in single precision, as the prediction itself compares it.
        edges = np.asarray(thresholds, probabilities.dtype)
        passed = np.searchsorted(edges, probabilities[known].ravel(), side="left")
        true = truth[known].ravel()
        return cls(image, _above(passed, len(edges)), _above(passed[true], len(edges)), int(np.count_nonzero(true)))

    @property
    def dice(self) -> NDArray[np.float64]:
        """Dice at every threshold; 1 where nothing is predicted and nothing true."""
        both = self.predicted + self.true
        return np.where(both > 0, 2 * self.correct / np.maximum(both, 1), 1.0)

    def areas(self, index: int) -> ImageAreas:
        """Return the areas at threshold number `index`."""
        predicted, correct = int(self.predicted[index]), int(self.correct[index])
        return ImageAreas(
            self.image,
            predicted,
            self.true,
            predicted - correct,
            self.true - correct,
            ratio_of_areas(predicted, self.true),
            float(self.dice[index]),
            *(self.objects or (None, None)),
        )


def _above(passed: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return for each threshold how many values passed it."""
    histogram = np.bincount(passed, minlength=count + 1)
    above: NDArray[np.int64] = histogram[::-1].cumsum()[::-1][1:]
    return above


def judge_bias(sizes: Sequence[tuple[int, int]], seed: int = 0) -> Bias:
    """Return what predicted and true areas, or numbers of objects, of images say together.

    `seed` is that of the resampling of images.
    """
    totals = np.array(sizes, float)
    predicted, true = totals.sum(axis=0)
    ratio, (low, high) = ratio_of_areas(predicted, true), _interval(totals, seed)
    return Bias(ratio, low, high, _verdict(ratio, low, high))


def _interval(totals: NDArray[np.float64], seed: int) -> tuple[float | None, float | None]:
    """Return the percentile bootstrap interval of the ratio of sums, resampling images; None for a single one."""
    count = len(totals)
    if count < 2:
        return None, None
    drawn = totals[np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))].sum(axis=1)
    drawn = drawn[drawn[:, 1] > 0]
    if not len(drawn):
        return None, None
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], (tail, 100 - tail))
    return float(low), float(high)


def _verdict(ratio: float | None, low: float | None, high: float | None) -> AreaVerdict:
    if ratio is None:  # nothing is true, and something predicted
        return "overestimates"
    if low is None or high is None:
        return "unclear"
    if abs(ratio - 1) >= NEGLIGIBLE and (low > 1 or high < 1):
        return "overestimates" if low > 1 else "underestimates"
    return "balanced" if BALANCED[0] <= low and high <= BALANCED[1] else "unclear"


def estimate_areas(
    counts: Sequence[ThresholdCounts],
    thresholds: Sequence[float],
    *,
    threshold: float,
    false_positive_weight: float = 0.5,
    seed: int = 0,
    trained_on: Sequence[str] = (),
) -> Estimation:
    """Return what `counts` at ascending `thresholds`, one of which is `threshold`, say together.

    Parameters
    ----------
    false_positive_weight
        The penalty the model was trained with.
    seed
        Of the resampling of images; the same seed gives the same interval.
    trained_on
        Names of the images that took part in the model's training.
    """
    index = list(thresholds).index(threshold)
    images = tuple(count.areas(index) for count in counts)
    bias = judge_bias([(area.predicted_px, area.true_px) for area in images], seed)
    predicted, true = sum(area.predicted_px for area in images), sum(area.true_px for area in images)
    false_positive = sum(area.false_positive_px for area in images)
    missed = sum(area.false_negative_px for area in images)
    curve = _curve(counts, thresholds)
    objects = [one.objects for one in counts if one.objects is not None]
    return Estimation(
        images=images,
        threshold=threshold,
        dice=float(np.mean([area.dice for area in images])),
        area_ratio=bias.ratio,
        low=bias.low,
        high=bias.high,
        false_positive_share=false_positive / predicted if predicted else 0.0,
        false_negative_share=missed / true if true else 0.0,
        verdict=bias.verdict,
        curve=curve,
        balanced_threshold=_balanced(curve),
        best_threshold=_best(curve, threshold),
        false_positive_weight=false_positive_weight,
        # Where nothing is true nothing can be missed, so the two errors cannot be weighed.
        balancing_weight=balancing_weight(false_positive, missed, false_positive_weight) if true else None,
        trained_on=tuple(trained_on),
        objects=judge_bias(objects, seed) if any(true for _, true in objects) else None,
    )


def _curve(counts: Sequence[ThresholdCounts], thresholds: Sequence[float]) -> tuple[ThresholdPoint, ...]:
    dice = np.mean([count.dice for count in counts], axis=0)
    predicted = np.sum([count.predicted for count in counts], axis=0)
    true = sum(count.true for count in counts)
    return tuple(
        ThresholdPoint(float(value), float(dice[i]), ratio_of_areas(float(predicted[i]), true))
        for i, value in enumerate(thresholds)
    )


def _balanced(curve: Sequence[ThresholdPoint]) -> float | None:
    """Return the threshold at which the areas are equal, or None if they are not at any."""
    for below, above in pairwise(curve):
        if below.area_ratio is None or above.area_ratio is None:
            return None
        if below.area_ratio >= 1 >= above.area_ratio:
            step = below.area_ratio - above.area_ratio
            share = (below.area_ratio - 1) / step if step else 0.0
            return round(below.threshold + share * (above.threshold - below.threshold), 3)
    return None


def _best(curve: Sequence[ThresholdPoint], current: float) -> float:
    """Return the threshold with the best Dice; the current one if none is clearly better, else a plateau's middle."""
    best = max(point.dice for point in curve)
    now = next(point.dice for point in curve if point.threshold == current)
    if best < now + WORTHWHILE_GAIN:
        return current
    good = [point.threshold for point in curve if point.dice > best - WORTHWHILE_GAIN / 4]
    return good[len(good) // 2]


def balancing_weight(false_positive: float, false_negative: float, current: float) -> float | None:
    """Return the `false_positive_weight` expected to bring the errors of a training made with `current` into balance.

    A rule of thumb, not a measurement: the training settled where an error of one kind cost as much as what it
    saved of the other, so the odds of the two weights are multiplied by false positives over false negatives, by 4 or
    a quarter at most. None if there is no error of either kind to compare.
    """
    if not (false_positive or false_negative):
        return None
    ratio = false_positive / false_negative if false_negative else np.inf
    odds = current / (1 - current) * np.clip(ratio, 1 / LARGEST_STEP, LARGEST_STEP)
    return round(float(np.clip(odds / (1 + odds), LOWEST_WEIGHT, HIGHEST_WEIGHT)), 2)
