"""What the pages promise exists: settings, links, commands with their options, and public names."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from inspect import signature
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
NOTEBOOKS = sorted((REPOSITORY / "docs").rglob("*.ipynb"))
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), *NOTEBOOKS])
COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
PREDICTING = ("predict", "evaluate", "estimate")
FENCED = re.compile(r"^([ \t]*)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


def text_of(page: Path) -> str:
    """Return a page as Markdown; a cell of a notebook is a block."""
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8")
    parts = []
    for cell in json.loads(page.read_text(encoding="utf-8"))["cells"]:
        lines = "".join(cell["source"]).splitlines()
        if cell["cell_type"] == "code":
            is_shell = lines[0] == "%%bash"
            lines = ["```sh", *lines[1:], "```"] if is_shell else ["```python", *lines, "```"]
        parts += [*lines, ""]
    return "\n".join(parts)


def fenced(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of every fenced block."""
    for _, language, code in FENCED.findall(text_of(page)):
        yield language, dedent(code)


def prose(page: Path) -> str:
    """Return a page without its code."""
    text = FENCED.sub("", text_of(page))
    return re.sub(r"`[^`\n]*`", lambda code: re.sub(r"[\[\]()]", "", code[0]), text)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[str]:
    """Yield every call of the command line, in blocks and in the text; a backslash joins lines."""
    text = text_of(page)
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
        is_named = [word for before, word in pairwise(["", *given]) if before not in valued and word[0] != "-"]
        given += list(_required(command, given, has_argument=bool(is_named)))
    try:
        values = command.make_context(words[0], given).params
        _check_settings(words[0], values)
    except Exception as error:  # click's errors have no common base in all versions of typer
        return str(error.format_message() if hasattr(error, "format_message") else error)
    return ""


def _required(command: Any, given: list[str], *, has_argument: bool) -> Iterator[str]:
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            yield from () if has_argument else ("x",)
        elif parameter.required and not set(parameter.opts) & set(given):
            yield from (parameter.opts[0], "x")


def _check_settings(command: str, values: dict[str, Any]) -> None:
    if command in PREDICTING:
        prediction_config(values["changes"])
    elif "changes" in values:
        training_config(values.get("preset", "default"), values["changes"], steps=values["steps"])
        training_config(values.get("base_preset", "default"), values.get("base_changes"))


@pytest.mark.parametrize("name", ["settings", "commands"])
def test_generated_page_is_up_to_date(name: str) -> None:
    tool = runpy.run_path(str(REPOSITORY / "tools" / "write_reference.py"))
    written = (REPOSITORY / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert written == tool[f"{name}_page"](), "run: python tools/write_reference.py"


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
        ("suggest --model m", "--images"),
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
    texts = [text_of(page) for page in PAGES]
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


@pytest.fixture
def where_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change into a folder with the files that examples name; trainings take two steps, and images are small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    nuf.write_microtube("sample/test", 5, shape=(64, 96))
    shutil.copytree("sample/test/dataset2", "new")
    for folder in ("runs/base", "runs/new"):
        Path(folder).mkdir(parents=True)
        nuf.load_model("microtube").save(f"{folder}/model.safetensors")
    monkeypatch.setattr(nuf, "make_microtube", partial(nuf.make_microtube, shape=(64, 96)))
    for name in ("train", "finetune"):
        long: Any = getattr(nuf, name)
        monkeypatch.setattr(nuf, name, lambda *given, long=long, **named: long(*given, **(named | {"steps": 2})))


@pytest.mark.full
@pytest.mark.usefixtures("where_examples_run")
@pytest.mark.parametrize("name", ["README.md", "docs/how-to.md", "docs/reference.md", "docs/tutorial-terminal.md"])
def test_python_examples_run_as_they_stand(name: str) -> None:
    blocks = [code for language, code in fenced(REPOSITORY / name) if language == "python"]
    assert blocks
    for code in blocks:
        exec(compile(code, name, "exec"), {})  # noqa: S102 - our own pages


@pytest.mark.parametrize("page", NOTEBOOKS, ids=name_of)
def test_notebooks_are_kept_without_what_they_have_printed(page: Path) -> None:
    cells = [cell for cell in json.loads(page.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert len(cells) > 5
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []


def test_every_public_name_is_in_the_reference_with_its_docstring() -> None:
    reference = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    assert [name for name in nuf.__all__ if f"`{name}`" not in reference] == []
    shown = re.findall(r"^::: (\S+)$", (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted(f"{nuf.__name__}.{module}.{name}" for name, module in nuf._HOME.items())


def test_calls_in_the_reference_name_parameters_that_there_are() -> None:
    reference = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    calls = re.findall(r"^\| [^|]+ \| `(\w+)\(([^`]*)\)`", reference.partition("\n## Python\n")[2], re.MULTILINE)
    assert len(calls) > 15
    for name, written in calls:
        there = signature(getattr(nuf, name)).parameters
        named = [part.partition("=")[0].strip(" *") for part in re.sub(r"\([^)]*\)", "", written).split(",")]
        if not {"1 or 2"} & set(named):
            assert [part for part in named if part not in there] == [], name
