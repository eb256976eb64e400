"""How far a run is, as a value folded from its events."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .events import Notice, RunEnded, RunStarted, StepEnd, TrainingEvent, ValidationEnd

# Time left is estimated from the last steps only, so that a pause or a slow start does not spoil it.
RECENT_STEPS = 50


@dataclass(frozen=True)
class RunProgress:
    """The state of a run that is worth showing."""

    step: int = 0
    steps: int = 0
    device: str = ""
    raw_dice: float | None = None
    losses: tuple[tuple[int, float], ...] = ()
    val_dices: tuple[tuple[int, float], ...] = ()
    best_dice: float | None = None
    best_step: int = 0
    recent_step_s: tuple[float, ...] = ()
    message: str = ""
    ended: bool = False

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left, or None before the first step."""
        if not self.recent_step_s:
            return None
        return (self.steps - self.step) * sum(self.recent_step_s) / len(self.recent_step_s)


def advance(progress: RunProgress, event: TrainingEvent) -> RunProgress:
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
            return replace(progress, message=event.summary, ended=True)


def _restart(progress: RunProgress, event: RunStarted) -> RunProgress:
    """Begin, or go on after an interruption: what happened after the saved step happens again."""
    first = event.first_step
    return replace(
        progress,
        step=first,
        steps=event.steps,
        device=event.device,
        raw_dice=event.raw_dice,
        losses=tuple(entry for entry in progress.losses if entry[0] <= first),
        val_dices=tuple(entry for entry in progress.val_dices if entry[0] <= first),
        best_dice=event.best_dice,
        best_step=event.best_step,
        recent_step_s=(),
        message="",
        ended=False,
    )


def _validated(progress: RunProgress, event: ValidationEnd) -> RunProgress:
    if event.val_dice is None:
        return progress
    updated = replace(progress, val_dices=(*progress.val_dices, (event.step, event.val_dice)))
    return replace(updated, best_dice=event.val_dice, best_step=event.step) if event.best else updated
