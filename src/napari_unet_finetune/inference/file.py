"""Predict one image file: an image at once, a stack frame by frame, each kept as soon as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config import PREDICTION_VERSION
from ..data.folders import read_unannotated
from ..errors import DataError, DeviceError, FinetuneError, lacks_memory
from ..events import ImageEnd, TileEnd
from ..io.disk import file_stamp
from ..io.images import ImageHeader, ImageRef, read_headers, write_labels
from ..io.regions.parts import Parts
from ..io.writing import write_label_pages
from ..models.model import weights_hash
from .predict import Prediction, Predictor


@dataclass(frozen=True)
class ImageFile:
    """The images of a file, what its header says of the first, and the file that its labels go to."""

    frames: tuple[ImageRef, ...]
    header: ImageHeader
    target: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.frames[0].path


@dataclass(frozen=True)
class Stopped:
    """A prediction was stopped; `notes` say in sentences what of the file is kept."""

    notes: tuple[str, ...] = ()


_Outcome = Generator[TileEnd, None, ImageEnd | Stopped]


def predict_file(
    file: ImageFile, predictor: Predictor, *, overwrite: bool, should_stop: Callable[[], bool]
) -> _Outcome:
    """Write the labels of a file; yield progress, return what became of it.

    Raises
    ------
    DeviceError
        If the device's memory does not hold a single tile.
    """
    try:
        if file.frames[0].frame is None:
            return (yield from _predict_image(file, predictor, should_stop))
        return (yield from _predict_stack(file, predictor, overwrite, should_stop))
    except DeviceError:
        raise  # no other file would fare better
    except FinetuneError as error:
        return ImageEnd(file.path, error=str(error))
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        return ImageEnd(file.path, error=f"{file.path.name} does not fit in memory. Cut it into smaller images.")


def _predict_image(file: ImageFile, predictor: Predictor, should_stop: Callable[[], bool]) -> _Outcome:
    prediction = yield from predictor.stream(read_unannotated(file.frames[0]), should_stop=should_stop)
    if prediction is None:
        return Stopped()
    write_labels(file.target, prediction.labels, scale=prediction.scale, unit=prediction.unit, overwrite=True)
    return ImageEnd(file.path, labels=file.target, shown=_shown(prediction, predictor))


def _predict_stack(file: ImageFile, predictor: Predictor, overwrite: bool, should_stop: Callable[[], bool]) -> _Outcome:
    """Predict frame by frame; what is finished lies on disk, and only the frame in work in memory."""
    if len({header.size for header in read_headers(file.path)}) > 1:
        raise DataError(f"{file.path.name}: its frames differ in size. Save them as files of their own.")
    parts = Parts.begin(file.target, plan_of(file, predictor), anew=overwrite)
    names = [f"{place:06d}" for place in range(len(file.frames))]
    for ref, name in zip(file.frames, names, strict=True):
        if name in parts:
            continue
        prediction = yield from predictor.stream(read_unannotated(ref), should_stop=should_stop)
        if prediction is None:
            return _stopped(file, parts)
        parts.write(name, prediction.labels, note=_shown(prediction, predictor))
    dtype = np.min_scalar_type(max(int(parts.read(name).max()) for name in names))
    shape = (len(names), *file.header.size)
    pages = (parts.read(name) for name in names)
    write_label_pages(file.target, pages, shape=shape, dtype=dtype, scale=file.header.scale, unit=file.header.unit)
    shown = sorted({parts.note(name) for name in names} - {""})
    parts.remove()
    return ImageEnd(file.path, labels=file.target, shown=", or ".join(shown))


def _stopped(file: ImageFile, parts: Parts) -> Stopped:
    if not len(parts):
        parts.remove()
        return Stopped()
    done = f"{len(parts)} of its {len(file.frames)} frames are finished and kept"
    return Stopped((f"{file.path.name}: {done}. The same prediction goes on with them.",))


def _shown(prediction: Prediction, predictor: Predictor) -> str:
    appearance = prediction.appearance
    return appearance.in_words(predictor.channels) if appearance.inverted else ""


def plan_of(file: ImageFile, predictor: Predictor) -> dict[str, Any]:
    """Return all that the labels of a file depend on, as JSON."""
    how = predictor.config.model_dump(mode="json", exclude={"device", "batch_size", "threshold"})
    card = predictor.model.card.model_dump(mode="json", exclude={"provenance"})
    return {
        "program": PREDICTION_VERSION,
        "image": file.path.name,
        "image file": list(file_stamp(file.path)),
        "model": weights_hash(predictor.model.weights),
        "model card": card,
        "threshold": predictor.threshold,
        "settings": how,
    }
