"""What all commands share on the terminal: results, progress bars, errors and Ctrl-C."""

from __future__ import annotations

import errno
import functools
import json
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from ..config import explain
from ..errors import NO_MEMORY, DataError, FinetuneError, lacks_memory
from ..events import ImageEnd, ImageSeen, Notice, PartStarted, Run, RunStarted, StepEnd, TileEnd, ValidationEnd
from ..progress import RunProgress, advance
from ..result import LONG_TEXT, FailedFile, Result, ResultTable
from ..text import duration, shortened

if TYPE_CHECKING:
    from ..data.folders import AnnotatedFolder

FAILED, MISUSED, INTERRUPTED = 1, 2, 130

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]
P = ParamSpec("P")
R = TypeVar("R")

# Names of files are printed as they are: no markup, no emoji.
messages = Console(stderr=True, highlight=False, markup=False, emoji=False)
results = Console(highlight=False, markup=False, emoji=False)


class OptionError(DataError):
    """What was asked for cannot be: an option, or two together, that no command can make sense of."""


class Commands(TyperGroup):
    """The commands; what is wrong with their options is said in one sentence too, and with ``--json`` in one object."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Carry out the command in `args` and exit."""
        given = sys.argv[1:] if args is None else list(args)
        if not given:
            return super().main(args, *rest, **extra)  # shows the help
        try:
            _refuse_empty(given)
            code = super().main(args, *rest, **{**extra, "standalone_mode": False})
        except OptionError as error:
            code = _tell(str(error), MISUSED, as_json="--json" in given)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            code = _tell(_misuse(error), MISUSED, as_json="--json" in given)
        sys.exit(code)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an option without a value: an empty folder would be the current one."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.partition("=")
        if not argument or (name.startswith("--") and equals and not value):
            raise OptionError(f"There is no value after {name or before or 'the command'}. Give one or leave it out.")


def _misuse(error: Any) -> str:
    """Return what a parser found, in one line, and where to look."""
    found = " ".join(str(error.format_message()).split()).rstrip(".").replace("Input should", "it should")
    command = error.ctx.command_path if getattr(error, "ctx", None) else ""
    return f"{shortened(found, 300)}." + (f" All options: {command} --help" if command else "")


def _tell(sentence: str, code: int, *, as_json: bool) -> int:
    if as_json:
        typer.echo(json.dumps({"error": sentence}))
    messages.print(Text(sentence, style="red"), soft_wrap=True)
    return code


