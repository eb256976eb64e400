"""Walk through the docks as a user does, from a folder of images to predictions of all, with a picture of each step.

    python tools/walk_through.py --out pictures                                  # generated sample data
    python tools/walk_through.py --data FOLDER --model MODEL --out pictures      # FOLDER/images and FOLDER/masks

Buttons are clicked, the brush is moved with mouse events, and each picture is one of the whole window. The images are
copied first; nothing is written to FOLDER.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QEvent, QEventLoop, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication, QDialog, QTableView, QWidget

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.io.images import list_images, read_image

PLUGIN = "napari-unet-finetune"
ANNOTATED = 5
PATIENCE_S = 900
BRUSH_PX, SPECK_PX, MANY = 7, 30, 25


def main() -> None:
    """Walk."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        data = _data(options, Path(folder))
        options.out.mkdir(parents=True, exist_ok=True)
        walk = Walk(options.out, options.size, options.theme)
        walk.open_folder(data)
        walk.import_masks(data)
        walk.paint(_first_mask(options.data or Path(folder) / "generated" / "dataset2"))
        walk.choose_model(options.model)
        walk.finetune(options.steps)
        walk.compare()
        walk.predict()
        walk.ask()
        walk.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with `images` and `masks`; generated data without it")
    parser.add_argument("--model", default="microtube", help="base model")
    parser.add_argument("--steps", type=int, default=200, help="steps of the finetuning")
    parser.add_argument("--size", default="1280x800", help="size of the window")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    return parser.parse_args()


def _data(options: argparse.Namespace, folder: Path) -> Path:
    """Return a folder with all images, the masks of the first few, and those of the last few for a test."""
    from napari_unet_finetune.data.samples import write_microtube

    source = options.data or write_microtube(folder / "generated")[1]
    data = folder / "cells"
    shutil.copytree(source / "images", data / "images")
    (data / "masks").mkdir()
    masks = sorted((source / "masks").iterdir())
    for mask in (*masks[1:ANNOTATED], *masks[-2:]):  # the first one is painted
        shutil.copy(mask, data / "masks")
    return data


def _first_mask(source: Path) -> np.ndarray[Any, Any]:
    """Return what the user sees in the first image."""
    return read_image(list_images(source / "masks")[0], as_labels=True).array


