"""An honest score from few images: each is predicted by a model that was finetuned without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from ..config import FinetuneConfig, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.split import OTHERS_TRAINED_ON, Wholes, units_of
from ..errors import DataError
from ..events import Event, Notice, PartStarted, Run, TrainingEvent, as_run, never
from ..metrics import MATCH_IOUS, MATCHING, ObjectCounts, Scores, object_score, objects_together
from ..result import Result, ResultTable
from ..text import count_of, difference, first_of, number, times, verb_for

if TYPE_CHECKING:
    from ..inference.predict import Predictor
    from ..models.model import Model
    from ..training.conclude import FinetuneResult
    from ..training.finetune import Training

CONFIDENCE = 0.95
# Of fewer images an interval says nothing.
_FEWEST_FOR_INTERVAL = 3
OF_OBJECTS = {"precision": "precision", "recall": "recall", "f1": "F1"}


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """An image, the fold in which it was held out (from 1), and the scores of the base model and of that fold's model.

    Objects are counted where the mask numbers them, see `Scores`; `raw` are all scores of the base model.
    """

    image: str
    fold: int
    raw_dice: float
    dice: float
    area_ratio: float | None
    predicted_objects: int | None = None
    true_objects: int | None = None
    matches: tuple[int, ...] | None = None
    no_object_scores: str = ""
    raw: Scores | None = None


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A mean over images with its interval; the interval is None for fewer than three images."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Return the mean and its interval for a sentence."""
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class CrossValidation(Result):
    """All scores of a cross-validation; `gain` is the mean over images of the difference to the base model.

    `trained_on` are the images that took part in the training of the base model itself.
    """

    scores: tuple[HeldOutScore, ...]
    folds: int
    kept_raw: int
    dice: MeanInterval
    raw_dice: MeanInterval
    gain: MeanInterval
    stopped: bool
    trained_on: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The score that is to be expected."""
        low, high = self.dice.low, self.dice.high
        between = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
        return f"Dice {self.dice.value:.3f}{between} on images it has not seen."

    @property
    def sentences(self) -> tuple[str, ...]:
        """How it was found, what finetuning gains, and what to make of it."""
        return tuple(self._sentences())

    @property
    def is_warning(self) -> bool:
        """Whether not all trainings were done."""
        return self.stopped

    @property
    def table(self) -> ResultTable:
        """Scores of each image."""
        shown = OF_OBJECTS if self.objects is not None else {}
        rows = tuple(
            (
                one.image, str(one.fold), number(one.raw_dice), number(one.dice), times(one.area_ratio),
                *(number(object_score([one], score)) for score in shown),
            )
            for one in self.scores
        )  # fmt: skip
        title = "Dice of each image, by a model that was finetuned without it"
        names = ("image", "fold", "base", "finetuned", "area", *shown.values())
        return ResultTable(names, rows, of_images=True, title=title, note=MATCHING if shown else "")

    @property
    def objects(self) -> ObjectCounts | None:
        """The objects of all images together; None where no mask numbers any."""
        return objects_together(self.scores)

    def _sentences(self) -> Iterator[str]:
        folds = Counter(one.fold for one in self.scores)
        # The first folds are the largest, so if one of them holds one image, all do.
        method = "Leave-one-out" if folds[1] == 1 else f"Cross-validation in {self.folds} folds"
        part = f", stopped after {len(folds)} of {self.folds} trainings," if self.stopped else ""
        how = "finetuned without it" if self.trained_on else "that never saw it"
        yield (
            f"{method}{part} over {count_of(len(self.scores), 'image')}: mean Dice {self.dice}, each image scored by a "
            f"model {how}."
        )
        yield self._gain()
        yield from self._of_objects()
        if self.trained_on:
            some = f"{len(self.trained_on)} of these images ({first_of(self.trained_on)})"
            yield f"But the base model was itself trained with {some}: use the base it came from for an honest score."
        if self.kept_raw:
            yield f"In {self.kept_raw} of {len(folds)} trainings the base model was kept."
        if self.dice.low is None:
            yield "There are too few images for an interval."
        else:
            yield (
                "The interval (95 %) is that of the mean over images like these; a model trained on all of them should "
                "be slightly better."
            )

    def _of_objects(self) -> Iterator[str]:
        found = self.objects
        if found is None:
            return
        before = object_score([one.raw for one in self.scores if one.raw is not None], "f1")
        scores = ", ".join(f"{name} {number(getattr(found, score))}" for score, name in OF_OBJECTS.items())
        counts = f"{count_of(found.true, 'object')}, {found.predicted} predicted"
        yield f"{counts}: {scores} (base: {number(before)}) at an IoU of {MATCH_IOUS[0]:g}."
        left_out = sum(bool(one.no_object_scores) for one in self.scores)
        if left_out:
            yield f"The objects of {count_of(left_out, 'image')} are not compared, for their masks do not number them."

    def _gain(self) -> str:
        raw, gain = f"The base model has {self.raw_dice.value:.3f}", self.gain
        shown = difference(self.raw_dice.value, self.dice.value)
        if gain.low is None or gain.high is None:
            return f"{raw}: a difference of {shown:+.3f}."
        interval = f"{shown:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        if gain.low > 0:
            return f"{raw}: finetuning gains {interval}."
        if gain.high < 0:
            return f"{raw}: finetuning loses {interval}."
        return f"{raw}: with a difference of {interval}, a gain from finetuning cannot be told from chance."


@as_run
def cross_validate(
    model: Model,
    images: Sequence[AnnotatedImage],
    config: FinetuneConfig | None = None,
    *,
    folds: int | None = None,
    should_stop: Callable[[], bool] = never,
) -> Generator[Event, None, CrossValidation | None]:
    """Finetune `model` once per fold on the other images, yield all that happens, and return the scores.

    Parameters
    ----------
    images
        Annotated images, two or more. A fold's images take no part in its training, not even in choosing weights or
        threshold: from the rest, some are held out for that as in every finetuning.
    config
        The settings of every training. Images without masks take no part, whatever they say of these.
    folds
        Number of trainings; None leaves one image out at a time. Regions of an image are left out together where there
        are three images or more, see `data.split`.
    should_stop
        Asked before every step; what is scored until then is returned, or None if that is nothing.

    Raises
    ------
    DataError
        If there are fewer than two annotated images, or more folds than images.
    """
    from ..evaluation.evaluate import trained_on
    from ..inference.predict import Predictor
    from ..training.finetune import finetune

    config = (config or FinetuneConfig(preset="fast")).model_copy(update={"unannotated_share": 0.0})
    annotated = _annotated(images)
    parts = split_folds(len(annotated), folds, config.seed, wholes=annotated.wholes)
    predict = PredictConfig(device=config.device, precision=config.precision, channels=config.channels)
    base = Predictor(model, predict)
    scores: list[HeldOutScore] = []
    known: list[str] = []
    told: set[str] = set()
    kept_raw = 0
    if about := how_left_out(parts, annotated.wholes):
        yield Notice(about)
    for fold, held_out in enumerate(parts, start=1):
        names = ", ".join(annotated[index].name for index in held_out)
        yield PartStarted(f"without {names}", fold, len(parts))
        rest = annotated.part([index for index in range(len(annotated)) if index not in held_out])
        training = finetune(model, rest, config, should_stop=should_stop)
        result = yield from _without_repeats(training, told)
        if result.ended.stopped:
            break
        kept_raw += result.ended.kept_raw
        tuned = Predictor(result.model, predict)
        done = [_score(annotated[index], fold, base, tuned) for index in held_out]
        scores += done
        known += trained_on(model, annotated.part(held_out))
        yield Notice("; ".join(f"{one.image}: Dice {one.raw_dice:.3f} → {one.dice:.3f}" for one in done))
    if not scores:
        return None
    return _conclude(tuple(scores), len(parts), kept_raw, tuple(known))


@dataclass(frozen=True)
class _Part(Sequence[AnnotatedImage]):
    """Some of the images, each read when it is asked for."""

    images: Sequence[AnnotatedImage]
    places: Sequence[int]
    wholes: Wholes = ()

    def part(self, places: Sequence[int]) -> _Part:
        """Return those at `places` of this part."""
        return _Part(self.images, [self.places[place] for place in places])

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...

    @overload
    def __getitem__(self, index: slice) -> _Part: ...

    def __getitem__(self, index: int | slice) -> AnnotatedImage | _Part:
        """Read one image, or return a part without reading."""
        return _Part(self.images, self.places[index]) if isinstance(index, slice) else self.images[self.places[index]]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.places)


def _annotated(images: Sequence[AnnotatedImage]) -> _Part:
    """Return the images of which anything is annotated; each is read for it and let go."""
    wholes = {place: one.whole for place, one in enumerate(images) if one.annotated is None or one.annotated.any()}
    return _Part(images, list(wholes), list(wholes.values()))


def _without_repeats(training: Run[TrainingEvent, FinetuneResult], told: set[str]) -> Training:
    """Pass the events of a training on, but say nothing twice that holds for all folds."""
    for event in training:
        if not isinstance(event, Notice) or event.message not in told:
            yield event
        if isinstance(event, Notice):
            told.add(event.message)
    return training.result


def split_folds(count: int, folds: int | None, seed: int, *, wholes: Wholes = ()) -> list[list[int]]:
    """Return the positions of the held-out images of every fold; None leaves one out at a time.

    Regions of one of the `wholes` are in one fold, where `data.split` holds out wholes.

    Raises
    ------
    DataError
        If there are fewer than two images, or fewer than folds.
    """
    if count < 2:
        raise DataError("Cross-validation needs at least 2 annotated images: one to train on, one to score.")
    units = units_of(wholes, count)
    if folds is None:
        return [list(unit) for unit in units]
    if not 2 <= folds <= len(units):
        raise DataError(
            f"{folds} folds of {len(units)} images are not possible. Choose a number from 2 to {len(units)}."
        )
    order = np.random.default_rng(seed).permutation(len(units))
    return [sorted(place for unit in part for place in units[unit]) for part in np.array_split(order, folds)]


def how_left_out(parts: Sequence[Sequence[int]], wholes: Wholes) -> str:
    """Return what there is to say of the folds `parts` if there are regions: whether their images are left out whole.

    `wholes` as in `split_folds`; empty if there are no regions.
    """
    regions = Counter(whole for whole in wholes if whole is not None)
    if not regions:
        return ""
    in_folds = Counter(whole for part in parts for whole in {wholes[place] for place in part} if whole is not None)
    if in_folds.total() > len(regions):
        return OTHERS_TRAINED_ON
    lie = f"{count_of(regions.total(), 'annotated region')} {verb_for(regions.total(), 'lie')}"
    return (
        f"{lie} in {count_of(len(regions), 'image')}: each fold leaves out all regions of an image or none, so no "
        "model is scored on an image that it was trained on."
    )


def _score(image: AnnotatedImage, fold: int, base: Predictor, tuned: Predictor) -> HeldOutScore:
    from ..evaluation.evaluate import score_labels

    raw, finetuned = (score_labels(predictor.predict(image).labels, image) for predictor in (base, tuned))
    return HeldOutScore(
        image.name, fold, raw.dice, finetuned.dice, finetuned.area_ratio, finetuned.predicted_objects,
        finetuned.true_objects, finetuned.matches, finetuned.no_object_scores, raw,
    )  # fmt: skip


def mean_with_interval(values: Sequence[float], *, low: float, high: float) -> MeanInterval:
    """Return the mean and Student's t interval of `values`, cut to the range from `low` to `high`."""
    from scipy import stats

    mean, count = float(np.mean(values)), len(values)
    if count < _FEWEST_FOR_INTERVAL:
        return MeanInterval(mean, None, None)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return MeanInterval(mean, max(low, mean - half), min(high, mean + half))


def _conclude(scores: tuple[HeldOutScore, ...], folds: int, kept_raw: int, known: tuple[str, ...]) -> CrossValidation:
    return CrossValidation(
        scores,
        folds,
        kept_raw,
        dice=mean_with_interval([one.dice for one in scores], low=0, high=1),
        raw_dice=mean_with_interval([one.raw_dice for one in scores], low=0, high=1),
        gain=mean_with_interval([one.dice - one.raw_dice for one in scores], low=-1, high=1),
        stopped=len({one.fold for one in scores}) < folds,
        trained_on=known,
    )