def _check_finite(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if isinstance(value, float) and not isfinite(value):
            raise OptionError(f"--{name.replace('_', '-')} is {value}. Give a number.")


def finish(values: dict[str, Any], *, as_json: bool, show: Callable[[Console], None]) -> None:
    """Print the result of a command: `values` as one JSON object, or what `show` prints for people."""
    if as_json:
        typer.echo(json.dumps(values, default=str, allow_nan=False))
    else:
        show(results)


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors that a user can fix into one sentence and exit code 1; with ``--json`` the sentence is JSON too.

    What is wrong with the options themselves ends with exit code 2.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            _check_finite(kwargs)
            return command(*args, **kwargs)
        except FinetuneError as error:
            sentence, code = str(error), MISUSED if isinstance(error, OptionError) else FAILED
        except ValidationError as error:
            sentence, code = explain(error), MISUSED
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output has gone
                raise
            sentence, code = NO_MEMORY if lacks_memory(error) else _explain_file_error(error), FAILED
        except KeyboardInterrupt:
            sentence, code = "Interrupted.", INTERRUPTED
        except (ImportError, MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            sentence, code = NO_MEMORY, FAILED
        raise typer.Exit(_tell(sentence, code, as_json=bool(kwargs.get("as_json"))))

    return wrapped


def _explain_file_error(error: OSError) -> str:
    subject = f"{error.filename}: " if error.filename else ""
    return f"{subject}{error.strerror or error}. Check the path, and whether it may be read and written."


@dataclass
class StopFlag:
    """Says yes once Ctrl-C was pressed."""

    pressed: bool = False

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return self.pressed


@contextmanager
def stops_on_interrupt() -> Iterator[StopFlag]:
    """Let the first Ctrl-C end the work in an orderly way and the second one at once."""
    flag = StopFlag()

    def on_interrupt(_signal: int, _frame: FrameType | None) -> None:
        if flag.pressed:
            raise KeyboardInterrupt
        flag.pressed = True
        messages.print("Stopping after this step. Press Ctrl-C again to stop at once.")

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)


def annotated_images(images: Path, masks: Path, *, sparse: bool) -> AnnotatedFolder:
    """Open two folders as `open_folder` does, and tell what there is to know of them."""
    from ..data.folders import open_folder

    pairs = open_folder(images, masks, sparse=sparse)
    for note in pairs.notes:
        messages.print(note, soft_wrap=True)
    return pairs


class _TimeLeft(ProgressColumn):
    """Time left as the run itself estimates it."""

    def render(self, task: Task) -> Text:
        seconds = task.fields.get("seconds_left")
        return Text("" if seconds is None else f"{duration(seconds)} left", style="cyan")


def progress_bar(*, quiet: bool) -> Progress:
    """Return a progress bar on standard error; only a terminal shows it."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        _TimeLeft(),
        TextColumn("{task.fields[note]}", markup=False),
        console=messages,
        disable=quiet or not messages.is_terminal,
        transient=True,
    )


_MANY_TILES = 500  # an image of fewer is soon done


def watch(events: Generator[Any, None, R], description: str, *, quiet: bool) -> R:
    """Draw a bar over the parts or images of a job, or over what a training does, and return the result."""
    with progress_bar(quiet=quiet) as bar:
        parts = bar.add_task(description, total=None, note="", visible=False)
        training = bar.add_task(description, total=None, note="")
        tiles = bar.add_task("Tiles", total=None, note="", visible=False)
        start, progress, stream = time.perf_counter(), RunProgress(), Run(events)
        for event in stream:
            progress = advance(progress, event)
            match event:
                case Notice() if not quiet:
                    bar.console.print(event.message, soft_wrap=True)
                case RunStarted() | StepEnd() | ValidationEnd():
                    bar.update(training, visible=True, **_of_training(progress))
                case PartStarted() | ImageSeen() | ImageEnd():
                    bar.update(training, visible=False, description="Training")
                    bar.update(parts, visible=True, **_of_parts(event, time.perf_counter() - start))
                    bar.update(tiles, visible=False)
                case TileEnd() if event.total >= _MANY_TILES:
                    bar.update(tiles, visible=True, completed=event.done, total=event.total)
        return stream.result


def _of_training(progress: RunProgress) -> dict[str, Any]:
    """Return how far a training is."""
    raw = "" if progress.raw_dice is None else f"{progress.raw_dice:.3f} → "
    note = "" if progress.best_dice is None else f"held-out Dice {raw}{progress.best_dice:.3f}"
    return {
        "completed": progress.step,
        "total": progress.steps or None,
        "seconds_left": progress.seconds_left,
        "note": note,
    }


def _of_parts(event: PartStarted | ImageSeen | ImageEnd, seconds: float) -> dict[str, Any]:
    """Return how far a job of several parts or images is."""
    match event:
        case PartStarted():
            done, note = max(0, event.index - 1), event.label
        case ImageSeen():
            done, note = event.done, event.image
        case ImageEnd():
            done, note = event.done, event.path.name
    left = seconds / done * (event.total - done) if done else None
    return {"completed": done, "total": event.total, "seconds_left": left, "note": note}


def show_result(console: Console, result: Result, failed: Iterable[FailedFile] = ()) -> None:
    """Print which files failed, the numbers of a result, and what they say."""
    for one in failed:
        messages.print(Text(f"{one.file}: {one.reason}", style="red"), soft_wrap=True)
    if result.table is not None:
        show_table(console, result.table)
    console.print(Text(result.headline, style="bold"), soft_wrap=True)
    if result.sentences:
        console.print(result.summary, soft_wrap=True)


_MANY_ROWS = 500


def show_table(console: Console, found: ResultTable) -> None:
    """Print the table of a result; texts that are not short stand on the left."""
    if len(found.rows) > _MANY_ROWS:
        _show_plainly(console, found)
        return
    table = Table(title=found.title or None, title_justify="left", caption=found.note or None, caption_justify="left")
    for place, column in enumerate(found.columns):
        is_text = place == 0 or any(len(row[place]) > LONG_TEXT for row in found.rows)
        table.add_column(column, justify="left" if is_text else "right")
    for row in found.rows:
        table.add_row(*map(Text, row))  # a name may hold what looks like markup
    console.print(table)


def _show_plainly(console: Console, found: ResultTable) -> None:
    """Print a long table line by line: drawn with frames, 10,000 rows take 20 s and are in memory at once."""
    widths = [max(map(len, column)) for column in zip(found.columns, *found.rows, strict=True)]
    for line in (found.title, *_lines((found.columns, *found.rows), widths), found.note):
        if line:
            console.print(Text(line), soft_wrap=True)


def _lines(rows: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def stop_if_none(result: R | None) -> R:
    """Return a result; end the command if it was stopped before there was one."""
    if result is None:
        messages.print("Stopped before there was a result.")
        raise typer.Exit(INTERRUPTED)
    return result


def score_table(title: str, columns: list[str]) -> Table:
    """Return an empty table whose columns after the first hold numbers."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table
