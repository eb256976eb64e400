"""Write the report of a run: one HTML file, and its tables as CSV beside it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from pathlib import Path

from ..data.annotated_image import AnnotatedImage
from ..data.folders import AnnotatedFolder, note_on_accepted
from ..evaluation.rows import columns_of, to_csv
from ..events import PartStarted, as_run, never
from ..io.disk import check_suffix, write_file
from ..io.tables import csv_text
from ..runs.execute import images_of
from .charts import threshold_charts, training_charts
from .files import ReportFiles
from .page import Gallery, render
from .references import References
from .run_record import RunRecord, RunRole, UsedImage, describe, read_run
from .scores import RoleRow, Scored, estimation_of, overlays, score_models
from .study import is_study, read_study

REPORT = "report.html"

_IMAGE_COLUMNS = ("image", "role", "state", "sha256", "height_px", "width_px", "channels", "foreground")
_NOT_OF_ONE_RUN = {"count", "seed", "preset", "dataset"}
_SCORE_COLUMNS = tuple(name for name in columns_of(RoleRow) if name not in _NOT_OF_ONE_RUN)
_SETTING_COLUMNS = ("setting", "value", "preset_value", "origin")


@as_run
def report(
    run: Path | str,
    out: Path | str | None = None,
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
    run = Path(run)
    out = run / REPORT if out is None else Path(out)
    check_suffix(out, ".html", ".htm")
    if is_study(run):
        return (yield from _study(run, out, should_stop))
    record = read_run(run)
    used = tuple(describe(image, "test", {}) for image in tests)
    groups = [(role, images) for role, images in (("test", tests), *_groups(record)) if len(images)]
    scored = yield from score_models(record, groups, device=device, should_stop=should_stop)
    scores = csv_text(_SCORE_COLUMNS, (row.values for row in scored.rows))
    about_tests = note_on_accepted(tests.pairing.pairs) if isinstance(tests, AnnotatedFolder) else ""
    tables = _write(out, _run_page(record, scored, used, about_tests), record, used, scores)
    complete = len(scored.rows) and sum(len(images) for _, images in groups) == sum(map(len, scored.counts.values()))
    return ReportFiles(out, tables, stopped=bool(groups) and not complete)


def _run_page(record: RunRecord, scored: Scored, tests: tuple[UsedImage, ...], about_tests: str) -> str:
    estimation = estimation_of(scored, record)
    return render(
        "run.html.jinja",
        record=record,
        tests=tests,
        notices=tuple(filter(None, (*record.problems, about_tests, *record.notices))),
        references=References(),
        scored=scored,
        has_scores=bool(scored.rows),
        has_objects=any(scored.objects(role) for role in scored.roles),
        has_interval=True,
        gallery=Gallery.of(overlays(scored)),
        estimation=estimation,
        threshold_charts=list(threshold_charts(estimation)) if estimation else [],
        training_charts=list(training_charts(record)),
    )


def _study(path: Path, out: Path, should_stop: Callable[[], bool]) -> Generator[PartStarted, None, ReportFiles]:
    record = yield from read_study(path, should_stop=should_stop)
    tables = _write(out, record.page, record.largest, record.tests, to_csv(record.study.named_rows))
    return ReportFiles(out, tables, stopped=not record.tests and should_stop())


def _write(out: Path, page: str, record: RunRecord, tests: tuple[UsedImage, ...], scores: str) -> tuple[Path, ...]:
    """Write the page and its tables, each whole or not at all, and return the files of the tables."""
    tables = {
        "scores": scores,
        "images": csv_text(_IMAGE_COLUMNS, (image.row for image in (*record.images, *tests))),
        "settings": csv_text(_SETTING_COLUMNS, map(asdict, record.settings)),
    }
    files = {out.with_name(f"{out.stem}-{part}.csv"): text for part, text in tables.items()}
    for file, text in {out: page, **files}.items():
        write_file(file, text)
    return tuple(files)


def _groups(record: RunRecord) -> list[tuple[RunRole, Sequence[AnnotatedImage]]]:
    """Return the images of the run that are still there, held-out ones first."""
    there = {image.name for image in record.used if image.state != "missing"}
    if not there:
        return []
    images = images_of(record.request)
    names: dict[RunRole, tuple[str, ...]] = {
        "held out": record.started.validation_images,
        "training": record.started.train_images,
    }
    return [(role, images.only([name for name in chosen if name in there])) for role, chosen in names.items()]
