"""Each sentence that docs/troubleshooting.md explains is one that the program says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\*\*(.+)\*\*$", PAGE, re.MULTILINE)
GAP = "…"


def said() -> Iterator[str]:
    """Yield every text in the program, with an ellipsis in place of what is filled in."""
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else GAP for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def holds(text: str, quoted: str) -> bool:
    """Tell whether the fragments between the gaps of a quotation come one after the other in a text."""
    place = 0
    for fragment in filter(None, (part.strip() for part in quoted.split(GAP))):
        found = text.find(fragment, place)
        if found < 0:
            return False
        place = found + len(fragment)
    return True


SAID = list(said())


def test_sentences_are_quoted_and_each_once() -> None:
    assert len(QUOTED) > 25
    assert len(set(QUOTED)) == len(QUOTED)


@pytest.mark.parametrize("quoted", QUOTED)
def test_the_program_says_each_sentence_that_is_explained(quoted: str) -> None:
    assert len(quoted.replace(GAP, "")) > 15
    assert any(holds(text, quoted) for text in SAID), f"nowhere in the program: {quoted}"


def test_a_sentence_that_nobody_says_is_found() -> None:
    assert holds("a.tif: image is (2, 3) but its mask is (4, 5).", "…: image is … but its mask is …")
    assert not holds("…: image is … but its mask is ….", "…: mask is … but its image is …")
