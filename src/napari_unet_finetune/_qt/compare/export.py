"""A comparison as files: a figure and a chart drawn by a job, the canvas as it is, the table as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from ...errors import RunError
from ...evaluation.rows import ModelRow, to_csv
from ...io.disk import write_file
from ...metrics import Scores
from ...project.project import Project
from ...runs.request import FigureRequest, FigureRow
from ..session.jobs import Job
from .controller import CompareController

MOST_ROWS = 12


def table_rows(comparing: CompareController) -> list[ModelRow]:
    """Return one row per model and image that has a score."""
    return list(_rows(comparing))


def save_table(comparing: CompareController, path: Path) -> None:
    """Write the table as CSV.

    Raises
    ------
    RunError
        If there is no score yet, or the file cannot be written.
    """
    rows = table_rows(comparing)
    if not rows:
        raise RunError("There is no score to save. Compare models on images with masks first.")
    write_file(path, to_csv(rows), error=RunError)


def figure_rows(comparing: CompareController, project: Project, names: Sequence[str]) -> tuple[FigureRow, ...]:
    """Return the rows of a figure: images with a mask on which every model gave a result, in the order of `names`."""
    rows = []
    for name in names:
        pair = project.image(name).pair
        cells = [comparing.cell(column.label, name) for column in comparing.columns]
        if pair is None or not cells or any(cell is None or cell.labels is None for cell in cells):
            continue
        predictions = tuple(
            (column.title, cell.labels)
            for column, cell in zip(comparing.columns, cells, strict=True)
            if cell is not None and cell.labels is not None
        )
        rows.append(FigureRow(pair=pair, predictions=predictions))
    return tuple(rows)


def save_figures(
    comparing: CompareController, names: Sequence[str], out: Path | None, *, study: Path | None, curve: Path | None
) -> None:
    """Have a job draw the images `names` into `out`, and the learning curve of `study` into `curve`.

    Raises
    ------
    RunError
        If there is nothing to draw, or another job is under way.
    """
    session = comparing.session
    project = session.project
    rows = figure_rows(comparing, project, names) if project is not None and out is not None else ()
    if out is not None and not rows:
        raise RunError("There is nothing to draw: compare the models on images with masks first.")
    if out is not None:
        comparing.require_labels(row.pair.name for row in rows[:MOST_ROWS])
    files = [str(path) for path in (out, curve) if path is not None]
    request = FigureRequest(rows=rows[:MOST_ROWS], out=out, study=study, curve=curve)
    job = Job(session.scratch(), "Drawing the figure", request, is_temporary=True)
    job.ended.connect(lambda _file: session.tell(f"Saved {' and '.join(files)}."))
    session.tell("Drawing the figure…")
    session.jobs.start(job)


def is_drawing(comparing: CompareController) -> bool:
    """Tell whether a figure is being drawn."""
    job = comparing.session.jobs.job
    return job is not None and isinstance(job.request, FigureRequest)


def save_canvas(comparing: CompareController, path: Path) -> None:
    """Save what the canvas shows, at twice its size.

    Raises
    ------
    RunError
        If the file is to be of another kind than PNG, or cannot be written.
    """
    if path.suffix.lower() != ".png":
        raise RunError(f"{path.name}: the canvas can only be saved as PNG. Choose a name that ends in .png.")
    try:
        comparing.session.viewer.screenshot(str(path), canvas_only=True, flash=False, scale=2)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}). Choose another folder.") from error


def _rows(comparing: CompareController) -> Iterator[ModelRow]:
    for column in comparing.columns:
        training = column.training
        for name in comparing.images:
            cell = comparing.cell(column.label, name)
            if cell is None or cell.dice is None or cell.iou is None:
                continue
            scores = {field.name: getattr(cell, field.name) for field in fields(Scores)}
            yield ModelRow(
                count=training.count, seed=training.seed, preset=training.preset, dataset=2, image=name,
                shown=cell.shown, model=column.label, tag=column.tag, **scores,
            )  # fmt: skip
