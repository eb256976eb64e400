"""What a folder of many small images costs: to check it, and to open and use it in the dock.

    xvfb-run -a python benchmarks/many_images.py --files 1000 10000
    python benchmarks/many_images.py --files 1000 10000 --only check

Generated images of 64 x 64, of which every fiftieth is the one before with some noise. Each row is measured in a
process of its own: CPU seconds, and how far the memory grew over what the process took with a folder of ten images.
Without `--only check` it needs napari and a display, or Xvfb.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage

SIDE = 64
COPIES = 50  # one of so many images is the one before with noise
FEW = 10
TURNS = 5  # images that are gone through, one after the other


def main() -> None:
    """Measure each number of images and print one row for each."""
    arguments = _arguments()
    if arguments.measure:
        measured = {"check": measure_check, "dock": measure_dock}[arguments.measure](arguments.files[0])
        print(json.dumps(measured))
        return
    for kind in [arguments.only] if arguments.only else ["check", "dock"]:
        for count in arguments.files:
            command = [sys.executable, __file__, "--measure", kind, "--files", str(count)]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            row = json.loads(output.splitlines()[-1])
            print(f"{kind:5} {count:7,} images: " + ", ".join(f"{name} {value:.4g}" for name, value in row.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000], help="numbers of images")
    parser.add_argument("--only", choices=("check", "dock"))
    parser.add_argument("--measure", choices=("check", "dock"), help="measure one row in this process and print JSON")
    return parser.parse_args()


def write(folder: Path, count: int) -> Path:
    """Write `count` images."""
    folder.mkdir()
    rng, picture = np.random.default_rng(0), np.full((SIDE, SIDE), 128.0)
    for number in range(count):
        noise = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4)
        picture = 128 + 1200 * noise if number % COPIES else picture + rng.normal(0, 3, (SIDE, SIDE))
        tifffile.imwrite(folder / f"{number}.tif", picture.clip(0, 255).astype(np.uint8), photometric="minisblack")
    return folder


def measure_check(count: int) -> dict[str, float]:
    """Return what `unet-finetune check` costs."""
    from napari_unet_finetune.cli import app

    printed = io.StringIO()

    def check(folder: Path) -> None:
        with redirect_stdout(printed):
            app(["check", "--images", str(folder)], standalone_mode=False)

    with tempfile.TemporaryDirectory() as place:
        _leaving(check, write(Path(place) / "few", FEW))
        images, before = write(Path(place) / "many", count), _peak()
        seconds = _timed(lambda: _leaving(check, images))
    found = re.findall(r"(\d+) images? looks? like an earlier one", printed.getvalue())
    row = {"CPU s": seconds, "KB per image": (_peak() - before) / count}
    return {**row, "copies": (count - 1) // COPIES, "found": float(found[-1]) if found else 0}


def measure_dock(count: int) -> dict[str, float]:
    """Return what it costs to open the images in the dock, to go on to the next ones, and to set the use of all."""
    import napari
    from gui_responsiveness import let

    from napari_unet_finetune._qt.annotate.annotation import annotation_of

    viewer = napari.Viewer(show_welcome_screen=False)
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet-finetune", "Annotate and finetune")
    session = dock.session

    def open_folder(folder: Path) -> None:
        dock.images.open(folder)
        let(until=lambda: session.project is not None and session.project.source == folder and session.current)
        let(seconds=2)  # the thumbnails in sight

    def paint_and_go_on() -> None:
        for _ in range(TURNS):
            layer = annotation_of(session).layer
            layer.paint((20, 20), 1)
            annotation_of(session).next()
            let(seconds=0.3)

    with tempfile.TemporaryDirectory() as place:
        open_folder(write(Path(place) / "few", FEW))
        paint_and_go_on()
        images, before = write(Path(place) / "many", count), _peak()
        row = {"open, CPU s": _timed(lambda: open_folder(images)), "KB per image": (_peak() - before) / count}
        row["paint and go on, CPU s"] = _timed(paint_and_go_on) / TURNS
        names = list(session.project.names)
        row["use of all, CPU s"] = _timed(
            lambda: (dock.images.view.role_requested.emit(names, "train"), let(seconds=0.3))
        )
        row["select all, CPU s"] = _timed(lambda: dock.images.view.select(names))
        viewer.close()
    return row


def _leaving(command: Callable[[Path], object], folder: Path) -> None:
    try:
        command(folder)
    except SystemExit:  # as commands end
        return


def _timed(action: Callable[[], Any]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _peak() -> float:
    """Return the most memory until now in KB."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
