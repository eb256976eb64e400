"""Over- or underestimation in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..words import count_of, first_of, percent

if TYPE_CHECKING:
    from .area_bias import Estimation

# Over fewer images an interval by resampling is too narrow to be taken at its word.
FEW_IMAGES = 5


def area_words(result: Estimation) -> str:
    """Return what an estimation says, as a few sentences."""
    parts = (bias_in_words(result), errors_in_words(result), thresholds_in_words(result), _penalty(result))
    return " ".join(filter(None, (*parts, seen_in_words(result))))


def seen_in_words(result: Estimation) -> str:
    """Return which images the model knows from its training; empty if none."""
    if not result.trained_on:
        return ""
    some = f"{count_of(len(result.trained_on), 'image')} of {len(result.images)} ({first_of(result.trained_on)})"
    return f"Its training had {some}, to learn from or to choose by, so the answer may be too good."


def bias_in_words(result: Estimation) -> str:
    """Return whether too much or too little is predicted."""
    count = len(result.images)
    images = count_of(count, "image")
    if result.area_ratio is None:
        return f"There is no true object in {images}, yet the model predicts some: it overestimates."
    ratio = f"The model predicts {result.area_ratio:.2f} × the true area"
    if result.low is None or result.high is None:
        return f"{ratio} ({images}): from so little, a bias cannot be told from chance."
    doubt = f" Over only {count} images this interval is a rough one." if count < FEW_IMAGES else ""
    meaning = {
        "overestimates": "it overestimates",
        "underestimates": "it underestimates",
        "balanced": "the areas agree to within 10 %",
        "unclear": "a bias cannot be told from the spread between images",
    }[result.verdict]
    return f"{ratio} ({result.low:.2f} to {result.high:.2f} over {images}): {meaning}.{doubt}"


def errors_in_words(result: Estimation) -> str:
    """Return how much of it is false, and how much is missed."""
    return (
        f"{percent(result.false_positive_share)} of what it predicts is false, "
        f"and {percent(result.false_negative_share)} of the true area is missed."
    )


def thresholds_in_words(result: Estimation) -> str:
    """Return which threshold would do better; empty if none does."""
    by_threshold = {point.threshold: point for point in result.curve}
    now, best = by_threshold[result.threshold], by_threshold[result.best_threshold]
    parts = []
    if result.balanced_threshold is not None and result.verdict in ("overestimates", "underestimates"):
        parts.append(f"A threshold of {result.balanced_threshold:.2f} instead of {now.threshold:.2f} balances the area")
    if best is not now:
        parts.append(f"the best Dice on these images is at {best.threshold:.2f} ({now.dice:.3f} → {best.dice:.3f})")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _penalty(result: Estimation) -> str:
    if result.balancing_weight is None or result.verdict not in ("overestimates", "underestimates"):
        return ""
    return (
        f"For a new finetuning, false_positive_weight={result.balancing_weight:.2f} instead of "
        f"{result.false_positive_weight:.2f} should bring it closer to balance: an estimate from the ratio of both "
        "errors."
    )
