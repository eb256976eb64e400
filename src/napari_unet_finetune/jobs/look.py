"""Jobs that look through images: `check`, `suggest` and `measure`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.pairing import LeftOver, Pairing
from ..events import Event, JobEnded, until
from ..runs.request import write_result

if TYPE_CHECKING:
    from ..runs.request import CheckRequest, MeasureRequest, SuggestRequest
    from ..runs.serve import Control


def check(folder: Path, request: CheckRequest, control: Control) -> Iterator[Event]:
    """Look through images and masks; the result is a `Checkup`, no file if it was stopped."""
    from ..checks.checkup import CheckupSource, check_images

    alone = tuple(LeftOver(image, "it is not annotated yet") for image in request.images)
    source = CheckupSource(Pairing(request.pairs, alone), has_masks=bool(request.pairs), may_lack_masks=True)
    events = check_images(
        source,
        model=model_facts(request.checkpoint) if request.checkpoint else None,
        test_images=request.test_images,
    )
    checkup = yield from until(control.should_stop, events)
    yield write_result(folder, checkup.to_json()) if checkup is not None else JobEnded()


def suggest(folder: Path, request: SuggestRequest, control: Control) -> Iterator[Event]:
    """Choose images to annotate; the result are `Suggestions`, no file if it was stopped."""
    from ..models.load import load_model
    from ..suggest.suggestion import suggest

    events = suggest(
        load_model(request.checkpoint),
        request.images,
        request.count,
        annotated=request.annotated,
        mode=request.mode,
        device=request.device,
    )
    suggestions = yield from until(control.should_stop, events)
    yield write_result(folder, suggestions.to_json()) if suggestions is not None else JobEnded()


def model_facts(model: str) -> Any:
    """Return what the file of a model says of its view and of its data.

    Raises
    ------
    ModelError
        If there is no such model, or its file is damaged.
    """
    from ..models.load import load_model

    return load_model(model).card.facts


def measure(_folder: Path, request: MeasureRequest, control: Control) -> Iterator[Event]:
    """Carry out a job; its result is the table of the objects."""
    from ..measure.files import measure_files

    yield from measure_files(request.files, request.out, overwrite=request.overwrite, should_stop=control.should_stop)
    yield JobEnded(request.out)
