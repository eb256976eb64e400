"""Run the models of a run on its images for the report: scores, areas, and pictures to compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..config import PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..evaluation.areas import THRESHOLDS, Estimation, ThresholdCounts, estimate_areas
from ..evaluation.estimate import trained_weight
from ..evaluation.evaluate import score_labels
from ..evaluation.figures import OverlayRow, evenly
from ..evaluation.rows import BASE, ModelRow, Summary, object_table, summarize
from ..events import PartStarted
from ..inference.predict import Predictor
from ..result import ResultTable
from ..text import count_of
from .run_record import RunRecord, RunRole

ROLES: tuple[RunRole, ...] = ("test", "held out", "training")
# Rows of the comparison, fewer if images are tall, so that it stays on one page.
EXAMPLES, TALLEST = 4, 3.4


@dataclass(frozen=True)
class RoleRow(ModelRow):
    """The scores of one model on an image of this role; the one that the training began with has the tag base."""

    role: RunRole = "test"


@dataclass(frozen=True, eq=False)
class Shown:
    """What each model predicts in an image, for the comparison figure; of `images` it is that at `place`."""

    images: Sequence[AnnotatedImage]
    place: int
    shape: tuple[int, int]
    predictions: dict[str, NDArray[np.bool_]]
    dice: float


@dataclass
class Scored:
    """All scores of a report; `shown` holds pictures of the group of images that says most."""

    rows: list[RoleRow] = field(default_factory=list)
    counts: dict[RunRole, list[ThresholdCounts]] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)
    thresholds: tuple[float, ...] = THRESHOLDS

    def of(self, role: RunRole, tag: str = "") -> list[RoleRow]:
        """Return the rows of a group of images, and of the model that has this tag: the final one has none."""
        return [row for row in self.rows if (row.role, row.tag) == (role, tag)]

    def mean(self, role: RunRole, tag: str = "") -> Summary | None:
        """Return the means of that model over a group of images, None where it was not scored."""
        return next(iter(summarize(self.of(role, tag))), None)

    def objects(self, role: RunRole, tag: str = "") -> ResultTable | None:
        """Return how well that model finds objects in a group of images, None where masks do not number them."""
        return object_table(self.of(role, tag))

    def seen(self, role: RunRole) -> str:
        """Return how many of a group of images each model was shown otherwise than as they are, or look reversed."""
        of_models = [self.of(role, BASE), self.of(role)]
        return " ".join(
            f"{rows[0].model} saw {count} of {count_of(len(rows), 'image')} {way}."
            for rows in of_models
            for way, count in Counter(row.shown for row in rows).items()
            if way
        )

    @property
    def roles(self) -> list[RunRole]:
        """Groups that were scored, the most telling one first."""
        return [role for role in ROLES if self.of(role)]


def score_models(
    record: RunRecord,
    groups: Sequence[tuple[RunRole, Sequence[AnnotatedImage]]],
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
    config = PredictConfig.model_validate({"device": device, "channels": record.config.channels})
    models = [_Judged(record.name, "", Predictor(record.model, config))]
    if record.base is not None and not record.kept_raw:
        models.insert(0, _Judged(record.base_name, BASE, Predictor(record.base, config)))
    scored = Scored(thresholds=tuple(sorted({*THRESHOLDS, models[-1].predictor.threshold})))
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


@dataclass(frozen=True, eq=False)
class _Judged:
    """A model, its name, and whether it is the base."""

    name: str
    tag: str
    predictor: Predictor

    @property
    def title(self) -> str:
        return f"{self.name} ({self.tag})" if self.tag else self.name


def _flat(
    groups: Sequence[tuple[RunRole, Sequence[AnnotatedImage]]],
) -> Iterator[tuple[RunRole, Sequence[AnnotatedImage], int]]:
    return ((role, images, place) for role, images in groups for place in range(len(images)))


def _score(
    scored: Scored, models: Sequence[_Judged], role: RunRole, image: AnnotatedImage
) -> tuple[dict[str, NDArray[np.bool_]], float]:
    """Note the scores of all models on an image, and return what they predict and the Dice of the final one."""
    predictions = {}
    for one in models:
        prediction = one.predictor.predict(image)
        scores = score_labels(prediction.labels, image)
        card = one.predictor.model.card
        row = RoleRow.of(
            scores, prediction, count=card.image_count, seed=card.provenance.seed or 0, preset=card.preset, dataset=2,
            model=one.name, tag=one.tag, role=role,
        )  # fmt: skip
        scored.rows.append(row)
        predictions[one.title] = np.asarray(prediction.labels > 0)
    # The final model came last.
    counts = ThresholdCounts.of(image.name, prediction.probabilities, image.target, scored.thresholds, image.annotated)
    if scores.predicted_objects is not None and scores.true_objects is not None:
        counts = replace(counts, objects=(scores.predicted_objects, scores.true_objects))
    scored.counts.setdefault(role, []).append(counts)
    return predictions, scores.dice


def estimation_of(scored: Scored, record: RunRecord) -> Estimation | None:
    """Return over- or underestimation of the final model on the most telling images, None if none was scored."""
    if not scored.roles:
        return None
    return estimate_areas(
        scored.counts[scored.roles[0]],
        scored.thresholds,
        threshold=record.model.card.threshold,
        false_positive_weight=trained_weight(record.model),
        seed=record.config.seed,
    )


def overlays(scored: Scored) -> Iterator[OverlayRow]:
    """Yield some of the images to show, read again, from the worst to the best Dice of the final model."""
    if not scored.shown:
        return
    tallest = max(one.shape[0] / one.shape[1] for one in scored.shown)
    ordered = sorted(scored.shown, key=lambda one: one.dice)
    for one in evenly(ordered, max(1, min(EXAMPLES, int(TALLEST / tallest)))):
        image = one.images[one.place]
        yield OverlayRow.of(image.name, image, one.predictions)
