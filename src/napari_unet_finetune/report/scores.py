"""Run the models of a run on its images for the report: scores, areas, and pictures to compare."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..config import PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..evaluation.areas import THRESHOLDS, Estimation, ThresholdCounts, estimate_areas
from ..evaluation.estimate import trained_weight
from ..evaluation.evaluate import score_prediction
from ..events import PartStarted
from ..inference.predict import Predictor
from ..metrics import Scores
from .run_record import Role, RunRecord

BASE, FINAL = "base", "final"
ROLES: tuple[Role, ...] = ("test", "held out", "training")


@dataclass(frozen=True)
class ScoredImage:
    """The scores of one model (`base` or `final`) on one image."""

    image: str
    role: Role
    model: str
    scores: Scores


@dataclass(frozen=True, eq=False)
class Shown:
    """What each model predicts in an image, for the comparison figure; of `images` it is that at `place`."""

    images: Sequence[AnnotatedImage]
    place: int
    shape: tuple[int, int]
    predictions: dict[str, NDArray[np.bool_]]
    dice: float

    @property
    def image(self) -> AnnotatedImage:
        """The image, read again: only a few are shown."""
        return self.images[self.place]


@dataclass
class Scored:
    """All scores of a report; `shown` holds pictures of the group of images that says most."""

    rows: list[ScoredImage] = field(default_factory=list)
    counts: dict[Role, list[ThresholdCounts]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    thresholds: tuple[float, ...] = THRESHOLDS

    def of(self, role: Role, model: str) -> list[ScoredImage]:
        """Return the rows of a group of images and a model."""
        return [row for row in self.rows if (row.role, row.model) == (role, model)]

    @property
    def roles(self) -> list[Role]:
        """Groups that were scored, the most telling one first."""
        return [role for role in ROLES if self.of(role, FINAL)]


def score_models(
    record: RunRecord,
    groups: Sequence[tuple[Role, Sequence[AnnotatedImage]]],
    *,
    device: str,
    should_stop: Callable[[], bool],
) -> Generator[PartStarted, None, Scored]:
    """Predict the images of every group with the base and the final model; yield each image as it begins.

    The first group is kept for the comparison figure. When `should_stop` says yes, what is scored until then is
    returned.

    Raises
    ------
    DataError
        If an image cannot be read or does not fit the model.
    DeviceError
        If the device is absent or its memory does not hold one tile.
    """
    config = PredictConfig.model_validate({"device": device})
    models = {} if record.base is None or record.kept_raw else {BASE: Predictor(record.base, config)}
    models[FINAL] = Predictor(record.model, config)
    scored = Scored(thresholds=tuple(sorted({*THRESHOLDS, models[FINAL].threshold})))
    total = sum(len(images) for _, images in groups)
    for index, (role, images, place) in enumerate(_flat(groups), start=1):
        if should_stop():
            break
        image = images[place]
        yield PartStarted(image.name, index, total)
        predictions, dice = _score(scored, models, role, image)
        if role == groups[0][0]:
            scored.shown.append(Shown(images, place, image.shape, predictions, dice))
    return scored


def _flat(
    groups: Sequence[tuple[Role, Sequence[AnnotatedImage]]],
) -> Iterator[tuple[Role, Sequence[AnnotatedImage], int]]:
    return ((role, images, place) for role, images in groups for place in range(len(images)))


def _score(
    scored: Scored, models: dict[str, Predictor], role: Role, image: AnnotatedImage
) -> tuple[dict[str, NDArray[np.bool_]], float]:
    """Note the scores of all models on an image, and return what they predict and the Dice of the final one."""
    predictions = {}
    for name, predictor in models.items():
        prediction = predictor.predict(image)
        scores = score_prediction(prediction, image)
        scored.rows.append(ScoredImage(image.name, role, name, scores))
        predictions[name] = np.asarray(prediction.labels > 0)
    # The final model came last.
    counts = ThresholdCounts.of(
        image.name, prediction.probabilities, image.target, scored.thresholds, image.annotated
    )  # fmt: skip
    scored.counts.setdefault(role, []).append(counts)
    return predictions, scores.dice


def estimation_of(scored: Scored, role: Role, record: RunRecord) -> Estimation:
    """Return over- or underestimation of the final model on a group of images."""
    return estimate_areas(
        scored.counts[role],
        scored.thresholds,
        threshold=record.model.card.threshold,
        false_positive_weight=trained_weight(record.model),
        seed=record.config.seed,
    )


def spread(shown: Sequence[Shown], count: int) -> list[Shown]:
    """Return at most `count` images from the worst to the best Dice of the final model."""
    ordered = sorted(shown, key=lambda one: one.dice)
    places = np.linspace(0, len(ordered) - 1, min(count, len(ordered))).round().astype(int)
    return [ordered[place] for place in places]
