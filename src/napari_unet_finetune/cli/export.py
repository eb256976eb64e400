"""The command `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..config import ExportConfig
from .console import Json, finish, reports_errors, show_result
from .options import MODEL_HELP


@reports_errors
def export(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    out: Annotated[Path, typer.Option(help="New file: .zip for a BioImage.IO package, .onnx, .pt or .torchscript.")],
    format: Annotated[  # noqa: A002 - the name of the option
        str | None, typer.Option(help="bioimageio, onnx or torchscript; by default as the file's name ends.")
    ] = None,
    mask: Annotated[bool, typer.Option(help="Give a mask at the model's threshold instead of probabilities.")] = False,
    torchscript: Annotated[bool, typer.Option(help="Add TorchScript to a package, for QuPath.")] = False,
    patches: Annotated[
        bool, typer.Option(help="Leave the patches of its training images in the model of a package.")
    ] = True,
    dataset: Annotated[
        int | None, typer.Option(help="Of several datasets that the model knows, that of the images; 1 is the oldest.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the model; by default that of its file.")] = "",
    authors: Annotated[str, typer.Option(help="Names of those who made the model, separated by commas.")] = "",
    license: Annotated[  # noqa: A002
        str, typer.Option(help="SPDX identifier such as CC-BY-4.0; by default what the model's file says.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write a model for other programs: a BioImage.IO package (Fiji, QuPath, ilastik), ONNX or TorchScript."""
    values = {
        "format": format,
        "mask": mask,
        "torchscript": torchscript,
        "patches": patches,
        "dataset": dataset,
        "name": name,
    }
    config = ExportConfig.model_validate({**values, "authors": authors, "license": license})
    from ..models.load import load_model
    from ..share.export import export_model

    exported = export_model(load_model(model), out, config)
    finish(exported.to_json(), as_json=as_json, show=lambda console: show_result(console, exported))
