"""Save the labels of a layer as a TIFF file, never over an image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError, FinetuneError
from ...io.writing import write_labels
from ..layers.layers import file_of
from ..layers.stacks import pixel_size
from ..session.session import Session
from ..session.worker import in_background
from .live_prediction import LivePrediction

if TYPE_CHECKING:
    from napari.layers import Labels

_PLANE = 2
_UNSAFE = r'[<>:"/\\|?*\x00-\x1f]+'  # in names of files


def labels_to_save(session: Session, live: LivePrediction | None) -> Labels | None:
    """Return the selected Labels layer, else that of the prediction; None if there is neither."""
    from napari.layers import Labels

    active = session.viewer.layers.selection.active
    if isinstance(active, Labels):
        return active
    return live.output.layer if live is not None and live.output.is_shown else None


def suggested_file(layer: Labels) -> Path:
    """Return a name for the file of a layer."""
    return Path.home() / f"{re.sub(_UNSAFE, '_', layer.name).strip()}.tif"


def save_labels(session: Session, layer: Labels, path: Path) -> None:
    """Save the labels of `layer` with their pixel size in a thread; the user, who has chosen the file, is told of it.

    Frames of time and depth are written one after the other, in order.
    """
    try:
        if path.resolve() in {one.resolve() for one in _inputs(session)}:
            raise DataError(f"{path} is one of the images. Choose another name for the labels.")
    except FinetuneError as error:
        session.fail(error)
        return
    data = layer.data[0] if layer.multiscale else layer.data
    data = data.copy() if type(data) is np.ndarray else data  # somebody may go on painting
    scale, unit = pixel_size(layer)
    frames = int(np.prod(data.shape[:-_PLANE]))

    def write() -> None:
        array: NDArray[Any] = np.asarray(data)
        stacked = array if array.ndim == _PLANE else array.reshape(frames, *array.shape[-_PLANE:])
        write_labels(path, stacked, scale=scale, unit=unit, overwrite=True)

    what = f"{frames} frames of {layer.name}" if frames > 1 else layer.name
    in_background(
        write,
        title=f"Saving {layer.name}",
        on_end=lambda _: session.tell(f"{what} saved as {path}."),
        on_error=session.fail,
    )


def _inputs(session: Session) -> Iterator[Path]:
    """Yield the files of all images that are open or belong to the dataset."""
    from napari.layers import Image

    for layer in session.viewer.layers:
        if isinstance(layer, Image) and (file := file_of(layer)) is not None:
            yield file
    if session.project is not None:
        yield from (image.ref.path for image in session.project.images)
