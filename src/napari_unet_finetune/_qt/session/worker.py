"""Threads of the docks: a generator works in one, and what it yields arrives in the GUI thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QThreadPool

Result = TypeVar("Result")

# At least; napari has as many as there are cores. The reader of a job only waits, but holds one all the while.
THREADS = 16


class _Named(functools.partial[Any]):
    """A function that napari's question on closing calls by its title."""

    title: str

    def __repr__(self) -> str:
        return self.title


def _ignore(_value: object) -> None:
    """Take no notice."""


class Work(Generic[Result]):
    """A generator at work in a thread; everything it reports is reported in the GUI thread.

    Parameters
    ----------
    make_events
        Returns the generator. It must end by itself when it is told to: a thread cannot be ended from outside.
    title
        What the user reads if napari is closed meanwhile.
    on_event, on_end, on_error
        Called with each value yielded, with the value returned, with the exception raised.
    on_abort
        Called instead of the last two when napari ends the work because it is being closed.
    """

    def __init__(
        self,
        make_events: Callable[[], Generator[Any, None, Result]],
        *,
        title: str,
        on_error: Callable[[Exception], object],
        on_event: Callable[[Any], object] = _ignore,
        on_end: Callable[[Result], object] = _ignore,
        on_abort: Callable[[], object] = lambda: None,
    ) -> None:
        from napari.qt.threading import create_worker

        def events() -> Generator[Any, None, Callable[[], object]]:
            # An error is handed over like a result: for errors napari has a slot of its own, which fails with PySide6.
            try:
                result = yield from make_events()
            except Exception as error:
                return functools.partial(on_error, error)
            return functools.partial(on_end, result)

        function = _Named(events)
        function.title = title
        self._worker = create_worker(function, _start_thread=False)
        self._worker.yielded.connect(on_event)
        self._worker.returned.connect(_call)
        self._worker.aborted.connect(on_abort)
        pool = QThreadPool.globalInstance()
        assert pool is not None
        pool.setMaxThreadCount(max(pool.maxThreadCount(), THREADS))
        self._worker.start()

    @property
    def is_running(self) -> bool:
        """Tell whether the thread still works."""
        return bool(self._worker.is_running)

    def abandon(self) -> None:
        """End the work at its next yield; `on_abort` is called."""
        self._worker.quit()


def in_background(
    function: Callable[[], Result],
    *,
    title: str,
    on_end: Callable[[Result], object],
    on_error: Callable[[Exception], object],
) -> Work[Result]:
    """Call `function` in a thread; what it returns goes to `on_end`, what it raises to `on_error`."""

    def events() -> Generator[None, None, Result]:
        yield
        return function()

    return Work(events, title=title, on_end=on_end, on_error=on_error)


def _call(function: Callable[[], object]) -> None:
    function()
