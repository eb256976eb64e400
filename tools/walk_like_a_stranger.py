"""Walk the whole way of a user, with napari closed and opened in between, and compare all numbers of the model.

    python tools/walk_like_a_stranger.py --out pictures                            # generated data
    python tools/walk_like_a_stranger.py --data PAIR --kind single-cells --out pictures

A base is trained on the command line and loaded. Six masks are imported, a first model is finetuned, two of its
predictions are corrected or accepted, and a second one is finetuned. napari is closed and opened again: models are
compared, all images predicted, one measured, and reports written. PAIR holds `dataset1` and `dataset2`, each with
`images` and `masks`; it is only read.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from hands import User, first_row, let, strokes
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QTableView
from stranger_data import KINDS, make_data

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.finetune.outcome_box import OutcomeBox
from napari_unet_finetune.io.images import list_images, read_image

IMPORTED, PREDICTED = 6, 2
BRUSH_PX, MOST_STROKES = 5, 6
NOTES = "notes.json"  # what is told to the process that goes on


def main() -> None:
    """Walk, or go on where a walk was left."""
    options = _options()
    if options.go_on is not None:
        _go_on(options, options.go_on)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _begin(options, Path(folder).resolve())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="PAIR", help="folder with `dataset1` and `dataset2`")
    parser.add_argument("--kind", default="whole", choices=KINDS, help="what is made of the images")
    parser.add_argument("--steps", type=int, default=40, help="steps of each training")
    parser.add_argument("--size", default="1280x800", help="size of the window")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--continue", dest="go_on", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _begin(options: argparse.Namespace, folder: Path) -> None:
    """Do everything until napari is closed, and have another process go on."""
    old, new = make_data(options.kind, options.data, folder)
    truth = folder / "truth"
    (new / "masks").rename(truth)
    (new / "masks").mkdir()
    for mask in sorted(truth.iterdir())[PREDICTED : PREDICTED + IMPORTED]:
        shutil.copy(mask, new / "masks")
    channel = ["--channel", "0"] if options.kind == "two-channels" else []
    _command("train", "--images", old / "images", "--masks", old / "masks", "--out", folder / "base",
             "--steps", options.steps, *channel)  # fmt: skip
    base = folder / "base" / "model.safetensors"
    environment = os.environ | {"NAPARI_CONFIG": str(folder / "settings" / "napari.yaml")}
    notes = {"folder": str(folder), "old": str(old), "new": str(new), "base": str(base), "truth": str(truth)}
    for part in ("", "again"):
        (folder / NOTES).write_text(json.dumps(notes | {"part": part}), encoding="utf-8")
        done = subprocess.run([sys.executable, *sys.argv, "--continue", folder], env=environment, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))


def _go_on(options: argparse.Namespace, folder: Path) -> None:
    notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    if notes["part"] != "again":
        FirstDay(options, notes).walk()
        return
    day = SecondDay(options, notes)
    day.walk()
    day.numbers.print()
    sys.exit(day.numbers.problem)


def _command(*words: object) -> dict[str, Any]:
    """Run a command of the program and return what it prints as JSON."""
    command = [sys.executable, "-m", "napari_unet_finetune", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"unet-finetune {words[0]} failed: {done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Numbers:
    """What is shown of each fact, place by place, as it is shown."""

    def __init__(self, known: dict[str, dict[str, str]] | None = None) -> None:
        self.shown: dict[str, dict[str, str]] = known or {}

    def note(self, place: str, text: str | None = None, **facts: str | float | None) -> None:
        """Note what `place` shows, a score with three digits; `text` is a sentence in which the scores stand."""
        if text is not None:
            facts |= _in_outcome(text)
        for fact, value in facts.items():
            if value is not None:
                shown = value if isinstance(value, str) else f"{value:.3f}"
                self.shown.setdefault(fact, {})[place] = shown

    @property
    def problem(self) -> str | None:
        """Which facts are not the same everywhere; None if all are."""
        wrong = [f"{fact}: {places}" for fact, places in self.shown.items() if len(set(places.values())) > 1]
        return "Numbers contradict each other:\n" + "\n".join(wrong) if wrong else None

    def print(self) -> None:
        """Print all that was noted."""
        for fact, places in self.shown.items():
            for place, shown in places.items():
                print(f"{fact} | {shown} | {place}", flush=True)


_OUTCOMES = {
    ("base, held out", "finetuned, held out"): r"Dice (0\.\d+) → (0\.\d+) on \d+ held-out",
    ("base, old images", "finetuned, old images"): r"Old images: (0\.\d+) → (0\.\d+)",
}


def _in_outcome(text: str) -> dict[str, str | float | None]:
    found = ((facts, re.search(pattern, text)) for facts, pattern in _OUTCOMES.items())
    return {fact: match[at] for facts, match in found if match for at, fact in enumerate(facts, start=1)}


_ROWS = {
    "base, held out": r"(0\.\d+) by its parent",
    "finetuned, held out": r"(0\.\d+) on (?:\d+ )?held-out",
    "base, old images": r"(0\.\d+) on old images before",
    "finetuned, old images": r"(0\.\d+) on old images after",
}


class Day(User):
    """A user at the window, who knows where the files lie."""

    def __init__(self, options: argparse.Namespace, notes: dict[str, Any]) -> None:
        super().__init__(options.out, options.size, number=notes.get("pictures", 0))
        self.clicks, self.scrolls, self.texts = notes.get("counted", (0, 0, 0))
        self.options, self.notes = options, notes
        self.numbers = Numbers(notes.get("numbers"))
        self.old, self.new, self.base, self.truth = (Path(notes[key]) for key in ("old", "new", "base", "truth"))
        self._since = self.clicks

    def leave(self, step: str) -> None:
        """Take a picture at the end of a step, and print how many clicks it took."""
        self.picture(step)
        print(f"clicks, {step} | {self.clicks - self._since}", flush=True)
        self._since = self.clicks

    def open_images(self) -> None:
        """Open the folder of images, by its button."""
        self.answer_file_dialog(self.new / "images")
        self.click(self.dock, "Open folder…")
        self.wait(lambda: self.session.project is not None and self.session.current is not None)
        let(1.5)  # thumbnails come one by one

    def note_outcome(self, place: str) -> None:
        """Note what the outcome says, and the card of the model."""
        self.open_section("4  Finetune")
        self.numbers.note(f"outcome {place}", self.dock.findChild(OutcomeBox).message.text)
        self.open_section("3  Model")
        panel = self.dock.model
        rows = re.sub(r"<[^>]*>", " ", panel.card.label.text() + panel.card.details.text())
        scores = {fact: match[1] for fact, pattern in _ROWS.items() if (match := re.search(pattern, rows))}
        threshold, listed = re.search(r"Threshold\s+([\d.]+)", rows), re.search(r"Dice (0\.\d+)", _chosen(panel))
        self.numbers.note(f"card {place}", **scores, threshold=f"{float(threshold[1]):.2f}" if threshold else None)
        self.numbers.note(f"list of models {place}", **{"finetuned, held out": listed and listed[1]})
        self.numbers.note(f"card {place}", name=re.search(r"Model\s+(.*?)\s{2,}", rows)[1])
        self.numbers.note(f"list of models {place}", name=name_of(panel))


def name_of(panel: Any) -> str:
    """Return what the model that predicts is called."""
    return _chosen(panel).split(" · ")[0]


def _chosen(panel: Any) -> str:
    return str(panel.predictor.currentText())


class FirstDay(Day):
    """From a folder of images to a model."""

    def walk(self) -> None:
        """Do everything until napari is closed."""
        self.open_images()
        self.leave("images")
        self.load_base()
        self.import_masks()
        self.finetune("first")
        self.correct()
        self.accept()
        self.finetune("second")
        self.note_outcome("on the first day")
        self.numbers.note("footer", self.session.message.text)
        self.leave("card")
        counted = self.clicks, self.scrolls, self.texts
        self.viewer.close()
        left = {"pictures": self.number, "counted": counted, "numbers": self.numbers.shown}
        (Path(self.notes["folder"]) / NOTES).write_text(json.dumps(self.notes | left), encoding="utf-8")

    def load_base(self) -> None:
        """Load the base by its button."""
        self.open_section("3  Model")
        self.answer_file_dialog(self.base)
        self.click(self.dock.model, "Load…")
        self.wait(lambda: Path(self.session.model) == self.base)
        self.leave("base-loaded")

    def import_masks(self) -> None:
        """Import the masks beside the images."""
        self.open_section("1  Images")
        self.click(self.dock.images, "Import masks…")
        self.wait(lambda: self.dialog() is not None)
        dialog = self.dialog()
        self.grab(dialog, "pairing-dialog")
        self.click(dialog, dialog.button.text())
        self.wait(lambda: len(self.session.project.pairs()) == IMPORTED)
        let(0.5)
        if (dialog := self.dialog()) is not None:
            self.press(dialog.buttons.buttons()[0])
        self.leave("masks-imported")

    def finetune(self, which: str) -> None:
        """Set what a stranger sets, and finetune."""
        self.open_section("4  Finetune")
        panel = self.dock.finetune
        if which == "first":
            self.write(panel.settings.essential.boxes["steps"].box, str(self.options.steps))
            self.press(panel.settings.fold.toggleButton())
            let(0.3)
            for box, part in ((panel.old.images, "images"), (panel.old.masks, "masks")):
                self.write(box.edit, str(self.old / part))
            self.leave("settings")
        let(1.0)
        if panel.config.steps != self.options.steps:
            sys.exit(f"{self.options.steps} steps were typed, but there would be {panel.config.steps}.")
        self.click(panel, "Finetune")
        self.wait(lambda: self.session.trainings.is_running)
        self.wait_for_jobs()
        self.dismiss_notifications()
        self.leave(f"finetuned-{which}")

    def predict_this(self, number: int) -> Any:
        """Go to an image, start from what the model finds in it, and return the layer."""
        self.open_section("1  Images")
        view = self.dock.images.view
        place = view.visualRect(view.filter.index(number, 0)).center()
        self.press(view.viewport(), place)
        _double_click(view, place)
        name = self.session.project.names[number]
        self.wait(lambda: self.session.current == name)
        self.open_section("2  Annotate")
        self.click(self.dock.annotate, "Start from prediction")
        self.wait_for_jobs()
        return annotation_of(self.session).layer

    def correct(self) -> None:
        """Start from a prediction, and paint what it misses."""
        labels = self.predict_this(0)
        self.leave("predicted")
        self.paint_missing(labels, 0)
        self.leave("corrected")

    def accept(self) -> None:
        """Start from a prediction and accept it with the key; where nothing is found, paint."""
        labels = self.predict_this(1)
        if np.any(labels.data):
            image = self.session.project.names[1]
            self.key(Qt.Key.Key_A)
            self.wait(lambda: not self.session.project.image(image).is_predicted)
        else:
            self.paint_missing(labels, 1)
        self.leave("accepted")

    def paint_missing(self, labels: Any, number: int) -> None:
        """Paint some objects that are not painted, or go over one again."""
        truth = read_image(list_images(self.truth)[number], as_labels=True).array > 0
        missing = truth & (np.asarray(labels.data) == 0)
        labels.brush_size = BRUSH_PX
        for stroke in (strokes(missing, BRUSH_PX) or strokes(truth, BRUSH_PX))[:MOST_STROKES]:
            self.drag(labels, stroke)
        self.wait(lambda: annotation_of(self.session).unsaved is None)
        self.wait(lambda: self.session.project.images[number].is_annotated)


def _double_click(view: Any, place: QPoint) -> None:
    from qtpy.QtTest import QTest

    QTest.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    let(0.3)


class SecondDay(Day):
    """What one does with the model after napari was opened again."""

    def walk(self) -> None:
        """Do everything that comes after."""
        self.open_images()
        self.leave("opened-again")
        self.look_whether_all_is_kept()
        self.note_outcome("on the second day")
        self.leave("card-again")
        self.run = self.session.history.training.folder.path
        self.compare()
        self.predict_all()
        self.measure()
        self.report()
        self.evaluate()
        print(f"clicks in all | {self.clicks}, {self.scrolls} scrolled, {self.texts} texts typed", flush=True)
        self.viewer.close()

    def look_whether_all_is_kept(self) -> None:
        """Leave if base, settings or old images are not as they were left."""
        panel = self.dock.finetune
        kept = Path(self.session.model), panel.config.steps, panel.old.value.images
        if kept != (self.base, self.options.steps, self.old / "images"):
            sys.exit(f"Base, steps or old images were not remembered: {kept}")

    def compare(self) -> None:
        """Compare parent, finetuned model and truth on the held-out images."""
        self.open_section("4  Finetune")
        self.click(self.dock.finetune, "Compare")
        let(1.0)
        self.compare_dock = dock = self.open_dock("Compare models")
        self.leave("compare-choose")
        self.choose(dock.compare.images, "Held-out images")
        self.click(dock, "Compare")
        self.wait_for_jobs()
        for mode in ("Overlay", "Grid", "Errors"):
            self.click(dock, mode)
            let(1.0)
            self.leave(f"compare-{mode.lower()}")
        self.name = name_of(self.dock.model)
        shown = first_row(dock.findChild(QTableView)).values()
        for column, mean in zip(dock.compare.comparing.columns, shown, strict=True):
            if column.is_base or column.label == self.name:
                self.numbers.note("Compare", **{f"{'base' if column.is_base else 'finetuned'}, held out": mean})
        self.save_table(dock)

    def save_table(self, dock: Any) -> None:
        """Export the table, and note the means of its rows."""
        file = Path(self.notes["folder"]) / "comparison.csv"
        self.answer_file_dialog(file)
        self.choose_from_menu(dock.compare.export, "Table as CSV…")
        self.wait(file.exists)
        rows = _rows(file)
        for tag in ("base", ""):
            chosen = [row for row in rows if row["tag"] == tag and (tag or row["model"] == self.name)]
            self.numbers.note("CSV of Compare", **{f"{tag or 'finetuned'}, held out": _mean(chosen)})
        self.held_out = sorted({row["image"] for row in rows})

    def predict_all(self) -> None:
        """Predict all images, from the outcome."""
        self.open_dock("Annotate and finetune")
        self.open_section("4  Finetune")
        self.click(self.dock.finetune, "Predict all")
        self.wait_for_jobs()
        self.leave("predicted-all")

    def measure(self) -> None:
        """Predict the image that is shown, and measure its objects."""
        dock = self.open_dock("Predict")
        self.choose(dock.predict.source, "The image shown")
        self.click(dock, "Predict")
        self.wait_for_jobs()
        self.numbers.note("Predict", threshold=f"{dock.objects.threshold.value() or dock.objects._own_threshold():.2f}")
        self.numbers.note("Predict", name=dock.predict.model.currentText().split(" · ")[0])
        self.leave("predicted-one")
        self.click(dock, "Measure")
        let(1.5)
        self.leave("measured")
        if (table := self.dialog()) is not None:
            self.grab(table, "measured-dialog")
            table.close()

    def report(self) -> None:
        """Write a report by the dock, and one by the command."""
        self.open_dock("Annotate and finetune")
        self.open_section("5  Questions")
        pages = Path(self.notes["folder"]) / "by-dock" / "report.html", Path(self.notes["folder"]) / "by-command.html"
        pages[0].parent.mkdir()
        self.answer_file_dialog(pages[0])
        self.click(self.dock.questions, "Write a report…")
        self.wait(pages[0].exists)
        self.wait_for_jobs()
        self.leave("reported")
        _command("report", self.run, "--out", pages[1])
        for page in pages:
            self.note_report(page)
            shutil.copy(page, self.out / page.name)

    def note_report(self, page: Path) -> None:
        """Note what a report says, in its page and its tables."""
        text, place = page.read_text(encoding="utf-8"), f"report {page.stem}"
        self.numbers.note(f"{place}, summary", re.sub(r"<[^>]*>", " ", text))
        for role, words in (("held out", "mean Dice on \\d+ held-out"), ("old images", "Dice on the old dataset")):
            match = re.search(rf"<b>(0\.\d+) → (0\.\d+)</b><span>{words}", text)
            if match:
                self.numbers.note(f"{place}, top", **{f"base, {role}": match[1], f"finetuned, {role}": match[2]})
        self.numbers.note(
            place, threshold=_found(r"cut at ([\d.]+)", text), name=_found(r"<td>Name</td><td>(.*?)</td>", text)
        )
        rows = [row for file in page.parent.glob(f"{page.stem}*scores*.csv") for row in _rows(file)]
        for tag in ("base", ""):
            chosen = [row for row in rows if (row["role"], row["tag"]) == ("held out", tag)]
            self.numbers.note(f"{place}, CSV", **{f"{tag or 'finetuned'}, held out": _mean(chosen)})

    def evaluate(self) -> None:
        """Score base and model on the held-out images by the command."""
        folder = Path(self.notes["folder"]) / "held-out"
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True)
        for name in self.held_out:
            image = self.session.project.image(name)
            shutil.copy(image.ref.path, folder / "images" / f"{name}.tif")
            shutil.copy(image.mask, folder / "masks" / f"{name}.tif")
        for which, model in (("base", self.base), ("finetuned", self.run / "model.safetensors")):
            found = _command("evaluate", "--model", model, "--images", folder / "images", "--masks", folder / "masks")
            self.numbers.note("evaluate", **{f"{which}, held out": _mean(found["rows"])})


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _mean(rows: list[dict[str, Any]]) -> float | None:
    return fmean(float(row["dice"]) for row in rows) if rows else None


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match[1] if match else None


if __name__ == "__main__":
    main()
