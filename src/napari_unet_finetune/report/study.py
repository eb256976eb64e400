"""What a study tells for its report: its scores, its largest training, and its test images."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.annotated_image import AnnotatedImage
from ..data.folders import note_on_accepted
from ..errors import DataError, RunError
from ..evaluation.figures import OverlayRow
from ..evaluation.rows import Row, summarize
from ..events import PartStarted
from ..learning_curve.examples import examples, overlay_row
from ..learning_curve.folder import PLAN, RUNS, StudyFolder
from ..learning_curve.forecast import Forecast, forecast
from ..learning_curve.plan import tests_of, with_images
from ..learning_curve.words import shown_in_words
from .charts import study_charts
from .page import Gallery, render
from .references import References
from .run_record import RunRecord, UsedImage, describe, read_run, readable

# Columns of the comparison: more models would make its pictures too small.
_MOST_COLUMNS = 5


@dataclass(frozen=True, eq=False)
class StudyRecord:
    """A study as far as it is done; `problems` say what could not be found any more."""

    study: StudyFolder
    largest: RunRecord
    tests: tuple[UsedImage, ...]
    gallery: Gallery
    problems: tuple[str, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """The scores of all models that are done."""
        return self.study.rows

    @property
    def page(self) -> str:
        """The report as HTML."""
        ahead, summaries = _forecast(self.rows), summarize(self.rows)
        return render(
            "study.html.jinja",
            study=self.study,
            record=self.largest,
            tests=self.tests,
            notices=self.problems,
            references=References(),
            has_scores=True,
            has_interval=False,
            gallery=self.gallery,
            seen=" ".join(shown_in_words(self.rows)),
            counts=sorted({row.count for row in self.rows} - {0}),
            tested={dataset: len({row.image for row in self.rows if row.dataset == dataset}) for dataset in (1, 2)},
            summaries=summaries,
            has_objects=any(mean.f1 is not None for mean in summaries),
            forecast=ahead,
            charts=list(study_charts(self.rows, ahead, self.study.base_name)),
        )


def is_study(path: Path) -> bool:
    """Tell whether a folder holds a study and not a single run."""
    return (path / PLAN).is_file()


def read_study(path: Path, *, should_stop: Callable[[], bool]) -> Generator[PartStarted, None, StudyRecord]:
    """Read the study in the folder `path`, and its test images unless `should_stop` says yes.

    Raises
    ------
    RunError
        If the folder holds no study, or none of its trainings is done.
    """
    study = StudyFolder(path)
    done = [arm for arm in study.models if any(row.count == arm.count for row in study.rows)]
    if not done:
        raise RunError(f"{path}: no model of this study is trained and tested yet. Run the study first.")
    largest = max(done, key=lambda arm: (arm.count, -arm.seed))
    yield PartStarted("reading the largest training", 1, 2)
    record = read_run(path / RUNS / largest.label)
    yield PartStarted("reading the test images", 2, 2)
    problems: list[str] = [*record.problems, *filter(None, [note_on_accepted(study.plan.test)])]
    tests, overlays = [], {}
    chosen = examples(study.rows, dataset=2)
    for dataset, image in () if should_stop() else _tests(study, problems):
        tests.append(describe(image, "test", {}))
        if dataset == 2 and image.name in chosen:
            overlays[image.name] = Gallery.of([_overlay(study, image)]).rows
    shown = Gallery(tuple(row for name in chosen for row in overlays.get(name, ())))
    return StudyRecord(study, record, tuple(tests), shown, tuple(problems))


def _tests(study: StudyFolder, problems: list[str]) -> Iterator[tuple[int, AnnotatedImage]]:
    """Yield dataset and image of every test image that is still there."""
    try:
        tests = tests_of(with_images(study.plan))
    except DataError as error:
        problems.append(_gone(error))
        return
    for dataset in sorted(tests, reverse=True):
        unread: list[str] = []
        for _, image in readable(tests[dataset].names, tests[dataset], unread):
            yield dataset, image
        problems += unread if len(unread) < len(tests[dataset]) else [_gone(unread[0])]


def _gone(reason: object) -> str:
    return f"The test images are not where they were: {reason}"


def _forecast(rows: Sequence[Row]) -> Forecast | None:
    try:
        return forecast(rows)
    except DataError:
        return None


def _overlay(study: StudyFolder, image: AnnotatedImage) -> OverlayRow:
    """Return a test image of the new dataset and what some models predict in it."""
    counts = sorted({row.count for row in study.rows})
    shown = counts if len(counts) < _MOST_COLUMNS else [*counts[: _MOST_COLUMNS - 2], counts[-1]]
    titles = study.titles
    return overlay_row(study.path, image, {count: titles[count] for count in shown})
