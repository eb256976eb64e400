"""What a user does at a window of napari: looks, clicks, types, answers dialogs and paints, with real events."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QEvent, QEventLoop, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QScrollArea,
    QTableView,
    QWidget,
)

from napari_unet_finetune._qt.session.dock import open_dock

PATIENCE_S = 900
_LOOK_MS = 100
_SPECK_PX, _MANY = 30, 25  # smaller objects, and more of them, are left out
_LEFT = Qt.MouseButton.LeftButton
_CONTROL = Qt.KeyboardModifier.ControlModifier


class User:
    """Somebody at a window of napari with the dock "Annotate and finetune"; what is clicked and typed is counted.

    Parameters
    ----------
    out
        Folder for the pictures.
    size
        Of the window in pixels, such as ``1280x800``.
    theme
        Of napari.
    number
        Of the last picture that is there already.
    """

    def __init__(self, out: Path, size: str, theme: str = "dark", number: int = 0) -> None:
        self.out, self.number, self.clicks, self.scrolls, self.texts = out, number, 0, 0, 0
        self.viewer = napari.Viewer(title="napari", show_welcome_screen=False)
        self.viewer.theme = theme
        self.viewer.window.resize(*map(int, size.split("x")))
        self.dock = self.open_dock("Annotate and finetune")
        self.session = self.dock.session

    def picture(self, name: str) -> None:
        """Take a picture of the window, once it has come to rest, and print what the footer says."""
        self.number += 1
        self.viewer.mouse_over_canvas = False  # the pointer is in a dock: napari draws no brush
        let(0.4)
        file = self.out / f"{self.number:02d}-{name}.png"
        self.viewer.screenshot(str(file), canvas_only=False, flash=False)
        _make_small(file)
        print(file.name, "|", self.session.message.text, flush=True)

    def grab(self, widget: QWidget | None, name: str) -> None:
        """Take a picture of a dialog."""
        if widget is not None:
            file = self.out / f"{self.number:02d}-{name}.png"
            widget.grab().save(str(file))
            _make_small(file)

    def open_dock(self, title: str) -> Any:
        """Show a dock of the plugin and return its widget."""
        widget = open_dock(self.viewer, title)
        let(0.6)
        return widget

    def click(self, inside: QWidget, text: str) -> None:
        """Click the button that says `text`; one that is scrolled away is scrolled to."""
        buttons = [one for one in inside.findChildren(QAbstractButton) if one.text() == text and one.isVisible()]
        if not buttons:
            texts = sorted({one.text() for one in inside.findChildren(QAbstractButton)})
            sys.exit(f"There is no button '{text}'; there are {texts}")
        if not buttons[0].isEnabled():
            sys.exit(f"The button '{text}' is not enabled: {self.session.message.text}")
        self.press(buttons[0])

    def press(self, widget: QWidget, place: QPoint | None = None) -> None:
        """Click a widget in its middle, or at `place`."""
        if widget.visibleRegion().isEmpty():
            self._scroll_to(widget)
        self.clicks += 1
        QTest.mouseClick(widget, _LEFT, pos=widget.rect().center() if place is None else place)

    def open_section(self, title: str) -> None:
        """Click the heading of a section of the dock, unless it is open."""
        if not any(one.text().endswith(title) and one.isChecked() for one in self._buttons()):
            self.press(next(one for one in self._buttons() if one.text().endswith(title)))
            let(0.5)

    def write(self, edit: QWidget, text: str) -> None:
        """Click a box, and type `text` instead of what is in it."""
        self.press(edit)
        QTest.keyClick(edit, Qt.Key.Key_A, _CONTROL)
        QTest.keyClicks(edit, text)
        QTest.keyClick(edit, Qt.Key.Key_Return)
        self.texts += 1
        let(0.2)

    def choose(self, box: QComboBox, text: str) -> None:
        """Choose the first item of a box that begins with `text`."""
        row = next((row for row in range(box.count()) if box.itemText(row).startswith(text)), None)
        if row is None:
            sys.exit(f"There is no '{text}' to choose; there are {[box.itemText(at) for at in range(box.count())]}")
        self.press(box)
        let(0.6)  # the list ignores what comes at once
        view = box.view()
        self.press(view.viewport(), view.visualRect(box.model().index(row, box.modelColumn())).center())
        let(0.2)

    def key(self, key: Qt.Key) -> None:
        """Press a key over the canvas."""
        native = self.viewer.window._qt_viewer.canvas.native
        native.setFocus()
        QTest.keyClick(native, key)
        let(0.3)

    def answer_file_dialog(self, path: Path) -> None:
        """Type `path` into the next dialog that asks for a file or a folder, and accept it."""

        def answer() -> bool:
            dialog = QApplication.activeModalWidget()
            if not isinstance(dialog, QFileDialog):
                return False
            edit, buttons = dialog.findChild(QLineEdit, "fileNameEdit"), dialog.findChild(QDialogButtonBox)
            if edit.text() != str(path):
                edit.selectAll()
                QTest.keyClicks(edit, str(path))
                self.texts += 1
                return False
            if (popup := QApplication.activePopupWidget()) is not None:  # completions, which would take the click
                popup.hide()
                return False
            accept = next(one for one in buttons.buttons() if _accepts(buttons, one))
            if not accept.isEnabled():  # it has not found the folder yet
                return False
            QTest.mouseClick(accept, _LEFT)
            self.clicks += not dialog.isVisible()
            return not dialog.isVisible()

        _as_soon_as(answer)

    def choose_from_menu(self, button: QAbstractButton, text: str) -> None:
        """Choose what says `text` in the menu of a button."""

        def answer() -> bool:
            menu = QApplication.activePopupWidget()
            if not isinstance(menu, QMenu):
                return False
            action = next(one for one in menu.actions() if one.text() == text)
            self.press(menu, menu.actionGeometry(action).center())
            return True

        _as_soon_as(answer)
        self.press(button)

    def dismiss_notifications(self) -> None:
        """Close what napari shows over the canvas, which otherwise stays until the mouse has been there."""
        for one in QApplication.allWidgets():
            if type(one).__name__ == "NapariQtNotification":
                one.close()

    def dialog(self) -> QDialog | None:
        """Return the dialog that is open."""
        windows = QApplication.topLevelWidgets()
        return next((one for one in windows if isinstance(one, QDialog) and one.isVisible()), None)

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait for something to come true."""
        end = time.monotonic() + PATIENCE_S
        while not until():
            let(0.05)
            if time.monotonic() > end:
                sys.exit(f"Waited in vain; the last message was: {self.session.message.text}")

    def wait_for_jobs(self) -> None:
        """Wait until nothing is under way any more."""
        let(0.5)
        self.wait(lambda: not self.session.trainings.is_running and not self.session.jobs.is_running)
        let(0.5)

    def drag(self, labels: Any, points: Sequence[tuple[float, float]]) -> None:
        """Press, move along `points` (rows, columns) and release the left button on the canvas."""
        places = [self._on_canvas(labels.data_to_world(point)) for point in points]
        native = self.viewer.window._qt_viewer.canvas.native
        none = Qt.MouseButton.NoButton
        self.clicks += 1

        def send(kind: QEvent.Type, place: QPointF, button: Qt.MouseButton, buttons: Qt.MouseButton) -> None:
            event = QMouseEvent(
                kind, place, QPointF(native.mapToGlobal(place.toPoint())), button, buttons,
                Qt.KeyboardModifier.NoModifier,
            )  # fmt: skip
            QApplication.sendEvent(native, event)

        send(QEvent.Type.MouseMove, places[0], none, none)
        let(0.03)
        send(QEvent.Type.MouseButtonPress, places[0], _LEFT, _LEFT)
        for place in places[1:]:
            let(0.02)  # vispy drops moves that come faster
            send(QEvent.Type.MouseMove, place, none, _LEFT)
        let(0.02)
        send(QEvent.Type.MouseButtonRelease, places[-1], _LEFT, none)
        let(0.02)

    def _on_canvas(self, world: Any) -> QPointF:
        view = self.viewer.window._qt_viewer.canvas.view
        transform = view.transform * view.scene.transform
        column, row = transform.map([world[-1], world[-2], 0, 1])[:2]
        return QPointF(float(column), float(row))

    def _buttons(self) -> list[QAbstractButton]:
        return [one for one in self.dock.accordion.findChildren(QAbstractButton) if one.isVisible()]

    def _scroll_to(self, widget: QWidget) -> None:
        area = widget.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            self.scrolls += 1
            area.ensureWidgetVisible(widget)
            let(0.2)


