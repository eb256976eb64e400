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

    alone = tuple(LeftOver(image.ref, "it is not annotated yet") for image in request.images)
    pairing = Pairing(tuple(files.pair for files in request.pairs), alone)
    source = CheckupSource(pairing, has_masks=bool(request.pairs), may_lack_masks=True)
    events = check_images(
        source,
        sparse=request.sparse,
        model=model_facts(request.checkpoint) if request.checkpoint else None,
        test_images=tuple(image.ref for image in request.test_images),
    )
    checkup = yield from until(control.should_stop, events)
    yield write_result(folder, checkup.to_json()) if checkup is not None else JobEnded()


def suggest(folder: Path, request: SuggestRequest, control: Control) -> Iterator[Event]:
    """Choose images to annotate; the result are `Suggestions`, no file if it was stopped."""
    from ..models.checkpoint import load_checkpoint
    from ..suggest.suggestion import suggest_images

    refs = [image.ref for image in request.images]
    events = suggest_images(
        dict(zip(request.names, refs, strict=True)) if request.names else refs,
        load_checkpoint(request.checkpoint),
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
    CheckpointError
        If there is no such model, or its file is damaged.
    """
    from ..data.statistics import ModelFacts
    from ..models.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(model)
    return ModelFacts(checkpoint.provenance.name, checkpoint.view, checkpoint.provenance.statistics)


def measure(_folder: Path, request: MeasureRequest, control: Control) -> Iterator[Event]:
    """Carry out a job; its result is the table of the objects."""
    from ..measure.files import measure_files

    files = [(pair.image, pair.labels) for pair in request.files]
    yield from measure_files(files, request.out, overwrite=request.overwrite, should_stop=control.should_stop)
    yield JobEnded(request.out)
