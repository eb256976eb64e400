"""Write the report of a run: one HTML file, and its tables as CSV beside it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from ..data.annotated_image import AnnotatedImage
from ..evaluation.rows import to_csv
from ..events import PartStarted, never
from ..io.disk import check_suffix, write_file
from ..io.tables import csv_text
from ..runs.execute import images_of
from .files import ReportFiles
from .page import render
from .run_page import run_page
from .run_record import Role, RunRecord, UsedImage, describe, read_run
from .scores import Scored, estimation_of, score_models
from .settings import setting_rows
from .study_page import is_study, study_page

REPORT = "report.html"

_IMAGE_COLUMNS = ("image", "role", "state", "sha256", "height_px", "width_px", "channels", "foreground")
_SCORE_COLUMNS = ("image", "role", "model", "dice", "iou", "surface_dice", "area_ratio")
_SETTING_COLUMNS = ("setting", "value", "preset_value", "origin")


def report(
    run: Path,
    out: Path | None = None,
    *,
    tests: Sequence[AnnotatedImage] = (),
    device: str = "auto",
    should_stop: Callable[[], bool] = never,
) -> Generator[PartStarted, None, ReportFiles]:
    """Score the models of the run in the folder `run`, yield each image as it begins, and write the report.

    Of a study, the page is made of the scores that it has kept.

    Parameters
    ----------
    out
        File of the page, by default ``report.html`` in the run folder; the tables lie beside it.
    tests
        Annotated images that took no part in the training.
    should_stop
        Asked before every image; the report is then written with the scores until there.

    Raises
    ------
    RunError
        If the folder holds no run, or one without a model.
    DataError
        If a test image cannot be used, or a file cannot be written or is no HTML file by its name.
    DeviceError
        If the device is absent or its memory does not hold one tile.
    """
    if out is not None:
        check_suffix(out, ".html", ".htm")
    if is_study(run):
        return (yield from _study(run, out or run / REPORT, should_stop))
    record = read_run(run)
    known = [describe(image, "test", {}) for image in tests]
    groups = [(role, images) for role, images in (("test", tests), *_groups(record)) if len(images)]
    scored = yield from score_models(record, groups, device=device, should_stop=should_stop)
    estimation = None
    if scored.roles:
        estimation = estimation_of(scored, scored.roles[0], record)
    page = run_page(record, scored, tuple(known), estimation)
    out = out or run / REPORT
    tables = _tables(record, scored, tuple(known), out)
    write_files({out: render(page), **tables})
    complete = len(scored.rows) and sum(len(images) for _, images in groups) == sum(map(len, scored.counts.values()))
    return ReportFiles(out, tuple(tables), stopped=bool(groups) and not complete)


def _study(path: Path, out: Path, should_stop: Callable[[], bool]) -> Generator[PartStarted, None, ReportFiles]:
    page, record, tests, rows = yield from study_page(path, should_stop=should_stop)
    tables = {
        beside(out, "scores"): to_csv(rows),
        beside(out, "images"): csv_text(_IMAGE_COLUMNS, map(_image_row, (*record.images, *tests))),
        beside(out, "settings"): csv_text(_SETTING_COLUMNS, setting_rows(record)),
    }
    write_files({out: render(page), **tables})
    return ReportFiles(out, tuple(tables), stopped=not tests and should_stop())


def _groups(record: RunRecord) -> list[tuple[Role, Sequence[AnnotatedImage]]]:
    """Return the images of the run that are still there, held-out ones first."""
    there = {image.name for image in record.used if image.state != "missing"}
    if not there:
        return []
    images = images_of(record.request)
    names: dict[Role, tuple[str, ...]] = {
        "held out": record.started.validation_images,
        "training": record.started.train_images,
    }
    return [(role, images.only([name for name in chosen if name in there])) for role, chosen in names.items()]


def _tables(record: RunRecord, scored: Scored, tests: tuple[UsedImage, ...], out: Path) -> dict[Path, str]:
    scores = (
        {
            "image": row.image,
            "role": row.role,
            "model": row.model,
            "dice": row.scores.dice,
            "iou": row.scores.iou,
            "surface_dice": row.scores.surface_dice,
            "area_ratio": row.scores.area_ratio,
        }
        for row in scored.rows
    )
    images = (_image_row(image) for image in (*record.images, *tests))
    return {
        beside(out, "scores"): csv_text(_SCORE_COLUMNS, scores),
        beside(out, "images"): csv_text(_IMAGE_COLUMNS, images),
        beside(out, "settings"): csv_text(_SETTING_COLUMNS, setting_rows(record)),
    }


def _image_row(image: UsedImage) -> dict[str, Any]:
    height, width = image.size or (None, None)
    return {
        "image": image.name,
        "role": image.role,
        "state": image.state,
        "sha256": image.sha256,
        "height_px": height,
        "width_px": width,
        "channels": image.channels,
        "foreground": image.foreground,
    }


def beside(page: Path, part: str) -> Path:
    """Return the CSV file that lies beside the page of a report."""
    return page.with_name(f"{page.stem}-{part}.csv")


def write_files(files: dict[Path, str]) -> None:
    """Write text files, each whole or not at all.

    Raises
    ------
    DataError
        If the disk does not take one.
    """
    for path, text in files.items():
        write_file(path, text)
