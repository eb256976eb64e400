"""Walk through the docks as a user does, from a folder of images to predictions of all, with a picture of each step.

    python tools/walk_through.py --out pictures                                  # generated sample data
    python tools/walk_through.py --data FOLDER --model MODEL --out pictures      # FOLDER/images and FOLDER/masks

Buttons are clicked, the brush is moved with mouse events, and each picture is one of the whole window. The images are
copied first; nothing is written to FOLDER.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hands import User, first_row, let, strokes
from qtpy.QtWidgets import QTableView

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.io.images import list_images, read_image

ANNOTATED = 5
BRUSH_PX = 7


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


class Walk(User):
    """A user at a window."""

    def __init__(self, out: Path, size: str, theme: str) -> None:
        super().__init__(out, size, theme)
        self.picture("open")

    def open_folder(self, data: Path) -> None:
        """Open the images."""
        self.dock.images.open(data / "images")
        self.wait(lambda: self.session.project is not None)
        let(1.5)  # thumbnails come one by one
        self.picture("images")

    def import_masks(self, data: Path) -> None:
        """Import the masks, after a look at the pairing."""
        self.dock.images.import_masks(data / "masks")
        self.wait(lambda: self.dialog() is not None)
        self.number += 1
        self.grab(self.dialog(), "pairing-dialog")
        dialog = self.dialog()
        self.click(dialog, dialog.button.text())
        self.wait(lambda: len(self.session.project.pairs()) > ANNOTATED)
        let(0.3)
        if (dialog := self.dialog()) is not None:
            dialog.close()
        self.session.project.set_role(self.session.project.names[-2:], "test")
        self.session.images_changed.emit()
        self.picture("masks-imported")

    def paint(self, truth: np.ndarray[Any, Any]) -> None:
        """Paint the mask of the first image, object by object, with the mouse."""
        first = self.session.project.names[0]
        self.dock.images.view.open_requested.emit(first)
        self.wait(lambda: self.session.current == first)
        self.dock.accordion.open(1)
        let(1.0)
        labels = annotation_of(self.session).layer
        labels.brush_size = BRUSH_PX
        for stroke in strokes(truth, BRUSH_PX):
            self.drag(labels, stroke)
        self.picture("painted")
        self.click(self.dock.annotate, "Save && next ▶")
        self.wait(lambda: self.session.project.image(first).is_annotated)
        self.picture("next-image")

    def choose_model(self, model: str) -> None:
        """Choose the base model."""
        self.dock.accordion.open(2)
        self.session.model = model
        let(0.5)
        self.picture("model")

    def finetune(self, steps: int) -> None:
        """Finetune, with a look at it half-way."""
        self.dock.accordion.open(3)
        config = FinetuneConfig(steps=steps, validate_every=max(10, steps // 5))
        self.dock.finetune.settings.set_value(config)
        let(1.0)
        self.picture("settings")
        self.click(self.dock.finetune, "Finetune")
        self.wait(lambda: self._step() >= 1)
        self.picture("finetuning-begins")
        self.wait(lambda: self._step() >= 0.7 * steps or not self.session.trainings.is_running)
        self.picture("finetuning")
        self.wait(lambda: not self.session.trainings.is_running)
        self.wait(lambda: not self.session.jobs.is_running)
        self.picture("finetuned")
        self.dismiss_notifications()

    def _step(self) -> int:
        job = self.session.trainings.job
        return job.progress.step if job is not None else 0

    def compare(self) -> None:
        """Compare base and finetuned model on the test images."""
        dock = self.open_dock("Compare models")
        self.picture("compare-choose")
        self.click(dock, "Compare")
        self.wait(lambda: not self.session.jobs.is_running)
        let(1.0)
        for mode in ("Overlay", "Grid", "Errors"):
            self.click(dock, mode)
            let(1.0)
            self.picture(f"compare-{mode.lower()}")
        means = first_row(dock.findChild(QTableView))
        print("mean scores |", " | ".join(": ".join(one) for one in means.items()), flush=True)
        self.click(dock, "Overlay")
        self.click(dock, "Clear")

    def predict(self) -> None:
        """Predict the image that is shown, measure its objects, then predict all images of the dataset."""
        dock = self.open_dock("Predict")
        self.click(dock, "Predict")
        self.wait(lambda: not self.session.jobs.is_running)
        let(1.0)
        self.picture("predicted")
        self.click(dock, "Measure")
        let(1.5)
        if (table := self.dialog()) is not None:
            self.grab(table, "measured-dialog")
            table.close()
        dock.predict.source.set_value("dataset")
        self.click(dock, "Predict")
        let(0.5)
        self.wait(lambda: not self.session.jobs.is_running)
        self.picture("predicted-all")

    def ask(self) -> None:
        """Ask what to annotate next."""
        self.open_dock("Annotate and finetune")
        self.dock.accordion.open(4)
        let(0.5)
        self.click(self.dock.questions, "What should I annotate next?")
        let(0.5)
        self.wait(lambda: not self.session.jobs.is_running)
        let(0.5)
        self.picture("questions")
        self.dock.accordion.open(0)
        self.picture("suggested")

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()


if __name__ == "__main__":
    main()
