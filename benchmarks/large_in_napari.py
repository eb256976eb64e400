"""How napari takes a slide that is larger than memory: labels that arrive piece by piece, while its event loop goes on.

    python benchmarks/large_in_napari.py slide.ome.zarr --seconds 60 --pictures build

The store is shown in levels, zoomed into its middle, and predicted with a click in the dock Predict. Once all that is
in view has labels, or after `--seconds`, the camera moves elsewhere, and when that is done too, Stop is clicked. Times
are CPU seconds of the process that predicts. A heartbeat of 10 ms runs in the event loop: the delay of a beat is the
time it came late. Needs a display, or Xvfb, and the extra zarr.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from gui_responsiveness import BEAT_MS, let, new_timer

from napari_unet_finetune._qt.layers.frames import in_view
from napari_unet_finetune._qt.predict.large import PIECE_PX
from napari_unet_finetune.events import PieceEnd
from napari_unet_finetune.io.regions.region import regions_of

ZOOM = 16.0  # into the middle


def main() -> None:
    """Predict, stop, go on, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("store", type=Path)
    parser.add_argument("--seconds", type=float, default=300, help="at most until a view has its labels")
    parser.add_argument("--again", type=float, default=20, help="seconds of the prediction that goes on")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the window")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        watch = _Watch(arguments, Path(folder))
        watch.predict(arguments.seconds)
        watch.go_on(arguments.again)
        watch.close()


class _Watch:
    """A window of napari with a slide and the dock, and what its user does."""

    def __init__(self, arguments: argparse.Namespace, out: Path) -> None:
        import napari

        self._pictures = arguments.pictures
        self._viewer = napari.Viewer(show_welcome_screen=False)
        self._viewer.window.resize(1400, 900)
        _open(self._viewer, arguments.store)
        _, self._dock = self._viewer.window.add_plugin_dock_widget("napari-unet-finetune", "Predict")
        self._dock.session.predictor = "microtube"
        self._dock.predict.out.set_value(out)
        let(seconds=2)
        self._zoom(ZOOM)
        let(seconds=2)
        self._before = self._most = _memory()
        self._finished: list[PieceEnd] = []
        self._beats = _Beats()

    def predict(self, seconds: float) -> None:
        """Click on Predict, wait until what is in view has labels, move, wait again, zoom out, and click on Stop."""
        self._beats.begin()
        start, self._finished = time.perf_counter(), []
        self._press(self._dock.predict.button)
        job = self._dock.session.jobs.job
        job.event.connect(lambda event: self._finished.append(event) if isinstance(event, PieceEnd) else None)
        let(until=lambda: _labels(self._viewer) is not None or self._has_ended())
        self._say("first labels", start)
        self._look("0-first")
        self._wait_for_view("all in view", start, seconds)
        self._look("1-view")
        self._viewer.camera.center = tuple(0.6 * np.array(self._viewer.camera.center))
        self._wait_for_view("moved, all in view", start, seconds)
        self._look("2-moved")
        self._zoom(1 / ZOOM)
        let(seconds=2)
        self._look("3-all")
        self._stop()
        self._look("4-stopped")

    def _say(self, what: str, start: float) -> None:
        job = self._dock.session.jobs.job
        child = psutil.Process(job.pid if job is not None else None).cpu_times()
        print(
            f"{what}: {len(self._finished)} pieces, {time.perf_counter() - start:.0f} s, of CPU time "
            f"{child.user + child.system:.0f} s in the process that predicts",
            flush=True,
        )

    def _wait_for_view(self, what: str, start: float, seconds: float) -> None:
        """Wait until the pieces that what is in view needs are finished, and say how long that took."""
        let(seconds=1)  # for napari to know what is in view
        layer, end = self._viewer.layers[0], time.perf_counter() + seconds
        view = in_view(layer)
        wanted = [piece for piece in regions_of(layer.data.shape, PIECE_PX, PIECE_PX) if piece.common(view)]

        def is_done() -> bool:
            corners = {(event.top, event.left) for event in self._finished}
            return all((piece.top, piece.left) in corners for piece in wanted)

        let(until=lambda: is_done() or self._has_ended() or time.perf_counter() > end)
        self._say(f"{what} ({len(wanted)} pieces{'' if is_done() else ', not all finished'})", start)
        let(seconds=1)

    def go_on(self, seconds: float) -> None:
        """Click on Predict again and, after a while, on Stop."""
        self._beats.begin()
        self._press(self._dock.predict.button)
        let(seconds=seconds)
        self._look("5-going-on")
        self._stop()

    def close(self) -> None:
        """Print what was measured."""
        delays = self._beats.end()
        print(f"memory of napari: {self._before:.0f} MiB before, at most {self._most:.0f} MiB")
        p50, p99 = np.percentile(delays, (50, 99))
        print(f"delays of the event loop in ms: median {p50:.1f}, 99 % {p99:.1f}, longest {delays.max():.1f}")
        self._viewer.close()
        let(seconds=0.5)

    def _zoom(self, factor: float) -> None:
        self._viewer.scene.camera.zoom *= factor

    def _has_ended(self) -> bool:
        return self._dock.predict.predicting.large.task is None

    def _press(self, button: Any) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def _stop(self) -> None:
        self._press(self._dock.footer.other.stop)
        let(until=self._has_ended)
        print(self._dock.session.message.text, flush=True)
        let(seconds=1)

    def _look(self, name: str) -> None:
        """Take a picture, which is not counted as a delay."""
        self._most = max(self._most, _memory())
        self._beats.end()
        if self._pictures:
            self._pictures.mkdir(parents=True, exist_ok=True)
            self._viewer.screenshot(str(self._pictures / f"{name}.png"), canvas_only=False, flash=False)
        self._beats.begin()


def _open(viewer: Any, store: Path) -> Any:
    """Add the store in levels, as a reader of OME-Zarr does."""
    import dask.array as da
    import zarr
    from napari.layers._source import layer_source

    names = sorted(zarr.open_group(store, mode="r").array_keys(), key=int)
    levels = [da.from_zarr(str(store / name)) for name in names]
    with layer_source(path=str(store)):
        return viewer.add_image(
            levels, name=store.name.split(".")[0], scale=(0.5, 0.5), units=("um", "um"), contrast_limits=(0, 255)
        )


def _labels(viewer: Any) -> Any:
    return next((layer for layer in viewer.layers if layer.name.endswith(" prediction")), None)


def _memory() -> float:
    return psutil.Process().memory_info().rss / 2**20


class _Beats:
    """A heartbeat of the event loop; what happens between `end` and `begin` is not counted."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt

        self._late: list[np.ndarray[Any, Any]] = []
        self._beats: list[float] = []
        self._timer = new_timer(lambda: self._beats.append(time.perf_counter()))
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)

    def begin(self) -> None:
        self._beats.clear()
        self._timer.start(BEAT_MS)

    def end(self) -> np.ndarray[Any, Any]:
        """Return the delays so far, in ms."""
        self._timer.stop()
        self._late.append(np.maximum(np.diff(self._beats) * 1000 - BEAT_MS, 0))
        return np.concatenate(self._late)


if __name__ == "__main__":
    main()
