"""What lies in the folders of earlier trainings: their models, how they ended, and those that did not end."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from ..config import FinetuneConfig
from ..data.appearance import AS_THEY_ARE, are_shown_alike, can_be_named
from ..errors import RunError
from ..events import RunEnded, RunStarted, TrainingEvent
from ..io.regions.region import regions_among
from ..models.card import read_card
from ..models.names import STAMP, mix_stem, when_of
from ..outcome import summarized
from ..progress import RunProgress, fold
from ..text import first_of
from .folder import RunFolder
from .request import FinetuneRequest, read_request

ASIDE = "discarded-runs"


@dataclass(frozen=True)
class PastRun:
    """A training that was begun earlier; its files are read when they are asked for.

    Each property may raise `RunError` if the folder holds no readable training.
    """

    folder: RunFolder

    @cached_property
    def request(self) -> FinetuneRequest:
        """What was asked."""
        return self.folder.request

    @cached_property
    def _events(self) -> tuple[TrainingEvent, ...]:
        return tuple(self.folder.events())

    @cached_property
    def progress(self) -> RunProgress:
        """How far it came."""
        return fold(self._events)

    @cached_property
    def start(self) -> RunStarted | None:
        """How it last began."""
        return next((event for event in reversed(self._events) if isinstance(event, RunStarted)), None)

    @property
    def scored_on(self) -> tuple[str, ...]:
        """Names of the images that were held out of it."""
        return self.start.validation_images if self.start else ()

    @property
    def end(self) -> RunEnded | None:
        """How it ended, None if it has not."""
        return self.progress.end

    @property
    def model(self) -> Path | None:
        """Its model: that of its end, or the best if it was stopped; none if it was stopped before the first step."""
        if self.end and not self.end.steps:
            return None
        if self.folder.is_finished:
            return self.folder.result_path
        return self.folder.best_path if self.end and self.folder.best_path.is_file() else None

    @property
    def kept_base(self) -> bool:
        """Tell whether its model has the weights of the base, since its own were worth no more."""
        return self.end is not None and (self.end.kept_raw or self.end.share == 0)

    @property
    def newest_mix(self) -> Path | None:
        """The mix of its base and its model that the user kept last, None if there is none of this model."""
        model = self.model
        return next(reversed(self.folder.mixes_of(model)), None) if model is not None else None

    def kept_mix(self, share: float) -> Path | None:
        """Return the mix of that `share` of its model that the user kept before, None if there is none."""
        stem, model = mix_stem(share), self.model
        mixes = self.folder.mixes_of(model) if model is not None else ()
        return next((mix for mix in mixes if mix.stem == stem or mix.stem.startswith(f"{stem}-")), None)

    @property
    def is_interrupted(self) -> bool:
        """Tell whether it began, did not end, and nobody works on it."""
        return self._is_open and not self._is_worked_on

    @property
    def is_under_way(self) -> bool:
        """Tell whether somebody works on it now, be it another program."""
        return self._is_open and self._is_worked_on

    @property
    def _is_open(self) -> bool:
        return self.folder.has_begun and not self.folder.is_finished and not self.end

    @property
    def _is_worked_on(self) -> bool:
        try:
            with self.folder.locked():
                return False
        except RunError:
            return True

    @property
    def image_count(self) -> int:
        """How many annotated images it was given; 0 if they came from folders and were not counted yet."""
        if self.request.pairs is not None:
            return len(self.request.pairs)
        return len(self.start.train_images) + len(self.start.validation_images) if self.start else 0

    @property
    def when(self) -> str:
        """Day and time it was begun, as its folder says."""
        return when_of(self.folder.path)

    def use_best(self) -> Path:
        """Declare it ended with its best model so far, and return that.

        Raises
        ------
        RunError
            If there is no model yet, or somebody works on it.
        """
        if not self.folder.best_path.is_file():
            raise RunError(f"{self.folder.path}: this training had not yet saved a model. Resume or discard it.")
        with self.folder.locked():
            self.folder.sweep()
            self.folder.append(self._ended_early())
        return self.folder.best_path

    def _ended_early(self) -> RunEnded:
        card = read_card(self.folder.best_path)
        end = RunEnded(
            steps=self.progress.step,
            stopped=True,
            kept_raw=False,
            raw_dice=self.progress.raw_dice,
            finetuned_dice=self.progress.best_dice,
            old_dice_before=None,
            old_dice_after=None,
            threshold=card.threshold,
            summary="",
            shows_new_by_choice=can_be_named(card.knows[-1] if card.knows else AS_THEY_ARE, card.shape.in_channels),
            not_sorted_out="" if are_shown_alike(card.knows) else "the training was interrupted.",
        )
        return summarized(end, self.request.config, len(self.scored_on), regions_among(self.scored_on))

    def put_aside(self) -> Path:
        """Move its folder beside the others, out of sight, and return where it is; nothing is deleted.

        Raises
        ------
        RunError
            If it cannot be moved.
        """
        path = self.folder.path
        aside = path.parent.parent / ASIDE / path.name
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            if aside.exists():
                aside = aside.with_name(f"{aside.name}-{datetime.now():{STAMP}}")
            shutil.move(path, aside)
        except OSError as error:
            raise RunError(f"{path}: the folder cannot be moved to {aside} ({error.strerror}).") from error
        return aside


def scored_on_others(now: Collection[str], before: Collection[str], when: str) -> str:
    """Return that a score is of other images, `now`, than the one of `when`, in a sentence; empty if it is not."""
    new, gone = [name for name in now if name not in before], [name for name in before if name not in now]
    if not now or not before or not (new or gone):
        return ""
    added, left = (f"{mark}{first_of(names)}" if names else "" for mark, names in (("+ ", new), ("- ", gone)))
    return (
        f"The {when} was scored on other images ({', '.join(filter(None, (added, left)))} now): "
        "Compare scores both on the same ones."
    )


def past_trainings(folders: Iterable[Path]) -> Iterator[PastRun]:
    """Yield the trainings among `folders`; those of other jobs, and those that cannot be read, are passed over."""
    for folder in folders:
        run = PastRun(RunFolder(folder))
        try:
            _ = run.request
        except RunError:
            continue
        yield run


def unreadable_trainings(folders: Iterable[Path]) -> Iterator[tuple[RunFolder, str]]:
    """Yield those `folders` in which a training began but whose request cannot be read, each with the reason."""
    for run in map(RunFolder, folders):
        try:
            if run.has_begun:
                read_request(run.path)
        except RunError as error:
            yield run, str(error)


def seconds_per_pixel(progress: RunProgress, config: FinetuneConfig) -> float | None:
    """Return how long a training took per pixel of its patches, to estimate others; None if it is not known."""
    times = progress.recent_step_s
    return sum(times) / len(times) / config.batch_size / (config.patch_px**2) if times else None
