"""The command `measure`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .console import FAILED, INTERRUPTED, Json, finish, reports_errors, show_result, stops_on_interrupt, watch
from .options import Images


@reports_errors
def measure(
    images: Images,
    labels: Annotated[Path, typer.Option(help="Folder with their labels files, such as `predict` writes.")],
    out: Annotated[Path, typer.Option(help="CSV file for one row per object; one row per image goes beside it.")],
    overwrite: Annotated[bool, typer.Option(help="Replace tables that exist.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the objects of labels files: area, outline, axes, shape, intensities, and their number per image."""
    from ..measure.files import measure_files, pair_files

    pairs, left_out = pair_files(images, labels)
    with stops_on_interrupt() as stop:
        events = measure_files(pairs, out, overwrite=overwrite, should_stop=stop)
        measured = watch(events, "Measure", quiet=as_json)
    result = replace(measured, failed=(*left_out, *measured.failed))
    finish(result.to_json(), as_json=as_json, show=lambda console: show_result(console, result, result.failed))
    if result.stopped or result.failed:
        raise typer.Exit(INTERRUPTED if result.stopped else FAILED)
