"""One row per scored image, and what many rows say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..checked_json import Count, Number, Score, parse_json
from ..errors import DataError
from ..events import forgets
from ..io.tables import csv_text
from ..metrics import MATCHING, OBJECT_SCORES, ObjectCounts, Scores, object_score, objects_together, pooled_area_ratio
from ..result import ResultTable
from ..text import count_of, difference, number

if TYPE_CHECKING:
    from ..inference.predict import Prediction

_COLUMNS = ("image", "predicted / true", "precision", "recall", "F1", "AP")


@dataclass(frozen=True)
class Row:
    """The scores of one model on one image.

    `count` is the number of images the model was finetuned with, 0 for the raw one; `dataset` is 1 for the old
    dataset and 2 for the new one. `surface_dice` and `area_ratio` are None where there is none, see `Scores`.
    `shown` says how the image was shown to the network if not as it is, or that it looks reversed.
    """

    count: Count
    seed: Count
    preset: str
    dataset: Count
    image: str
    dice: Score
    iou: Score
    surface_dice: Score | None
    area_ratio: Number | None
    predicted_px: Count | None = None
    true_px: Count | None = None
    predicted_objects: Count | None = None
    true_objects: Count | None = None
    matches: tuple[Count, ...] | None = None
    no_object_scores: str = ""
    shown: str = ""

    @classmethod
    def of(
        cls, scores: Scores, seen: Prediction, *, count: int, seed: int, preset: str, dataset: int, **own: Any
    ) -> Self:
        """Return the row of the `scores` of a prediction; `own` are the fields that a class of rows adds."""
        return cls(count, seed, preset, dataset, seen.name, **asdict(scores), shown=seen.shown, **own)

    @property
    def values(self) -> dict[str, Any]:
        """What tables and JSON show: the fields, with the scores of the objects in place of their matches."""
        scores = _object_scores([self])
        return {name: scores[name] if name in scores else getattr(self, name) for name in columns_of(type(self))}

    @property
    def objects(self) -> ObjectCounts | None:
        """The objects and their scores; None where there is no true one, or the mask does not number them."""
        return objects_together([self])

    @property
    def count_error(self) -> int | None:
        """Predicted minus true objects."""
        if self.predicted_objects is None or self.true_objects is None:
            return None
        return self.predicted_objects - self.true_objects


def columns_of(kind: type[Row]) -> list[str]:
    """Return the columns of a table of rows of one class."""
    said = ("no_object_scores", "shown")
    of_all = [field.name for field in fields(Row) if field.name not in ("matches", *said)]
    own = [field.name for field in fields(kind)[len(fields(Row)) :]]
    return [*of_all, "count_error", *OBJECT_SCORES, *said, *own]


BASE = "base"  # tags what the models beside it were finetuned from


@dataclass(frozen=True)
class ModelRow(Row):
    """A row of a table in which models have names, too, and one that others came from a tag."""

    model: str = ""
    tag: str = ""


@dataclass(frozen=True)
class Summary:
    """Means of one model count on one dataset: first over images, then over seeds.

    `area_ratio` is the sum of all predicted over the sum of all true areas. Scores of objects are those of all objects
    together, see `objects_together`; `mean_count_error` is the mean over images of how many objects are too many or
    too few.
    """

    count: int
    preset: str
    dataset: int
    images: int
    seeds: int
    dice: float
    dice_std: float | None
    iou: float
    surface_dice: float | None
    area_ratio: float | None
    drop: float | None
    forgetting: bool
    predicted_objects: int | None
    true_objects: int | None
    mean_count_error: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    ap: float | None
    count_ratio: float | None


def summarize(rows: Sequence[Row]) -> list[Summary]:
    """Return one summary per preset, dataset and count, in that order.

    `dice_std` is the standard deviation over seeds of the mean over images, None for one seed. `drop` is what
    Dataset 1 lost in Dice against the raw model, and `forgetting` says that this is too much.
    """
    keys = sorted({(row.preset, row.dataset, row.count) for row in rows})
    return [_summary(rows, *key) for key in keys]


def _summary(rows: Sequence[Row], preset: str, dataset: int, count: int) -> Summary:
    chosen = [row for row in rows if (row.preset, row.dataset, row.count) == (preset, dataset, count)]
    by_seed = score_by_count(chosen, dataset)[count]
    raw = [row.dice for row in rows if (row.preset, row.dataset, row.count) == (preset, 1, 0)]
    dice = float(np.mean(by_seed))
    before = _mean(raw) if dataset == 1 and raw else None
    return Summary(
        count=count,
        preset=preset,
        dataset=dataset,
        images=len({row.image for row in chosen}),
        seeds=len(by_seed),
        dice=dice,
        dice_std=float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None,
        iou=_mean(row.iou for row in chosen),
        surface_dice=mean_of_known(row.surface_dice for row in chosen),
        area_ratio=pooled_area_ratio(chosen),
        drop=None if before is None else difference(dice, before),
        forgetting=forgets(before, dice),
        **_objects(chosen),
    )


def _objects(rows: Sequence[Row]) -> dict[str, Any]:
    counts = objects_together(rows)
    errors = [abs(error) for row in rows if (error := row.count_error) is not None]
    return {
        "predicted_objects": counts and counts.predicted,
        "true_objects": counts and counts.true,
        "mean_count_error": _mean(errors) if counts else None,
        **_object_scores(rows),
    }


def _object_scores(rows: Iterable[Row]) -> dict[str, float | None]:
    return {name: object_score(rows, name) for name in OBJECT_SCORES}


def object_table(rows: Sequence[Row]) -> ResultTable | None:
    """Return how well objects were found, image by image and in all; None where no mask numbers any."""
    counted = [row for row in rows if row.matches is not None]
    if objects_together(counted) is None:
        return None
    lines = (*(_object_line(row.image, [row]) for row in counted), _object_line("all together", counted))
    reasons = Counter(row.no_object_scores for row in rows if row.no_object_scores)
    left_out = (f"{count_of(images, 'image')} left out: {reason}." for reason, images in reasons.items())
    return ResultTable(_COLUMNS, lines, of_images=True, title="Objects", note=" ".join((MATCHING, *left_out)))


def _object_line(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    predicted, true = sum(row.predicted_objects or 0 for row in rows), sum(row.true_objects or 0 for row in rows)
    scores = (number(object_score(rows, score)) for score in ("precision", "recall", "f1", "ap"))
    return name, f"{predicted} / {true}", *scores


def score_by_count(rows: Iterable[Row], dataset: int, name: str = "dice") -> dict[int, tuple[float, ...]]:
    """Return a score over the images of a dataset for every number of images, ascending: one for each seed.

    Models that do not have it, such as those tested on masks without numbers of objects, are left out.
    """
    of_models: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        if row.dataset == dataset:
            of_models.setdefault((row.count, row.seed), []).append(row)
    by_count: dict[int, tuple[float, ...]] = {}
    for (count, _), images in sorted(of_models.items(), key=lambda one: one[0]):
        if (score := score_over(images, name)) is not None:
            by_count[count] = (*by_count.get(count, ()), score)
    return by_count


def is_pooled(name: str) -> bool:
    """Tell whether a score over images is that of all their pixels or objects together, and no mean."""
    return name in OBJECT_SCORES or name == "area_ratio"


def score_over(images: Sequence[Any], name: str) -> float | None:
    """Return a score over images, which have the fields of `Scores`: of all pixels or objects together, else the mean.

    Ratios and scores of objects would weigh small and empty images too much if they were averaged.
    """
    if name in OBJECT_SCORES:
        return object_score(images, name)
    return pooled_area_ratio(images) if name == "area_ratio" else mean_of_known(getattr(one, name) for one in images)


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of those that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return _mean(known) if known else None


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def read_rows(file: Path) -> tuple[Row, ...]:
    """Return the rows in a JSON file; fields that another version has added are passed over.

    Raises
    ------
    DataError
        If they cannot be read.
    """
    try:
        rows: tuple[Row, ...] = parse_json(file.read_bytes(), tuple[Row, ...])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{file}: these scores cannot be read ({reason}). Run that part of the study again.") from error
    return rows


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows, all of one class, as CSV with a header."""
    return csv_text(columns_of(type(rows[0]) if rows else Row), (row.values for row in rows))


def to_json(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rows and their summary as JSON values."""
    return {"rows": [row.values for row in rows], "summary": [asdict(summary) for summary in summarize(rows)]}
