"""The command `unet-finetune`: parses, calls the package, prints."""

from __future__ import annotations

import io
import os
import sys

import typer

from . import asking, inspecting, measuring, run_job, study, suggesting, training, using
from .console import INTERRUPTED

NAME = "unet-finetune"

app = typer.Typer(
    name=NAME,
    help="Finetune a patch-based Attention U-Net on a few of your own annotated microscopy images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    inspecting.check,
    suggesting.suggest,
    training.train,
    training.finetune,
    training.resume,
    using.predict,
    using.evaluate,
    measuring.measure,
    asking.estimate,
    asking.can_learn,
    asking.cross_validate,
    asking.forecast,
    study.curve,
    study.report,
    study.demo,
    inspecting.models,
    inspecting.settings,
):
    app.command()(command)
app.command(hidden=True)(run_job.run)


def main() -> None:
    """Run the command line."""
    # Spinning threads starve each other on a busy machine (measured: 12 times slower); must be set before torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without arrows shows question marks instead
    try:
        app(prog_name=NAME)
    except KeyboardInterrupt:  # while the program was still starting
        sys.exit(INTERRUPTED)
