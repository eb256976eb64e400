"""The command `unet-finetune`: parses, calls the package, prints."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from ..models.provenance import installed_version
from . import check, export, learning_curve, measure, predict, questions, run_job, suggest, train
from .console import INTERRUPTED, Commands

NAME = "unet-finetune"

app = typer.Typer(
    name=NAME,
    cls=Commands,
    help="Finetune a patch-based Attention U-Net on a few of your own annotated microscopy images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {installed_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options of the program itself."""


for command in (
    check.check,
    suggest.suggest,
    train.train,
    train.finetune,
    train.resume,
    predict.predict,
    predict.evaluate,
    measure.measure,
    export.export,
    questions.estimate,
    questions.can_learn,
    questions.cross_validate,
    questions.forecast,
    questions.weigh,
    learning_curve.curve,
    learning_curve.report,
    learning_curve.demo,
    check.models,
    check.settings,
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
