"""The study: a base model, nested finetuning sets of growing size, several seeds, tests on both datasets."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ..config import FinetuneConfig, ModelConfig, PredictConfig
from ..data.atomic import atomic_write, remove_partial
from ..data.dataset import AnnotatedFolder
from ..data.files import write_labels
from ..errors import DataError, RunError
from ..events import TrainingEvent
from ..inference.predict import Predictor
from ..models.checkpoint import Checkpoint, load_checkpoint
from ..runs.execute import run_here
from ..runs.folder import RunFolder
from ..runs.lock import locked
from ..runs.request import FinetuneRequest
from ..training.finetune import never
from .compare import evaluate_images
from .rows import Row

PLAN, RUNS, ROWS, PREDICTIONS = "plan.json", "runs", "rows", "predictions"


class StudyPlan(BaseModel):
    """What a study does; kept in its folder, so that an interrupted one goes on with the same settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset1: Path
    dataset2: Path
    counts: tuple[int, ...] = (0, 5, 10, 15, 20)
    seeds: int = Field(3, ge=1)
    test1: int = Field(6, ge=1)
    test2: int = Field(11, ge=1)
    base_count: int = Field(25, ge=1)
    base: str | None = None
    model: ModelConfig = ModelConfig()
    config: FinetuneConfig
    base_config: FinetuneConfig


@dataclass(frozen=True)
class Arm:
    """One model of the study: how many images, which seed."""

    count: int
    seed: int

    @property
    def label(self) -> str:
        """Name for folders and messages."""
        return "raw" if self.count == 0 else f"{self.count:02d}-images-seed-{self.seed}"


@dataclass(frozen=True)
class ArmStarted:
    """A training or test begins; `index` counts from 1 to `total`."""

    label: str
    index: int
    total: int


@dataclass(frozen=True)
class ArmEnded:
    """An arm is trained and tested."""

    label: str
    rows: tuple[Row, ...]


CurveEvent = ArmStarted | ArmEnded | TrainingEvent


@dataclass(frozen=True)
class Study:
    """The two datasets, split as the study does: the last images of each are for testing only."""

    plan: StudyPlan
    out: Path
    old: AnnotatedFolder
    new: AnnotatedFolder

    @classmethod
    def open(cls, plan: StudyPlan, out: Path) -> Study:
        """Find the images, check that there are enough, and keep `plan` in `out`.

        Raises
        ------
        DataError
            If a dataset has no pairs or too few.
        RunError
            If `out` holds a study with other settings.
        """
        old, new = (AnnotatedFolder.open(path / "images", path / "masks") for path in (plan.dataset1, plan.dataset2))
        _check_size(old, plan.test1 + (0 if plan.base else 1), plan.dataset1)
        _check_size(new, plan.test2 + max(plan.counts), plan.dataset2)
        _keep_plan(plan, out)
        return cls(plan, out.absolute(), old, new)

    @property
    def arms(self) -> list[Arm]:
        """All models of the study; the raw model has one seed only."""
        first = self.plan.config.seed
        seeds = range(first, first + self.plan.seeds)
        return [Arm(count, seed) for count in self.plan.counts for seed in (seeds if count else [first])]

    @property
    def tests(self) -> tuple[tuple[int, AnnotatedFolder], ...]:
        """Number and test images of each dataset."""
        return (1, self.old[-self.plan.test1 :]), (2, self.new[-self.plan.test2 :])

    @property
    def base_names(self) -> tuple[str, ...]:
        """Names of the images that the base model is trained with."""
        return self.old.names[: -self.plan.test1][: self.plan.base_count]


def _check_size(images: AnnotatedFolder, needed: int, path: Path) -> None:
    if len(images) < needed:
        raise DataError(
            f"{path}: {len(images)} images with masks are too few for {needed}. "
            "Ask for fewer images to train or test with."
        )


def _keep_plan(plan: StudyPlan, out: Path) -> None:
    file = out / PLAN
    text = plan.model_dump_json(indent=2)
    try:
        if not file.is_file():
            atomic_write(file, lambda stream: stream.write(text.encode()))
        kept = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{out}: the folder cannot be used ({error.strerror}). Choose another one.") from error
    if kept != text:
        raise RunError(f"{out}: this folder holds a study with other settings. Choose another folder.")


def run_study(
    plan: StudyPlan, out: Path, *, should_stop: Callable[[], bool] = never
) -> Generator[CurveEvent, None, list[Row]]:
    """Train and test every model of `plan`; what `out` holds already is not done again.

    Raises
    ------
    FinetuneError
        If the data or a folder cannot be used; the message says why.
    """
    study = Study.open(plan, out)
    with locked(out):
        for folder in (out, out / ROWS, *(out / PREDICTIONS).glob("*")):
            remove_partial(folder)
        return (yield from _rows(study, should_stop))


