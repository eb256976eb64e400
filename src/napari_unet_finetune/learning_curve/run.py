"""The study: a base model, nested finetuning sets of growing size, several seeds, tests on both datasets."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from ..checked_json import json_text
from ..engine import Engine, remove_shared_folders, shared_folder
from ..errors import RunError
from ..evaluation.rows import Row
from ..events import Notice, PartStarted, as_run, never
from ..io.disk import locked, remove_partial, write_file
from ..runs.request import CurveRequest
from .arms import CurveEvent, finish_arm, finish_base
from .folder import PLAN, PREDICTIONS, ROWS
from .plan import arms_of, read_plan, with_images
from .spread import spread_study
from .words import model_in_words


@as_run
def run_study(
    plan: CurveRequest, out: Path, *, should_stop: Callable[[], bool] = never, engine: Engine | None = None
) -> Generator[CurveEvent, None, list[Row]]:
    """Train and test every model of `plan`; what `out` holds already is not done again.

    With an `engine` the models are trained side by side, which gives the same weights and rows; how far each training
    is stands in its run folder alone.

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
        remove_shared_folders(out)
        if engine is None:
            return (yield from _rows(plan, out, should_stop))
        with shared_folder(out) as folder:
            return (yield from spread_study(plan, out, engine, folder, should_stop))


def _keep(plan: CurveRequest, out: Path) -> None:
    """Keep the plan in the folder; raises `RunError` if that holds a study with other settings."""
    file = out / PLAN
    if not file.is_file():
        write_file(file, json_text(plan, indent=2), error=RunError)
    if with_images(read_plan(file)) != plan:
        raise RunError(f"{out}: this folder holds a study with other settings. Choose another folder.")


def _rows(plan: CurveRequest, out: Path, should_stop: Callable[[], bool]) -> Generator[CurveEvent, None, list[Row]]:
    rows: list[Row] = []
    base = yield from finish_base(plan, out, should_stop)
    if base is None:
        return rows
    for index, arm in enumerate(arms_of(plan), start=1):
        if should_stop():
            break
        yield PartStarted(arm.title, index, len(arms_of(plan)))
        done = yield from finish_arm(plan, out, arm, base, should_stop)
        rows.extend(done)
        if done:
            yield Notice(model_in_words(done))
    return rows
