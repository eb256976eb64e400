"""Text has the same encoding on every system: Windows would take one of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SOURCES = [file for room in ("src", "tools", "benchmarks") for file in sorted((REPOSITORY / room).rglob("*.py"))]
POSITIONAL = {"read_text": 0, "write_text": 1}  # where the encoding stands


def opened_without_encoding(code: str) -> Iterator[int]:
    """Yield the lines of calls that open a file as text and leave the encoding to the system."""
    for call in ast.walk(ast.parse(code)):
        if not isinstance(call, ast.Call) or any(keyword.arg == "encoding" for keyword in call.keywords):
            continue
        is_method = isinstance(call.func, ast.Attribute)
        if is_method and getattr(call.func.value, "id", "") == "zarr":  # opens no text
            continue
        name = call.func.attr if is_method else getattr(call.func, "id", "")
        if is_method and name in POSITIONAL and len(call.args) <= POSITIONAL[name]:
            yield call.lineno
        if name in ("open", "fdopen") and not is_binary(call, 0 if is_method and name == "open" else 1):
            yield call.lineno


def is_binary(call: ast.Call, place: int) -> bool:
    """Tell whether a call of `open` may open no text file; a method of other objects has no mode."""
    modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"] + call.args[place : place + 1]
    texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
    if not texts:
        return place == 0
    return "b" in texts[0] or not set(texts[0]) <= set("rwxat+")


def test_every_text_file_names_its_encoding() -> None:
    found = {file: list(opened_without_encoding(file.read_text(encoding="utf-8"))) for file in SOURCES}
    assert {file.name: lines for file, lines in found.items() if lines} == {}
    assert len(SOURCES) > 100


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("path.read_text()", [1]),
        ("path.write_text(text)", [1]),
        ("path.read_text('utf-8'); path.write_text(text, 'utf-8')", []),
        ("open(path)", [1]),
        ("path.open('a')", [1]),
        ("path.open('rb'); open(path, 'wb'); zarr.open(path, mode='r')", []),
        ("os.fdopen(1, 'w')", [1]),
        ("dialog.open(); Project.open(folder)", []),
    ],
)
def test_the_look_at_calls_finds_them(code: str, found: list[int]) -> None:
    assert list(opened_without_encoding(code)) == found
