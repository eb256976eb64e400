"""Threads of the docks: a generator works in one, and what it yields arrives in the GUI thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, ClassVar, Generic, TypeVar

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

    _at_work: ClassVar[set[Work[Any]]] = set()  # Qt does not keep whom it calls

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

        self._make_events, self._on_event, self._on_abort = make_events, on_event, on_abort
        self._on_end, self._on_error = on_end, on_error
        function = _Named(self._events)
        function.title = title
        self._worker = create_worker(function, _start_thread=False)
        self._worker.yielded.connect(self._tell)
        self._worker.returned.connect(_call)
        self._worker.aborted.connect(self._abort)
        self._worker.finished.connect(self._let_go)
        pool = QThreadPool.globalInstance()
        assert pool is not None
        pool.setMaxThreadCount(max(pool.maxThreadCount(), THREADS))
        self._at_work.add(self)
        self._worker.start()

    @property
    def is_running(self) -> bool:
        """Tell whether the thread still works."""
        return bool(self._worker.is_running)

    def abandon(self) -> None:
        """End the work at its next yield; `on_abort` is called."""
        self._worker.quit()

    def _events(self) -> Generator[Any, None, Callable[[], object]]:
        # An error is handed over like a result: for errors napari has a slot of its own, which fails with PySide6.
        try:
            result = yield from self._make_events()
        except Exception as error:
            return functools.partial(self._on_error, error)
        return functools.partial(self._on_end, result)

    def _tell(self, value: Any) -> None:
        self._on_event(value)

    def _abort(self) -> None:
        self._on_abort()

    def _let_go(self) -> None:
        """Keep nothing of what it worked on: napari keeps every worker for as long as its window."""
        self._at_work.discard(self)
        del self._make_events, self._on_event, self._on_end, self._on_error, self._on_abort


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
