"""The command `run`, by which a graphical program has a job carried out in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from ..data.atomic import write_file
from ..data.dataset import read_unannotated
from ..errors import FinetuneError, RunError
from ..events import Event, ImagePredicted, JobEnded, Notice, PreviewReady, ValidationEnd
from . import compare_jobs, folder_jobs, measuring, question_jobs

if TYPE_CHECKING:
    from ..inference.predict import Predictor
    from ..runs.request import FinetuneRequest, ImageFile, PredictFolderRequest, PredictRequest
    from ..runs.serve import Control

PROBABILITIES, PREVIEW = "probabilities", "preview.npy"


def run(folder: Annotated[Path, typer.Argument(help="Folder with the request.")]) -> None:
    """Carry out the job in a folder; events go to standard output as JSON, and it ends when standard input does."""
    from ..runs.serve import serve

    if hasattr(os, "nice"):
        os.nice(10)  # whoever looks at the screen comes first
    raise typer.Exit(serve(lambda control: events_of(folder, control)))


def events_of(folder: Path, control: Control) -> Iterator[Event]:
    """Yield what happens while the job in `folder` is carried out, `JobEnded` at its end.

    Raises
    ------
    FinetuneError
        If it cannot be carried out.
    """
    from ..runs.request import read_request

    request = read_request(folder)
    yield from _JOBS[request.task](folder, request, control)


def _train(folder: Path, _request: FinetuneRequest, control: Control) -> Iterator[Event]:
    from ..runs.execute import run_here
    from ..runs.folder import RunFolder

    run = RunFolder(folder)
    for event in run_here(run, should_stop=control.should_stop):
        yield event
        if isinstance(event, ValidationEnd) and event.best and control.preview:
            yield _preview_or_notice(run, control.preview, event.step)
    files = (run.result_path, run.best_path)  # only the best if it was stopped, none if before a step
    yield JobEnded(next((file for file in files if file.is_file()), None))


def _preview_or_notice(run: Any, image: ImageFile, step: int) -> Event:
    """Return the preview, or why there is none: what is only looked at must not end a training."""
    from ..device import is_out_of_memory

    try:
        return _preview(run, image, step)
    except FinetuneError as error:
        return Notice(f"No preview of {image.ref.name}: {error}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        return Notice(f"No preview of {image.ref.name}: it does not fit in memory beside the training.")


def _preview(run: Any, image: ImageFile, step: int) -> PreviewReady:
    """Predict `image` with the best model so far, which is on disk before its validation is reported."""
    prediction = _predictor(str(run.best_path), run.request.config.device).predict(read_unannotated(image.ref))
    file = run.path / PREVIEW
    _write_array(file, prediction.labels.astype(np.uint8))
    return PreviewReady(step, image.ref.name, file)


def _predict(folder: Path, request: PredictRequest, control: Control) -> Iterator[Event]:
    from ..inference.predict import Prediction

    predictor = _predictor(request.checkpoint, request.config)
    for index, image in enumerate(request.images):
        prediction = yield from predictor.stream(read_unannotated(image.ref), should_stop=control.should_stop)
        if not isinstance(prediction, Prediction):
            break
        file = folder / PROBABILITIES / f"{index:05d}.npy"
        _write_array(file, np.rint(prediction.probabilities * 255).astype(np.uint8))
        yield ImagePredicted(index, len(request.images), image.ref.name, file, prediction.threshold)
    yield JobEnded()


def _predict_folder(_folder: Path, request: PredictFolderRequest, control: Control) -> Iterator[Event]:
    from ..inference.folder import predict_folder

    predictor = _predictor(request.checkpoint, request.config)
    yield from predict_folder(
        request.source, request.out, predictor, overwrite=request.overwrite, should_stop=control.should_stop
    )
    yield JobEnded(request.out)


def _predictor(checkpoint: str, config: Any) -> Predictor:
    from ..config import PredictConfig
    from ..inference.predict import Predictor
    from ..models.checkpoint import load_checkpoint

    config = config if isinstance(config, PredictConfig) else PredictConfig(device=config)
    return Predictor(load_checkpoint(checkpoint), config)


def _write_array(file: Path, array: np.ndarray[Any, Any]) -> None:
    write_file(file, lambda stream: np.save(stream, array), error=RunError)


_JOBS: dict[str, Callable[[Path, Any, Control], Iterator[Event]]] = {
    "train": _train,
    "finetune": _train,
    "predict": _predict,
    "predict_folder": _predict_folder,
    "check": folder_jobs.check,
    "suggest": folder_jobs.suggest,
    "measure": measuring.measure_job,
    "compare": compare_jobs.compare,
    "curve": compare_jobs.curve,
    "figure": compare_jobs.figure,
    "estimate": question_jobs.ask,
    "can_learn": question_jobs.ask,
    "cross_validate": question_jobs.ask,
    "report": question_jobs.report,
}
