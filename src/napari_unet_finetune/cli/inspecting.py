"""Commands that look and change nothing: `check`, `models` and `settings`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..config import FinetuneConfig, PredictConfig
from .console import Json, finish, number, reports_errors, score_table
from .options import Images, Sparse, describe

if TYPE_CHECKING:
    from ..models.zoo import ZooModel


@reports_errors
def check(
    images: Images,
    masks: Annotated[Path | None, typer.Option(help="Folder with their masks, or one stack.")] = None,
    sparse: Sparse = False,
    as_json: Json = False,
) -> None:
    """Tell what was found in a folder: pairs, sizes, types, balance and problems."""
    from ..data.checkup import check_folder

    checkup = check_folder(images, masks, sparse=sparse)
    finish(checkup.to_dict(), as_json=as_json, show=lambda console: _show_checkup(console, checkup))


def _show_checkup(console: Console, checkup: Any) -> None:
    table = score_table(f"{len(checkup.images)} images", ["image", "size", "channels", "type", "mask"])
    table.columns[4].justify = "left"
    for image in checkup.images:
        size = "×".join(map(str, image.size)) if image.size else "–"
        table.add_row(image.name, size, str(image.channels or "–"), image.dtype or "–", image.description or "–")
    console.print(table)
    if checkup.mean_foreground is not None:
        console.print(f"Mean foreground {checkup.mean_foreground:.1%}, {checkup.empty_masks} empty masks.")
    for title, lines, style in (("Problems", checkup.problems, "red"), ("Advice", checkup.advice, "yellow")):
        if lines:
            console.print(Text(title, style=f"bold {style}"))
        for line in lines:
            console.print(f"- {line}", soft_wrap=True, markup=False)


@reports_errors
def models(as_json: Json = False) -> None:
    """List the models that ship with this package: what each finds, its size, scores and licence."""
    from ..models.zoo import list_models

    found = list_models()
    values = {"models": [_model_card(model) for model in found]}
    finish(values, as_json=as_json, show=lambda console: _show_models(console, values["models"]))


def _model_card(model: ZooModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "target": model.target,
        "description": model.description,
        "channels": model.channels,
        "width": model.width,
        "size_bytes": model.size_bytes,
        "scores": dict(model.scores),
        "licence": model.licence,
        "citation": model.citation,
        "path": str(model.path),
    }


def _show_models(console: Console, found: list[dict[str, Any]]) -> None:
    table = score_table("Models that ship", ["name", "finds", "channels", "MB", "test Dice", "licence"])
    table.columns[1].justify = table.columns[-1].justify = "left"
    for model in found:
        size = f"{model['size_bytes'] / 1e6:.1f}"
        score = number(model["scores"].get("test_dice"))
        table.add_row(model["name"], model["target"], str(model["channels"]), size, score, model["licence"])
    console.print(table)
    console.print("Give a name as --model. With --json: limits, citation, all scores and the file of each.")


@reports_errors
def settings(as_json: Json = False) -> None:
    """List every setting that `--set NAME=VALUE` can change, with its default."""
    groups = {"training": describe(FinetuneConfig), "prediction": describe(PredictConfig)}
    values = {
        group: [{"name": name, "default": default, "description": text} for name, default, text in rows]
        for group, rows in groups.items()
    }
    finish(values, as_json=as_json, show=lambda console: _show_settings(console, groups))


def _show_settings(console: Console, groups: dict[str, list[tuple[str, str, str]]]) -> None:
    for group, rows in groups.items():
        table = score_table(f"Settings of a {group}", ["name", "default", "meaning"])
        table.columns[2].justify = "left"
        for row in rows:
            table.add_row(*row)
        console.print(table)
