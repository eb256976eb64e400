"""What all docks have in common: one session per viewer, and leaving nothing behind."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QSizePolicy, QWidget

from ..widgets.layout import in_column
from .listener import Listener
from .session import session_of, unwrapped

PLUGIN = "napari-unet-finetune"


def open_dock(viewer: Any, title: str) -> Any:
    """Show the dock called `title` in `viewer` and return its widget; one that is there already is raised."""
    from npe2 import PluginManager

    plugins = PluginManager.instance()
    offered = (one for one in plugins.iter_widgets() if (one.plugin_name, one.display_name) == (PLUGIN, title))
    kind: Any = next(offered).get_callable()
    there = (unwrapped(widget) for widget in viewer.window.dock_widgets.values())
    widget = next((one for one in there if type(one) is kind), None)
    if widget is None:
        widget = kind(viewer)
        name = f"{title} ({plugins.get_manifest(PLUGIN).display_name})"  # the menu's, or that opens another
        viewer.window.add_dock_widget(widget, name=name)
    dock: Any = widget.parent()
    dock.show()
    dock.raise_()
    return widget


MIN_WIDTH_PX = 384
_PLACING_MS = 2_000  # by then a window is laid out around a new dock, even on a busy machine
# napari's style sheet draws no sign of the keyboard's focus; the border takes its room from the padding.
_FOCUS = """
QPushButton:focus, QComboBox:focus, QAbstractSpinBox:focus, QLineEdit:focus, QAbstractItemView:focus, QCheckBox:focus,
QSlider:focus {{ border: 1px solid {color}; }}
QPushButton:focus {{ padding: 3px; }}
"""


class Panel(QWidget, Listener):
    """A part of a dock that hears what happens in the session."""


class Dock(QWidget, Listener):
    """A widget that napari docks.

    It saves unsaved work when its window is closed, and releases its panels when it is taken out of the window. The
    last dock of a viewer ends the session with it.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._viewer = unwrapped(viewer)
        self._is_released = self._has_place = False
        self._window: Callable[[], QObject | None] = lambda: None  # not kept alive by what outlives it
        self._height = _height_of(self._others())
        self._forced: set[int] = set()  # heights below which the docks on top of one another did not let the window be
        self._soon, self._placing = QTimer(self), QTimer(self)
        self._soon.timeout.connect(self._keep_height)
        for timer, wait_ms in ((self._soon, 0), (self._placing, _PLACING_MS)):
            timer.setSingleShot(True)
            timer.setInterval(wait_ms)
        self.setMinimumWidth(MIN_WIDTH_PX)
        self._mark_focus()
        self.listen(self._viewer.events.theme, self._mark_focus)
        # Otherwise napari adds empty room below, and takes it from what should grow.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def fill(self, parts: QWidget, footer: QWidget) -> None:
        """Show `parts` over a footer that stays in sight."""
        self.setLayout(in_column(parts, footer, stretch=parts))

    def _mark_focus(self) -> None:
        """Frame what has the keyboard's focus, in the color of the text."""
        from napari.utils.theme import get_theme

        self.setStyleSheet(_FOCUS.format(color=get_theme(self._viewer.theme).text.as_hex()))

    def event(self, event: QEvent | None) -> bool:
        """Notice being taken out of the window; napari does not close a dock that it removes."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.release()
            elif isinstance(frame := self.parent(), QDockWidget) and (toggled := frame.toggleViewAction()) is not None:
                toggled.toggled.connect(self._on_toggled)
        return bool(super().event(event))

    def on_opened(self, *, is_open: bool) -> None:
        """Do what is to be done when the dock is hidden, and when it is shown again; other tabs do not hide it."""

    def _on_toggled(self, is_open: bool) -> None:
        if not self._is_released:
            self.on_opened(is_open=is_open)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Watch the main window: only now it is among the parents, and of a dock that floats it is not the window."""
        super().showEvent(event)
        top: QObject = self
        while (parent := top.parent()) is not None:
            top = parent
        self._watch(top)
        if not self._has_place:
            self._has_place = True
            self._become_tab()

    def _become_tab(self) -> None:
        """Be a tab beside a dock of ours: napari stacks what its menu opens, and two docks do not fit a laptop.

        Where the user puts it afterwards, it stays.
        """
        own, window = self.parent(), self._window()
        if not isinstance(own, QDockWidget) or not isinstance(window, QMainWindow):
            return
        others = [dock for dock in map(_frame_of, self._others()) if _is_docked(dock, window)]
        if others and own not in window.tabifiedDockWidgets(others[-1]):
            self._forced.add(window.minimumHeight())
            window.tabifyDockWidget(others[-1], own)
            own.raise_()
            self._soon.start()
            self._placing.start()

    def _keep_height(self) -> None:
        """Take back what the window grew by when napari stacked the docks: its lower edge may lie below the screen.

        It can grow, and be allowed to shrink again, only with a later layout. A height that others gave it stays.
        """
        window = self._window()
        if not isinstance(window, QMainWindow) or window.isMaximized() or window.isFullScreen():
            return
        if window.minimumHeight() <= self._height < window.height() and window.height() in self._forced:
            window.resize(window.width(), self._height)
            self._placing.stop()

    def _notice_layout(self, window: QMainWindow, kind: QEvent.Type) -> None:
        """Notice, while a new dock finds its place, how high the window has to be, and that somebody resizes it."""
        self._forced.add(window.minimumHeight())
        if kind == QEvent.Type.LayoutRequest:
            self._soon.start()
        elif kind == QEvent.Type.Resize and window.height() not in (self._height, *self._forced):
            self._placing.stop()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Save what is unsaved when the window is about to close, whether or not it then does."""
        if watched is self._window() and event is not None:
            if event.type() == QEvent.Type.Close:
                self.session.about_to_read_files.emit()
            elif self._placing.isActive() and isinstance(watched, QMainWindow):
                self._notice_layout(watched, event.type())
        return bool(super().eventFilter(watched, event))

    def release(self) -> None:
        """Let go of the session and of the window."""
        if self._is_released:
            return
        self._is_released = True
        self.session.about_to_read_files.emit()
        super().release()
        self._watch(None)
        if not self._others():
            self.session.close()

    def _others(self) -> list[Dock]:
        """Return the other docks that use the session."""
        docks = (unwrapped(dock) for dock in self._viewer.window.dock_widgets.values())
        return [dock for dock in docks if dock is not self and getattr(dock, "session", None) is self.session]

    def _watch(self, window: QObject | None) -> None:
        before = self._window()
        if before is not None:
            before.removeEventFilter(self)
            before.destroyed.disconnect(self.session.end_jobs)
        self._window = (lambda: None) if window is None else weakref.ref(window)
        if window is not None:
            window.installEventFilter(self)
            window.destroyed.connect(self.session.end_jobs)


def _frame_of(dock: Dock) -> QObject | None:
    """Return napari's frame around a dock."""
    frame: QObject | None = dock.parent()
    return frame


def _is_docked(frame: QObject | None, window: QMainWindow) -> TypeGuard[QDockWidget]:
    """Tell whether a dock is in sight, or behind another tab, within `window`."""
    if not isinstance(frame, QDockWidget) or frame.parent() is not window:
        return False
    return not frame.isFloating() and not frame.isHidden()


def _height_of(docks: Sequence[Dock]) -> int:
    """Return the height of the main window that `docks` are in, 0 if there is none."""
    return max((window.height() for dock in docks if isinstance(window := dock.window(), QMainWindow)), default=0)
