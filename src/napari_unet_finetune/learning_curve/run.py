"""The study: a base model, nested finetuning sets of growing size, several seeds, tests on both datasets."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..config import PredictConfig
from ..data.folders import AnnotatedFolder
from ..errors import RunError
from ..evaluation.evaluate import evaluate_images
from ..evaluation.rows import Row
from ..events import Notice, PartStarted, TrainingEvent, never
from ..inference.predict import Predictor
from ..io.disk import remove_partial, write_file
from ..io.images import write_labels
from ..models.load import load_model
from ..models.model import Model
from ..runs.execute import run_here
from ..runs.folder import RunFolder, locked
from ..runs.request import FinetuneRequest
from .folder import PLAN, PREDICTIONS, ROWS, RUNS, load_rows, prediction_path
from .plan import Arm, CurvePlan, StudyPlan, StudySource, arms_of
from .words import model_in_words

__all__ = [
    "PLAN",
    "ROWS",
    "Arm",
    "CurvePlan",
    "Study",
    "StudyPlan",
    "prediction_path",
    "run_study",
]


CurveEvent = PartStarted | TrainingEvent


@dataclass(frozen=True)
class Study:
    """A plan, the folder it is carried out in, and its images."""

    plan: StudyPlan | CurvePlan
    out: Path
    source: StudySource

    @classmethod
    def open(cls, plan: StudyPlan | CurvePlan, out: Path) -> Study:
        """Find the images, check that there are enough, and keep `plan` in `out`.

        Raises
        ------
        DataError
            If a dataset has no pairs or too few.
        RunError
            If `out` holds a study with other settings.
        """
        source = plan.open()
        _keep_plan(plan, out)
        return cls(plan, out.absolute(), source)

    @property
    def arms(self) -> list[Arm]:
        """All models of the study; the raw model has one seed only."""
        return arms_of(self.plan)

    @property
    def tests(self) -> tuple[tuple[int, AnnotatedFolder], ...]:
        """Number and test images of each dataset."""
        return self.source.tests


def _keep_plan(plan: StudyPlan | CurvePlan, out: Path) -> None:
    file = out / PLAN
    text = plan.model_dump_json(indent=2)
    if not file.is_file():
        write_file(file, text, error=RunError)
    try:
        kept = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{out}: the folder cannot be used ({error.strerror}). Choose another one.") from error
    if kept != text:
        raise RunError(f"{out}: this folder holds a study with other settings. Choose another folder.")


def run_study(
    plan: StudyPlan | CurvePlan, out: Path, *, should_stop: Callable[[], bool] = never
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
        yield PartStarted(arm.title, index, len(study.arms))
        done = load_rows(study.out, arm)
        if done is None:
            model = yield from _model_of(study, arm, base, should_stop)
            done = _test(study, arm, model) if model is not None else ()
        rows.extend(done)
        if done:
            yield Notice(model_in_words(done))
    return rows


def _base(study: Study, should_stop: Callable[[], bool]) -> Generator[CurveEvent, None, str | None]:
    """Return the file of the base model, trained first if the plan names none; None if that was stopped."""
    if study.plan.base is not None:
        return study.plan.base
    folder = RunFolder(study.out / RUNS / "base")
    if not folder.is_finished:
        yield PartStarted("base", 0, len(study.arms))
        yield from _finish(folder, study.source.base_request(), should_stop)
    return str(folder.result_path) if folder.is_finished else None


def _model_of(
    study: Study, arm: Arm, base: str, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, Model | None]:
    """Return the model of `arm`, trained or resumed if need be, or None if that was stopped."""
    if arm.count == 0:
        return load_model(base)
    folder = RunFolder(study.out / RUNS / arm.label)
    if not folder.is_finished:
        yield from _finish(folder, study.source.request(arm, base), should_stop)
    return load_model(folder.result_path) if folder.is_finished else None


def _finish(
    folder: RunFolder, request: FinetuneRequest, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, None]:
    if not folder.has_begun:
        folder = RunFolder.create(folder.path, request)
    yield from run_here(folder, should_stop=should_stop)


def _test(study: Study, arm: Arm, model: Model) -> tuple[Row, ...]:
    """Score a model on both test sets; the labels of the first seed are kept for the figure."""
    rows = tuple(_test_rows(study, arm, Predictor(model, PredictConfig(device=study.plan.config.device))))
    file = study.out / ROWS / f"{arm.label}.json"
    write_file(file, json.dumps([asdict(row) for row in rows], indent=1), error=RunError)
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
