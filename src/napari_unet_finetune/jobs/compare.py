"""Jobs that compare models: on images, over growing numbers of training images, and in figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..events import Event, Notice, PartStarted, Stream
from ..runs.request import FigureRow, write_result
from ..text import count_of

if TYPE_CHECKING:
    from ..evaluation.figures import OverlayRow
    from ..evaluation.rows import Row
    from ..runs.request import CompareRequest, CurveRequest, FigureRequest
    from ..runs.serve import Control


def compare(folder: Path, request: CompareRequest, control: Control) -> Iterator[Event]:
    """Predict and score every model on every image; the result is a list of `ImageCompared` as JSON.

    What is kept of models and images that are gone or have changed is removed at the end.
    """
    from ..comparison.cache import prune
    from ..comparison.run import Comparison, compare_models
    from ..events import to_json

    comparison = Comparison(request.models, request.images, request.cache, request.pairs, request.config)
    cells = yield from compare_models(comparison, should_stop=control.should_stop)
    prune(request.cache, [cell.labels for cell in cells if cell.labels is not None])
    yield write_result(folder, {"cells": [json.loads(to_json(cell)) for cell in cells]})


def curve(folder: Path, request: CurveRequest, control: Control) -> Iterator[Event]:
    """Train and test models on growing numbers of images in `folder`, which is a study; what is done stays done."""
    from ..evaluation.rows import to_json
    from ..learning_curve.run import ArmEnded, CurvePlan, run_study

    study = Stream(run_study(CurvePlan.of(request), folder, should_stop=control.should_stop))
    for event in study:
        if isinstance(event, ArmEnded):
            yield from _in_words(event.rows)
        elif isinstance(event, PartStarted):
            yield PartStarted(arm_title(event.label), event.index, event.total)
        else:
            yield event
    yield write_result(folder, to_json(study.result))


def figure(folder: Path, request: FigureRequest, _control: Control) -> Iterator[Event]:
    """Draw the figures that are asked for; the result names their files."""
    from ..evaluation.figures import learning_curve_figure, overlay_figure
    from ..learning_curve.folder import StudyFolder

    drawn = []
    if request.out is not None:
        yield PartStarted(request.out.name, 1, 1)
        drawn.append(overlay_figure(list(map(_row, request.rows)), request.out))
    if request.study is not None and request.curve is not None:
        yield PartStarted(request.curve.name, 1, 1)
        drawn.append(learning_curve_figure(StudyFolder(request.study).drawable_rows, request.curve))
    yield write_result(folder, {"figures": [str(path) for path in drawn]})


def arm_title(label: str) -> str:
    """Return what a training is called while it runs: ``05-images-seed-0`` is ``5 images, seed 0``."""
    if not label[:1].isdigit():
        return "Testing the base" if label == "raw" else label
    count, _, _, seed = label.split("-")
    return f"{count_of(int(count), 'image')}, seed {seed}"


def _in_words(rows: tuple[Row, ...]) -> Iterator[Notice]:
    """Say how a model did, unless it was stopped before it was tested."""
    dice = [row.dice for row in rows if row.dataset == 2]
    if dice:
        count = rows[0].count
        model = f"With {count_of(count, 'image')}" if count else "The base"
        yield Notice(f"{model}: Dice {sum(dice) / len(dice):.2f} on {len(dice)} test images.")


def _row(row: FigureRow) -> OverlayRow:
    from ..data.folders import read_mask
    from ..evaluation.figures import OverlayRow
    from ..io.images import ImageRef, read_image

    name, pixels, mask = row.pair.name, read_image(row.pair.image), read_mask(row.pair)
    predictions = {title: read_image(ImageRef(file), as_labels=True).array for title, file in row.predictions}
    sizes = {pixels.array.shape[-2:], mask.labels.shape, *(labels.shape for labels in predictions.values())}
    if len(sizes) > 1:
        raise DataError(f"{name}: its image, mask and predictions differ in size. Compare the models on it again.")
    return OverlayRow(name, pixels.array, mask.labels, predictions, mask.annotated)
