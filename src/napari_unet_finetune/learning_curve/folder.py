"""What lies in the folder of a study, read without torch: its plan, rows and models, and what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from math import nan
from pathlib import Path

from ..errors import DataError, RunError
from ..evaluation.rows import BASE, ModelRow, Row, read_rows
from ..models.names import name_of_file
from ..runs.folder import RunFolder
from ..runs.history import PastRun
from ..runs.request import CurveRequest, read_request
from .plan import Arm, arms_of, read_plan

PLAN, RUNS, ROWS, PREDICTIONS = "plan.json", "runs", "rows", "predictions"


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

    @property
    def base_name(self) -> str:
        """What the model is called that all others began with."""
        return name_of_file(self.plan.checkpoint or RunFolder(self.path / RUNS / BASE).result_path)

    @property
    def titles(self) -> dict[int, str]:
        """What the model of each number of images is called, of several seeds the first."""
        first = {arm.count: name_of_file(file) for arm, file in reversed(self._files.items())}
        return {0: f"{self.base_name} ({BASE})", **dict(sorted(first.items()))}

    @property
    def named_rows(self) -> tuple[ModelRow, ...]:
        """The rows with the names of their models."""
        names = {(arm.count, arm.seed): name_of_file(file) for arm, file in self._files.items()}
        return tuple(
            ModelRow(**asdict(row), model=names[row.count, row.seed])
            if row.count
            else ModelRow(**asdict(row), model=self.base_name, tag=BASE)
            for row in self.rows
        )

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
        return {arm: file for arm, file in self._files.items() if file.is_file()}

    @property
    def _files(self) -> dict[Arm, Path]:
        """Where the models are that are trained, though they may be gone again."""
        arms = (arm for arm in arms_of(self.plan) if arm.count)
        return {arm: RunFolder(self.path / RUNS / arm.label).result_path for arm in arms}

    @cached_property
    def rows_and_patches(self) -> tuple[Row, ...]:
        """The rows and, if Dataset 1 was not tested, what is known of it: the Dice on the patches of the base."""
        return self.rows if any(row.dataset == 1 for row in self.rows) else (*self.rows, *self._of_patches())

    def _of_patches(self) -> Iterator[Row]:
        """Yield how well each model still does on the patches of its base, the base first; they have only a Dice."""
        ends = ((arm, PastRun(RunFolder(self.path / RUNS / arm.label)).end) for arm in self.models)
        measured = [(arm, end) for arm, end in ends if end and end.old_dice_before is not None]
        dice = [(0, arm.seed, end.old_dice_before) for arm, end in measured[:1]]
        dice += [(arm.count, arm.seed, end.old_dice_after) for arm, end in measured]
        for count, seed, value in dice:
            if value is not None:
                yield Row(count, seed, self.plan.config.preset, 1, "patches of the base", value, nan, nan, None)


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
    """Return the scores of a model, None if it is not tested yet.

    Raises
    ------
    DataError
        If they cannot be read, are those of another model, or none of them is of the new dataset.
    """
    file = out / ROWS / f"{arm.label}.json"
    if not file.is_file():
        return None
    rows = read_rows(file)
    are_own = all((row.count, row.seed) == (arm.count, arm.seed) and row.dataset in (1, 2) for row in rows)
    if not are_own or all(row.dataset == 1 for row in rows):
        raise DataError(f"{file}: these are not the scores of this model. Remove the file to test the model again.")
    return rows


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
