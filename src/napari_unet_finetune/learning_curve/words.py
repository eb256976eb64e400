"""What a learning curve says, in sentences: what was gained, what was forgotten, too much or too little area."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from ..data.folders import note_on_accepted
from ..evaluation.areas import Bias, judge_bias
from ..evaluation.rows import Row, score_by_count
from ..events import forgets
from ..text import count_of, listed, number
from .folder import StudyFolder
from .forecast import WORTHWHILE

_VERDICTS = {"overestimates": "overestimated", "underestimates": "underestimated", "balanced": "about right"}


def curve_in_words(study: StudyFolder) -> tuple[str, ...]:
    """Return what the part of a study that is done says; nothing before the first model is tested."""
    sentences = tuple(_sentences(study.rows_and_patches, study.base_name))
    accepted = note_on_accepted(study.plan.test) if sentences else ""
    return (*sentences, accepted) if accepted else sentences


def shown_in_words(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how many test images were shown otherwise than as they are, or look reversed.

    Models of which the same is true share a sentence; where those of several seeds differ, it says from what to what.
    """
    of_models: dict[tuple[int, str, str], list[int]] = {}
    for dataset, count in sorted({(row.dataset, row.count) for row in rows}, key=lambda one: (-one[0], one[1])):
        tested = [row for row in rows if (row.dataset, row.count) == (dataset, count)]
        for way in sorted({row.shown for row in tested} - {""}):
            of_models.setdefault((dataset, _how_many(tested, way), way), []).append(count)
    for (dataset, seen, way), counts in of_models.items():
        yield f"{_with_all(counts)} the model saw {seen} of the {'new' if dataset == 2 else 'old'} dataset {way}."


def _how_many(tested: Sequence[Row], way: str) -> str:
    seen = [sum(row.shown == way for row in tested if row.seed == seed) for seed in {row.seed for row in tested}]
    some = str(min(seen)) if min(seen) == max(seen) else f"{min(seen)} to {max(seen)}"
    return f"{some} of {count_of(len({row.image for row in tested}), 'test image')}"


def model_in_words(rows: Sequence[Row]) -> str:
    """Return how one model did, from its scores on all test images."""
    new, old = ([row.dice for row in rows if row.dataset == dataset] for dataset in (2, 1))
    seed = f", seed {rows[0].seed}" if rows[0].count else ""
    before = f", {fmean(old):.3f} on {count_of(len(old), 'old image')}" if old else ""
    return f"{_with(rows[0].count)}{seed}: Dice {fmean(new):.3f} on {count_of(len(new), 'test image')}{before}."


def _sentences(rows: Sequence[Row], base: str) -> Iterator[str]:
    new, old = ({count: fmean(dice) for count, dice in score_by_count(rows, dataset).items()} for dataset in (2, 1))
    if not new:
        return
    images = len({row.image for row in rows if row.dataset == 2})
    steps = " → ".join(f"{number(dice)} ({count or f'{base}, the base'})" for count, dice in new.items())
    yield f"Dice on {count_of(images, 'test image')}: {steps}."
    yield from _plateau(new)
    yield from _area(rows, max(new))
    yield from shown_in_words(rows)
    if max(new):
        yield from _forgetting(old) if len(old) > 1 else _unknown()


def _plateau(new: dict[int, float]) -> Iterator[str]:
    """Name the number of images beyond which little is gained."""
    counts, best = list(new), max(new.values())
    enough = next(count for count in counts if new[count] >= best - WORTHWHILE)
    if enough and enough != counts[-1]:
        yield f"Beyond {count_of(enough, 'image')} little is gained (less than {WORTHWHILE:.2f})."


def _area(rows: Sequence[Row], count: int) -> Iterator[str]:
    """Say what `estimate` would say of the same areas and objects; those of all seeds are one pair per image."""
    chosen = [row for row in rows if (row.dataset, row.count) == (2, count)]
    areas = _by_image((row.image, row.predicted_px, row.true_px) for row in chosen)
    if areas and all(row.predicted_px is not None for row in chosen):  # else there is a row of an older version
        yield f"{_with(count)} the objects' area is {_bias(judge_bias(areas))}."
    objects = _by_image((row.image, row.predicted_objects, row.true_objects) for row in chosen)
    if any(true for _, true in objects):
        yield f"Their number is {_bias(judge_bias(objects))}."


def _by_image(sizes: Iterable[tuple[str, int | None, int | None]]) -> list[tuple[int, int]]:
    """Return the sums of predicted and true sizes of each image; those that are not known are left out."""
    sums: dict[str, tuple[int, int]] = {}
    for image, predicted, true in sizes:
        if predicted is not None and true is not None:
            before = sums.get(image, (0, 0))
            sums[image] = before[0] + predicted, before[1] + true
    return list(sums.values())


def _bias(bias: Bias) -> str:
    if bias.ratio is None:
        return f"{_VERDICTS[bias.verdict]}: some is predicted where none is true"
    times = f"{bias.ratio:.2f} times the true one"
    return f"{times}, which may be chance" if bias.verdict == "unclear" else f"{_VERDICTS[bias.verdict]}: {times}"


def _forgetting(old: dict[int, float]) -> Iterator[str]:
    raw = old.get(0)
    if raw is None:
        return
    forgotten = {count: dice for count, dice in old.items() if forgets(raw, dice)}
    if forgotten:
        lost = ", ".join(f"{number(dice)} with {count_of(count, 'image')}" for count, dice in forgotten.items())
        yield f"The old images are being forgotten: Dice {number(raw)} → {lost}. Raise Replay, or give old images."
    else:
        yield f"The old images are not forgotten: Dice {number(raw)} → {number(list(old.values())[-1])}."


def _unknown() -> Iterator[str]:
    yield (
        "What is forgotten of the old images cannot be measured: the base carries no patches of them. Give a folder "
        "of old images to find out."
    )


def _with(count: int) -> str:
    return f"With {count_of(count, 'image')}" if count else "Without finetuning"


def _with_all(counts: Sequence[int]) -> str:
    """Return all numbers of images in one phrase; they ascend, and there is at least one."""
    *some, last = counts
    if some[:1] == [0]:
        return f"{_with(0)} and {_with_all(counts[1:]).lower()}"
    return f"With {listed([*some, count_of(last, 'image')])}" if some else _with(last)
