"""When a training that has no fixed length is over: once its weights are worth no more than before, the rate falls."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

# So many validations in a row are compared with as many before them: one alone is chance.
WINDOW = 3
# Less is no gain.
GAIN = 0.003
# The fall takes so much of the steps before it, and at least so many.
FALL_SHARE, SHORTEST_FALL = 0.5, 200
# A training that never settles falls in this last share of its steps.
LAST_SHARE = 0.25

Fall = tuple[int, int]  # the steps from and to which the rate falls


def has_settled(worths: Sequence[float]) -> bool:
    """Tell whether the last validations are worth no more than those before them."""
    if len(worths) < 2 * WINDOW:
        return False
    return fmean(worths[-WINDOW:]) < fmean(worths[-2 * WINDOW : -WINDOW]) + GAIN


def latest_fall(steps: int) -> Fall:
    """Return the fall of a training of `steps` that never settles."""
    return round((1 - LAST_SHARE) * steps), steps


def fall_from(step: int, steps: int, validate_every: int) -> Fall:
    """Return the fall that begins after `step`, which ends with a validation or with the last of all `steps`."""
    length = max(SHORTEST_FALL, round(FALL_SHARE * step))
    end = step + -(-length // validate_every) * validate_every
    return min(step, latest_fall(steps)[0]), min(end, steps)
