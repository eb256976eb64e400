"""How long from the click on Predict to the layer, and how much computing that is: first image, second, and so on.

    python benchmarks/quick_predictions.py --size 256 320 --pause 3

A dataset of images without masks is open, and one after the other is predicted as somebody does who corrects them. The
second is asked for at once, the others after a pause, in which the next image is looked at ahead. The clock runs from
the click until the layer has been drawn; CPU seconds are those of this process and of the one that predicts, which
begin with the click and end with the next one, so what is looked at ahead counts as well. Needs a display, or Xvfb.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

COUNT = 6


def main() -> None:
    """Predict one image after the other and print a row for each."""
    arguments = _arguments()
    import napari

    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1280, 800)
    with tempfile.TemporaryDirectory() as folder:
        annotate, predict = _open_docks(viewer, Path(folder), tuple(arguments.size), arguments.model)
        _let(seconds=2)
        print(f"{'image':>6} {'click to layer, s':>18} {'CPU s, docks':>13} {'CPU s, predicting':>18} {'MB':>6}")
        for number in range(1, COUNT):
            before = _cpu()
            seconds = _predict(viewer, predict)
            if number > 1:
                _let(seconds=arguments.pause)
            here, child = (now - then for now, then in zip(_cpu(), before, strict=True))
            print(f"{number:6} {seconds:18.2f} {here:13.2f} {child:18.2f} {_memory():6.0f}", flush=True)
            annotate.next_to_annotate()
            _let(seconds=0.3)
        viewer.close()
        _let(seconds=0.5)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 320), help="rows and columns of the images")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds for correcting an image")
    parser.add_argument("--model", default="nuclei-fluorescence")
    return parser.parse_args()


def _open_docks(viewer: Any, folder: Path, size: tuple[int, int], model: str) -> tuple[Any, Any]:
    """Return what shows the images and the dock that predicts them, with the first image in sight."""
    import tifffile

    from napari_unet_finetune._qt.annotate.annotation import annotation_of
    from napari_unet_finetune.data.samples import make_microtube
    from napari_unet_finetune.project.project import Project

    (folder / "images").mkdir()
    for image in make_microtube(1, COUNT, shape=size):
        tifffile.imwrite(folder / "images" / f"{image.name}.tif", image.image)
    docks = [viewer.window.add_plugin_dock_widget("napari-unet-finetune", name, tabify=True)[1] for name in DOCKS]
    session = docks[0].session
    session.project = Project.open(folder / "images")
    session.model = model
    annotation = annotation_of(session)
    annotation.open(session.project.names[0])
    return annotation, docks[1]


DOCKS = ("Annotate and finetune", "Predict")


def _predict(viewer: Any, dock: Any) -> float:
    """Click, and return the seconds until the labels of the image are there and drawn."""
    from qtpy.QtWidgets import QApplication

    session, drawn = dock.session, []
    name = f"{session.current} prediction"
    start = time.perf_counter()
    dock.predict.button.click()
    _let(until=lambda: name in viewer.layers)
    QApplication.processEvents()
    viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(lambda _event: drawn.append(True))
    viewer.window._qt_viewer.canvas._scene_canvas.update()
    _let(until=lambda: bool(drawn))
    seconds = time.perf_counter() - start
    _let(until=lambda: not session.jobs.is_running)
    return seconds


def _cpu() -> tuple[float, float]:
    """Return the CPU seconds of this process, and of those that it started."""
    here = psutil.Process()
    own = here.cpu_times()
    ended = own.children_user + own.children_system
    alive = [child.cpu_times() for child in here.children(recursive=True)]
    return own.user + own.system, ended + sum(times.user + times.system for times in alive)


def _memory() -> float:
    """Return how many MB the processes take that this one started and that are still there."""
    return sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)) / 1e6


def _let(seconds: float = 0.0, until: Callable[[], bool] | None = None) -> None:
    """Let the event loop run."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, check = QEventLoop(), QTimer()
    end = time.perf_counter() + seconds
    check.timeout.connect(lambda: loop.quit() if (until() if until else time.perf_counter() >= end) else None)
    check.start(10)
    loop.exec_() if hasattr(loop, "exec_") else loop.exec()
    check.stop()


if __name__ == "__main__":
    main()
