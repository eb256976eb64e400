"""Commands that answer a question about a model or its data: `estimate`, `can-learn`, `cross-validate`, `forecast`."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..errors import DataError
from ..text import number
from .console import (
    FAILED,
    INTERRUPTED,
    Json,
    draw,
    finish,
    messages,
    progress_bar,
    reports_errors,
    score_table,
    stops_on_interrupt,
)
from .options import Device, Images, Masks, Model, Preset, Seed, Set, Sparse, prediction_config, training_config
from .predict import Threshold
from .train import Steps


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
    from ..data.folders import AnnotatedFolder
    from ..evaluation.estimate import estimate as run
    from ..models.checkpoint import load_checkpoint

    pairs = AnnotatedFolder.open(images, masks, sparse=sparse)
    for note in pairs.notes:
        messages.print(note, soft_wrap=True)
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
    from ..events import Notice, PartStarted, RunEnded, Stream
    from ..progress import RunProgress, advance

    with progress_bar(quiet=quiet) as bar:
        parts = bar.add_task(description, total=None, note="")
        training = bar.add_task("", total=None, note="", visible=False)
        progress = RunProgress()
        stream = Stream(events)
        for event in stream:
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
        return stream.result


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
    from ..data.folders import AnnotatedFolder
    from ..models.checkpoint import load_checkpoint
    from ..questions.can_learn import KEPT
    from ..questions.can_learn import can_learn as run

    config = training_config("default", changes, seed=seed, device=device)
    for change in changes or []:
        if change.partition("=")[0].partition(".")[0].strip() not in KEPT:
            raise DataError(
                f"'--set {change}' would change nothing: the trial settles this by itself. It takes {', '.join(KEPT)}; "
                "--steps and --seconds say how long it lasts."
            )
    pairs = AnnotatedFolder.open(images, masks, sparse=sparse)
    with stops_on_interrupt() as stop:
        events = run(load_checkpoint(model), pairs, config, seconds=seconds, steps=steps, should_stop=stop)
        result = show_parts(events, "Can it learn", quiet=as_json)
    stop_if_none(result)
    values = {"model": model, **result.to_dict()}
    finish(values, as_json=as_json, show=lambda console: _print_summary(console, result.summary))
    if result.verdict != "ready":
        raise typer.Exit(FAILED)


@reports_errors
def cross_validate(
    images: Images,
    masks: Masks,
    model: Model,
    sparse: Sparse = False,
    folds: Annotated[str, typer.Option(help="loo: leave one image out at a time; or a number of folds.")] = "loo",
    preset: Preset = "fast",
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Score every image by a model finetuned without it: one training per fold, the mean and its interval."""
    from ..data.folders import AnnotatedFolder
    from ..models.checkpoint import load_checkpoint
    from ..questions.cross_validate import cross_validate as run

    pairs = AnnotatedFolder.open(images, masks, sparse=sparse)
    for note in pairs.notes:
        messages.print(note, soft_wrap=True)
    config = training_config(preset, changes, steps=steps, seed=seed, device=device)
    with stops_on_interrupt() as stop:
        events = run(pairs, load_checkpoint(model), config, folds=_folds(folds), should_stop=stop)
        result = show_parts(events, "Cross-validation", quiet=as_json)
    stop_if_none(result)
    values = {"model": model, **result.to_dict()}
    finish(values, as_json=as_json, show=lambda console: _show_scores(console, result))
    if result.stopped:
        raise typer.Exit(INTERRUPTED)


def _folds(text: str) -> int | None:
    if text.lower() == "loo":
        return None
    try:
        return int(text)
    except ValueError:
        raise DataError(f"'--folds {text}' is neither loo nor a number. Write it as loo or 5.") from None


def _show_scores(console: Console, result: Any) -> None:
    table = score_table(
        "Each image scored by a model that never saw it", ["image", "fold", "Dice, base", "Dice", "area"]
    )
    for one in result.scores:
        table.add_row(one.image, str(one.fold), number(one.raw_dice), number(one.dice), number(one.area_ratio, 2))
    console.print(table)
    _print_summary(console, result.summary)


@reports_errors
def forecast(
    study: Annotated[Path, typer.Argument(help="Folder of a study made by `curve`.")],
    more: Annotated[
        str | None, typer.Option(help="Numbers of further images; 5,10 by default, if the curve reaches that far.")
    ] = None,
    dataset: Annotated[int, typer.Option(min=1, max=2, help="2: the new dataset; 1: the old one.")] = 2,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Carry the learning curve of a study on: what more images are likely to give, as a range."""
    from ..learning_curve.forecast import forecast as look_ahead
    from ..learning_curve.forecast import read_rows
    from ..project.curve_plan import parse_counts

    numbers = None if more is None else parse_counts(more)
    result = look_ahead(read_rows(study), more=numbers, dataset=dataset, seed=seed)
    finish(result.to_dict(), as_json=as_json, show=lambda console: _show_forecast(console, result))


def _show_forecast(console: Console, result: Any) -> None:
    table = score_table("Learning curve", ["images", "mean Dice", "seeds"])
    for point in result.points:
        table.add_row(str(point.count), number(point.dice), str(point.seeds))
    console.print(table)
    _print_summary(console, result.summary)
