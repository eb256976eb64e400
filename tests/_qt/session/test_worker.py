"""A thread reports in the thread of the window: values, the result, or the error, with its traceback."""

import gc
import threading
import traceback
import weakref

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from qtpy.QtCore import QThread, QThreadPool

from napari_unet_finetune._qt.session.worker import Work


class Listener:
    """Remembers what it is told, and checks where."""

    def __init__(self, qapp):
        self.main, self.events, self.results, self.errors = qapp.thread(), [], [], []

    def start(self, make_events):
        return Work(make_events, title="work", on_event=self.on_event, on_end=self.on_end, on_error=self.on_error)

    def on_event(self, event):
        assert QThread.currentThread() is self.main
        self.events.append(event)

    def on_end(self, result):
        assert QThread.currentThread() is self.main
        self.results.append(result)

    def on_error(self, error):
        assert QThread.currentThread() is self.main
        self.errors.append(error)


@pytest.fixture
def listener(qapp):
    return Listener(qapp)


def test_values_and_result_arrive(listener, qtbot):
    def events():
        yield 1
        yield 2
        return "done"

    work = listener.start(events)
    qtbot.waitUntil(lambda: bool(listener.results))
    assert (listener.events, listener.results, listener.errors) == ([1, 2], ["done"], [])
    qtbot.waitUntil(lambda: not work.is_running)


def test_jobs_that_wait_keep_no_other_work_from_its_thread(listener, qtbot):
    QThreadPool.globalInstance().setMaxThreadCount(2)  # as on two cores
    gate = threading.Event()

    def waiting():
        yield "begun"
        gate.wait()

    def quick():
        yield "saved"

    for make_events in (waiting, waiting, quick):
        listener.start(make_events)
    try:
        qtbot.waitUntil(lambda: "saved" in listener.events)
    finally:
        gate.set()
    qtbot.waitUntil(lambda: len(listener.results) == 3)


@pytest.mark.gui
def test_beside_a_window_an_error_arrives_once_with_its_traceback_and_nothing_is_kept(
    listener, qtbot, make_napari_viewer
):
    make_napari_viewer(show=True)  # napari follows what works beside one

    def broken_events():
        yield 1
        raise ValueError("no such thing")

    listener.start(broken_events)
    qtbot.waitUntil(lambda: bool(listener.errors))
    (error,) = listener.errors
    assert str(error) == "no such thing"
    assert "broken_events" in "".join(traceback.format_exception(error))
    assert not listener.results

    def make(pixels):
        def events():
            yield pixels.shape

        return Work(events, title="work", on_error=listener.on_error, on_end=lambda _: pixels), weakref.ref(pixels)

    work, pixels = make(np.zeros(3))
    qtbot.waitUntil(lambda: not work.is_running)
    qtbot.waitUntil(lambda: not gc.collect() and pixels() is None)
