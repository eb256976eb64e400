"""What people and programs read: bars and messages on one stream, results on the other."""

import errno
import json
import re
import signal

import pytest
import typer
from rich.console import Console

from napari_unet_finetune.cli.console import finish, reports_errors, show_table, stops_on_interrupt, watch
from napari_unet_finetune.errors import NO_MEMORY, RunError
from napari_unet_finetune.events import ImageSeen, Notice
from napari_unet_finetune.result import ResultTable
from napari_unet_finetune.text import number


def test_a_score_that_is_not_there_is_a_dash():
    assert (number(None), number(0.12345), number(2, 1)) == ("–", "0.123", "2.0")


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (RunError("run: it is busy. Wait."), "run: it is busy. Wait.", 1),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x.csv"), "/data/x.csv: Permission denied.", 1),
        (OSError("no number"), "no number", 1),
        (MemoryError(), NO_MEMORY, 1),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), NO_MEMORY, 1),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), NO_MEMORY, 1),
        (KeyboardInterrupt(), "Interrupted.", 130),
    ],
)
def test_errors_become_a_sentence_and_a_code(capsys, error, sentence, code, as_json):
    @reports_errors
    def command(as_json=False):  # noqa: ARG001 - the decorator looks at it
        raise error

    with pytest.raises(typer.Exit) as caught:
        command(as_json=as_json)
    assert caught.value.exit_code == code
    out, err = capsys.readouterr()
    assert err.startswith(sentence)
    assert (json.loads(out)["error"].startswith(sentence)) if as_json else out == ""


def test_errors_of_the_program_itself_are_not_hidden():
    @reports_errors
    def command():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()


def test_a_closed_pipe_is_left_to_the_command_line_library():
    @reports_errors
    def command():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        command()


def test_results_in_json_are_one_line_of_strict_json(capsys):
    finish({"path": "ü/[bold]", "none": None, "score": 0.5}, as_json=True, show=lambda _: pytest.fail("no table"))
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out) == {"path": "ü/[bold]", "none": None, "score": 0.5}
    assert err == ""


def test_names_with_brackets_and_colons_are_printed_as_they_are(capsys):
    name = "/data/[red]/[/x]:smile:/stack[012]"
    finish({}, as_json=False, show=lambda console: console.print(name, soft_wrap=True))
    assert capsys.readouterr().out == f"{name}\n"


def test_the_first_interrupt_asks_to_stop_and_the_second_one_stops():
    before = signal.getsignal(signal.SIGINT)
    with stops_on_interrupt() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("quiet", [True, False])
def test_notices_are_told_while_images_are_looked_through(capsys, quiet):
    def look():
        yield Notice("bad.tif cannot be read and is left out.")
        yield ImageSeen("good", 1, 1)
        return "seen"

    assert watch(look(), "Look", quiet=quiet) == "seen"
    assert ("bad.tif cannot be read" in capsys.readouterr().err) is not quiet


@pytest.mark.parametrize("count", [3, 2000])
def test_a_table_of_any_length_has_a_line_for_each_row(capsys, count):
    rows = tuple((f"[b]image {row}", "1" * (row % 7)) for row in range(count))
    show_table(Console(width=80), ResultTable(("image", "size"), rows, title="All", note="That is it."))
    printed = capsys.readouterr().out
    assert re.findall(r"\[b\]image (\d+)", printed) == [str(row) for row in range(count)]
    assert "All" in printed
    assert "That is it." in printed
