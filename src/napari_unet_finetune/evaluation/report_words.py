"""The sentences of a report about one run: what was done, the figures that matter, and what they are not worth."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from ..events import forgets
from ..training.outcome import ENOUGH_HELD_OUT
from ..words import count_of
from .area_bias import Estimation
from .area_words import FEW_IMAGES
from .report_data import Role, RunRecord, UsedImage
from .report_methods import base_name, device_name
from .report_scores import BASE, FINAL, Scored

GROUP_NAMES: dict[Role, str] = {"test": "test", "held out": "held-out", "training": "training"}


def lead(record: RunRecord) -> tuple[str, ...]:
    """Return in two sentences what was done and what came of it."""
    images = count_of(len(record.started.train_images), "annotated image")
    held_out = len(record.started.validation_images)
    rest = "none was held out" if not held_out else f"{held_out} more {'was' if held_out == 1 else 'were'} held out"
    what = (
        "A model was trained from scratch" if record.from_scratch
        else f"The base model “{base_name(record)}” was finetuned"
    )  # fmt: skip
    how = f"for {record.steps:,} steps on {device_name(record.started.device)} with {images}"
    return (f"{what} {how}; {rest}.", _outcome(record))


def _outcome(record: RunRecord) -> str:
    if record.ended is None:
        return (
            f"The training has not come to its end (step {record.steps:,} of {record.started.steps:,}): this is the "
            "best model so far."
        )
    if record.ended.stopped:
        return (
            f"It was stopped at step {record.steps:,} of {record.started.steps:,}; this is the best model until then. "
            f"{record.ended.summary}"
        )
    return record.ended.summary


def highlights(record: RunRecord, scored: Scored, estimation: Estimation | None) -> tuple[tuple[str, str, str], ...]:
    """Return the few figures that matter most: value, name, and a note."""
    cards = [_dice_card(scored, role) for role in scored.roles if role != "training"]
    if not cards and record.ended is not None and record.ended.finetuned_dice is not None:
        name = f"Dice on {count_of(len(record.started.validation_images), 'held-out image')}"
        cards.append((_change(record.ended.raw_dice, record.ended.finetuned_dice), name, "as measured in training"))
    if record.ended is not None and record.ended.old_dice_after is not None:
        value = _change(record.ended.old_dice_before, record.ended.old_dice_after)
        cards.append((value, "Dice on the old dataset", "before → after"))
    if estimation is not None and estimation.area_ratio is not None:
        interval = f"{estimation.low:.2f} to {estimation.high:.2f}" if estimation.low is not None else "no interval"
        cards.append(
            (f"{estimation.area_ratio:.2f} ×", f"predicted / true area ({interval})", f"verdict: {estimation.verdict}")
        )  # fmt: skip
    return tuple(cards)


def _dice_card(scored: Scored, role: Role) -> tuple[str, str, str]:
    before, after = (mean_dice(scored, role, model) for model in (BASE, FINAL))
    count = count_of(len(scored.of(role, FINAL)), f"{GROUP_NAMES[role]} image")
    note = "base → this model" if before is not None else "this model"
    return _change(before, after), f"mean Dice on {count}", note


def mean_dice(scored: Scored, role: Role, model: str) -> float | None:
    """Return the mean Dice of a model on a group of images, None where it was not scored."""
    rows = scored.of(role, model)
    return fmean(row.scores.dice for row in rows) if rows else None


def _change(before: float | None, after: float | None) -> str:
    values = [f"{value:.3f}" for value in (before, after) if value is not None]
    return " → ".join(values)


def limits(record: RunRecord, scored: Scored, tests: tuple[UsedImage, ...]) -> tuple[str, ...]:
    """Return what a reader must know before trusting the figures."""
    return (*_about_held_out(record, scored), *_about_tests(record, scored, tests), *_about_run(record))


def _about_held_out(record: RunRecord, scored: Scored) -> Iterator[str]:
    count = len(record.started.validation_images)
    tested = bool(scored.of("test", FINAL))
    if record.config.validation == "patches":
        yield (
            "Validation was by loss on random patches of the training images, which overlap with patches trained on: "
            "it says nothing about new images."
        )
    elif not count:
        yield "No image was held out" + (
            "; only the test images tell how good the model is on new ones." if tested else
            ": nothing here tells how good the model is on new images."
        )  # fmt: skip
    elif not record.kept_raw:
        is_threshold = record.config.calibrate and count >= ENOUGH_HELD_OUT
        chose = "the step and the threshold" if is_threshold else "the step"
        yield (
            f"The held-out images also chose {chose} of this model, so their scores are a little too good"
            + (
                ". The scores on test images are not."
                if tested
                else ". Only images that decided nothing give an honest score: give some as test images."
            )
        )
    if 0 < count < FEW_IMAGES:
        yield f"With {count_of(count, 'held-out image')}, a mean is a rough number: another choice of images may change it by several hundredths."  # noqa: E501
    if scored.of("training", FINAL):
        yield "Scores on training images show that the model could learn them, not how good it is on new ones."


def _about_tests(record: RunRecord, scored: Scored, tests: tuple[UsedImage, ...]) -> Iterator[str]:
    seen = {image.pixels_sha256 for image in record.used if image.pixels_sha256}
    leaked = [image.name for image in tests if image.pixels_sha256 in seen]
    if leaked:
        yield (
            f"{len(leaked)} of {len(tests)} test images were used in the training as well ({', '.join(leaked[:5])}"
            f"{', …' if len(leaked) > 5 else ''}): scores on them are not those of unseen images."
        )
    if 0 < len(scored.of("test", FINAL)) < FEW_IMAGES:
        yield f"There are only {len(tests)} test images; intervals over so few are rough."


def _about_run(record: RunRecord) -> Iterator[str]:
    yield "One training with one seed: what another seed would give is not known. A learning curve of several tells it."
    crop = record.config.validation_crop_px
    if any(image.size and max(image.size) > crop for image in record.images if image.role == "held out"):
        yield (
            f"While training, held-out images were scored on a window of at most {crop} px; the tables of this report "
            "score whole images, so the two may differ."
        )
    ended = record.ended
    if not record.from_scratch and (ended is None or ended.old_dice_after is None):
        yield "Whether the old dataset is forgotten was not measured: there were no old images and no patches of them."
    elif ended is not None and ended.old_dice_before is not None and ended.old_dice_after is not None:
        drop = ended.old_dice_before - ended.old_dice_after
        if forgets(ended.old_dice_before, ended.old_dice_after):
            yield f"The old dataset lost {drop:.3f} Dice: for its images, the base model is the better one."
    if record.started.device != "cpu":
        yield "On a GPU the same seed does not give exactly the same weights."
    if record.request.sparse:
        yield "Only annotated pixels were scored; what lies between the strokes is not known."
