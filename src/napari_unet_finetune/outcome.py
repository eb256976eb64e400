"""How a training ended, in words: base against finetuned on held-out images and on the old dataset."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from .config import FinetuneConfig
from .events import RunEnded, forgets
from .text import count_of, count_of_images, difference, first_of, from_to, listed, percent

# With fewer held-out images a threshold is calibrated on all annotated images, and a small difference between two
# models on the held-out ones decides nothing alone.
ENOUGH_HELD_OUT = 3
# On images that weights were trained on they are better by about so much than on others.
OPTIMISM = 0.02


def summarized(end: RunEnded, config: FinetuneConfig, held_out: int, regions: int = 0) -> RunEnded:
    """Return `end` with its summary, after a training with `config` and `held_out` images held out.

    So many of these are regions of large images.
    """
    if not end.steps:
        return replace(end, summary="Stopped before the first step: nothing has changed.")
    return replace(
        end, summary=f"{_begin(end)}{_scores(end, config, held_out, regions)}{_old(end)}{_mixed(end)}{_mistaken(end)}"
    )


def _begin(end: RunEnded) -> str:
    if not end.stopped:
        return ""
    return f"Stopped at step {end.steps}{'' if end.kept_raw else '; the best model until then is kept'}. "


def _scores(end: RunEnded, config: FinetuneConfig, held_out: int, regions: int) -> str:
    images = count_of_images(held_out, regions, "held-out image")
    if end.kept_raw:
        return _kept_raw(end, why_base(end, config, held_out), images)
    if config.validation == "patches":
        return "Validated by loss on patches of the training images, as in the study: there is no held-out Dice."
    if end.finetuned_dice is None:
        return "Nothing was held out, so the model gets no score. Annotate at least 4 images to get one."
    if end.raw_dice is None:
        return f"Dice {end.finetuned_dice:.3f} on {images}."
    chosen = chosen_by_held_out(end, config, held_out)
    return f"Dice {end.raw_dice:.3f} → {end.finetuned_dice:.3f} on {images}, which also chose {chosen}."


def chosen_by_held_out(end: RunEnded | None, config: FinetuneConfig, held_out: int) -> str:
    """Return what so many held-out images chose besides giving a score, in words."""
    share, stopped = (end.share, end.stopped) if end else (1.0, False)
    calibrated = config.calibrate and not stopped and held_out >= ENOUGH_HELD_OUT and share > 0
    return listed(["the step", *(["the share"] if share < 1 else []), *(["the threshold"] if calibrated else [])])


class WhyBase(Enum):
    """Why a training kept its base, as `why_base` finds it."""

    NO_STEP = "no step was made"
    NO_GAIN = "held-out images have gained nothing"
    NO_GAIN_AND_LOSS = "held-out images have gained nothing, and old ones have lost"
    GAIN_BUT_LOSS = "old images have lost more than the gain of held-out ones is worth"
    LOSS = "nothing was held out, and old images have lost more than is worth it"
    HARDLY_LEARNED = "nothing was held out, and half of the training images have gained no more than by any training"
    NO_LOWER_LOSS = "the loss on patches of the training images has not fallen"


def why_base(end: RunEnded, config: FinetuneConfig, held_out: int) -> WhyBase:
    """Return why the training that ended so, with `held_out` images held out, kept its base.

    Numbers are compared as the training compared them, before they are rounded to be shown.
    """
    if not end.steps:
        return WhyBase.NO_STEP
    has_lost = _drop(end.old_dice_before, end.unmixed_old_dice) > config.tolerated_drop
    if _drop(end.unmixed_dice, end.raw_dice) > 0:
        return WhyBase.GAIN_BUT_LOSS
    if held_out and config.validation != "patches":
        return WhyBase.NO_GAIN_AND_LOSS if has_lost else WhyBase.NO_GAIN
    if has_lost:
        return WhyBase.LOSS
    return WhyBase.NO_LOWER_LOSS if config.validation == "patches" else WhyBase.HARDLY_LEARNED


def _drop(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else before - after


def _kept_raw(end: RunEnded, why: WhyBase, images: str) -> str:
    lowered = f"lowered Dice on old images {from_to(end.old_dice_before, end.unmixed_old_dice)}"
    if why in (WhyBase.GAIN_BUT_LOSS, WhyBase.LOSS):
        raised = f"raised Dice {from_to(end.raw_dice, end.unmixed_dice)} on {images}, but "
        return (
            f"Finetuning {raised if why is WhyBase.GAIN_BUT_LOSS else ''}{lowered}, and no mix of base and finetuned "
            "weights is worth that: the base model is kept. Raise Replay, give old images or, if the new ones matter "
            "more, take the finetuned weights all the same with Old or new (unet-finetune weigh)."
        )
    if why is WhyBase.HARDLY_LEARNED:
        return (
            f"At least half of the images that were trained on have gained no more than {OPTIMISM:g}, as by any "
            "training, and nothing was held out: the base model is kept. Annotate images on which it is wrong."
        )
    dice = "" if end.raw_dice is None else f" (Dice {end.raw_dice:.3f} on {images})"
    return (
        f"Finetuning did not improve on the base model{dice}"
        f"{f' and {lowered}' if why is WhyBase.NO_GAIN_AND_LOSS else ''}: the base model is kept. "
        "Check the masks, annotate more varied images, or train longer."
    )


def _mixed(end: RunEnded) -> str:
    """Say what was kept instead of the finetuned weights, and what these have alone."""
    if end.kept_raw or end.share == 1:
        return ""
    new, old = end.unmixed_dice, end.unmixed_old_dice
    new = None if end.mistaken_new else new  # these would be told what the images are
    scores = [f"{score:.3f} on {what} images" for score, what in ((new, "new"), (old, "old")) if score is not None]
    alone = f" (alone they have {listed(scores)})" if scores else ""
    if end.share == 0 and not end.has_gained:
        return f" Its weights are the base's: finetuned ones are worth no more{alone}."
    if end.share == 0:
        return (
            " That is gained by how the new images are shown to the model: its weights are the base's, since finetuned "
            f"ones are worth no more{alone}."
        )
    return f" Kept is a mix, {percent(end.share)} of the way from the base's weights to the finetuned ones{alone}."


def _mistaken(end: RunEnded) -> str:
    """Say which images the model takes for those of the other dataset when it is not told, or why nobody knows."""
    failed = f" {untried(end)}" if end.not_sorted_out else ""
    kinds = (("old", end.mistaken_old), ("new", end.mistaken_new))
    mistaken = [f"{count_of(len(names), f'{kind} image')} ({first_of(names)})" for kind, names in kinds if names]
    if not mistaken:
        return failed
    return (
        f"{failed} Of the {end.sorted_out} images that were tried, the model takes {listed(mistaken)} for the other "
        f"kind; held-out ones among them are scored so. {how_to_show_mistaken(end)}"
    )


def untried(end: RunEnded) -> str:
    """Return why it is not known whether the model tells all images apart, and what scores then stand for."""
    some = " with all of them" if end.sorted_out else ""
    scored = (
        " Held-out images that were not tried are scored as if the model were told which images are new."
        if end.finetuned_dice is not None
        else ""
    )
    return f"Whether the model tells old and new images apart could not be tried{some}: {end.not_sorted_out}{scored}"


def how_to_show_mistaken(end: RunEnded) -> str:
    """Return what a user can do when images are predicted that the model takes for those of the other dataset."""
    choose = 'Choose Dark and bright (--set appearance=inverted or "appearance=as they are") when you predict '
    if end.shows_new_by_choice or not end.mistaken_new:
        return f"{choose}such images."
    unshown = (
        "No setting of a prediction shows new images as they were trained on; annotate such ones, or choose another "
        "Dark and bright for the next finetuning."
    )
    return f"{choose}such old images. {unshown}" if end.mistaken_old else unshown


def _old(end: RunEnded) -> str:
    if end.old_dice_before is None or end.old_dice_after is None:
        kept = " Old images keep the weights that they had." if end.spared_old else " Old images: not measured."
        return "" if end.raw_dice is None or end.kept_raw else kept
    text = f" Old images: {end.old_dice_before:.3f} → {end.old_dice_after:.3f}{_worst(end)}."
    if end.spared_old:
        lost = ", but for those that are taken for new ones" if end.mistaken_old else ""
        return f"{text} They keep the weights that they had{lost}."
    if forgets(end.old_dice_before, end.old_dice_after) and end.forgot:
        return f"{text} They are being forgotten: raise Replay or Pull to the base, or give old images."
    if not end.forgot or (end.worst_old is not None and end.worst_old.name in end.mistaken_old):  # said after it
        return text
    return f"{text} That one is being forgotten: raise Replay or Pull to the base, or give old images."


def _worst(end: RunEnded) -> str:
    """Say how the worst of the old images fared: by a number, or by its name where that is news."""
    if end.worst_old is None or end.kept_raw:
        return ""
    one, of = end.worst_old, f"mean of {end.old_images}"
    if end.lost_image:
        return f" ({of}; {one.name} lost most: {one.before:.3f} → {one.after:.3f})"
    return f" ({of}; worst change {difference(one.before, one.after):+.3f})"
