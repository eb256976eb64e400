"""What a long computation reports while it runs: small frozen records that travel as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

from .checked_json import Count, Number, Score, Seconds, checked
from .text import count_of, difference, first_of

# How a file was seen: each way in words, and which part of the file, such as ``3 of 100 frames``; empty for all of it.
Ways = tuple[tuple[str, str], ...]

Result = TypeVar("Result")
One = TypeVar("One")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `kind` names the class in JSON."""

    kind: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The training is set up: what it runs on, with which images, for how long.

    One that goes on after an interruption begins after step `first_step`, with the best that was seen until then. Of
    held-out images windows of at most `window_px` pixels a side are scored. `unannotated_images` have no masks and are
    learned from as well.
    """

    kind: ClassVar[str] = "run_started"
    device: str
    precision: str
    steps: Count
    first_step: Count
    train_images: tuple[str, ...]
    validation_images: tuple[str, ...]
    raw_dice: Score | None
    best_dice: Score | None = None
    best_step: Count = 0
    window_px: Count | None = None
    unannotated_images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepEnd(Event):
    """One optimizer step is done; `train_loss` is the loss of its batch."""

    kind: ClassVar[str] = "step_end"
    step: Count
    train_loss: Number
    learning_rate: Number
    step_s: Seconds


@dataclass(frozen=True, slots=True)
class ValidationEnd(Event):
    """The averaged weights were scored on what is held out; `val_loss` only where the study's recipe asks for it.

    `last_step` is when the training ends, if that is other than was told at its start.
    """

    kind: ClassVar[str] = "validation_end"
    step: Count
    val_dice: Score | None
    val_loss: Number | None
    best: bool
    last_step: Count | None = None


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something the user should know and that the program dealt with, in one sentence."""

    kind: ClassVar[str] = "notice"
    message: str


