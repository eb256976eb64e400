"""The command `unet-finetune`: parses, calls the package, prints."""

from __future__ import annotations

import typer

from . import inspecting, study, training, using

app = typer.Typer(
    name="unet-finetune",
    help="Finetune a patch-based Attention U-Net on a few of your own annotated microscopy images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    inspecting.check,
    training.train,
    training.finetune,
    training.resume,
    using.predict,
    using.evaluate,
    study.curve,
    study.demo,
    inspecting.models,
    inspecting.settings,
):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    app()
