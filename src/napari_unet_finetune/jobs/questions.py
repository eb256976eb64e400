"""Jobs that answer a question about a model or a run: `estimate`, `can_learn`, `cross_validate` and `report`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import PredictConfig
from ..data.folders import AnnotatedFolder
from ..events import Event, JobEnded
from ..runs.request import write_result

if TYPE_CHECKING:
    from ..result import Result
    from ..runs.request import QuestionRequest, ReportRequest
    from ..runs.serve import Control


def ask(folder: Path, request: QuestionRequest, control: Control) -> Iterator[Event]:
    """Answer; the result is an `Estimation`, a `CanLearn` or a `CrossValidation`, no file if it was stopped."""
    answer = yield from _answer(request, control)
    yield write_result(folder, answer.to_json()) if answer is not None else JobEnded()


def _answer(request: QuestionRequest, control: Control) -> Generator[Event, None, Result | None]:
    from ..evaluation.estimate import estimate
    from ..models.load import load_model
    from ..questions.can_learn import can_learn
    from ..questions.cross_validate import cross_validate

    model, images = load_model(request.checkpoint), AnnotatedFolder.of(request.pairs)
    config, stop = request.config, control.should_stop
    if request.task == "estimate":
        predict = PredictConfig(device=config.device, precision=config.precision)
        events = estimate(model, images, predict, maps=request.maps, seed=config.seed, should_stop=stop)
        return (yield from events)
    if request.task == "can_learn":
        return (yield from can_learn(model, images, config, seconds=request.seconds, should_stop=stop))
    return (yield from cross_validate(model, images, config, folds=request.folds, should_stop=stop))


def report(folder: Path, request: ReportRequest, control: Control) -> Iterator[Event]:
    """Write the report; the result are its `ReportFiles`."""
    from ..report.write import report as write

    tests = AnnotatedFolder.of(request.tests)
    events = write(request.run, request.out, tests=tests, device=request.device, should_stop=control.should_stop)
    files = yield from events
    yield write_result(folder, files.to_json())
