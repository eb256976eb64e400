"""Jobs that answer a question, and return what they find: None if they were stopped before there was anything."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import TRIAL_SECONDS, TRIAL_STEPS, PredictConfig
from ..data.folders import AnnotatedFolder
from ..data.pairing import LeftOver, Pairing
from ..events import Event, until

if TYPE_CHECKING:
    from ..checks.checkup import Checkup
    from ..questions.weigh import Weighing
    from ..report.files import ReportFiles
    from ..result import Result
    from ..runs.request import CheckRequest, QuestionRequest, ReportRequest, SuggestRequest, WeighRequest
    from ..runs.serve import Control
    from ..suggest.suggestion import Suggestions


def check(_folder: Path, request: CheckRequest, control: Control) -> Generator[Event, None, Checkup | None]:
    """Look through images and masks."""
    from ..checks.checkup import CheckupSource, check_images
    from ..io.images import notes_of
    from ..models.card import read_card

    alone = tuple(LeftOver(image, "it is not annotated yet") for image in request.images)
    source = CheckupSource(
        Pairing(request.pairs, alone),
        has_masks=bool(request.pairs),
        may_lack_masks=True,
        notes=notes_of([pair.image for pair in request.pairs] + list(request.images)),
    )
    facts = read_card(request.checkpoint).seeing(request.channels).facts if request.checkpoint else None
    events = check_images(source, model=facts, test_images=request.test_images)
    return (yield from until(control.should_stop, events))


def suggest(_folder: Path, request: SuggestRequest, control: Control) -> Generator[Event, None, Suggestions | None]:
    """Choose images to annotate."""
    from ..models.load import load_model
    from ..suggest.suggestion import suggest

    events = suggest(
        load_model(request.checkpoint).seeing(request.channels),
        request.images,
        request.count,
        annotated=request.annotated,
        mode=request.mode,
        device=request.device,
    )
    return (yield from until(control.should_stop, events))


def ask(_folder: Path, request: QuestionRequest, control: Control) -> Generator[Event, None, Result | None]:
    """Find an `Estimation`, a `CanLearn` or a `CrossValidation`."""
    from ..evaluation.estimate import estimate
    from ..models.load import load_model, load_to_predict
    from ..questions.can_learn import can_learn
    from ..questions.cross_validate import cross_validate

    images, config, stop = AnnotatedFolder.of(request.pairs), request.config, control.should_stop
    if request.task == "estimate":
        predict = PredictConfig(device=config.device, precision=config.precision, channels=config.channels)
        judged = load_to_predict(request.checkpoint)
        events = estimate(judged, images, predict, maps=request.maps, seed=config.seed, should_stop=stop)
        return (yield from events)
    model = load_model(request.checkpoint)
    if request.task == "can_learn":
        seconds, steps = request.seconds or TRIAL_SECONDS, request.steps or TRIAL_STEPS
        return (yield from can_learn(model, images, config, seconds=seconds, steps=steps, should_stop=stop))
    return (yield from cross_validate(model, images, config, folds=request.folds, should_stop=stop))


def weigh(_folder: Path, request: WeighRequest, control: Control) -> Generator[Event, None, Weighing | None]:
    """Score the models between old and new, or write one of them."""
    from ..questions.weigh import keep_mix, weigh

    if request.share is None or request.out is None:
        return (yield from weigh(request.run, should_stop=control.should_stop))
    return (yield from keep_mix(request.run, request.share, request.out, should_stop=control.should_stop))


def report(_folder: Path, request: ReportRequest, control: Control) -> Generator[Event, None, ReportFiles]:
    """Write the report."""
    from ..report.write import report as write

    tests = AnnotatedFolder.of(request.tests)
    events = write(request.run, request.out, tests=tests, device=request.device, should_stop=control.should_stop)
    return (yield from events)
