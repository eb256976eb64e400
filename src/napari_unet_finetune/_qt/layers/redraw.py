"""Keep a change of the layers and its drawing apart, so that they do not hold napari up in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtCore import QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication


@contextmanager
def drawn_later() -> Iterator[None]:
    """Draw what changes meanwhile only in the next turn of the event loop.

    To add a Labels layer takes napari up to 0.1 s; whoever paints should not have to wait for the drawing as well.
    """
    canvases = _canvases()
    for canvas in canvases:
        canvas.setUpdatesEnabled(False)
    try:
        yield
    finally:
        for canvas in canvases:
            _enable_soon(canvas)


def _canvases() -> list[QOpenGLWidget]:
    if QApplication.instance() is None:
        return []
    found = (canvas for window in QApplication.topLevelWidgets() for canvas in window.findChildren(QOpenGLWidget))
    return [canvas for canvas in found if canvas.updatesEnabled()]


def _enable_soon(canvas: QOpenGLWidget) -> None:
    timer = QTimer(canvas)  # goes with the canvas, should that be closed first
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: canvas.setUpdatesEnabled(True))
    timer.timeout.connect(timer.deleteLater)
    timer.start(0)
