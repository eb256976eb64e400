"""Whatever is wrong with an invocation: one sentence, exit code 1 or 2, and with ``--json`` one object."""

import json
import logging
from contextlib import chdir

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner

from napari_unet_finetune.cli import app
from napari_unet_finetune.config import FinetuneConfig, fields_of


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Work in a folder of its own: a run folder is made before its images are looked for.

    What is logged of names that are no UTF-8 is kept from pytest, whose processes cannot send it to each other.
    """
    logger = logging.getLogger("napari_unet_finetune")
    logger.propagate = False
    with chdir(tmp_path_factory.mktemp("misuse")):
        yield
    logger.propagate = True


COMMANDS = {name: command for name, command in get_command(app).commands.items() if not command.hidden}
NONSENSE = st.sampled_from(
    ["", "x", "-1", "0", "nan", "inf", "1e400", "9" * 30, "9" * 5000, "[" * 10_000, "{", "null", "true", ".",
     "~nobody/x", "a\nb", "x" * 300, "ä\udce9", "=", "a=", "=1", "5,", "--json"]
)  # fmt: skip
CHANGES = st.lists(
    st.tuples(st.sampled_from([*fields_of(FinetuneConfig), "nothing", ""]), NONSENSE).map("=".join), max_size=3
)


def complaint_of(arguments):
    """Return what a command printed on standard error, after checks of how it ended."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert isinstance(result.exception, SystemExit | None), (arguments, result.exception)
    assert result.exit_code in (1, 2), (arguments, result.output)
    assert list(json.loads(result.stdout)) == ["error"], arguments
    sentence = result.stderr.strip()
    assert sentence and len(sentence.splitlines()) <= 2 and "Traceback" not in sentence, arguments
    return result.exit_code, sentence


@st.composite
def invocations(draw):
    """Return a command with options that exist, each with a value that makes no sense or leads nowhere."""
    name = draw(st.sampled_from([name for name in COMMANDS if name not in ("demo", "models", "settings")]))
    arguments = [name]
    chosen = draw(st.lists(st.sampled_from(COMMANDS[name].params), unique=True, max_size=4))
    needed = [option for option in COMMANDS[name].params if option.required and option not in chosen]
    for option in (*chosen, *(needed if draw(st.booleans()) else ())):
        flag = option.opts[0]
        if flag in ("--json", "--help"):
            continue
        if not flag.startswith("--"):
            arguments.append(draw(NONSENSE))
        elif "--set" in flag or "--base-set" in flag:
            arguments += [part for change in draw(CHANGES) for part in (flag, change)]
        else:
            arguments += [flag] if getattr(option, "is_flag", False) else [flag, draw(NONSENSE)]
    return arguments


@given(invocations())
@example(["finetune", "--images", "x", "--masks", "x", "--model", "x", "--out", "x", "--later"])
@settings(max_examples=150)
def test_no_invocation_ends_in_a_traceback(arguments):
    complaint_of(arguments)


TRAIN = ["train", "--images", "x", "--masks", "y", "--out", "z"]


@pytest.mark.parametrize(
    "arguments",
    [
        [*TRAIN, "--set", "augment=5", "--set", "augment.p_gamma=0.1"],
        [*TRAIN, "--set", "augment.p_gamma=0.1", "--set", "augment=5"],
        [*TRAIN, "--set", "augment.p_gamma.x=1"],
        [*TRAIN, "--set", "steps=" + "[" * 100_000],
        [*TRAIN, "--set", "steps=" + "9" * 5000],
        [*TRAIN, "--set", "warmup_steps=99999999999"],
        [*TRAIN, "--seed", "-1"],
        [*TRAIN, "--seed", "2147483648"],
        [*TRAIN[:-1], ""],
        [*TRAIN[:-2], "--out="],
        [*TRAIN, "--width", "17"],
        [*TRAIN, "--nonsense"],
        ["train"],
        ["nonsense"],
        ["resume", "a", "b"],
        ["forecast", "study", "--seed", "-1"],
        ["forecast", "study", "--more", "9" * 5000],
        ["demo", "--out", "z", "--seed", "-1"],
        ["evaluate", "--model", "m", "--images", "x", "--masks", "y", "--tolerance", "nan"],
        ["evaluate", "--model", "m", "--images", "x", "--masks", "y", "--threshold", "inf"],
        ["can-learn", "--model", "m", "--images", "x", "--masks", "y", "--seconds", "inf"],
    ],
    ids=lambda arguments: " ".join(arguments)[-60:],
)
def test_an_option_that_makes_no_sense_ends_with_2(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, sentence = complaint_of(arguments)
    assert code == 2 and len(sentence) < 400
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_group_of_settings_and_one_of_them_go_together_in_any_order():
    from napari_unet_finetune.cli.options import training_config

    changes = ['augment={"p_gamma": 0.5, "p_blur": 0.5}', "augment.p_blur=0"]
    for given_ in (changes, changes[::-1]):
        augment = training_config("default", given_).augment
        assert (augment.p_gamma, augment.p_blur) == (0.5, 0)
