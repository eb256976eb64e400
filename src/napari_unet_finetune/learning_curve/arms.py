"""One model of a study: trained or resumed if need be, tested, and its scores kept."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from ..checked_json import json_text
from ..config import PredictConfig
from ..errors import RunError
from ..evaluation.evaluate import evaluate_images
from ..evaluation.rows import BASE, Row
from ..events import PartStarted, TrainingEvent
from ..inference.predict import Predictor
from ..io.disk import locked, write_file
from ..io.images import write_labels
from ..models.load import load_model
from ..models.model import Model
from ..runs.execute import run_here
from ..runs.folder import RunFolder
from ..runs.request import CurveRequest, FinetuneRequest
from .folder import ROWS, RUNS, load_rows, prediction_path
from .plan import Arm, arms_of, base_training, tests_of, training_of

CurveEvent = PartStarted | TrainingEvent
_LEAVES_S = 60.0  # a worker whose study was killed; it looks whether that is there once a second


def base_file(plan: CurveRequest, out: Path) -> str | None:
    """Return the file of the base model, or its name; None if it is still to be trained."""
    folder = RunFolder(out / RUNS / BASE)
    return plan.checkpoint or (str(folder.result_path) if folder.is_finished else None)


def finish_base(
    plan: CurveRequest, out: Path, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, str | None]:
    """Return the file of the base model, trained first if the plan names none; None if that was stopped."""
    if base_file(plan, out) is None:
        yield PartStarted("base", 0, len(arms_of(plan)))
        yield from _finish(RunFolder(out / RUNS / BASE), base_training(plan), should_stop)
    return base_file(plan, out)


def finish_arm(
    plan: CurveRequest, out: Path, arm: Arm, base: str, should_stop: Callable[[], bool]
) -> Generator[CurveEvent, None, tuple[Row, ...]]:
    """Return the scores of a model, which are kept, trained and tested if need be; none if that was stopped."""
    done = load_rows(out, arm)
    if done is not None:
        return done
    model = yield from _model_of(plan, out, arm, base, should_stop)
    return _test(plan, out, arm, model) if model is not None else ()


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
    with locked(folder.path, wait_s=_LEAVES_S):
        pass
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
                prediction,
                count=arm.count,
                seed=arm.seed,
                preset=plan.config.preset,
                dataset=dataset,
            )
