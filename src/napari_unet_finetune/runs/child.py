"""The parent's side of jobs: processes of their own that carry them out, so that torch stays out of this one."""

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
from ..errors import DeviceError, FinetuneError, RunError
from ..events import Alive, Event, JobEnded, JobFailed, from_json
from ..io.images import ImageRef
from ..io.regions.region import InView
from .request import IMAGE, VIEW

PACKAGE = __name__.partition(".")[0]
LOG = "child-log.txt"
# A child whose input is closed ends at once; one that does not is killed after this time.
GRACE_S = 2.0
_LOG_LINES = 3
# Windows would print into the log in an encoding of its own.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


class Child:
    """A process that carries out the job in a folder: `python -m napari_unet_finetune run FOLDER`.

    It ends with that job or, if it `stays`, is ready for others until it is closed. Without its parent it ends at once.

    Raises
    ------
    RunError
        If the folder cannot be written or the process cannot be started.
    """

    def __init__(self, folder: Path, *, stays: bool = False) -> None:
        self.is_for_many = self.stays = stays
        self.is_busy, self.jobs = True, 1
        options = ["--stay"] if stays else []
        try:
            with (folder / LOG).open("ab") as log:
                self._process = subprocess.Popen(
                    [_python(), "-m", PACKAGE, "run", str(folder), *options],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    encoding="utf-8",
                    env=os.environ | _ENVIRONMENT,
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

    def tell(self, **words: Any) -> None:
        """Say something to it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return  # the child has ended; whoever reads its events learns why

    def reported(self) -> Iterator[Event]:
        """Yield what it reports until it is closed."""
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                if line.endswith("\n"):
                    yield from_json(line)
        except ValueError:  # closed from another thread while it was read
            return

    def begin(self, folder: Path) -> None:
        """Have it carry out another job, now that the last one has ended."""
        self.is_busy = True
        self.jobs += 1
        self.tell(do="run", folder=str(folder))

    def rest(self) -> None:
        """Take note that its job has ended."""
        self.is_busy = False
        if not self.stays:
            self.close()

    def let_go(self) -> None:
        """End it as soon as it has no job."""
        self.stays = False
        if not self.is_busy:
            self.close()

    def close(self) -> None:
        """End it; what it had saved is on disk."""
        _close(self._process.stdin)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _close(self._process.stdout)

    @property
    def end(self) -> str:
        """How it ended."""
        code = self._process.returncode
        return f"by signal {_signal_name(-code)}" if code < 0 else f"with exit code {code}"


class ChildJob:
    """The job in a folder, carried out by a process of its own, or by one that has stayed.

    Only one thread may read `events`; the other methods may be called from any.

    Raises
    ------
    RunError
        If the folder cannot be written or the process cannot be started.
    """

    def __init__(self, folder: Path, child: Child | None = None) -> None:
        self.folder = folder
        self._is_closed = False
        self._child = child or Child(folder)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._child.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether the process still runs."""
        return self._child.is_alive

    def events(self) -> Iterator[Event]:
        """Yield what the child reports until the job has ended, at least twice a second.

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
            if isinstance(last, JobEnded):  # a sign of life may follow, until a process of one job has ended
                continue
            last = event
            if isinstance(event, JobFailed):
                break
            yield event
            if isinstance(event, JobEnded) and self._child.is_for_many:
                break
        error = _error(last) if isinstance(last, JobFailed) else None
        if not isinstance(last, JobEnded) and not _leaves_sound(error):
            self._child.stays = False
        self._child.rest()
        if error is not None:
            raise error
        if not isinstance(last, JobEnded):
            raise RunError(self._last_words())

    def _reported(self) -> Iterator[Event]:
        """Yield what the child reports; one that has stayed may have been killed before it heard of the job."""
        last = None
        for last in self._child.reported():
            yield last
        if last is None and self._child.jobs > 1 and not self._is_closed:
            self._child.close()
            self._child = Child(self.folder)
            yield from self._child.reported()

    def stop(self) -> None:
        """Ask the child to end after the step in work; what was best is kept."""
        self._child.tell(do="stop")

    def pause(self) -> None:
        """Ask the child to wait after the step in work."""
        self._child.tell(do="pause")

    def resume(self) -> None:
        """Let a waiting child go on."""
        self._child.tell(do="resume")

    def preview(self, image: ImageRef | None) -> None:
        """Choose the image that the child predicts now and then while it learns."""
        self._child.tell(do="preview", image=IMAGE.dump_python(image, mode="json"))

    def look(self, view: InView) -> None:
        """Say what the user looks at by now: it is predicted next."""
        self._child.tell(do="look", view=VIEW.dump_python(view, mode="json"))

    def close(self) -> None:
        """End the child; what it had saved is on disk."""
        self._is_closed = True
        self._child.close()

    def _last_words(self) -> str:
        log = (self.folder / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LOG_LINES:]
        said = f" Its last words: {' '.join(log)}" if log else ""
        return (
            f"The computation was ended from outside, {self._child.end}; perhaps memory ran out. What it had saved "
            f"is in {self.folder}, and a training can be resumed from there.{said}"
        )


class WarmChild:
    """Carries out short jobs in a process that stays between them, with what it has loaded."""

    def __init__(self) -> None:
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process; None if there is none."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    @property
    def is_busy(self) -> bool:
        """Tell whether it has a job."""
        return self.pid is not None and self._child is not None and self._child.is_busy

    def begin(self, folder: Path) -> ChildJob:
        """Begin the job in `folder`, in a new process if there is none or if it is busy.

        Raises
        ------
        RunError
            If the folder cannot be written or the process cannot be started.
        """
        if self.is_busy:
            return ChildJob(folder)
        if self._child is not None and self._child.is_alive:
            self._child.begin(folder)
        else:
            self.let_go()  # of what is left of one that was killed
            self._child = Child(folder, stays=True)
        return ChildJob(folder, self._child)

    def let_go(self) -> None:
        """End the process as soon as it has no job, so that its memory is free."""
        child, self._child = self._child, None
        if child is not None:
            child.let_go()


class ChildError(RuntimeError):
    """A fault of the program in the child; the message ends with the child's traceback."""


def _error(failed: JobFailed) -> Exception:
    kind = getattr(errors, failed.error, None)
    if isinstance(kind, type) and issubclass(kind, FinetuneError) and not failed.details:
        return kind(failed.message)
    if not failed.details:
        return RunError(failed.message)
    return ChildError(f"{failed.error}: {failed.message}\n\n{failed.details}")


def _leaves_sound(error: Exception | None) -> bool:
    """Tell whether a process can go on after `error`: not after a fault of its own, nor if it is short of memory."""
    return isinstance(error, FinetuneError) and not isinstance(error, DeviceError)


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
