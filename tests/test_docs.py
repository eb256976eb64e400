"""What the pages promise exists: settings, links, commands with their options, and public names."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise, takewhile
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import typer

import napari_unet_finetune as nuf
from napari_unet_finetune.cli import app
from napari_unet_finetune.cli.options import prediction_config, training_config

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
PREDICTING = ("predict", "evaluate")
FENCED = re.compile(r"^([ \t]*)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def fenced(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of every fenced block."""
    for _, language, code in FENCED.findall(page.read_text(encoding="utf-8")):
        yield language, dedent(code)


def prose(page: Path) -> str:
    """Return a page without its code."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", lambda code: re.sub(r"[\[\]()]", "", code[0]), text)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[str]:
    """Yield every call of the command line, in blocks and in the text; a backslash joins lines."""
    text = page.read_text(encoding="utf-8")
    shell = "\n".join(code for language, code in fenced(page) if language in ("", "bash", "console", "sh"))
    for line in shell.replace("\\\n", " ").splitlines():
        found = re.search(r"(?:^|[\s/])unet-finetune\s+(\S.*)", line)
        if found:
            yield found[1]
    yield from re.findall(r"`unet-finetune ([^`\n]+)`", text)
    for words in re.findall(r"\bexec\(command, (.*)\);", text):  # of a macro of ImageJ
        yield " ".join(
            shlex.quote(word[1:-1]) if "+" not in word and '"' in word else "x" for word in words.split(", ")
        )


def complaint(line: str) -> str:
    """Return what the command line would say against a call; an ellipsis stands for a value or for required options."""
    words = list(takewhile(lambda word: word not in ("|", ">", "&&", ";", "&"), shlex.split(line, comments=True)))
    if words[0] in ("-h", "--help"):
        return ""
    if words[0] not in COMMANDS:
        return f"there is no command '{words[0]}'"
    command, given = COMMANDS[words[0]], words[1:]
    if len(given) == 0 or given[0] == "--help" or "…" in given:
        valued = {name for option in command.params for name in option.opts if not getattr(option, "is_flag", False)}
        pairs = pairwise(["", *given])
        given = [word for before, word in pairs if word != "--help" and (word != "…" or before in valued)]
        given += list(_required(command, given))
    try:
        values = command.make_context(words[0], given).params
        _check_settings(words[0], values)
    except Exception as error:  # click's errors have no common base in all versions of typer
        return str(error.format_message() if hasattr(error, "format_message") else error)
    return ""


def _required(command: Any, given: list[str]) -> Iterator[str]:
    for parameter in command.params:
        if parameter.required and parameter.param_type_name == "argument":
            yield "x"
        elif parameter.required and not set(parameter.opts) & set(given):
            yield from (parameter.opts[0], "x")


def _check_settings(command: str, values: dict[str, Any]) -> None:
    if command in PREDICTING:
        prediction_config(values["changes"])
    elif "changes" in values:
        training_config(values.get("preset", "default"), values["changes"], steps=values["steps"])
        training_config(values.get("base_preset", "default"), values.get("base_changes"))


def test_settings_page_is_up_to_date() -> None:
    tool = runpy.run_path(str(REPOSITORY / "tools" / "write_settings.py"))
    written = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == tool["settings_page"](), "run: python tools/write_settings.py"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file) if file else page
        assert goal.exists(), f"{name_of(page)} links to {target}, which is not there"
        assert goal.resolve().is_relative_to(REPOSITORY)
        assert not anchor or anchor in anchors(goal), f"{name_of(page)} links to {target}, but has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_in_the_text_is_understood(page: Path) -> None:
    refused = {line: reason for line in commands(page) if (reason := complaint(line))}
    assert not refused


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("fine-tune --images a", "no command"),
        ("check --imges a", "--imges"),
        ("predict --model m --images a", "--out"),
        ("finetune … --set false_positiv_weight=0.7", "false_positiv_weight"),
        ("finetune … --preset sed-recipe", "sed-recipe"),
        ("evaluate … --set steps=3", "steps"),
        ("curve … --base-set nothing=3", "nothing"),
        ("resume --now", "--now"),
    ],
)
def test_a_call_that_would_fail_is_found(line: str, reason: str) -> None:
    assert reason in complaint(line)


def test_every_setting_in_the_text_is_accepted() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    changes = [change for text in texts for change in re.findall(r"`--set ([a-z_0-9.]+=[^`\s]+)`", text)]
    assert changes
    for change in changes:
        training_config("default", [change])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_name_in_the_python_examples_exists(page: Path) -> None:
    for tree in (ast.parse(code) for language, code in fenced(page) if language == "python"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(nuf.__name__):
                module = import_module(node.module or "")
                assert all(hasattr(module, name.name) for name in node.names)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nuf":
                assert node.attr in nuf.__all__


def test_every_command_and_public_name_is_in_the_reference() -> None:
    reference = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [name for name in (*COMMANDS, *nuf.__all__) if f"`{name}`" not in reference] == []
