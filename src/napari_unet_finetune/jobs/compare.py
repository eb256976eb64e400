"""Jobs that compare models: on images, over growing numbers of training images, and in figures."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from ..events import Event, PartStarted
from ..runs.request import FigureRow

if TYPE_CHECKING:
    from ..evaluation.figures import OverlayRow
    from ..runs.request import CompareRequest, CurveRequest, FigureRequest
    from ..runs.serve import Control


def compare(_folder: Path, request: CompareRequest, control: Control) -> Generator[Event, None, None]:
    """Predict and score every model on every image; what comes of it is in the events.

    What is kept of models and images that are gone or have changed is removed at the end.
    """
    from ..comparison.cache import KeptCells
    from ..comparison.run import compare_models

    cells = yield from compare_models(request, should_stop=control.should_stop)
    KeptCells(request.cache).prune([cell.labels for cell in cells if cell.labels is not None])


def curve(folder: Path, request: CurveRequest, control: Control) -> Generator[Event, None, Path]:
    """Train and test models on growing numbers of images in `folder`, which is a study; what is done stays done."""
    from ..learning_curve.run import run_study

    yield from run_study(request, folder, should_stop=control.should_stop)
    return folder


def figure(_folder: Path, request: FigureRequest, _control: Control) -> Generator[Event, None, None]:
    """Draw the figures into the files that are asked for."""
    from ..evaluation.figures import learning_curve_figure, overlay_figure
    from ..learning_curve.folder import StudyFolder

    if request.out is not None:
        yield PartStarted(request.out.name, 1, 1)
        overlay_figure(list(map(_row, request.rows)), request.out)
    if request.study is not None and request.curve is not None:
        yield PartStarted(request.curve.name, 1, 1)
        study = StudyFolder(request.study)
        learning_curve_figure(study.rows_and_patches, request.curve, study.base_name)


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
