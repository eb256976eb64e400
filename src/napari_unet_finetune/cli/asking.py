"""Commands that answer a question about a model or its data: `estimate`, `can-learn`, `cross-validate`, `forecast`."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from .console import (
    FAILED,
    INTERRUPTED,
    Json,
    draw,
    finish,
    messages,
    number,
    progress_bar,
    reports_errors,
    score_table,
    stops_on_interrupt,
)
from .options import Device, Images, Masks, Model, Seed, Set, Sparse, prediction_config, training_config
from .using import Threshold


@reports_errors
def estimate(
    model: Model,
    images: Images,
    masks: Masks,
    sparse: Sparse = False,
    threshold: Threshold = None,
    maps: Annotated[
        Path | None,
        typer.Option(help="Folder for error maps: 0 background, 1 right, 2 falsely predicted, 3 missed."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Tell whether a model over- or underestimates, by how much, and which threshold or penalty would balance it."""
    from ..data.dataset import AnnotatedFolder
    from ..evaluation.estimation import estimate as run
    from ..models.checkpoint import load_checkpoint

    pairs = AnnotatedFolder.open(images, masks, sparse=sparse)
    if pairs.left_out_note:
        messages.print(pairs.left_out_note, soft_wrap=True)
    config = prediction_config(changes, threshold=threshold, device=device)
    with stops_on_interrupt() as stop:
        events = run(load_checkpoint(model), pairs, config, maps=maps, seed=seed, should_stop=stop)
        result = show_parts(events, "Estimate", quiet=as_json)
    stop_if_none(result)
    values = {"model": model, "maps": maps and str(maps), **result.to_dict()}
    finish(values, as_json=as_json, show=lambda console: _show_estimation(console, result))


def stop_if_none(result: Any) -> None:
    """End the command if it was stopped before there was a result."""
    if result is None:
        messages.print("Stopped before there was a result.")
        raise typer.Exit(INTERRUPTED)


def show_parts(events: Generator[Any, None, Any], description: str, *, quiet: bool) -> Any:
    """Draw a bar over the parts of a computation, a second one while one of them trains, and return its result."""
    from ..events import Notice, PartStarted, RunEnded
    from ..progress import RunProgress, advance

    with progress_bar(quiet=quiet) as bar:
        parts = bar.add_task(description, total=None, note="")
        training = bar.add_task("", total=None, note="", visible=False)
        progress = RunProgress()
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                return stop.value
            if isinstance(event, PartStarted):
                progress = RunProgress()
                bar.update(parts, completed=event.index - 1, total=event.total, note=event.label)
                bar.update(training, visible=False)
            elif isinstance(event, Notice):
                if not quiet:
                    bar.console.print(event.message, soft_wrap=True)
            elif not isinstance(event, RunEnded):
                progress = advance(progress, event)
                bar.update(training, visible=True, description="Training")
                draw(bar, training, progress)


def _show_estimation(console: Console, result: Any) -> None:
    table = score_table(
        f"At threshold {result.threshold:.2f}",
        ["image", "predicted / true area", "falsely predicted px", "missed px", "Dice"],
    )
    for area in result.images:
        table.add_row(
            area.image,
            number(area.area_ratio, 2),
            str(area.false_positive_px),
            str(area.false_negative_px),
            number(area.dice),
        )
    console.print(table)
    _print_summary(console, result.summary)


def _print_summary(console: Console, summary: str) -> None:
    console.print(Text(summary, style="bold"), soft_wrap=True)


@reports_errors
def can_learn(
    images: Images,
    masks: Masks,
    model: Model,
    sparse: Sparse = False,
    seconds: Annotated[float, typer.Option(min=1, help="Longest time of the trial.")] = 60,
    steps: Annotated[int, typer.Option(min=1, help="Most steps of the trial.")] = 400,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Try for a minute whether a model can learn two of the images by heart, and test what is wrong if not."""
    from ..data.dataset import AnnotatedFolder
    from ..evaluation.can_learn import can_learn as run
    from ..models.checkpoint import load_checkpoint

    pairs = AnnotatedFolder.open(images, masks, sparse=sparse)
    config = training_config("default", changes, seed=seed, device=device)
    with stops_on_interrupt() as stop:
        events = run(load_checkpoint(model), pairs, config, seconds=seconds, steps=steps, should_stop=stop)
        result = show_parts(events, "Can it learn", quiet=as_json)
    stop_if_none(result)
    values = {"model": model, **result.to_dict()}
    finish(values, as_json=as_json, show=lambda console: _print_summary(console, result.summary))
    if result.verdict != "ready":
        raise typer.Exit(FAILED)
