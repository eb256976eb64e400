"""The child's side of a job: events go out as lines of JSON, words come in, and a closed input ends everything."""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from ..errors import FinetuneError
from ..events import Alive, Event, JobFailed, to_json
from ..io.images import ImageRef
from .request import IMAGE

HEARTBEAT_S = 0.5


class Control:
    """What the parent asked for; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stopped = self._paused = False
        self._preview: ImageRef | None = None

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

    def obey(self, line: str) -> None:
        """Take one line from the parent: stop, pause, resume, or the image to preview."""
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
            self._changed.notify_all()


def serve(make_events: Callable[[Control], Iterator[Event]]) -> int:
    """Carry out a job for the process that started this one and return the exit code.

    The job ends by itself when the parent says so, and at once when the parent is gone.
    """
    control = Control()
    with _own_output() as lines:
        say = _Speaker(lines)
        threading.Thread(target=_listen, args=(control,), daemon=True).start()
        threading.Thread(target=_beat, args=(say,), daemon=True).start()
        try:
            for event in make_events(control):
                say(event)
        except FinetuneError as error:
            say(JobFailed(type(error).__name__, str(error)))
            return 1
        except Exception as error:  # whatever it is, the parent must be told
            say(JobFailed(type(error).__name__, str(error), traceback.format_exc()))
            return 1
    return 0


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


def _listen(control: Control) -> None:
    """Obey the parent, and end when it is gone: all that matters is on disk, so a training can be resumed."""
    for line in sys.stdin:
        control.obey(line)
    os._exit(1)


def _beat(say: Callable[[Event], Any]) -> None:
    clock = threading.Event()
    while not clock.wait(HEARTBEAT_S):
        say(Alive())
