"""What lies in the folder of a study, read without torch: its plan, rows and models, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path

from ..errors import DataError, RunError
from ..evaluation.rows import Row, dice_by_seed, read_rows
from ..runs.folder import RunFolder
from ..runs.history import PastRun
from ..runs.request import CurveRequest, read_request
from .plan import Arm, arms_of, read_plan

PLAN, RUNS, ROWS, PREDICTIONS = "plan.json", "runs", "rows", "predictions"


@dataclass(frozen=True)
class CurvePoint:
    """Mean Dice of one model on the test images of Dataset 1 or 2."""

    dataset: int
    count: int
    seed: int
    dice: float


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study that ended, was interrupted, or is under way; files are read once."""

    path: Path

    @cached_property
    def plan(self) -> CurveRequest:
        """What was asked; of a learning curve that has just been asked for, its request.

        Raises
        ------
        RunError
            If the folder holds neither.
        """
        if not (self.path / PLAN).is_file():
            request = read_request(self.path)
            if isinstance(request, CurveRequest):
                return request
        return read_plan(self.path / PLAN)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Scores of all models that are done."""
        return tuple(row for arm in arms_of(self.plan) for row in load_rows(self.path, arm) or ())

    @property
    def is_finished(self) -> bool:
        """Tell whether all models are done."""
        return all(load_rows(self.path, arm) is not None for arm in arms_of(self.plan))

    @property
    def models(self) -> dict[Arm, Path]:
        """Files of the models that were trained and tested; that of the raw one is the base."""
        files = ((arm, RunFolder(self.path / RUNS / arm.label).result_path) for arm in arms_of(self.plan) if arm.count)
        return {arm: file for arm, file in files if file.is_file()}

    @cached_property
    def points(self) -> tuple[CurvePoint, ...]:
        """Mean Dice of each model, first over Dataset 2; over Dataset 1 only where it was measured."""
        of_rows = [*_means(self.rows, 2), *_means(self.rows, 1)]
        return (*of_rows, *(() if any(point.dataset == 1 for point in of_rows) else self._from_patches()))

    @property
    def drawable_rows(self) -> tuple[Row, ...]:
        """The rows, and one per point that has none, whose scores other than the Dice are not numbers."""
        known = {row.dataset for row in self.rows}
        return self.rows + tuple(
            Row(point.count, point.seed, self.plan.config.preset, 1, "patches of the base", point.dice, nan, nan, None)
            for point in self.points
            if point.dataset not in known
        )

    def _from_patches(self) -> Iterator[CurvePoint]:
        """Yield how well each model still does on the patches of its base; the base first."""
        ends = ((arm, PastRun(RunFolder(self.path / RUNS / arm.label)).end) for arm in self.models)
        measured = [(arm, end) for arm, end in ends if end and end.old_dice_before is not None]
        for arm, end in measured[:1]:
            assert end.old_dice_before is not None
            yield CurvePoint(1, 0, arm.seed, end.old_dice_before)
        for arm, end in measured:
            if end.old_dice_after is not None:
                yield CurvePoint(1, arm.count, arm.seed, end.old_dice_after)


def find_studies(folders: Iterable[Path]) -> Iterator[StudyFolder]:
    """Yield the studies that were begun among `folders`; others, and those that cannot be read, are passed over."""
    for folder in folders:
        study = StudyFolder(folder)
        try:
            _ = study.plan
        except RunError:
            continue
        if (folder / PLAN).is_file():
            yield study


def prediction_path(out: Path, count: int, dataset: int, image: str) -> Path:
    """Return where the labels of a test image lie, as predicted by the model of the first seed."""
    return out / PREDICTIONS / f"dataset{dataset}" / f"{image}_{count:02d}-images.tif"


def load_rows(out: Path, arm: Arm) -> tuple[Row, ...] | None:
    """Return the scores of a model, None if it is not tested yet; raises `DataError` if they cannot be read."""
    file = out / ROWS / f"{arm.label}.json"
    return read_rows(file) if file.is_file() else None


def load_all_rows(study: Path) -> tuple[Row, ...]:
    """Return the scores that a study has left in its folder so far, whatever its plan.

    Raises
    ------
    DataError
        If there are none, or one cannot be read.
    """
    rows = tuple(row for file in sorted((study / ROWS).glob("*.json")) for row in read_rows(file))
    if not rows:
        raise DataError(
            f"{study}: there are no scores of a study here. Run `unet-finetune curve` with this folder first."
        )
    return rows


def _means(rows: Iterable[Row], dataset: int) -> Iterator[CurvePoint]:
    for (count, seed), dice in dice_by_seed(row for row in rows if row.dataset == dataset).items():
        yield CurvePoint(dataset, count, seed, dice)
