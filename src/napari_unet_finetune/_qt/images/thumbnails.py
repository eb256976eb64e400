"""Thumbnails for the table of images, made in the background: at most one image in memory, the last wanted first."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtGui import QImage, QPixmap

from ...errors import FinetuneError
from ...project.project import Project
from ..session.worker import Work

_COLORS = 3
_PERCENTILES = (0.5, 99.5)


def thumbnail(array: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """Return ``(Y, X)`` or ``(Y, X, 3)`` of at most `size` pixels a side, from ``(Y, X)`` or ``(C, Y, X)``.

    Of an image with two or more than three channels the first is shown.
    """
    step = max(1, -(-max(array.shape[-2:]) // size))
    small = array[..., step // 2 :: step, step // 2 :: step]
    if 0 in small.shape:  # a side shorter than half a step
        small = array[..., ::step, ::step]
    plane = small if small.ndim == 2 else np.moveaxis(small, 0, -1) if len(small) == _COLORS else small[0]
    low, high = np.percentile(plane.astype(np.float32), _PERCENTILES)
    stretched = (plane - np.float32(low)) * np.float32(255 / max(high - low, 1e-9))
    return np.ascontiguousarray(np.clip(stretched, 0, 255).astype(np.uint8))


THUMBNAIL_PX = 32


class ThumbnailLoader:
    """Makes thumbnails of the images of one dataset and keeps them; only these small pictures stay in memory."""

    ready = Signal(str)  # the name of the image

    def __init__(self, project: Project) -> None:
        self._project = project
        self._pictures: dict[str, QPixmap | None] = {}
        self._wanted: list[str] = []
        self._is_closed = False
        self._work: Work[None] | None = None

    def get(self, name: str) -> QPixmap | None:
        """Return the thumbnail of an image; if it is not there yet, None, and `ready` is emitted when it is."""
        if name not in self._pictures and not self._is_closed:
            self._pictures[name] = None
            self._wanted.append(name)
            if self._work is None:
                self._start()
        return self._pictures.get(name)

    def close(self) -> None:
        """Make no more thumbnails; the one that is being made is the last."""
        self._is_closed = True
        self._wanted.clear()

    @property
    def is_running(self) -> bool:
        """Tell whether images are being read."""
        return self._work is not None

    def _start(self) -> None:
        self._work = Work(
            self._make,
            title="Making thumbnails",
            on_event=self._on_made,
            on_end=lambda _none: self._on_end(),
            on_error=self._on_error,
            on_abort=self._on_end,
        )

    def _make(self) -> Generator[tuple[str, NDArray[np.uint8] | None], None, None]:
        while self._wanted:
            name = self._wanted.pop()
            try:
                array = self._project.sampled_image(name, THUMBNAIL_PX)
            except FinetuneError:  # said when the image is opened
                continue
            yield name, thumbnail(array, THUMBNAIL_PX)

    def _on_made(self, made: tuple[str, NDArray[np.uint8]]) -> None:
        name, picture = made
        if self._is_closed:
            return
        self._pictures[name] = _pixmap(picture)
        self.ready.emit(name)

    def _on_end(self) -> None:
        self._work = None
        if self._wanted and not self._is_closed:
            self._start()

    def _on_error(self, error: Exception) -> None:
        self._on_end()
        raise error


def _pixmap(picture: NDArray[np.uint8]) -> QPixmap:
    height, width = picture.shape[:2]
    kind = QImage.Format.Format_Grayscale8 if picture.ndim == 2 else QImage.Format.Format_RGB888
    content = picture.tobytes()
    return QPixmap.fromImage(QImage(content, width, height, len(content) // height, kind).copy())
