"""The command `run`, by which a graphical program has a job carried out in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def _step_back() -> None:
    """Let whoever looks at the screen come first."""
    if hasattr(os, "nice"):
        os.nice(10)
    else:
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)


def run(
    folder: Annotated[Path, typer.Argument(help="Folder with the request.")],
    stay: Annotated[bool, typer.Option("--stay", help="Carry out other jobs afterwards.")] = False,
) -> None:
    """Carry out the job in a folder; events go to standard output as JSON, and it ends when standard input does."""
    from ..jobs.predictions import PREDICTIONS
    from ..jobs.table import events_of
    from ..runs.serve import serve

    _step_back()
    raise typer.Exit(serve(folder, events_of, meanwhile=PREDICTIONS.look_ahead if stay else None))
