"""The models of a study, trained and tested side by side by workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from ..engine import Engine, Piece
from ..evaluation.rows import Row
from ..events import Notice, PartStarted, drain
from ..runs.request import CurveRequest
from .arms import CurveEvent, base_file, finish_arm, finish_base
from .folder import PLAN, load_rows
from .plan import Arm, arms_of, read_plan, with_images
from .words import model_in_words


@dataclass(frozen=True)
class _Base:
    """The base of the study in a folder."""

    out: Path

    @property
    def name(self) -> str:
        return "base"

    def carry_out(self, should_stop: Callable[[], bool]) -> None:
        """Train it, as far as it gets."""
        drain(finish_base(with_images(read_plan(self.out / PLAN)), self.out, should_stop))


@dataclass(frozen=True)
class _Arm:
    """A model of the study in a folder, which begins with `base`."""

    out: Path
    arm: Arm
    base: str

    @property
    def name(self) -> str:
        return self.arm.title

    def carry_out(self, should_stop: Callable[[], bool]) -> None:
        """Train and test it, as far as it gets; its run folder and its scores are what comes of it."""
        plan = with_images(read_plan(self.out / PLAN))
        drain(finish_arm(plan, self.out, self.arm, self.base, should_stop))


def spread_study(
    plan: CurveRequest, out: Path, engine: Engine, folder: Path, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, list[Row]]:
    """Train and test what is not finished of a study; tell of each model when it is, and return the rows of all.

    `folder` is from `engine.shared_folder`.

    Raises
    ------
    FinetuneError
        If a model cannot be trained or tested, or the workers are gone.
    """
    arms = arms_of(plan)
    todo = deque(arm for arm in arms if load_rows(out, arm) is None)
    is_base_begun = False

    def next_piece() -> Piece | None:
        nonlocal is_base_begun
        if not todo:
            return None
        if (base := base_file(plan, out)) is not None:
            return _Arm(out, todo.popleft(), base)
        if is_base_begun:
            return None
        is_base_begun = True
        return _Base(out)

    done = len(arms) - len(todo)
    yield PartStarted("base" if base_file(plan, out) is None else "models side by side", done + 1, len(arms))
    for piece, _ in engine.finished(next_piece, folder, should_stop=should_stop):
        rows = load_rows(out, piece.arm) if isinstance(piece, _Arm) else None
        if rows is not None:
            done += 1
            yield PartStarted(f"{piece.name} (finished)", done + 1, len(arms))
            yield Notice(model_in_words(rows))
    return [row for arm in arms for row in load_rows(out, arm) or ()]
