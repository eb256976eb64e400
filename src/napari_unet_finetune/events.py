"""What a training reports while it runs: small frozen records that travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `kind` names the class in JSON."""

    kind: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The training is set up: what it runs on, with which images, for how long.

    One that goes on after an interruption begins after step `first_step`, with the best that was seen until then.
    """

    kind: ClassVar[str] = "run_started"
    device: str
    precision: str
    steps: int
    first_step: int
    train_images: tuple[str, ...]
    validation_images: tuple[str, ...]
    raw_dice: float | None
    best_dice: float | None = None
    best_step: int = 0


@dataclass(frozen=True, slots=True)
class StepEnd(Event):
    """One optimiser step is done; `train_loss` is the loss of its batch."""

    kind: ClassVar[str] = "step_end"
    step: int
    train_loss: float
    learning_rate: float
    step_s: float


@dataclass(frozen=True, slots=True)
class ValidationEnd(Event):
    """The averaged weights were scored on what is held out; `val_loss` only where the study's recipe asks for it."""

    kind: ClassVar[str] = "validation_end"
    step: int
    val_dice: float | None
    val_loss: float | None
    best: bool


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something the user should know and that the program dealt with, in one sentence."""

    kind: ClassVar[str] = "notice"
    message: str


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The training is over; the scores are Dice on held-out images, `None` where nothing was held out."""

    kind: ClassVar[str] = "run_ended"
    steps: int
    stopped: bool
    kept_raw: bool
    raw_dice: float | None
    finetuned_dice: float | None
    old_dice_before: float | None
    old_dice_after: float | None
    threshold: float
    summary: str


TrainingEvent = RunStarted | StepEnd | ValidationEnd | Notice | RunEnded
_KINDS: dict[str, type[Any]] = {cls.kind: cls for cls in (RunStarted, StepEnd, ValidationEnd, Notice, RunEnded)}


def to_json(event: TrainingEvent) -> str:
    """Return `event` as one line of JSON."""
    return json.dumps({"kind": event.kind, **asdict(event)})


def from_json(line: str) -> TrainingEvent:
    """Return the event that `to_json` wrote; lists become tuples again."""
    fields = json.loads(line)
    cls = _KINDS[fields.pop("kind")]
    event: TrainingEvent = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
    return event


def drain(events: Generator[Any, None, Result]) -> Result:
    """Run a stream of events to its end and return its result."""
    while True:
        try:
            next(events)
        except StopIteration as stop:
            result: Result = stop.value
            return result