@dataclass(frozen=True, slots=True)
class ImageChange:
    """Dice on one old image: of the base, and of the finetuned model."""

    name: str
    before: Score
    after: Score


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The training is over; the scores are Dice on held-out images, `None` where nothing was held out.

    The model lies `share` of the way from the base's weights to the finetuned ones; where that is not all of it,
    `unmixed_dice` and `unmixed_old_dice` are what these had alone. Those on the old dataset are means over `old_images`
    images, 0 in runs of earlier versions; `worst_old` is the one that lost most, where more than one is known. Where
    datasets are shown to the network in different ways, `sorted_out` images were told apart, new ones and what is kept
    of old ones; `mistaken_old` and `mistaken_new` were taken for the other kind, and those of them that were held out
    are scored so. `not_sorted_out` says why that could not be tried, where it failed. With `spared_old` the old images
    keep the weights that they had: they lose only where they are mistaken. `shows_new_by_choice` tells whether whoever
    predicts can choose the way in which new images were shown, which is so for all but curves and single channels.
    """

    kind: ClassVar[str] = "run_ended"
    steps: Count
    stopped: bool
    kept_raw: bool
    raw_dice: Score | None
    finetuned_dice: Score | None
    old_dice_before: Score | None
    old_dice_after: Score | None
    threshold: Score
    summary: str
    share: Score = 1.0
    unmixed_dice: Score | None = None
    unmixed_old_dice: Score | None = None
    old_images: Count = 0
    worst_old: ImageChange | None = None
    sorted_out: Count = 0
    mistaken_old: tuple[str, ...] = ()
    mistaken_new: tuple[str, ...] = ()
    not_sorted_out: str = ""
    spared_old: bool = False
    shows_new_by_choice: bool = True

    @property
    def forgot(self) -> bool:
        """Tell whether the finetuned model forgets the old dataset: on the whole, or a single image of it."""
        return not self.kept_raw and (forgets(self.old_dice_before, self.old_dice_after) or self.lost_image)

    @property
    def lost_image(self) -> bool:
        """Tell whether one old image lost more than chance explains, whatever the others gained."""
        return self.worst_old is not None and forgets(self.worst_old.before, self.worst_old.after, TOLERATED_IMAGE_DROP)

    @property
    def is_disappointing(self) -> bool:
        """Tell whether the user should look twice.

        Nothing was gained, new images are mistaken so that nothing of the gain is left, or old ones are forgotten or
        mistaken.
        """
        is_gain_lost = bool(self.mistaken_new) and self.raw_dice is not None and not self.has_gained
        return self.kept_raw or is_gain_lost or self.forgot or bool(self.mistaken_old)

    @property
    def has_gained(self) -> bool:
        """Tell whether held-out images have gained, to three digits as it is shown; nothing held out has not."""
        before, after = self.raw_dice, self.finetuned_dice
        return before is not None and after is not None and difference(before, after) > 0


# A larger loss of Dice on the old dataset is called forgetting.
TOLERATED_DROP = 0.01
# The same on one of its images.
TOLERATED_IMAGE_DROP = 0.03


def forgets(before: float | None, after: float | None, tolerated: float = TOLERATED_DROP) -> bool:
    """Tell whether images, mostly old ones, lost more Dice than is `tolerated`, in three digits as it is shown."""
    return before is not None and after is not None and difference(after, before) > tolerated


TrainingEvent = RunStarted | StepEnd | ValidationEnd | Notice | RunEnded


@dataclass(frozen=True, slots=True)
class TileEnd(Event):
    """`done` of `total` tiles of the image in work are predicted."""

    kind: ClassVar[str] = "tile_end"
    done: Count
    total: Count


@dataclass(frozen=True, slots=True)
class PieceEnd(Event):
    """A piece of a file that is predicted in parts is finished, number `done` of `total`, and kept in `file`.

    It is the region `top`, `left`, `bottom`, `right` of frame number `frame`, counted from 0.
    """

    kind: ClassVar[str] = "piece_end"
    path: Path
    file: Path
    frame: Count
    top: Count
    left: Count
    bottom: Count
    right: Count
    done: Count
    total: Count


@dataclass(frozen=True, slots=True)
class ImageEnd(Event):
    """One file is dealt with, number `done` of `total`.

    `labels` is its labels file, `skipped` says that it was there before, `error` why there is none; `shown` says how
    the model saw it, or some of its frames, if that is worth a word, and `notes` what else there is to know, in
    sentences.
    """

    kind: ClassVar[str] = "image_end"
    path: Path
    labels: Path | None = None
    skipped: bool = False
    error: str | None = None
    done: Count = 0
    total: Count = 0
    shown: Ways = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSeen(Event):
    """One image of a folder was looked at, number `done` of `total`."""

    kind: ClassVar[str] = "image_seen"
    image: str
    done: Count
    total: Count


FULL_PROBABILITY = 255  # stands for a probability of 1 in a file of eight bits


@dataclass(frozen=True, slots=True)
class ImagePredicted(Event):
    """The probabilities of an image are in `file`, a uint8 array (Y, X) in which 255 stands for 1.

    `index` counts from 0 to `total`; `threshold` is the model's own; `shown` says how the model saw the image, if
    that is worth a word.
    """

    kind: ClassVar[str] = "image_predicted"
    index: Count
    total: Count
    image: str
    file: Path
    threshold: Score
    shown: str = ""


LOOKS_REVERSED = "unchanged, although dark and bright look exchanged"
_IF_REVERSED = (
    "If objects are missed where they look exchanged, set Dark and bright in the dock Predict to exchanged (in the "
    "terminal, --set appearance=inverted)."
)
UNSURE = "but is not sure of the dataset"
IF_WRONG = (
    "Where they are wrong, predict such images alone, with Dark and bright in the dock Predict set to the other way "
    "and Overwrite existing labels, and then set it back (in the terminal, --overwrite and --set appearance=inverted "
    'or --set "appearance=as they are").'
)
_IF_UNSURE = f"Look at the objects where it is not sure. {IF_WRONG}"
# Of images that one is to look at so many are named; of others a few, as examples.
_MOST_NAMED = 30


def is_unsure(way: str) -> bool:
    """Tell whether these words on how an image was shown say that the model is not sure of it."""
    return UNSURE in way


def is_doubtful(way: str) -> bool:
    """Tell whether these words say that, or that an image looks reversed, so that one should look at the objects."""
    return is_unsure(way) or way == LOOKS_REVERSED


def how_seen(images: Iterable[tuple[str, str | Ways]], what: str = "file") -> Iterator[str]:
    """Yield sentences on how a model saw images, of their names and how each was shown, and at last what to do."""
    names: dict[str, list[str]] = {}
    for name, shown in images:
        for way, part in ((shown, ""),) if isinstance(shown, str) else shown:
            names.setdefault(way, []).append(f"{name} ({part})" if part else name)
    names.pop("", None)
    for way, of_way in names.items():
        some = first_of(of_way, _MOST_NAMED) if is_doubtful(way) else first_of(of_way)
        yield f"The model saw {count_of(len(of_way), what)} {way}: {some}."
    if LOOKS_REVERSED in names:
        yield _IF_REVERSED
    if any(way.endswith(UNSURE) for way in names):  # where one can choose another way
        yield _IF_UNSURE


def told_of(ends: Sequence[ImageEnd]) -> Iterator[str]:
    """Yield the sentences on files that are dealt with: how the model saw them, and what else there is to know."""
    yield from how_seen((end.path.stem, end.shown) for end in ends)
    yield from (note for end in ends for note in end.notes)


@dataclass(frozen=True, slots=True)
class ImageCompared(Event):
    """What the model called `model` makes of an image, number `done` of `total` of this model.

    `labels` is the file of its labels, `error` says why there is none; the scores are `None` without a truth. `shown`
    says how the model saw the image, if that is worth a word.
    """

    kind: ClassVar[str] = "image_compared"
    model: str
    image: str
    labels: Path | None = None
    error: str | None = None
    dice: Score | None = None
    iou: Score | None = None
    surface_dice: Score | None = None
    area_ratio: Number | None = None
    predicted_px: Count | None = None
    true_px: Count | None = None
    predicted_objects: Count | None = None
    true_objects: Count | None = None
    matches: tuple[Count, ...] | None = None
    no_object_scores: str = ""
    shown: str = ""
    done: Count = 0
    total: Count = 0


@dataclass(frozen=True, slots=True)
class PreviewReady(Event):
    """What the best model so far, of `step`, sees in `image`: `file` holds labels, a uint8 array (Y, X).

    That of step 0 is the base as it is.
    """

    kind: ClassVar[str] = "preview_ready"
    step: Count
    image: str
    file: Path


@dataclass(frozen=True, slots=True)
class PartStarted(Event):
    """Part `index` of `total`, such as one training of several, begins; `index` counts from 1."""

    kind: ClassVar[str] = "part_started"
    label: str
    index: Count
    total: Count


@dataclass(frozen=True, slots=True)
class Alive(Event):
    """The computation goes on, though there is nothing else to report."""

    kind: ClassVar[str] = "alive"


@dataclass(frozen=True, slots=True)
class JobEnded(Event):
    """The whole computation is over and its result is in `file`."""

    kind: ClassVar[str] = "job_ended"
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class JobFailed(Event):
    """The computation ended with an error of class `error`; `details` hold the traceback of a fault in the program."""

    kind: ClassVar[str] = "job_failed"
    error: str
    message: str
    details: str = ""


_KINDS: dict[str, type[Any]] = {
    cls.kind: cls
    for cls in (
        RunStarted, StepEnd, ValidationEnd, Notice, RunEnded, TileEnd, PieceEnd, ImageEnd, ImageSeen, ImagePredicted,
        ImageCompared, PreviewReady, PartStarted, Alive, JobEnded, JobFailed,
    )
}  # fmt: skip


def to_json(event: Event) -> str:
    """Return `event` as one line of JSON."""
    return json.dumps({"kind": event.kind, **asdict(event)}, default=str)


def from_json(line: str) -> Any:
    """Return the event that `to_json` wrote, with every type checked.

    Fields that a later version has added are passed over. Raises `ValueError` for a line that is no event.
    """
    try:
        values = json.loads(line)
        kind = _KINDS[values.pop("kind")]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{line[:80]!r} is no event") from error
    return checked(values, kind)


class Run(Generator[One, None, Result]):
    """A computation: loop over its events as they happen, or take its `result`, which carries out what is left."""

    def __init__(self, events: Generator[One, None, Result]) -> None:
        self._events = events
        self._ended = self._failed = False
        self._result: Result

    @property
    def result(self) -> Result:
        """What came of it.

        Raises
        ------
        RuntimeError
            If it was closed or has failed before.
        """
        for _ in self:
            pass
        if not self._ended:
            raise RuntimeError("This run was closed or has failed, so it has no result. Start another one.")
        return self._result

    def send(self, value: None, /) -> One:
        """Carry on to the next event."""
        return self._go_on(lambda: self._events.send(value))

    def throw(self, typ: Any, val: Any = None, _tb: Any = None, /) -> One:
        """Raise an error where the computation is, as `close` does to end it."""
        return self._go_on(lambda: self._events.throw(typ if val is None else val))

    def _go_on(self, step: Callable[[], One]) -> One:
        try:
            return step()
        except StopIteration as end:
            if not (self._ended or self._failed):
                self._ended, self._result = True, end.value
            raise
        except BaseException:
            self._failed = True
            raise


def as_run(function: Callable[P, Generator[One, None, Result]]) -> Callable[P, Run[One, Result]]:
    """Make a generator function return a `Run`."""

    @wraps(function)
    def begun(*args: P.args, **kwargs: P.kwargs) -> Run[One, Result]:
        return Run(function(*args, **kwargs))

    return begun


def drain(events: Generator[Any, None, Result]) -> Result:
    """Carry out a computation and return its result."""
    return Run(events).result


def never() -> bool:
    """Tell that nobody asks to stop."""
    return False


def until(should_stop: Callable[[], bool], events: Generator[One, None, Result]) -> Generator[One, None, Result | None]:
    """Pass on `events`; end them and return None if `should_stop` says yes before they come to their end."""
    with closing(events):
        stream = Run(events)
        if should_stop():
            return None
        for event in stream:
            yield event
            if should_stop():
                return None
        return stream.result
