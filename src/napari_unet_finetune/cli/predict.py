"""Commands that use a model: `predict` and `evaluate`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..config import SURFACE_TOLERANCE_PX
from ..errors import DataError
from ..events import ImageSeen, how_seen
from ..io.disk import check_suffix, write_file
from ..text import count_of, first_of, number, path_in_words
from .console import (
    FAILED,
    INTERRUPTED,
    Json,
    annotated_images,
    finish,
    messages,
    reports_errors,
    score_table,
    show_result,
    show_table,
    stops_on_interrupt,
    watch,
)
from .options import (
    Channel,
    Device,
    Images,
    Masks,
    Model,
    Scheduler,
    Set,
    Sparse,
    Workers,
    chosen_channel,
    prediction_config,
    workers_asked_for,
)

if TYPE_CHECKING:
    from ..evaluation.rows import Row
    from ..inference.folder import PredictedFolder

Threshold = Annotated[
    float | None, typer.Option(help="Probability above which a pixel is an object; default: the model's.")
]
Instances = Annotated[bool, typer.Option(help="Number the objects and split those that touch.")]


@reports_errors
def evaluate(
    model: Model,
    images: Images,
    masks: Masks,
    sparse: Sparse = False,
    dataset: Annotated[int, typer.Option(min=1, max=2, help="Label for the table: 1 old, 2 new dataset.")] = 2,
    tolerance: Annotated[float, typer.Option(min=0, help="Tolerance of the surface Dice.")] = SURFACE_TOLERANCE_PX,
    tolerance_unit: Annotated[str, typer.Option(help="px, or um for images that know their pixel size.")] = "px",
    threshold: Threshold = None,
    instances: Instances = False,
    channel: Channel = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this CSV file as well.")] = None,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Score a model on images with known masks: Dice, IoU, surface Dice, areas, and objects where masks number them."""
    from ..evaluation.evaluate import Tolerance, score_rows, trained_on
    from ..evaluation.rows import to_csv, to_json
    from ..inference.predict import Predictor

    if csv is not None:
        check_suffix(csv, ".csv")
    pairs = annotated_images(images, masks, sparse=sparse)
    config = prediction_config(
        changes,
        threshold=threshold,
        instances=instances or None,
        channels=chosen_channel(images, channel),
        device=device,
    )
    predictor = Predictor.of(model, config)
    if known := trained_on(predictor.model, pairs):
        some = f"{len(known)} of these {count_of(len(pairs), 'image')} ({first_of(known)})"
        messages.print(f"The model was trained on {some}: scores on them are too good.", soft_wrap=True)
    scored = score_rows(predictor, pairs, dataset=dataset, tolerance=Tolerance(tolerance, tolerance_unit))
    rows = watch(_seen(scored, len(pairs)), "Evaluate", quiet=as_json)
    for note in how_seen(((row.image, row.shown) for row in rows), "image"):
        messages.print(note, soft_wrap=True)
    if csv is not None:
        write_file(csv, to_csv(rows))
    left_out = [{"file": name, "reason": reason} for name, reason in pairs.left_out]
    values = {"model": model, "left_out": left_out, "trained_on": list(known), **to_json(rows)}
    finish(values, as_json=as_json, show=lambda console: show_rows(console, rows, split=config.instances))


def _seen(scored: Iterator[Row], total: int) -> Generator[ImageSeen, None, list[Row]]:
    """Tell of every row as soon as it is there."""
    rows = []
    for row in scored:
        rows.append(row)
        yield ImageSeen(row.image, len(rows), total)
    return rows


def show_rows(console: Console, rows: list[Any], *, split: bool) -> None:
    """Print one line per image and the mean, and how well objects were found; `split` says how they were made."""
    from ..evaluation.rows import object_table, summarize

    table = score_table("Scores", ["image", "Dice", "IoU", "surface Dice", "area predicted / true"])
    for row in rows:
        table.add_row(row.image, number(row.dice), number(row.iou), number(row.surface_dice), number(row.area_ratio, 2))
    table.add_section()
    for mean in summarize(rows):
        table.add_row(
            "mean", number(mean.dice), number(mean.iou), number(mean.surface_dice), number(mean.area_ratio, 2)
        )
    console.print(table)
    if len(rows) > 1:
        console.print("The area of the mean is that of all images together: large ones count more.")
    if (objects := object_table(rows)) is not None:
        show_table(console, objects)
        if not split:
            console.print("Objects that touch in the prediction count as one. --instances splits them.", soft_wrap=True)


@reports_errors
def predict(
    model: Model,
    images: Images,
    out: Annotated[Path | None, typer.Option(help="Folder for the labels files.")] = None,
    into_image: Annotated[
        bool, typer.Option("--into-image", help="Write the labels of OME-Zarr images into these, among their `labels`.")
    ] = False,
    threshold: Threshold = None,
    channel: Channel = None,
    min_size: Annotated[int | None, typer.Option(min=0, help="Remove objects with fewer pixels.")] = None,
    fill_holes: Annotated[bool, typer.Option(help="Close holes inside objects.")] = False,
    instances: Instances = False,
    augment: Annotated[bool, typer.Option(help="Mirror every second tile, if the model knows mirrored views.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Predict again where labels exist.")] = False,
    chunk: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Predict images larger than this in squares of so many pixels a side, with the same result in less "
            "memory; default: 2048 for images of more than 4096 x 4096.",
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    device: Device = "auto",
    changes: Set = None,
    as_json: Json = False,
) -> None:
    """Predict a file or a folder of images into labels files; what exists is skipped, what was stopped goes on."""
    from ..inference.folder import predict_folder
    from ..inference.pieces import Cut
    from ..inference.predict import Predictor
    from ..inference.spread import Spread

    if (out is None) != into_image:
        raise DataError("Labels go into a folder or into the images: give --out or --into-image, and not both.")
    config = prediction_config(
        changes,
        threshold=threshold,
        channels=chosen_channel(images, channel),
        min_size_px=min_size,
        fill_holes=fill_holes or None,
        instances=instances or None,
        augment=augment,
        device=device,
    )
    predictor = Predictor.of(model, config)
    with workers_asked_for(workers, scheduler) as cluster, stops_on_interrupt() as stop:
        how = predictor if cluster is None else Spread(predictor, cluster)
        events = predict_folder(images, out, how, overwrite=overwrite, cut=Cut(chunk), should_stop=stop)
        result = watch(events, "Predict", quiet=as_json)
    values = {**result.to_json(), "threshold": predictor.threshold}
    finish(values, as_json=as_json, show=lambda console: _show_files(console, result, out))
    if result.stopped or result.failed:
        raise typer.Exit(INTERRUPTED if result.stopped else FAILED)


def _show_files(console: Console, result: PredictedFolder, out: Path | None) -> None:
    show_result(console, result, result.failed)
    again = " --overwrite predicts them anew." if result.skipped else ""
    where = f"Labels files are in {path_in_words(out)}." if out else "The labels are in the images."
    console.print(f"{where}{again}", soft_wrap=True)
