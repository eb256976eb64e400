"""The study: a base model, nested finetuning sets of growing size, several seeds, tests on both datasets."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from ..checked_json import json_text
from ..config import PredictConfig
from ..errors import RunError
from ..evaluation.evaluate import evaluate_images
from ..evaluation.rows import BASE, Row
from ..events import Notice, PartStarted, TrainingEvent, never
from ..inference.predict import Predictor
from ..io.disk import locked, remove_partial, write_file
from ..io.images import write_labels
from ..models.load import load_model
from ..models.model import Model
from ..runs.execute import run_here
from ..runs.folder import RunFolder
from ..runs.request import CurveRequest, FinetuneRequest
from .folder import PLAN, PREDICTIONS, ROWS, RUNS, load_rows, prediction_path
from .plan import Arm, arms_of, base_training, read_plan, tests_of, training_of, with_images
from .words import model_in_words

CurveEvent = PartStarted | TrainingEvent


def run_study(
    plan: CurveRequest, out: Path, *, should_stop: Callable[[], bool] = never
) -> Generator[CurveEvent, None, list[Row]]:
    """Train and test every model of `plan`; what `out` holds already is not done again.

    Raises
    ------
    FinetuneError
        If the data or a folder cannot be used; the message says why.
    """
    plan, out = with_images(plan), out.absolute()
    with locked(out):  # before the plan is kept, for another study may be begun there at this moment
        _keep(plan, out)
        for folder in (out, out / ROWS, *(out / PREDICTIONS).glob("*")):
            remove_partial(folder)
        return (yield from _rows(plan, out, should_stop))


def _keep(plan: CurveRequest, out: Path) -> None:
    """Keep the plan in the folder; raises `RunError` if that holds a study with other settings."""
    file = out / PLAN
    if not file.is_file():
        write_file(file, json_text(plan, indent=2), error=RunError)
    if with_images(read_plan(file)) != plan:
        raise RunError(f"{out}: this folder holds a study with other settings. Choose another folder.")


def _rows(plan: CurveRequest, out: Path, should_stop: Callable[[], bool]) -> Generator[CurveEvent, None, list[Row]]:
    rows: list[Row] = []
    base = yield from _base(plan, out, should_stop)
    if base is None:
        return rows
    for index, arm in enumerate(arms_of(plan), start=1):
        if should_stop():
            break
        yield PartStarted(arm.title, index, len(arms_of(plan)))
        done = load_rows(out, arm)
        if done is None:
            model = yield from _model_of(plan, out, arm, base, should_stop)
            done = _test(plan, out, arm, model) if model is not None else ()
        rows.extend(done)
        if done:
            yield Notice(model_in_words(done))
    return rows


def _base(plan: CurveRequest, out: Path, should_stop: Callable[[], bool]) -> Generator[CurveEvent, None, str | None]:
    """Return the file of the base model, trained first if the plan names none; None if that was stopped."""
    if plan.checkpoint is not None:
        return plan.checkpoint
    folder = RunFolder(out / RUNS / BASE)
    if not folder.is_finished:
        yield PartStarted("base", 0, len(arms_of(plan)))
        yield from _finish(folder, base_training(plan), should_stop)
    return str(folder.result_path) if folder.is_finished else None


def _model_of(
    plan: CurveRequest, out: Path, arm: Arm, base: str, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, Model | None]:
    """Return the model of `arm`, trained or resumed if need be, or None if that was stopped."""
    if arm.count == 0:
        return load_model(base)
    folder = RunFolder(out / RUNS / arm.label)
    if not folder.is_finished:
        yield from _finish(folder, training_of(plan, arm, base), should_stop)
    return load_model(folder.result_path) if folder.is_finished else None


def _finish(
    folder: RunFolder, request: FinetuneRequest, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, None]:
    if not folder.has_begun:
        folder = RunFolder.create(folder.path, request)
    yield from folder.learned()
    yield from run_here(folder, should_stop=should_stop)


def _test(plan: CurveRequest, out: Path, arm: Arm, model: Model) -> tuple[Row, ...]:
    """Score a model on both test sets; the labels of the first seed are kept for the figure."""
    predict = PredictConfig(device=plan.config.device, precision=plan.config.precision, channels=plan.config.channels)
    rows = tuple(_test_rows(plan, out, arm, Predictor(model, predict)))
    file = out / ROWS / f"{arm.label}.json"
    write_file(file, json_text(rows, tuple[Row, ...], indent=1), error=RunError)
    return rows


def _test_rows(plan: CurveRequest, out: Path, arm: Arm, predictor: Predictor) -> Iterator[Row]:
    for dataset, images in tests_of(plan).items():
        for image, prediction, scores in evaluate_images(predictor, images):
            if arm.seed == plan.config.seed:
                path = prediction_path(out, arm.count, dataset, image.name)
                write_labels(path, prediction.labels, scale=image.scale, unit=image.unit, overwrite=True)
            yield Row.of(
                scores,
                count=arm.count,
                seed=arm.seed,
                preset=plan.config.preset,
                dataset=dataset,
                image=image.name,
            )
