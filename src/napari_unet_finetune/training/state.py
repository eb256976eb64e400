"""What a training needs in order to go on after an interruption, and where it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self

from torch import Tensor

from ..data.appearance import Curves
from ..models.model import Model
from .optim import Fall


@dataclass
class Progress:
    """How far a training has come and the best it has seen.

    All randomness of a step follows from the seed and the step's number, so `step` stands for the RNG state.
    `raw_score` is that of the base which sees the images as this training shows them, `raw_as_is` that of the base as
    its user has it, where that is another one. `old_before` is the base's Dice on each old image, `old_dice_before`
    their mean. `best_old` and `old_glance_before` are Dice on old images, of the best and of the base; None where these
    have no say. `worths` are those of all validations, and `fall` the steps in which the rate falls after they settled,
    in a training without a fixed length. `curves` are those over the intensities of the new images, and `window_px` the
    largest side of what is scored of a held-out image, None in runs of earlier versions, which have none and score what
    the settings say. `inverted` are the channels of the new images whose dark and bright are exchanged, and `held_out`
    the names of the held-out images, both None in runs of earlier versions. `unannotated` are hashes of the images
    without masks.
    """

    step: int = 0
    best: dict[str, Tensor] | None = None
    best_score: float | None = None
    best_step: int = 0
    validations_without_gain: int = 0
    raw_score: float | None = None
    old_dice_before: float | None = None
    data_sha256: str = ""
    raw_as_is: float | None = None
    best_old: float | None = None
    old_glance_before: float | None = None
    old_before: dict[str, float] = field(default_factory=dict)
    worths: list[float] = field(default_factory=list)
    fall: Fall | None = None
    curves: Curves | None = None
    window_px: int | None = None
    held_out: tuple[str, ...] | None = None
    unannotated: tuple[str, ...] = ()
    inverted: tuple[int, ...] | None = None

    @property
    def base_dice(self) -> float | None:
        """Dice of the base as its user has it, which is what the finetuned model is compared with."""
        return self.raw_score if self.raw_as_is is None else self.raw_as_is

    @property
    def raw_to_beat(self) -> float | None:
        """Dice of the base in that of the two ways which is better: finetuned weights must be worth more than it."""
        known = [score for score in (self.raw_score, self.raw_as_is) if score is not None]
        return max(known, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return tensors and plain values only, which `torch.load(weights_only=True)` reads back."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the progress that `to_dict` wrote."""
        return cls(**values)


@dataclass(frozen=True)
class Begun:
    """What was settled when a training began, and stays so when it goes on or is looked at again."""

    curves: Curves = ()
    window_px: int | None = None  # that of the settings
    held_out: tuple[str, ...] | None = None  # names; those that the settings and the base lead to
    inverted: tuple[int, ...] | None = None  # channels; those that the settings and the base lead to

    @classmethod
    def by(cls, progress: Mapping[str, Any]) -> Begun:
        """Return what the `progress` of a state says; it may be that of an earlier version."""
        settled = (progress.get(name) for name in ("window_px", "held_out", "inverted"))
        return cls(progress.get("curves") or (), *settled)


@dataclass(frozen=True)
class TrainingState:
    """A snapshot from which a training continues with the same result."""

    progress: dict[str, Any]
    trainer: dict[str, Any]


class StateStore(Protocol):
    """Keeps the best model and the last state of a run; a run folder is one."""

    def load_state(self) -> TrainingState | None:
        """Return the last state, or None at the start."""

    def save_state(self, state: TrainingState) -> None:
        """Keep `state`; once this returns, the run can go on from it."""

    def save_best(self, model: Model) -> None:
        """Keep the best model so far."""

    def save_result(self, model: Model) -> object:
        """Keep the finished model."""


class NoStore:
    """Keeps nothing: a training in memory."""

    def load_state(self) -> TrainingState | None:
        """Return None."""
        return None

    def save_state(self, state: TrainingState) -> None:
        """Do nothing."""

    def save_best(self, model: Model) -> None:
        """Do nothing."""

    def save_result(self, model: Model) -> None:
        """Do nothing."""
