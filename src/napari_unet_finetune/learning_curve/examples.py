"""Example images of a study, from what it left in its folder, and the figures drawn of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.annotated_image import AnnotatedImage
from ..evaluation.figures import OverlayRow, evenly, learning_curve_figure, overlay_figure
from ..evaluation.rows import Row
from ..io.images import list_images, read_image
from .folder import StudyFolder, prediction_path
from .plan import tests_of, with_images

# Rows of the overlay figure: so many of Dataset 2, chosen over the range of scores, and one of Dataset 1.
EXAMPLES = 3


def draw_figures(study: StudyFolder, *, curve: Path, overlay: Path) -> list[Path]:
    """Draw the learning curve and the overlay figure of a finished study and return their files.

    The overlays show test images of Dataset 2 on which the base is worst, middling and best, and one of
    Dataset 1; predictions are those of the first seed.
    """
    tests, rows = tests_of(with_images(study.plan)), study.rows
    chosen = [(2, name) for name in examples(rows, dataset=2)]
    chosen += [(1, name) for name in examples(rows, dataset=1)[:1]]
    titles = study.titles
    pictures = [
        overlay_row(study.path, tests[dataset].only([name])[0], titles, dataset=dataset,
                    name=f"Dataset {dataset}\n{name}")
        for dataset, name in chosen
    ]  # fmt: skip
    return [learning_curve_figure(rows, curve, study.base_name), overlay_figure(pictures, overlay)]


def examples(rows: Sequence[Row], *, dataset: int) -> list[str]:
    """Return names of images from the worst to the best score of the model with the fewest images."""
    fewest, first = min(row.count for row in rows), min(row.seed for row in rows)
    candidates = [row for row in rows if (row.dataset, row.count, row.seed) == (dataset, fewest, first)]
    chosen = sorted(candidates, key=lambda row: row.dice)
    return [row.image for row in evenly(chosen, EXAMPLES)]


def overlay_row(
    out: Path, image: AnnotatedImage, titles: Mapping[int, str], *, dataset: int = 2, name: str = ""
) -> OverlayRow:
    """Return what models predict in a test image: those of the first seed and the numbers of images in `titles`."""
    files = {title: prediction_path(out, count, dataset, image.name) for count, title in titles.items()}
    predictions = {title: _labels(file) if file.is_file() else None for title, file in files.items()}
    return OverlayRow.of(name or image.name, image, predictions)


def _labels(path: Path) -> NDArray[np.generic]:
    return read_image(list_images(path).images[0]).array
