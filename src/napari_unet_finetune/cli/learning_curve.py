"""Commands that run the whole study: `curve` on two datasets, `demo` on generated ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..config import ModelConfig
from ..io.disk import write_file
from ..text import number
from .console import (
    INTERRUPTED,
    Json,
    OptionError,
    annotated_images,
    finish,
    messages,
    reports_errors,
    score_table,
    show_result,
    stops_on_interrupt,
    watch,
)
from .options import (
    BaseSet,
    Channel,
    Device,
    Out,
    Preset,
    Scheduler,
    Seed,
    Set,
    Sparse,
    Width,
    Workers,
    chosen_channel,
    image_counts,
    training_config,
    workers_asked_for,
)
from .train import absolute_model

if TYPE_CHECKING:
    from ..engine import Cluster


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
    from ..report.study import is_study
    from ..report.write import report as write

    given = {"--images": images, "--masks": masks, "--sparse": sparse, "--device": device != "auto"}
    if is_study(run) and any(given.values()):
        names = " and ".join(name for name, value in given.items() if value)
        raise OptionError(
            f"{run}: the report of a study uses the scores that the study has kept. Leave {names} out, or report one "
            "of its runs."
        )
    if (images is None) != (masks is None):
        raise OptionError("Test images need their masks, and masks their images. Give both or neither.")
    tests = annotated_images(images, masks, sparse=sparse) if images and masks else ()
    with stops_on_interrupt() as stop:
        events = write(run, out, tests=tests, device=device, should_stop=stop)
        files = watch(events, "Report", quiet=as_json)
    finish(files.to_json(), as_json=as_json, show=lambda console: show_result(console, files))
    if files.stopped:
        raise typer.Exit(INTERRUPTED)


TABLE, CURVE, OVERLAY = "table.csv", "learning-curve.png", "overlay.png"


@reports_errors
def curve(
    dataset1: Annotated[Path, typer.Option(help="Old dataset: a folder with `images` and `masks`.")],
    dataset2: Annotated[Path, typer.Option(help="New dataset: a folder with `images` and `masks`.")],
    out: Out,
    counts: Annotated[
        str, typer.Option(help="Numbers of images to finetune with; 0 is the base model as it is.")
    ] = "0,5,10,15,20",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings per number of images.")] = 3,
    preset: Preset = "default",
    base: Annotated[str | None, typer.Option(help="Base model to use instead of training one on dataset1.")] = None,
    base_preset: Annotated[str, typer.Option(help="Settings of the base model's training.")] = "from scratch",
    base_count: Annotated[int, typer.Option(min=1, help="Images of dataset1 to train the base model with.")] = 25,
    test1: Annotated[int, typer.Option(min=1, help="Last images of dataset1 that are only tested.")] = 6,
    test2: Annotated[int, typer.Option(min=1, help="Last images of dataset2 that are only tested.")] = 11,
    width: Width = 16,
    steps: Annotated[int | None, typer.Option(help="Steps of each finetuning.")] = None,
    channel: Channel = None,
    seed: Seed = 0,
    workers: Workers = None,
    scheduler: Scheduler = None,
    device: Device = "auto",
    changes: Set = None,
    base_changes: BaseSet = None,
    as_json: Json = False,
) -> None:
    """Train a base model, finetune it with growing numbers of images, test on both datasets, draw the figure."""
    from ..learning_curve.plan import pairs_of_datasets
    from ..runs.request import CurveRequest

    numbers = image_counts(counts, least=0)
    pairs = pairs_of_datasets(
        dataset1.absolute(),
        dataset2.absolute(),
        max(numbers),
        test1=test1,
        test2=test2,
        base_count=0 if base else base_count,
    )
    for folder in (dataset1, dataset2):
        _tell_what_is_left_out(folder)
    channels = chosen_channel(dataset2 / "images", channel)
    plan = CurveRequest(
        **pairs,
        counts=numbers,
        seeds=seeds,
        checkpoint=base and absolute_model(base),
        model=ModelConfig(width=width),
        config=training_config(preset, changes, channels=channels, steps=steps, seed=seed, device=device),
        base_config=training_config(base_preset, base_changes, channels=channels, seed=seed, device=device),
    )
    with workers_asked_for(workers, scheduler) as cluster:
        run(plan, out, cluster, as_json=as_json)


def _tell_what_is_left_out(dataset: Path) -> None:
    from ..learning_curve.plan import open_dataset

    note = open_dataset(dataset).left_out_note
    if note:
        messages.print(f"{dataset}: {note}", soft_wrap=True)


def run(plan: Any, out: Path, cluster: Cluster | None = None, *, as_json: bool) -> None:
    """Run a study, write its table and figures, and print them."""
    from ..evaluation.rows import summarize, to_csv, to_json
    from ..learning_curve.examples import draw_figures
    from ..learning_curve.folder import StudyFolder
    from ..learning_curve.run import run_study

    with stops_on_interrupt() as stop:
        rows = watch(run_study(plan, out, should_stop=stop, engine=cluster), "Study", quiet=as_json)
    study = StudyFolder(out)
    write_file(out / TABLE, to_csv(study.named_rows))
    figures = [] if stop.pressed else draw_figures(study, curve=out / CURVE, overlay=out / OVERLAY)
    values = {
        "out": str(out),
        "table": str(out / TABLE),
        "figures": [str(path) for path in figures],
        "stopped": stop.pressed,
        **to_json(rows),
    }
    finish(values, as_json=as_json, show=lambda console: _show(console, summarize(rows), study))
    if stop.pressed:
        messages.print("Stopped. The same command continues where it stopped.")
        raise typer.Exit(INTERRUPTED)


def _show(console: Console, means: Sequence[Any], study: Any) -> None:
    from ..evaluation.rows import BASE
    from ..learning_curve.words import shown_in_words

    columns = ["images", "Dataset 2 Dice", "± seeds", "area", "Dataset 1 Dice", "± seeds"]
    objects = ["objects F1", "AP", "count"] if any(mean.f1 is not None for mean in means) else []
    table = score_table("Mean over test images and seeds", [*columns[:4], *objects, *columns[4:]])
    by_key = {(mean.dataset, mean.count): mean for mean in means}
    for count in sorted({mean.count for mean in means}):
        old, new = by_key[1, count], by_key[2, count]
        table.add_row(
            f"{study.base_name} ({BASE})" if count == 0 else str(count),
            number(new.dice), number(new.dice_std), number(new.area_ratio, 2),
            *[number(new.f1), number(new.ap), number(new.count_ratio, 2)][: len(objects)],
            number(old.dice), number(old.dice_std),
        )  # fmt: skip
    console.print(table)
    for mean in means:
        if mean.forgetting:
            warning = f"With {mean.count} images the model forgets the old dataset: its Dice fell by {mean.drop:.3f}."
            console.print(Text(warning, style="yellow"))
    for told in shown_in_words(study.rows):
        console.print(Text(told), soft_wrap=True)
    console.print(f"Table and figures: {study.path}", soft_wrap=True)


@reports_errors
def demo(out: Out = Path("demo-output"), seed: Seed = 0, device: Device = "auto", as_json: Json = False) -> None:
    """Run the study on generated sample data: cells in a microtube, whose intensities change."""
    from ..data.samples import write_microtube
    from ..learning_curve.plan import pairs_of_datasets
    from ..runs.request import CurveRequest

    data = out / "data"
    if not data.is_dir():
        partial = out / "data.partial"
        write_microtube(partial, seed=seed)
        partial.rename(data)
    counts = (0, 5, 10, 20)
    # Trainings this short forget unless half of what they see is old.
    config = training_config("fast", ["replay_share=0.5"], steps=100, seed=seed, device=device)
    plan = CurveRequest(
        **pairs_of_datasets((data / "dataset1").absolute(), (data / "dataset2").absolute(), max(counts)),
        counts=counts,
        model=ModelConfig(),
        config=config,
        base_config=training_config("from scratch", None, steps=150, seed=seed, device=device),
    )
    run(plan, out, as_json=as_json)
