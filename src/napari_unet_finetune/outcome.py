"""How a training ended, in a sentence: raw against finetuned on held-out images and on the old dataset."""

from __future__ import annotations

from .events import RunEnded, forgets
from .text import count_of


def outcome_in_words(end: RunEnded, held_out: int) -> str:
    """Return what came of a training with `held_out` images held out, in a few sentences."""
    if end.stopped and not end.steps:
        return "Stopped before the first step: nothing has changed."
    begin = f"Stopped at step {end.steps}, the best so far is kept. " if end.stopped else ""
    return f"{begin}{_scores(end, held_out)}{_old(end)}."


def is_disappointing(end: RunEnded) -> bool:
    """Tell whether the user should look twice: nothing was gained, or the old dataset is being forgotten."""
    return end.kept_raw or _forgotten(end)


def _scores(end: RunEnded, held_out: int) -> str:
    images = count_of(held_out, "held-out image")
    if end.kept_raw:
        dice = "" if end.raw_dice is None else f" (Dice {end.raw_dice:.2f} on {images})"
        return (
            f"Finetuning did not get better than the base model{dice}, so the base model is kept. "
            "Check the masks, annotate more varied images, or train longer"
        )
    if end.finetuned_dice is None:
        return "Done. Nothing was held out, so how good the model is cannot be said. Look at its predictions"
    if end.raw_dice is None:
        return f"Dice {end.finetuned_dice:.2f} on {images}"
    return f"Dice {end.raw_dice:.2f} → {end.finetuned_dice:.2f} on {images}"


def _old(end: RunEnded) -> str:
    if end.kept_raw:
        return ""
    if end.old_dice_before is None or end.old_dice_after is None:
        return "" if end.raw_dice is None else "; old dataset: not measured"
    text = f"; old dataset: {end.old_dice_before:.2f} → {end.old_dice_after:.2f}"
    if _forgotten(end):
        text += ". It is being forgotten: raise Replay or the pull to the base, or give old images"
    return text


def _forgotten(end: RunEnded) -> bool:
    return forgets(end.old_dice_before, end.old_dice_after) and not end.kept_raw
