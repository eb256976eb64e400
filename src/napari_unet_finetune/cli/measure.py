"""The command `measure`, and the job of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..text import count_of
from .console import FAILED, INTERRUPTED, Json, finish, messages, reports_errors, stops_on_interrupt, watch
from .options import Images


@reports_errors
def measure(
    images: Images,
    labels: Annotated[Path, typer.Option(help="Folder with their labels files, such as `predict` writes.")],
    out: Annotated[Path, typer.Option(help="CSV file for one row per object; one row per image goes beside it.")],
    overwrite: Annotated[bool, typer.Option(help="Replace tables that exist.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the objects of labels files: area, intensity, position and shape, and their number per image."""
    from ..measure.files import measure_files, pair_files

    pairs, left_out = pair_files(images, labels)
    with stops_on_interrupt() as stop:
        events = measure_files(pairs, out, overwrite=overwrite, should_stop=stop)
        report = watch(events, "Measure", quiet=as_json)
    failed = (*left_out, *report.failed)
    values = {
        "objects": report.objects,
        "images": report.images,
        "tables": [str(table) for table in report.tables],
        "failed": [{"file": str(path), "reason": reason} for path, reason in failed],
        "stopped": report.stopped,
    }
    finish(values, as_json=as_json, show=lambda console: _show_report(console, values))
    if report.stopped or failed:
        raise typer.Exit(INTERRUPTED if report.stopped else FAILED)


def _show_report(console: Console, values: dict[str, Any]) -> None:
    for entry in values["failed"]:
        messages.print(Text(f"{entry['file']}: {entry['reason']}", style="red"), soft_wrap=True)
    found = f"{count_of(values['objects'], 'object')} in {count_of(values['images'], 'image')}"
    where = f"written to {' and '.join(values['tables'])}" if values["tables"] else "nothing is written"
    console.print(f"{found}, {where}.", soft_wrap=True)
