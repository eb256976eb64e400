"""The parent's side of a job: a process of its own that carries it out, so that torch stays out of this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import errors
from ..errors import FinetuneError, RunError
from ..events import Alive, Event, JobEnded, JobFailed, from_json
from ..io.images import ImageRef
from .request import IMAGE

PACKAGE = __name__.partition(".")[0]
LOG = "child-log.txt"
# A child whose input is closed ends at once; one that does not is killed after this time.
GRACE_S = 2.0
_LOG_LINES = 3


class ChildJob:
    """The job in a folder, carried out by `python -m napari_unet_finetune run FOLDER`.

    The child ends when this object is closed or this process dies. Only one thread may read `events`; the other
    methods may be called from any.

    Raises
    ------
    RunError
        If the folder cannot be written or the process cannot be started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            with (folder / LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    [_python(), "-m", PACKAGE, "run", str(folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    encoding="utf-8",
                    env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"},
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise RunError(f"{folder}: the computation cannot be started ({error.strerror}).") from error

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._process.poll() is None

    def events(self) -> Iterator[Event]:
        """Yield what the child reports until it ends, at least twice a second.

        Raises
        ------
        FinetuneError
            What the child could not do, in its own words.
        RunError
            If the child ended without a word.
        ChildError
            If the child met a fault of the program; the message holds its traceback.
        """
        last: Event = Alive()
        for event in self._reported():
            last = event
            if isinstance(event, JobFailed):
                break
            yield event
        self.close()
        if isinstance(last, JobFailed):
            raise _error(last)
        if not isinstance(last, JobEnded):
            raise RunError(self._last_words())

    def stop(self) -> None:
        """Ask the child to end after the step in work; what was best is kept."""
        self._tell(do="stop")

    def pause(self) -> None:
        """Ask the child to wait after the step in work."""
        self._tell(do="pause")

    def resume(self) -> None:
        """Let a waiting child go on."""
        self._tell(do="resume")

    def preview(self, image: ImageRef | None) -> None:
        """Choose the image that the child predicts now and then while it learns."""
        self._tell(do="preview", image=IMAGE.dump_python(image, mode="json"))

    def close(self) -> None:
        """End the child; what it had saved is on disk."""
        _close(self._process.stdin)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _close(self._process.stdout)

    def _reported(self) -> Iterator[Event]:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                if line.endswith("\n"):
                    yield from_json(line)
        except ValueError:  # closed from another thread while it was read
            return

    def _tell(self, **words: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return  # the child has ended; whoever reads its events learns why

    def _last_words(self) -> str:
        code = self._process.returncode
        how = f"by signal {_signal_name(-code)}" if code < 0 else f"with exit code {code}"
        log = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:]
        said = f" Its last words: {' '.join(log)}" if log else ""
        return (
            f"The computation was ended from outside, {how}; perhaps memory ran out. What it had saved is in "
            f"{self.folder}, and a training can be resumed from there.{said}"
        )


class ChildError(RuntimeError):
    """A fault of the program in the child; the message ends with the child's traceback."""


def _error(failed: JobFailed) -> Exception:
    kind = getattr(errors, failed.error, None)
    if isinstance(kind, type) and issubclass(kind, FinetuneError) and not failed.details:
        return kind(failed.message)
    if not failed.details:
        return RunError(failed.message)
    return ChildError(f"{failed.error}: {failed.message}\n\n{failed.details}")


def _close(stream: Any) -> None:
    try:
        stream.close()
    except OSError:
        return  # what was not yet written has nobody left to read it


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _python() -> str:
    """Return the interpreter; on Windows that of a program without console has no standard streams."""
    executable = Path(sys.executable)
    if executable.stem.lower() == "pythonw":
        return str(executable.with_stem("python"))
    return str(executable)
