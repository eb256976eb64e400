"""Keys for what docks do: on the canvas, and while a dock has the focus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

Actions = Mapping[str, Callable[[], object]]  # by key, called as napari calls it
_QT_NAMES = {"PageDown": "PgDown", "PageUp": "PgUp", "Shift-N": "Shift+N"}


def bind_keys(widget: QWidget, actions: Actions) -> None:
    """Let the keys work while `widget` or a part of it has the focus."""
    for key, act in actions.items():
        shortcut = QShortcut(QKeySequence(_QT_NAMES.get(key, key)), widget)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(act)


class CanvasKeys:
    """Keys on the canvas, until they are released; what they did before they do again then."""

    def __init__(self, viewer: ViewerModel, actions: Actions) -> None:
        from napari.utils.key_bindings import coerce_keybinding

        self._viewer = viewer
        self._before = {key: viewer.keymap.get(coerce_keybinding(key)) for key in actions}
        for key, act in actions.items():
            viewer.bind_key(key, _for_viewer(act), overwrite=True)

    def release(self) -> None:
        """Give the keys back."""
        for key, before in self._before.items():
            self._viewer.bind_key(key, before, overwrite=True)


def _for_viewer(act: Callable[[], object]) -> Callable[[Any], None]:
    def on_key(_viewer: Any) -> None:
        act()

    return on_key
