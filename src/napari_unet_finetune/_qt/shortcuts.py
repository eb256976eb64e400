"""Keys that go from image to image: on the canvas and in the dock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

from .annotation import Annotation

if TYPE_CHECKING:
    from napari.components import ViewerModel

NEXT, PREVIOUS = ("PageDown", "N"), ("PageUp", "Shift-N")


def bind_shortcuts(widget: QWidget, annotation: Annotation) -> None:
    """Let the keys work while `widget` or a part of it has the focus."""
    for key, go in _bindings(annotation):
        shortcut = QShortcut(QKeySequence(_QT_NAMES.get(key, key)), widget)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(go)


class CanvasKeys:
    """The keys on the canvas, until they are released."""

    def __init__(self, viewer: ViewerModel, annotation: Annotation) -> None:
        self._viewer = viewer
        for key, go in _bindings(annotation):
            viewer.bind_key(key, _for_viewer(go), overwrite=True)

    def release(self) -> None:
        """Give the keys back."""
        for key in (*NEXT, *PREVIOUS):
            self._viewer.bind_key(key, None)


_QT_NAMES = {"PageDown": "PgDown", "PageUp": "PgUp", "Shift-N": "Shift+N"}


def _bindings(annotation: Annotation) -> list[tuple[str, Callable[[], bool]]]:
    return [(key, annotation.next) for key in NEXT] + [(key, annotation.previous) for key in PREVIOUS]


def _for_viewer(go: Callable[[], object]) -> Callable[[Any], None]:
    def on_key(_viewer: Any) -> None:
        go()

    return on_key
