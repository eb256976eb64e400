"""One worker at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import RunError

LOCK = "working.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, so that nobody else works in it; the file of the lock stays, the lock ends with the process.

    The operating system keeps the lock, so one of a killed process, be it on another computer, is in nobody's way.

    Raises
    ------
    RunError
        If somebody works in the folder, be it this very process, or if it cannot be written to.
    """
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise RunError(f"{folder}: this folder is being worked on already. Wait for that to end, or stop it.") from None
    except OSError as error:
        raise RunError(f"{folder}: the folder cannot be written ({error.strerror}). Choose another one.") from error
    try:
        yield
    finally:
        lock.release()
