"""Images to a model in a child process and back as probabilities, the same way from every dock."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from ...config import PredictConfig
from ...events import FULL_PROBABILITY, ImagePredicted
from ...io.images import ImageRef
from ...runs.request import PredictRequest
from .jobs import Job, Report
from .session import Session


class FramesJob(Job):
    """A job that predicts images; `predicted` is emitted with each one.

    Its arguments are the number of the image, its probabilities (Y, X) of uint8, the threshold of the model, and how it
    was shown the image, where that is worth a word.
    """

    predicted = Signal(int, object, float, str)

    def on_report(self, report: Report) -> None:
        """Read what was predicted, and tell of it first."""
        event = report.event
        if isinstance(event, ImagePredicted) and self.is_running:
            probabilities = np.load(event.file)
            event.file.unlink()
            self.predicted.emit(event.index, probabilities, event.threshold, event.shown)
        super().on_report(report)


Frames = Callable[[Job], Generator[str, None, Sequence[ImageRef]]]
"""Writes images into the folder of a job, says what it is doing, and returns them."""


def predict_frames(
    session: Session,
    title: str,
    images: Sequence[ImageRef] | Frames,
    *,
    model: str = "",
    config: PredictConfig | None = None,
    ahead: Sequence[ImageRef] = (),
) -> FramesJob:
    """Return a job, not yet started, that predicts `images` in a folder which is removed afterwards.

    Parameters
    ----------
    session, title
        Whose job it is, and what the user reads.
    images
        Files, or frames of files; those that are in no file are written by a generator first.
    model
        File or name; that of the session if empty.
    config
        How to predict; as an image of the dataset if None, see `Session.prediction_by`.
    ahead
        What is likely to be predicted next, and may be begun with as soon as this has ended.
    """
    model = model or session.predictor
    request = PredictRequest(
        checkpoint=model,
        images=() if callable(images) else tuple(images),
        config=config or session.prediction_by(model),
        ahead=tuple(ahead),
    )
    job = FramesJob(session.scratch(), title, request, is_temporary=True)
    if callable(images):

        def prepare() -> Generator[str, None, PredictRequest]:
            written = yield from images(job)
            return request.model_copy(update={"images": tuple(written)})

        job.request = prepare
    return job


def above(probabilities: NDArray[np.uint8], threshold: float) -> NDArray[np.uint8]:
    """Return 1 where a probability is above `threshold`, else 0."""
    return (probabilities > threshold * FULL_PROBABILITY).astype(np.uint8)
