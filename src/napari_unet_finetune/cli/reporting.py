"""The command `report`: a page about a run or a study, for the notebook or the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError
from .asking import show_parts
from .console import INTERRUPTED, Json, finish, messages, reports_errors, stops_on_interrupt
from .options import Device, Sparse


@reports_errors
def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of a study made by `curve`.")],
    out: Annotated[Path | None, typer.Option(help="File of the page; default: report.html in that folder.")] = None,
    images: Annotated[Path | None, typer.Option(help="Test images that took no part in the training.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Their masks.")] = None,
    sparse: Sparse = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write one HTML page about a run: data, settings, curves, comparison, scores, methods; tables as CSV beside it."""
    from ..data.dataset import AnnotatedFolder
    from ..evaluation.report import report as write
    from ..evaluation.report_study import is_study

    given = {"--images": images, "--masks": masks, "--sparse": sparse, "--device": device != "auto"}
    if is_study(run) and any(given.values()):
        names = " and ".join(name for name, value in given.items() if value)
        raise DataError(
            f"{run}: the report of a study is made of the scores that it has kept. Leave {names} out, or report one of "
            "its runs."
        )
    if (images is None) != (masks is None):
        raise DataError("Test images need their masks, and masks their images. Give both or neither.")
    tests = AnnotatedFolder.open(images, masks, sparse=sparse) if images and masks else ()
    with stops_on_interrupt() as stop:
        events = write(run, out, tests=tests, device=device, should_stop=stop)
        files = show_parts(events, "Report", quiet=as_json)
    finish(
        files.to_dict(), as_json=as_json, show=lambda console: console.print(f"Report: {files.page}", soft_wrap=True)
    )
    if files.stopped:
        messages.print("Stopped: not all images are scored in it.")
        raise typer.Exit(INTERRUPTED)