def _rows(study: Study, should_stop: Callable[[], bool]) -> Generator[CurveEvent, None, list[Row]]:
    rows: list[Row] = []
    base = yield from _base(study, should_stop)
    if base is None:
        return rows
    for index, arm in enumerate(study.arms, start=1):
        if should_stop():
            break
        yield ArmStarted(arm.label, index, len(study.arms))
        done = _load_rows(study, arm)
        if done is None:
            checkpoint = yield from _checkpoint(study, arm, base, should_stop)
            done = _test(study, arm, checkpoint) if checkpoint is not None else ()
        rows.extend(done)
        yield ArmEnded(arm.label, done)
    return rows


def _base(study: Study, should_stop: Callable[[], bool]) -> Generator[CurveEvent, None, str | None]:
    """Return the file of the base model, trained first if the plan names none; None if that was stopped."""
    if study.plan.base is not None:
        return study.plan.base
    folder = RunFolder(study.out / RUNS / "base")
    if not folder.is_finished:
        yield ArmStarted("base", 0, len(study.arms))
        request = FinetuneRequest(
            task="train",
            images=study.plan.dataset1 / "images",
            masks=study.plan.dataset1 / "masks",
            only=study.base_names,
            model=study.plan.model,
            config=study.plan.base_config,
        )
        yield from _finish(folder, request, should_stop)
    return str(folder.result_path) if folder.is_finished else None


def _checkpoint(
    study: Study, arm: Arm, base: str, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, Checkpoint | None]:
    """Return the model of `arm`, trained or resumed if need be, or None if that was stopped."""
    if arm.count == 0:
        return load_checkpoint(base)
    folder = RunFolder(study.out / RUNS / arm.label)
    if not folder.is_finished:
        yield from _finish(folder, _request(study, arm, base), should_stop)
    return load_checkpoint(folder.result_path) if folder.is_finished else None


def _request(study: Study, arm: Arm, base: str) -> FinetuneRequest:
    """Return the request of a nested subset: the first images of Dataset 2."""
    scratch = study.plan.config.preset == "from scratch"
    return FinetuneRequest(
        task="train" if scratch else "finetune",
        images=study.plan.dataset2 / "images",
        masks=study.plan.dataset2 / "masks",
        only=study.new.names[: arm.count],
        checkpoint=None if scratch else base,
        model=study.plan.model if scratch else None,
        config=study.plan.config.model_copy(update={"seed": arm.seed}),
    )


def _finish(
    folder: RunFolder, request: FinetuneRequest, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, None]:
    if not folder.has_begun:
        folder = RunFolder.create(folder.path, request)
    yield from run_here(folder, should_stop=should_stop)


def _test(study: Study, arm: Arm, checkpoint: Checkpoint) -> tuple[Row, ...]:
    """Score a model on both test sets; the labels of the first seed are kept for the figure."""
    rows = tuple(_test_rows(study, arm, Predictor(checkpoint, PredictConfig(device=study.plan.config.device))))
    file = study.out / ROWS / f"{arm.label}.json"
    content = json.dumps([asdict(row) for row in rows], indent=1).encode()
    atomic_write(file, lambda stream: stream.write(content))
    return rows


def _test_rows(study: Study, arm: Arm, predictor: Predictor) -> Iterator[Row]:
    for dataset, images in study.tests:
        for image, prediction, scores in evaluate_images(predictor, images):
            if arm.seed == study.plan.config.seed:
                path = prediction_path(study.out, arm.count, dataset, image.name)
                write_labels(path, prediction.labels, scale=image.scale, unit=image.unit, overwrite=True)
            yield Row.of(
                scores,
                count=arm.count,
                seed=arm.seed,
                preset=study.plan.config.preset,
                dataset=dataset,
                image=image.name,
            )


def prediction_path(out: Path, count: int, dataset: int, image: str) -> Path:
    """Return where the labels of a test image lie, as predicted by the model of the first seed."""
    return out / PREDICTIONS / f"dataset{dataset}" / f"{image}_{count:02d}-images.tif"


def _load_rows(study: Study, arm: Arm) -> tuple[Row, ...] | None:
    file = study.out / ROWS / f"{arm.label}.json"
    if not file.is_file():
        return None
    return tuple(Row(**fields) for fields in json.loads(file.read_bytes()))