def first_row(table: QTableView) -> dict[str, str]:
    """Return what stands first in each column of a table, by the titles of the columns."""
    model = table.model()
    titles = [
        model.headerData(column, Qt.Orientation.Horizontal).replace("\n", " ") for column in range(model.columnCount())
    ]
    return {title: str(model.index(0, column).data()) for column, title in enumerate(titles)}


def strokes(mask: np.ndarray[Any, Any], brush_px: int) -> list[list[tuple[float, float]]]:
    """Return strokes that fill the objects of a mask row by row, as somebody paints them who sees them."""
    from scipy import ndimage

    objects, count = ndimage.label(mask > 0)
    drawn = []
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if (objects == number).sum() < _SPECK_PX or (count > _MANY and number % (count // _MANY + 1)):
            continue
        rows = np.arange(box[0].start + brush_px // 2, box[0].stop, brush_px - 2)
        ends = [np.flatnonzero(objects[row] == number)[[0, -1]] for row in rows if (objects[row] == number).any()]
        points = [(float(row), float(end)) for row, pair in zip(rows, ends, strict=False) for end in pair]
        drawn.append(points or [ndimage.center_of_mass(objects == number)] * 2)
    return drawn


def let(seconds: float) -> None:
    """Let the event loop run."""
    loop = QEventLoop()
    QTimer.singleShot(max(1, round(seconds * 1000)), loop.quit)
    loop.exec()


def _make_small(picture: Path) -> None:
    """Reduce a picture to 256 colors, which takes half the bytes and looks the same."""
    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


def _accepts(buttons: QDialogButtonBox, button: QAbstractButton) -> bool:
    return buttons.buttonRole(button) == QDialogButtonBox.ButtonRole.AcceptRole


def _as_soon_as(answered: Callable[[], bool]) -> None:
    """Try to answer something that is about to open, which keeps everything else waiting."""

    def look() -> None:
        if not answered():
            QTimer.singleShot(_LOOK_MS, look)

    QTimer.singleShot(_LOOK_MS, look)
