"""How far a long computation is, as a value folded from its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .events import (
    Event,
    ImageCompared,
    ImageEnd,
    ImagePredicted,
    Notice,
    PartStarted,
    RunEnded,
    RunStarted,
    StepEnd,
    TileEnd,
    ValidationEnd,
)

# Time left is estimated from the last steps only, so that a pause or a slow start does not spoil it.
RECENT_STEPS = 50
# The first steps also set things up: one alone would promise hours.
FEWEST_STEPS = 3


@dataclass(frozen=True)
class RunProgress:
    """The state of a computation that is worth showing.

    A training counts `step` of `steps`. Trainings and other parts of a larger whole count `parts`, images `images`, and
    tiles of the image in work `tiles`: how many are done, and of how many.
    """

    step: int = 0
    steps: int = 0
    device: str = ""
    precision: str = ""
    raw_dice: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    val_dices: tuple[tuple[int, float], ...] = ()
    best_dice: float | None = None
    best_step: int = 0
    recent_step_s: tuple[float, ...] = ()
    message: str = ""
    end: RunEnded | None = None
    part: str = ""
    parts: tuple[int, int] = (0, 0)
    images: tuple[int, int] = (0, 0)
    tiles: tuple[int, int] = (0, 0)

    @property
    def fraction(self) -> float | None:
        """Share of the whole that is done, or None while that is not known."""
        inside = _share((self.step, self.steps)) if self.steps else _share(self.tiles)
        if self.images[1]:
            inside = min(1.0, (self.images[0] + (inside or 0.0)) / self.images[1])
        if self.parts[1]:
            return (self.parts[0] + (inside or 0.0)) / self.parts[1]
        return inside

    @property
    def dice(self) -> float | None:
        """Dice on held-out images of the model that is kept: the best so far, at the end that of its own threshold."""
        return self.best_dice if self.end is None or self.end.finetuned_dice is None else self.end.finetuned_dice

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left, or None before the first few steps."""
        if len(self.recent_step_s) < max(1, min(FEWEST_STEPS, self.steps)):
            return None
        return (self.steps - self.step) * sum(self.recent_step_s) / len(self.recent_step_s)


def advance(progress: RunProgress, event: Event) -> RunProgress:
    """Return `progress` after `event`."""
    match event:
        case RunStarted():
            return _restart(progress, event)
        case StepEnd():
            return replace(
                progress,
                step=event.step,
                losses=(*progress.losses, (event.step, event.train_loss)),
                recent_step_s=(*progress.recent_step_s[1 - RECENT_STEPS :], event.step_s),
            )
        case ValidationEnd():
            return _validated(progress, event)
        case Notice():
            return replace(progress, message=event.message)
        case RunEnded():
            return replace(progress, message=event.summary, end=event)
        case TileEnd():
            return replace(progress, tiles=(event.done, event.total))
        case ImageEnd() | ImageCompared():
            return replace(progress, images=(event.done, event.total), tiles=(0, 0))
        case ImagePredicted():
            return replace(progress, images=(event.index + 1, event.total), tiles=(0, 0))
        case PartStarted():
            return RunProgress(part=event.label, parts=(max(0, event.index - 1), event.total))
        case _:
            return progress


def fold(events: Iterable[Event]) -> RunProgress:
    """Return the progress after all `events`: what `advance` does, without copying all losses at every step."""
    progress, losses = RunProgress(), list[tuple[int, float]]()
    for event in events:
        progress = advance(progress, event)
        if isinstance(event, StepEnd):
            losses.extend(progress.losses)
            progress = replace(progress, losses=())
        elif isinstance(event, RunStarted):
            losses = [entry for entry in losses if entry[0] <= event.first_step]
        elif isinstance(event, PartStarted):
            losses.clear()
    return replace(progress, losses=tuple(losses))


def _share(counts: tuple[int, int]) -> float | None:
    done, total = counts
    return done / total if total else None


def _restart(progress: RunProgress, event: RunStarted) -> RunProgress:
    """Begin, or go on after an interruption: what happened after the saved step happens again."""
    first = event.first_step
    return replace(
        progress,
        step=first,
        steps=event.steps,
        device=event.device,
        precision=event.precision,
        raw_dice=event.raw_dice,
        losses=tuple(entry for entry in progress.losses if entry[0] <= first),
        val_dices=tuple(entry for entry in progress.val_dices if entry[0] <= first),
        best_dice=event.best_dice,
        best_step=event.best_step,
        recent_step_s=(),
        message="",
        end=None,
    )


def _validated(progress: RunProgress, event: ValidationEnd) -> RunProgress:
    if event.last_step is not None:
        progress = replace(progress, steps=event.last_step)
    if event.val_dice is None:
        return progress
    updated = replace(progress, val_dices=(*progress.val_dices, (event.step, event.val_dice)))
    return replace(updated, best_dice=event.val_dice, best_step=event.step) if event.best else updated
