"""Commands that look and change nothing: `check`, `models` and `settings`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..config import FinetuneConfig, PredictConfig
from ..text import number
from .console import FAILED, Json, finish, reports_errors, score_table, show_table, watch
from .options import Channel, Images, Sparse, chosen_channel, describe

if TYPE_CHECKING:
    from ..checks.checkup import Checkup
    from ..models.card import FileCard


@reports_errors
def check(
    images: Images,
    masks: Annotated[Path | None, typer.Option(help="Folder with their masks, or one stack.")] = None,
    model: Annotated[str | None, typer.Option(help="Compare with the data of this model: file or name.")] = None,
    test_images: Annotated[
        Path | None,
        typer.Option(help="Images kept for the final score: tell which of them are among the others too."),
    ] = None,
    sparse: Sparse = False,
    channel: Channel = None,
    as_json: Json = False,
) -> None:
    """Tell what was found in a folder: pairs, balance, duplicates, distance to a model's data, problems.

    Ends with exit code 1 if images cannot be used as they are, or something is not paired or doubtful.
    """
    from ..checks.checkup import check as look_through
    from ..models.card import read_card

    channels = chosen_channel(images, channel)
    facts = read_card(model).seeing(channels).facts if model else None
    events = look_through(images, masks, sparse=sparse, model=facts, test_images=test_images)
    checkup = watch(events, "Check", quiet=as_json)
    finish(checkup.to_json(), as_json=as_json, show=lambda console: _show_checkup(console, checkup))
    if checkup.is_warning:
        raise typer.Exit(FAILED)


def _show_checkup(console: Console, checkup: Checkup) -> None:
    show_table(console, checkup.image_table)
    show_table(console, checkup.table)
    console.print(Text(checkup.headline, style="bold"), soft_wrap=True)
    compared = checkup.comparison
    sections = (
        ("Problems", checkup.problems, "red"),
        ("Questions", checkup.doubts, "magenta"),
        ("Advice", checkup.advice, "yellow"),
        (f"Compared with {compared.model}" if compared else "", compared.verdict if compared else (), "cyan"),
    )
    for title, lines, style in sections:
        if lines:
            console.print(Text(title, style=f"bold {style}"))
        for line in lines:
            console.print(f"- {line}", soft_wrap=True, markup=False)


@reports_errors
def models(as_json: Json = False) -> None:
    """List the models that ship with this package: what each finds, its size, scores and license."""
    from ..models.card import read_card
    from ..models.zoo import list_models

    cards = {name: read_card(name) for name in list_models()}
    values = {"models": [_facts(name, card) for name, card in cards.items()]}
    finish(values, as_json=as_json, show=lambda console: _show_models(console, cards))


def _facts(name: str, card: FileCard) -> dict[str, Any]:
    origin = card.provenance
    return {
        "name": name,
        "target": card.target,
        "description": " ".join(origin.notes),
        "channels": card.view.in_channels,
        "width": card.shape.width,
        "size_bytes": card.size_bytes,
        "scores": dict(origin.scores),
        "licence": origin.licence,
        "citation": origin.citation,
        "path": str(card.path),
    }


def _show_models(console: Console, cards: dict[str, FileCard]) -> None:
    table = score_table(
        "Models that come with the program", ["name", "finds", "channels", "MB", "test Dice", "license"]
    )
    table.columns[0].no_wrap = True
    table.columns[1].justify = table.columns[-1].justify = "left"
    for name, card in cards.items():
        size, score = f"{card.size_bytes / 1e6:.1f}", number(card.provenance.scores.get("test_dice"))
        table.add_row(name, card.target, str(card.view.in_channels), size, score, card.provenance.license_in_words)
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
