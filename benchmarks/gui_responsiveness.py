"""How long napari's event loop is held up while a model is finetuned and somebody paints: child process against thread.

    python benchmarks/gui_responsiveness.py --steps 60 --rounds 2

A heartbeat of 10 ms runs in the event loop from before the click on Finetune until the new model has predicted the next
image, start-up included, with the dock, its curve and its preview in sight, while ten times a second something is
painted into a Labels layer of 1024² and the canvas is drawn anew, and every four seconds the next image is opened. The
delay of a beat is the time it came late; the arm `idle` shows what painting alone costs. Each arm is a napari of its
own, because a thread imports torch only once. Needs a display, or Xvfb.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BEAT_MS = 10
STROKE_MS = 100
TURN_MS = 4000
ARMS = ("idle", "child", "thread")


def main() -> None:
    """Measure all arms in turns and print one row per arm."""
    arguments = _arguments()
    if arguments.arm:
        print(json.dumps(measure(arguments.arm, arguments.steps)))
        return
    command = [sys.executable, __file__, "--steps", str(arguments.steps), "--arm"]
    results: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for _ in range(arguments.rounds):
        for arm in ARMS:
            outcome = subprocess.run([*command, arm], stdout=subprocess.PIPE, text=True, check=True)
            results[arm].append(json.loads(outcome.stdout.splitlines()[-1]))
    print("delays in ms of the worst round")
    print(f"{'arm':8} {'beats':>6} {'p50':>7} {'p99':>7} {'max':>7} {'seconds':>8} {'steps/s':>8}")
    for arm, rounds in results.items():
        worst = [max(one[name] for one in rounds) for name in ("p50", "p99", "max")]
        usual = [np.median([one[name] for one in rounds]) for name in ("seconds", "steps_per_s")]
        numbers = " ".join(f"{number:7.1f}" for number in worst) + " " + " ".join(f"{number:8.1f}" for number in usual)
        print(f"{arm:8} {sum(one['beats'] for one in rounds):6} {numbers}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--arm", choices=ARMS, help="measure one arm in this process and print JSON")
    return parser.parse_args()


def measure(arm: str, steps: int) -> dict[str, Any]:
    """Return delays of the heartbeat while `arm` carries out one finetuning, from the click to the last prediction."""
    import napari
    from qtpy.QtCore import Qt

    from napari_unet_finetune._qt.annotate.annotation import annotation_of

    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1280, 800)
    painter = _Painter(viewer)
    beats: list[float] = []
    beat, stroke = new_timer(lambda: beats.append(time.perf_counter())), new_timer(painter.move)
    beat.setTimerType(Qt.TimerType.PreciseTimer)
    with tempfile.TemporaryDirectory() as folder:
        dock = _open_dock(viewer, Path(folder), steps)
        session = dock.session
        turn = new_timer(lambda: annotation_of(session).next() if session.trainings.is_running else None)
        if arm == "thread":
            session.trainings._runner = session.jobs._runner = _run_in_thread
        let(seconds=3)  # the window has been drawn, layers and thumbnails have been prepared
        beat.start(BEAT_MS)
        stroke.start(STROKE_MS)
        turn.start(TURN_MS)
        start = time.perf_counter()
        if arm == "idle":
            let(seconds=10)
        else:
            dock.finetune.button.click()
            let(until=lambda: not session.trainings.is_running)
        seconds = time.perf_counter() - start
        if arm != "idle":
            let(until=lambda: not session.jobs.is_running)
            let(seconds=1)
        beat.stop()
        stroke.stop()
        turn.stop()
        print(session.message.text, file=sys.stderr)
        viewer.close()
        let(seconds=0.2)
    late = np.maximum(np.diff(beats) * 1000 - BEAT_MS, 0)
    p50, p99 = np.percentile(late, (50, 99))
    steps_per_s = 0.0 if arm == "idle" else steps / seconds
    return {
        "beats": len(beats), "p50": float(p50), "p99": float(p99), "max": float(late.max()), "seconds": seconds,
        "steps_per_s": steps_per_s, "painted_px": painter.painted,
    }  # fmt: skip


def _open_dock(viewer: Any, folder: Path, steps: int) -> Any:
    """Return the dock with a dataset of which five images are annotated, ready for the click."""
    from napari_unet_finetune.config import FinetuneConfig
    from napari_unet_finetune.data.samples import write_microtube
    from napari_unet_finetune.project.mask_import import import_masks, plan_import
    from napari_unet_finetune.project.project import Project

    _, data = write_microtube(folder / "data", seed=0)
    _, dock = viewer.window.add_plugin_dock_widget("napari-unet-finetune", "Annotate and finetune")
    project = Project.open(data / "images")
    import_masks(project, plan_import(project, data / "masks").pairs[:5])
    dock.session.project = project
    dock.session.model = "microtube"
    dock.images.view.open_requested.emit(project.names[5])
    dock.accordion.open(3)
    dock.finetune.settings.set_value(FinetuneConfig(steps=steps, validate_every=max(1, steps // 3)))
    viewer.layers.selection.active = viewer.layers["painted"]
    return dock


def _run_in_thread(job: Any) -> Any:
    """Carry out `job` in a thread of this process, as most plugins do."""
    from napari_unet_finetune._qt.session.jobs import report
    from napari_unet_finetune._qt.session.worker import Work
    from napari_unet_finetune.runs.serve import Control

    control = Control()

    def events() -> Any:
        from napari_unet_finetune.jobs.table import events_of

        return (yield from report(events_of(job.folder, control)))

    Work(events, title=job.title, on_event=job.on_report, on_end=job.on_end, on_error=job.on_error)
    return _ThreadJob(control)


class _ThreadJob:
    """Talks to the job as to one in a child."""

    def __init__(self, control: Any) -> None:
        self._control = control

    def preview(self, image: Any) -> None:
        """Choose the image it predicts as it learns."""
        from napari_unet_finetune.runs.request import IMAGE

        self._control.obey(json.dumps({"do": "preview", "image": IMAGE.dump_python(image, mode="json")}))

    def close(self) -> None:
        """End it."""
        self._control.obey('{"do": "stop"}')


class _Painter:
    """Somebody who paints: each move goes a little further along a curve, with the button held down."""

    def __init__(self, viewer: Any) -> None:
        # In the units of the dataset: napari warns with every layer it adds beside others of another unit.
        units = {"units": ("um", "um"), "scale": (0.5, 0.5)}
        viewer.add_image(np.random.default_rng(0).integers(0, 255, (1024, 1024)).astype(np.uint8), **units)
        self._labels = viewer.add_labels(np.zeros((1024, 1024), np.uint16), name="painted", **units)
        self._labels.mode = "paint"
        self._labels.brush_size = 20
        self._moves = 0

    @property
    def painted(self) -> int:
        """Number of painted pixels."""
        return int((self._labels.data > 0).sum())

    def move(self) -> None:
        """Paint one piece of the curve."""
        self._moves += 1
        angle = self._moves / 20
        radius = 100 + 5 * (self._moves % 60)
        place = (512 + radius * np.sin(angle), 512 + radius * np.cos(angle))
        here = (round(place[0]), round(place[1]))
        self._labels.paint(here, 1)


def new_timer(action: Callable[[], object]) -> Any:
    """Return a timer of the event loop that does something, not yet started."""
    from qtpy.QtCore import QTimer

    timer = QTimer()
    timer.timeout.connect(action)
    return timer


def let(seconds: float = 0.0, until: Callable[[], bool] | None = None) -> None:
    """Let the event loop run."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, check = QEventLoop(), QTimer()
    end = time.perf_counter() + seconds
    check.timeout.connect(lambda: loop.quit() if (until() if until else time.perf_counter() >= end) else None)
    check.start(20)
    loop.exec_() if hasattr(loop, "exec_") else loop.exec()
    check.stop()


if __name__ == "__main__":
    main()
