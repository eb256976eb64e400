"""Predictions on demand: the last model and what it saw are kept, for a process that is asked again."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.folders import read_unannotated
from ..errors import DataError, FinetuneError, RunError
from ..events import FULL_PROBABILITY, Event, ImagePredicted, TileEnd, drain
from ..io.disk import file_hash, write_file
from ..io.pixels import sha256_of
from ..models.card import find_named_model

if TYPE_CHECKING:
    from ..data.annotated_image import AnnotatedImage
    from ..inference.predict import Predictor
    from ..runs.request import PredictRequest
    from ..runs.serve import Control

PROBABILITIES = "probabilities"
KEPT_BYTES = 64 << 20


class Seen(NamedTuple):
    """What the model sees in an image, 255 standing for 1, and how the image was shown to it, if that needs a word."""

    probabilities: NDArray[np.uint8]
    shown: str


class Predictions:
    """Predicts images; keeps the last model, and of what it saw at most `KEPT_BYTES`.

    What is kept is known by its content: an answer is never that of a model or image that was there before.
    """

    def __init__(self) -> None:
        self._ready: tuple[tuple[str, str], Predictor] | None = None
        self._seen: dict[str, Seen] = {}
        self._ahead: PredictRequest | None = None

    def predict(self, folder: Path, request: PredictRequest, control: Control) -> Generator[Event, None, None]:
        """Write the probabilities of each image into a file; yield progress."""
        from ..device import free_memory

        self._ahead = None
        predictor = self._made_ready(request)
        for index, image in enumerate(request.images):
            seen = yield from self._look(predictor, read_unannotated(image), control.should_stop)
            if seen is None:
                return
            file = folder / PROBABILITIES / f"{index:05d}.npy"
            write_array(file, seen.probabilities)
            count = len(request.images)
            yield ImagePredicted(index, count, image.name, file, predictor.threshold, seen.shown)
        self._ahead = request
        free_memory(predictor.device)

    def look_ahead(self, next_job: Callable[[], Path | None]) -> None:
        """Look at what is likely to be asked for next, until there is a job about something else.

        Of an error hears whoever asks for that image.
        """
        request, self._ahead = self._ahead, None
        if request is None:
            return
        with suppress(FinetuneError):
            for image in request.ahead:
                is_unwanted = _Unwanted(request.model_copy(update={"images": (image,)}), next_job)
                drain(self._look(self._made_ready(request), read_unannotated(image), is_unwanted))

    def _made_ready(self, request: PredictRequest) -> Predictor:
        """Return the model made ready, anew unless file and settings are those of the last time."""
        from ..inference.predict import Predictor

        made_of = (_hash_of(request.checkpoint), request.config.model_dump_json())
        if self._ready is None or self._ready[0] != made_of:
            self._ready, self._seen = None, {}  # memory for one is enough
            self._ready = (made_of, Predictor.of(request.checkpoint, request.config))
        return self._ready[1]

    def _look(
        self, predictor: Predictor, image: AnnotatedImage, should_stop: Callable[[], bool]
    ) -> Generator[TileEnd, None, Seen | None]:
        """Return what the model sees; None if it is stopped before."""
        key = sha256_of(image.image)
        if key not in self._seen:
            prediction = yield from predictor.stream(image, should_stop=should_stop)
            if prediction is None:
                return None
            probabilities = np.rint(prediction.probabilities * FULL_PROBABILITY).astype(np.uint8)
            self._keep(key, Seen(probabilities, prediction.told))
        return self._seen[key]

    def _keep(self, key: str, seen: Seen) -> None:
        """Keep what was seen last, and as much of what was seen before as there is room for."""
        self._seen[key] = seen
        while len(self._seen) > 1 and sum(one.probabilities.nbytes for one in self._seen.values()) > KEPT_BYTES:
            del self._seen[next(iter(self._seen))]


class _Unwanted:
    """Tells whether a job waits that is about something else than `request`."""

    def __init__(self, request: PredictRequest, next_job: Callable[[], Path | None]) -> None:
        self._request, self._next_job = request, next_job
        self._found: bool | None = None  # once there is a job

    def __call__(self) -> bool:
        folder = self._next_job() if self._found is None else None
        if folder is not None:
            self._found = not self._is_asked_for(folder)
        return bool(self._found)

    def _is_asked_for(self, folder: Path) -> bool:
        from ..runs.request import read_request

        try:
            asked = read_request(folder)
        except RunError:
            return False
        return bool(asked.model_copy(update={"ahead": self._request.ahead}) == self._request)


PREDICTIONS = Predictions()
"""Those of this process."""


def write_array(file: Path, array: NDArray[Any]) -> None:
    """Write an array, all or nothing.

    Raises
    ------
    RunError
        If the disk does not take it.
    """
    write_file(file, lambda stream: np.save(stream, array), error=RunError)


def _hash_of(model: str) -> str:
    """Return the hash of a model's file; of one that cannot be read none, which whoever loads it will tell."""
    try:
        return file_hash(find_named_model(model))
    except DataError:
        return ""
