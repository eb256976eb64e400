"""The child's side of jobs: events go out as lines of JSON, words come in, and a closed input ends everything."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import NO_MEMORY, DeviceError, FinetuneError, lacks_memory
from ..events import Alive, Event, JobFailed, to_json
from ..io.images import ImageRef
from ..io.regions.region import InView
from .child import LOG
from .request import IMAGE, VIEW

HEARTBEAT_S = 0.5


class Control:
    """What the parent asked for of one job; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stopped = self._paused = False
        self._preview: ImageRef | None = None
        self._looked_at: InView | None = None

    def should_stop(self) -> bool:
        """Tell whether to stop; while the job is paused, wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._paused)
            return self._stopped

    @property
    def preview(self) -> ImageRef | None:
        """The image to show while the model learns."""
        with self._changed:
            return self._preview

    @property
    def looked_at(self) -> InView | None:
        """What the user looks at by now, of the images that are predicted; None while that is as it was."""
        with self._changed:
            return self._looked_at

    def obey(self, line: str) -> None:
        """Take one line from the parent: stop, pause, resume, the image to preview, or what is looked at."""
        words = json.loads(line)
        with self._changed:
            match words["do"]:
                case "stop":
                    self._stopped = True
                case "pause":
                    self._paused = True
                case "resume":
                    self._paused = False
                case "preview":
                    image = words["image"]
                    self._preview = IMAGE.validate_python(image)
                case "look":
                    self._looked_at = VIEW.validate_python(words["view"])
            self._changed.notify_all()


CarryOut = Callable[[Path, Control], Iterator[Event]]
Meanwhile = Callable[[Callable[[], Path | None]], object]


def serve(folder: Path, carry_out: CarryOut, *, meanwhile: Meanwhile | None = None) -> int:
    """Carry out the job in `folder` for the process that started this one and return the exit code.

    A job ends by itself when the parent says so, and everything at once when the parent is gone.

    Parameters
    ----------
    folder
        Where the job keeps its files.
    carry_out
        Yields the events of the job in a folder.
    meanwhile
        If given, this process stays until its input is closed, and carries out whatever else it is asked for, one job
        after the other. This is called after each job; what it is given returns the folder of the next one as soon as
        there is one, for which it should end.
    """
    inbox = _Inbox(folder)
    with _own_output() as lines:
        say = _Speaker(lines)
        threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
        with _beating(say, inbox):
            code = _carry_out(carry_out, say, *inbox.next())
            while meanwhile is not None:
                inbox.done(folder)
                meanwhile(lambda: inbox.awaited)
                folder, control = inbox.next()
                _write_log_into(folder)
                code = _carry_out(carry_out, say, folder, control)
    return code


def _carry_out(carry_out: CarryOut, say: _Speaker, folder: Path, control: Control) -> int:
    try:
        for event in carry_out(folder, control):
            say(event)
    except FinetuneError as error:
        say(JobFailed(type(error).__name__, str(error)))
        return 1
    except Exception as error:  # whatever it is, the parent must be told
        if lacks_memory(error):
            say(JobFailed(DeviceError.__name__, NO_MEMORY))
            return 1
        say(JobFailed(type(error).__name__, str(error), traceback.format_exc()))
        return 1
    return 0


class _Inbox:
    """The jobs that are asked for, in turn; other words go to the newest."""

    def __init__(self, folder: Path) -> None:
        self._jobs: queue.SimpleQueue[tuple[Path, Control]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.awaited: Path | None = None  # folder of the job that the parent waits for
        self._ask(folder)

    def next(self) -> tuple[Path, Control]:
        """Return the folder of the next job and what is said to it, as soon as there is one."""
        return self._jobs.get()

    def done(self, folder: Path) -> None:
        """Take note that a job has ended, upon which the parent may have asked for another already."""
        with self._lock:
            if self.awaited == folder:
                self.awaited = None

    def obey(self, line: str) -> None:
        """Take one line from the parent."""
        words = json.loads(line)
        if words["do"] == "run":
            self._ask(Path(words["folder"]))
        else:
            self._newest.obey(line)

    def _ask(self, folder: Path) -> None:
        self._newest = Control()
        with self._lock:
            self.awaited = folder
        self._jobs.put((folder, self._newest))


class _Speaker:
    """Writes one event at a time; without a listener the process has no reason to live."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines, self._lock = lines, threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            try:
                self._lines.write(to_json(event) + "\n")
                self._lines.flush()
            except OSError:
                os._exit(1)


@contextmanager
def _own_output() -> Iterator[IO[str]]:
    """Keep standard output for events: whatever else prints, prints to standard error."""
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with lines:
        yield lines


def _write_log_into(folder: Path) -> None:
    """Let what is printed from now on go into the log of another job; without one it goes where it went."""
    with suppress(OSError), (folder / LOG).open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())


def _listen(inbox: _Inbox) -> None:
    """Obey the parent, and end when it is gone: all that matters is on disk, so a training can be resumed."""
    for line in sys.stdin:
        inbox.obey(line)
    os._exit(1)


@contextmanager
def _beating(say: _Speaker, inbox: _Inbox) -> Iterator[None]:
    """Give signs of life while the parent waits; the last one is out before the output is closed."""
    clock = threading.Event()

    def beat() -> None:
        while not clock.wait(HEARTBEAT_S):
            if inbox.awaited is not None:
                say(Alive())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        clock.set()
        thread.join()