class Walk:
    """A user at a window."""

    def __init__(self, out: Path, size: str, theme: str) -> None:
        self.out, self.number = out, 0
        self.viewer = napari.Viewer(title="napari", show_welcome_screen=False)
        self.viewer.theme = theme
        self.viewer.window.resize(*map(int, size.split("x")))
        self.dock = self._open_dock("Annotate and finetune")
        self.session = self.dock.session
        self.step("open")

    def step(self, name: str) -> None:
        """Take a picture of the window, once it has come to rest."""
        self.number += 1
        _let(0.4)
        file = self.out / f"{self.number:02d}-{name}.png"
        self.viewer.screenshot(str(file), canvas_only=False, flash=False)
        print(file.name, "|", self.session.message.text, flush=True)

    def open_folder(self, data: Path) -> None:
        """Open the images."""
        self.dock.images.open(data / "images")
        self._wait(lambda: self.session.project is not None)
        _let(1.5)  # thumbnails come one by one
        self.step("images")

    def import_masks(self, data: Path) -> None:
        """Import the masks, after a look at the pairing."""
        self.dock.images.import_masks(data / "masks")
        self._wait(lambda: self._dialog() is not None)
        self.number += 1
        _grab(self._dialog(), self.out / f"{self.number:02d}-pairing-dialog.png")
        dialog = self._dialog()
        self._click(dialog, dialog.button.text())
        self._wait(lambda: len(self.session.project.pairs()) > ANNOTATED)
        _let(0.3)
        if (dialog := self._dialog()) is not None:
            dialog.close()
        self.session.project.set_role(self.session.project.names[-2:], "test")
        self.session.images_changed.emit()
        self.step("masks-imported")

    def paint(self, truth: np.ndarray[Any, Any]) -> None:
        """Paint the mask of the first image, object by object, with the mouse."""
        first = self.session.project.names[0]
        self.dock.images.view.open_requested.emit(first)
        self._wait(lambda: self.session.current == first)
        self.dock.accordion.open(1)
        _let(1.0)
        labels = annotation_of(self.session).layer
        labels.brush_size = BRUSH_PX
        for stroke in _strokes(truth):
            self._drag(labels, stroke)
        self.step("painted")
        self._click(self.dock.annotate, "Save && next ▶")
        self._wait(lambda: self.session.project.image(first).is_annotated)
        self.step("next-image")

    def choose_model(self, model: str) -> None:
        """Choose the base model."""
        self.dock.accordion.open(2)
        self.session.model = model
        _let(0.5)
        self.step("model")

    def finetune(self, steps: int) -> None:
        """Finetune, with a look at it half-way."""
        self.dock.accordion.open(3)
        config = FinetuneConfig(steps=steps, validate_every=max(10, steps // 5))
        self.dock.finetune.settings.set_value(config)
        _let(1.0)
        self.step("settings")
        self._click(self.dock.finetune, "Finetune")
        self._wait(lambda: self._step() >= 1)
        self.step("finetuning-begins")
        self._wait(lambda: self._step() >= 0.7 * steps or not self.session.trainings.is_running)
        self.step("finetuning")
        self._wait(lambda: not self.session.trainings.is_running)
        self._wait(lambda: not self.session.jobs.is_running)
        self.step("finetuned")
        self._dismiss_notifications()

    def _step(self) -> int:
        job = self.session.trainings.job
        return job.progress.step if job is not None else 0

    def compare(self) -> None:
        """Compare base and finetuned model on the test images."""
        dock = self._open_dock("Compare models")
        self.step("compare-choose")
        self._click(dock, "Compare")
        self._wait(lambda: not self.session.jobs.is_running)
        _let(1.0)
        for mode in ("Overlay", "Grid", "Errors"):
            self._click(dock, mode)
            _let(1.0)
            self.step(f"compare-{mode.lower()}")
        print("mean scores |", _first_row(dock.findChild(QTableView)), flush=True)
        self._click(dock, "Overlay")
        self._click(dock, "Clear")

    def predict(self) -> None:
        """Predict the image that is shown, measure its objects, then predict all images of the dataset."""
        dock = self._open_dock("Predict")
        self._click(dock, "Predict")
        self._wait(lambda: not self.session.jobs.is_running)
        _let(1.0)
        self.step("predicted")
        self._click(dock, "Measure")
        _let(1.5)
        if (table := self._dialog()) is not None:
            _grab(table, self.out / f"{self.number:02d}-measured-dialog.png")
            table.close()
        dock.predict.source.set_value("dataset")
        self._click(dock, "Predict")
        _let(0.5)
        self._wait(lambda: not self.session.jobs.is_running)
        self.step("predicted-all")

    def ask(self) -> None:
        """Ask what to annotate next."""
        self._open_dock("Annotate and finetune")
        self.dock.accordion.open(4)
        _let(0.5)
        self._click(self.dock.questions, "What should I annotate next?")
        _let(0.5)
        self._wait(lambda: not self.session.jobs.is_running)
        _let(0.5)
        self.step("questions")
        self.dock.accordion.open(0)
        self.step("suggested")

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()

    def _open_dock(self, title: str) -> Any:
        dock, widget = self.viewer.window.add_plugin_dock_widget(PLUGIN, title, tabify=True)
        dock.show()
        dock.raise_()
        _let(0.6)
        return widget

    def _click(self, inside: QWidget, text: str) -> None:
        buttons = [one for one in inside.findChildren(QAbstractButton) if one.text() == text and one.isVisible()]
        if not buttons:
            texts = sorted({one.text() for one in inside.findChildren(QAbstractButton)})
            sys.exit(f"There is no button '{text}'; there are {texts}")
        if not buttons[0].isEnabled():
            sys.exit(f"The button '{text}' is not enabled: {self.session.message.text}")
        QTest.mouseClick(buttons[0], Qt.MouseButton.LeftButton)

    def _dismiss_notifications(self) -> None:
        """Close what napari shows over the canvas, which otherwise stays until the mouse has been there."""
        for one in QApplication.allWidgets():
            if type(one).__name__ == "NapariQtNotification":
                one.close()

    def _dialog(self) -> QDialog | None:
        windows = QApplication.topLevelWidgets()
        return next((one for one in windows if isinstance(one, QDialog) and one.isVisible()), None)

    def _wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not until():
            _let(0.05)
            if time.monotonic() > end:
                sys.exit(f"Waited in vain; the last message was: {self.session.message.text}")

    def _drag(self, labels: Any, points: list[tuple[float, float]]) -> None:
        """Press, move along `points` (rows, columns) and release the left button on the canvas."""
        canvas = self.viewer.window._qt_viewer.canvas
        places = [self._on_canvas(labels.data_to_world(point)) for point in points]
        native = canvas.native
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

        def send(kind: QEvent.Type, place: QPointF, button: Qt.MouseButton, buttons: Qt.MouseButton) -> None:
            event = QMouseEvent(
                kind, place, QPointF(native.mapToGlobal(place.toPoint())), button, buttons,
                Qt.KeyboardModifier.NoModifier,
            )  # fmt: skip
            QApplication.sendEvent(native, event)

        send(QEvent.Type.MouseMove, places[0], none, none)
        _let(0.03)
        send(QEvent.Type.MouseButtonPress, places[0], left, left)
        for place in places[1:]:
            _let(0.02)  # vispy drops moves that come faster
            send(QEvent.Type.MouseMove, place, none, left)
        _let(0.02)
        send(QEvent.Type.MouseButtonRelease, places[-1], left, none)
        _let(0.02)

    def _on_canvas(self, world: Any) -> QPointF:
        view = self.viewer.window._qt_viewer.canvas.view
        transform = view.transform * view.scene.transform
        column, row = transform.map([world[-1], world[-2], 0, 1])[:2]
        return QPointF(float(column), float(row))


def _strokes(mask: np.ndarray[Any, Any]) -> list[list[tuple[float, float]]]:
    """Return strokes that fill the objects of a mask row by row, as somebody paints them who sees them."""
    from scipy import ndimage

    objects, count = ndimage.label(mask > 0)
    strokes = []
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        if (objects == number).sum() < SPECK_PX or (count > MANY and number % (count // MANY + 1)):
            continue
        rows = np.arange(box[0].start + BRUSH_PX // 2, box[0].stop, BRUSH_PX - 2)
        ends = [np.flatnonzero(objects[row] == number)[[0, -1]] for row in rows if (objects[row] == number).any()]
        points = [(float(row), float(end)) for row, pair in zip(rows, ends, strict=False) for end in pair]
        strokes.append(points or [ndimage.center_of_mass(objects == number)] * 2)
    return strokes


def _first_row(table: QTableView) -> str:
    """Return the columns of a table with what stands first in them."""
    model = table.model()
    titles = (
        model.headerData(column, Qt.Orientation.Horizontal).replace("\n", " ") for column in range(model.columnCount())
    )
    return " | ".join(f"{title}: {model.index(0, column).data()}" for column, title in enumerate(titles))


def _grab(widget: QWidget | None, file: Path) -> None:
    if widget is not None:
        widget.grab().save(str(file))


def _let(seconds: float) -> None:
    """Let the event loop run."""
    loop = QEventLoop()
    QTimer.singleShot(max(1, round(seconds * 1000)), loop.quit)
    loop.exec()


if __name__ == "__main__":
    main()
