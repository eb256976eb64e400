"""The two figures of a study, from what it left in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.annotated_image import AnnotatedImage
from ..evaluation.figures import OverlayRow, learning_curve_figure, overlay_figure
from ..evaluation.rows import Row
from ..io.images import list_images, read_image
from .run import Study, StudyPlan, prediction_path

# Rows of the overlay figure: so many of Dataset 2, chosen over the range of scores, and one of Dataset 1.
EXAMPLES = 3


def draw_figures(plan: StudyPlan, out: Path, rows: Sequence[Row], *, curve: Path, overlay: Path) -> list[Path]:
    """Draw the learning curve and the overlay figure of a finished study and return their files.

    The overlays show test images of Dataset 2 on which the raw model is worst, middling and best, and one of
    Dataset 1; predictions are those of the first seed.
    """
    study = Study.open(plan, out)
    chosen = [(2, name) for name in examples(rows, dataset=2)]
    chosen += [(1, name) for name in examples(rows, dataset=1)[:1]]
    pictures = [_overlay_row(study, dataset, name) for dataset, name in chosen]
    return [learning_curve_figure(rows, curve), overlay_figure(pictures, overlay)]


def examples(rows: Sequence[Row], *, dataset: int) -> list[str]:
    """Return names of images from the worst to the best score of the model with the fewest images."""
    fewest, first = min(row.count for row in rows), min(row.seed for row in rows)
    candidates = [row for row in rows if (row.dataset, row.count, row.seed) == (dataset, fewest, first)]
    chosen = sorted(candidates, key=lambda row: row.dice)
    places = np.linspace(0, len(chosen) - 1, min(EXAMPLES, len(chosen))).round().astype(int)
    return [chosen[place].image for place in places]


def _overlay_row(study: Study, dataset: int, name: str) -> OverlayRow:
    image: AnnotatedImage = dict(study.tests)[dataset].only([name])[0]
    predictions = {
        "raw" if count == 0 else f"{count} images": _labels(prediction_path(study.out, count, dataset, name))
        for count in study.plan.counts
    }
    return OverlayRow(f"Dataset {dataset}\n{name}", image.image, image.target, predictions, image.annotated)


def kept_labels(out: Path, count: int, image: str) -> NDArray[np.generic] | None:
    """Return what the model of the first seed predicted in a test image of Dataset 2, None if that is not there."""
    path = prediction_path(out, count, 2, image)
    return _labels(path) if path.is_file() else None


def _labels(path: Path) -> NDArray[np.generic]:
    return read_image(list_images(path).images[0]).array
