"""How a training ended, in words: base against finetuned on held-out images and on the old dataset."""

from __future__ import annotations

from dataclasses import replace

from .config import FinetuneConfig
from .events import RunEnded
from .text import count_of

# With fewer held-out images a threshold is calibrated on all annotated images, and a small difference between two
# models on the held-out ones decides nothing alone.
ENOUGH_HELD_OUT = 3


def summarized(end: RunEnded, config: FinetuneConfig, held_out: int) -> RunEnded:
    """Return `end` with its summary, after a training with `config` and `held_out` images held out."""
    if not end.steps:
        return replace(end, summary="Stopped before the first step: nothing has changed.")
    return replace(end, summary=f"{_begin(end)}{_scores(end, config, held_out)}{_old(end)}")


def _begin(end: RunEnded) -> str:
    if not end.stopped:
        return ""
    return f"Stopped at step {end.steps}{'' if end.kept_raw else '; the best model until then is kept'}. "


def _scores(end: RunEnded, config: FinetuneConfig, held_out: int) -> str:
    images = count_of(held_out, "held-out image")
    if end.kept_raw:
        dice = "" if end.raw_dice is None else f" (Dice {end.raw_dice:.3f} on {images})"
        return (
            f"Finetuning did not improve on the base model{dice}: the base model is kept. "
            "Check the masks, annotate more varied images, or train longer."
        )
    if config.validation == "patches":
        return "Validated by loss on patches of the training images, as in the study: there is no held-out Dice."
    if end.finetuned_dice is None:
        return "Nothing was held out, so the model gets no score. Annotate at least 4 images to get one."
    if end.raw_dice is None:
        return f"Dice {end.finetuned_dice:.3f} on {images}."
    calibrated = config.calibrate and not end.stopped and held_out >= ENOUGH_HELD_OUT
    chose = "the step and the threshold" if calibrated else "the step"
    return f"Dice {end.raw_dice:.3f} → {end.finetuned_dice:.3f} on {images}, which also chose {chose}."


def _old(end: RunEnded) -> str:
    if end.old_dice_before is None or end.old_dice_after is None:
        return "" if end.raw_dice is None or end.kept_raw else " Old images: not measured."
    text = f" Old images: {end.old_dice_before:.3f} → {end.old_dice_after:.3f}."
    if end.forgot:
        text += " They are being forgotten: raise Replay or Pull to the base, or give old images."
    return text
