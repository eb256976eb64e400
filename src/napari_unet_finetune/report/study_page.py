"""The report of a study: how scores grow with the number of images, what was trained, and what it is not worth."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..colors import BLUE, DATASETS, ERRORS, GREY
from ..data.annotated_image import AnnotatedImage
from ..errors import DataError, FinetuneError, RunError
from ..evaluation.areas import FEW_IMAGES
from ..evaluation.figures import OverlayRow, contrast, error_overlay, seed_means
from ..evaluation.rows import Row, Summary, summarize
from ..events import PartStarted
from ..learning_curve.figures import examples, kept_labels
from ..learning_curve.folder import PLAN, RUNS, StudyFolder
from ..learning_curve.forecast import Forecast, forecast
from ..metrics import SURFACE_TOLERANCE_PX, dice
from ..models.provenance import DISTRIBUTION, installed_version
from ..text import count_of, number
from .charts import Line, line_chart
from .methods import References, methods
from .page import Bullets, Chart, Charts, Facts, Gallery, Page, Picture, Section, Table, Text, picture_uri
from .run_page import image_table, today
from .run_record import RunRecord, UsedImage, describe, read_run, readable
from .settings import setting_tables, versions

# Columns of the comparison: more models would make its pictures too small.
_MOST_COLUMNS = 5


def is_study(path: Path) -> bool:
    """Tell whether a folder holds a study and not a single run."""
    return (path / PLAN).is_file()


def study_page(
    path: Path, *, should_stop: Callable[[], bool]
) -> Generator[PartStarted, None, tuple[Page, RunRecord, tuple[UsedImage, ...], tuple[Row, ...]]]:
    """Read the study in the folder `path` and return its page, its largest training, its test images and its rows.

    Raises
    ------
    RunError
        If the folder holds no study, or none of its trainings is done.
    """
    study = StudyFolder(path)
    rows = study.rows
    done = [arm for arm in study.models if any(row.count == arm.count for row in rows)]
    if not done:
        raise RunError(f"{path}: no model of this study is trained and tested yet. Run the study first.")
    largest = max(done, key=lambda arm: (arm.count, -arm.seed))
    yield PartStarted("reading the largest training", 1, 2)
    record = read_run(path / RUNS / largest.label)
    yield PartStarted("reading the test images", 2, 2)
    problems: list[str] = list(record.problems)
    tests, shown, chosen = [], {}, examples(rows, dataset=2)
    for dataset, image in () if should_stop() else _tests(study, problems):
        tests.append(describe(image, "test", {}))
        if dataset == 2 and image.name in chosen:  # the others are let go
            shown[image.name] = image
    ahead = _forecast(rows)
    references = References()
    largest_only = (
        f"This describes the training with the most images ({largest.count}); the others differ in that number."
    )
    paragraphs = (f"{_design(study, rows)} {largest_only}", methods(record, references, scored=True, interval=False))
    found = _Found(study, record, shown, tuple(tests), tuple(problems), ahead)
    page = Page(
        title=f"Learning curve report: {path.resolve().name}",
        subtitle=f"{DISTRIBUTION} {installed_version()} · report of {today()}",
        lead=(_design(study, rows), *((ahead.summary,) if ahead else ())),
        highlights=tuple(_highlights(rows)),
        sections=tuple(_sections(found, paragraphs, references)),
        footer=f"Made by {DISTRIBUTION} {installed_version()} from the study in {path.resolve()}.",
    )
    return page, record, found.tests, rows


def _tests(study: StudyFolder, problems: list[str]) -> Iterator[tuple[int, AnnotatedImage]]:
    """Yield dataset and image of every test image that is still there."""
    try:
        source = study.plan.open()
    except FinetuneError as error:
        problems.append(f"The test images are not where they were: {error}")
        return
    for dataset, folder in sorted(source.tests, reverse=True):
        for _, image in readable(folder.names, folder, problems):
            yield dataset, image


def _forecast(rows: Sequence[Row]) -> Forecast | None:
    try:
        return forecast(rows)
    except DataError:
        return None


def _design(study: StudyFolder, rows: Sequence[Row]) -> str:
    counts = sorted({row.count for row in rows} - {0})
    listed = ", ".join(map(str, counts[:-1])) + (" and " if len(counts) > 1 else "") + str(counts[-1])
    tests = {dataset: len({row.image for row in rows if row.dataset == dataset}) for dataset in (2, 1)}
    seeds = f"{study.plan.seeds} trainings each with different seeds" if study.plan.seeds > 1 else "one training each"
    old = f" and {tests[1]} of the old one" if tests[1] else ""
    return (
        f"A base model was finetuned with the first {listed} images of a new dataset, {seeds}, and tested on "
        f"{count_of(tests[2], 'image')} of it{old}; all models on the same images, which no training saw."
    )


def _highlights(rows: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    for dataset, name in ((2, "new dataset"), (1, "old dataset")):
        means = [mean for mean in summarize(rows) if mean.dataset == dataset]
        if not means:
            continue
        raw = next((mean for mean in means if mean.count == 0), None)
        last = max(means, key=lambda mean: mean.count)
        value = f"{raw.dice:.3f} → {last.dice:.3f}" if raw and raw is not last else f"{last.dice:.3f}"
        yield value, f"mean Dice on the {name}", f"base → {last.count} images"


@dataclass(frozen=True, eq=False)
class _Found:
    """What the page of a study is made of; `shown` are the images of the comparison."""

    study: StudyFolder
    record: RunRecord
    shown: dict[str, AnnotatedImage]
    tests: tuple[UsedImage, ...]
    problems: tuple[str, ...]
    ahead: Forecast | None


def _sections(found: _Found, paragraphs: tuple[str, ...], references: References) -> Iterator[Section]:
    rows, record = found.study.rows, found.record
    yield Section("Learning curve", (_charts(rows, found.ahead), _score_table(summarize(rows))))
    gallery = _gallery(found.study, found.shown)
    if gallery.rows:
        yield Section("Comparison", (gallery,))
    if found.problems:
        yield Section("Notices", (Bullets(found.problems),))
    yield Section("Limits", (Bullets(tuple(_limits(rows, found.study.plan.seeds))),))
    yield Section("Methods", (Text(paragraphs), Bullets(references.items, numbered=True)))
    yield Section("Images", (image_table((*record.images, *found.tests)),))
    yield Section("Versions and device", (Facts(tuple(versions(record))),))
    yield Section("Settings", tuple(setting_tables(record)))


def _charts(rows: Sequence[Row], ahead: Forecast | None) -> Charts:
    lines = []
    for dataset, colour in sorted(DATASETS.items(), reverse=True):
        curve = seed_means([row for row in rows if row.dataset == dataset])
        if not curve.counts:
            continue
        spread = [[dice for dice in seeds if dice == dice] for seeds in curve.by_seed.tolist()]
        points = tuple((float(n), sum(some) / len(some)) for n, some in zip(curve.counts, spread, strict=True))
        band = tuple((float(n), min(some), max(some)) for n, some in zip(curve.counts, spread, strict=True))
        lines.append(Line(("", "old dataset", "new dataset")[dataset], points, colour, dots=True, band=band))
    charts = [
        Chart(
            line_chart(lines, x_label="images used for finetuning (0: base model)", y_label="mean Dice, test images"),
            "Mean over test images and seeds; the band reaches from the lowest to the highest seed.",
        )
    ]
    if ahead is not None and ahead.curve:
        measured = Line("measured", tuple((float(p.count), p.dice) for p in ahead.points), BLUE, dots=True)
        middle = tuple((count, (low + high) / 2) for count, low, high in ahead.curve)
        likely = Line("likely range", middle, GREY, faint=True, band=ahead.curve)
        svg = line_chart([likely, measured], x_label="images used for finetuning", y_label="mean Dice, new dataset")
        charts.append(Chart(svg, "The curve carried on; the range comes from resampled seeds and test images."))
    return Charts(tuple(charts))


def _score_table(means: Sequence[Summary]) -> Table:
    columns = ("dataset", "images", "Dice", "± seeds", "IoU", "surface Dice", "area predicted / true")
    rows = tuple(
        (
            "new" if mean.dataset == 2 else "old",
            "base model" if mean.count == 0 else str(mean.count),
            number(mean.dice),
            number(mean.dice_std),
            number(mean.iou),
            number(mean.surface_dice),
            number(mean.area_ratio, 2),
        )
        for mean in sorted(means, key=lambda mean: (-mean.dataset, mean.count))
    )
    return Table(
        columns,
        rows,
        f"Means over test images, then over seeds. Surface Dice at {SURFACE_TOLERANCE_PX:g} px.",
        text_columns=2,
    )


def _gallery(study: StudyFolder, images: dict[str, AnnotatedImage]) -> Gallery:
    counts = sorted({row.count for row in study.rows})
    shown = counts if len(counts) < _MOST_COLUMNS else [*counts[: _MOST_COLUMNS - 2], counts[-1]]
    rows = []
    for name in examples(study.rows, dataset=2):
        pictures = list(_pictures(study, images[name], shown)) if name in images else []
        if pictures:
            rows.append((name, tuple(pictures)))
    headers = ("image", *("base" if count == 0 else f"{count} images" for count in shown), "ground truth")
    caption = "Test images of the new dataset from the worst to the best Dice of the base model; below, the Dice."
    return Gallery(headers, tuple(rows), caption, tuple(ERRORS.items()))


def _pictures(study: StudyFolder, image: AnnotatedImage, counts: Sequence[int]) -> Iterator[Picture]:
    row = OverlayRow(image.name, image.image, image.target, {}, image.annotated)
    known = slice(None) if image.annotated is None else image.annotated
    yield Picture(picture_uri(contrast(image.image)))
    for count in counts:
        labels = kept_labels(study.path, count, image.name)
        if labels is None or labels.shape != image.shape:
            yield Picture(picture_uri(contrast(image.image)), "not kept")
        else:
            score = dice(labels[known], image.target[known])
            yield Picture(picture_uri(error_overlay(row, labels)), f"{score:.3f}")
    yield Picture(picture_uri(error_overlay(row, image.target)))


def _limits(rows: Sequence[Row], seeds: int) -> Iterator[str]:
    tests = len({row.image for row in rows if row.dataset == 2})
    if seeds == 1:
        yield "One training per number of images: differences of about 0.01 may be those of the seed."
    if tests < FEW_IMAGES:
        yield f"With only {count_of(tests, 'test image')} of the new dataset, others may give other means."
    yield "The subsets are nested and follow one order of the images: another order may give another curve."
    if not any(row.dataset == 1 for row in rows):
        yield "The old dataset was not tested, so what is forgotten is not in these tables."
    for mean in summarize(rows):
        if mean.forgetting and mean.drop is not None:
            yield f"With {mean.count} images the old dataset lost {mean.drop:.3f} Dice."
    yield "A curve carried on is a guess from its past; it holds for images like these only."
