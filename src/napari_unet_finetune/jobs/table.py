"""What is done for each kind of request, in the process that torch runs in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.folders import read_unannotated
from ..errors import FinetuneError, lacks_memory
from ..events import Event, JobEnded, Notice, PartStarted, PreviewReady, RunStarted, ValidationEnd, drain
from ..result import Result
from . import compare, questions
from .predictions import PREDICTIONS, write_array

if TYPE_CHECKING:
    from ..inference.predict import Predictor
    from ..io.images import ImageRef
    from ..runs.folder import RunFolder
    from ..runs.request import ExportRequest, FinetuneRequest, MeasureRequest, PredictFolderRequest
    from ..runs.serve import Control
    from ..share.exported import Exported


PREVIEW = "preview.npy"
_QUICK_PX = 1024**2  # a training begins at once: what the base sees in a larger image would hold it up


def events_of(folder: Path, control: Control) -> Iterator[Event]:
    """Yield what happens while the job in `folder` is carried out, `JobEnded` with the file of its result at its end.

    Raises
    ------
    FinetuneError
        If it cannot be carried out.
    """
    from ..runs.request import read_request, write_result

    request = read_request(folder)
    found = yield from _JOBS[request.task](folder, request, control)
    yield write_result(folder, found) if isinstance(found, Result) else JobEnded(found)


def _train(folder: Path, _request: FinetuneRequest, control: Control) -> Generator[Event, None, Path | None]:
    from ..runs.execute import run_here
    from ..runs.folder import RunFolder

    run = RunFolder(folder)
    yield from run.learned()
    for event in run_here(run, should_stop=control.should_stop):
        yield event
        if control.preview and (found := _seen_at(event, run)):
            yield from _preview_or_notice(run, control.preview, *found, control.should_stop)
    files = (run.result_path, run.best_path)  # only the best if it was stopped, none if before a step
    return next((file for file in files if file.is_file()), None)


def _seen_at(event: Event, run: RunFolder) -> tuple[str, int] | None:
    """Return the model that a preview is due of after `event`, and its step: first the base, then each better one.

    The best model so far is on disk before its validation is reported.
    """
    if isinstance(event, ValidationEnd) and event.best:
        return str(run.best_path), event.step
    if isinstance(event, RunStarted) and not event.first_step and run.request.checkpoint is not None:
        return run.request.checkpoint, 0
    return None


def _preview_or_notice(
    run: RunFolder, image: ImageRef, model: str, step: int, should_stop: Callable[[], bool]
) -> Iterator[Event]:
    """Yield the preview, or why there is none: what is only looked at must not end a training."""
    try:
        yield from _preview(run, image, model, step, should_stop)
    except FinetuneError as error:
        yield Notice(f"No preview of {image.name}: {error}")
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        yield Notice(f"No preview of {image.name}: it does not fit in memory beside the training.")


def _preview(
    run: RunFolder, image: ImageRef, model: str, step: int, should_stop: Callable[[], bool]
) -> Iterator[PreviewReady]:
    pixels = read_unannotated(image)
    if not step and prod(pixels.shape) > _QUICK_PX:
        return
    prediction = drain(_predictor(model, run.request.config.device).stream(pixels, should_stop=should_stop))
    if prediction is None:
        return
    file = run.path / PREVIEW
    write_array(file, prediction.labels.astype(np.uint8))
    yield PreviewReady(step, image.name, file)


def _predict_folder(_folder: Path, request: PredictFolderRequest, control: Control) -> Generator[Event, None, Path]:
    from ..inference.folder import predict_folder
    from ..inference.pieces import Cut

    predictor = _predictor(request.checkpoint, request.config)
    yield from predict_folder(
        request.source,
        request.out,
        predictor,
        overwrite=request.overwrite,
        cut=Cut(request.chunk, request.first, lambda: control.looked_at),
        should_stop=control.should_stop,
    )
    return request.out


def _measure(_folder: Path, request: MeasureRequest, control: Control) -> Generator[Event, None, Path]:
    from ..measure.files import measure_files

    yield from measure_files(request.files, request.out, overwrite=request.overwrite, should_stop=control.should_stop)
    return request.out


def _export(_folder: Path, request: ExportRequest, _control: Control) -> Generator[Event, None, Exported]:
    from ..models.load import load_model
    from ..share.export import export_model

    yield PartStarted(request.out.name, 1, 1)
    return export_model(load_model(request.checkpoint), request.out, request.config)


def _predictor(model: str, config: Any) -> Predictor:
    from ..config import PredictConfig
    from ..inference.predict import Predictor

    config = config if isinstance(config, PredictConfig) else PredictConfig(device=config)
    return Predictor.of(model, config)


_JOBS: dict[str, Callable[[Path, Any, Control], Generator[Event, None, Result | Path | None]]] = {
    "train": _train,
    "finetune": _train,
    "predict": PREDICTIONS.predict,
    "predict_folder": _predict_folder,
    "check": questions.check,
    "suggest": questions.suggest,
    "measure": _measure,
    "export": _export,
    "compare": compare.compare,
    "curve": compare.curve,
    "figure": compare.figure,
    "estimate": questions.ask,
    "can_learn": questions.ask,
    "cross_validate": questions.ask,
    "report": questions.report,
    "weigh": questions.weigh,
}
