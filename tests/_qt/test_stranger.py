"""The way of a user who closes napari in between: every number of the model is the same wherever it is shown."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("napari")

WALK = Path(__file__).parents[2] / "tools" / "walk_like_a_stranger.py"
pytestmark = [pytest.mark.gui, pytest.mark.full]


@pytest.fixture(scope="module")
def said(tmp_path_factory, qapp):  # noqa: ARG001
    """Return what the walk printed, line by line; it ends with an error where numbers contradict each other."""
    out = tmp_path_factory.mktemp("pictures")
    walk = subprocess.run(
        [sys.executable, WALK, "--out", out, "--steps", "20"], capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    lines = [line.split(" | ") for line in walk.stdout.splitlines()]
    assert "clicks in all" in {line[0] for line in lines}, walk.stdout + walk.stderr
    return lines


def shown(said, fact):
    return [line[1] for line in said if line[0] == fact]


@pytest.mark.parametrize(
    ("fact", "places"),
    [("finetuned, held out", 16), ("base, old images", 9), ("finetuned, old images", 9), ("threshold", 5), ("name", 7)],
)
def test_all_places_show_the_same_of_a_model_also_after_napari_was_closed(said, fact, places):
    assert len(shown(said, fact)) >= places and len(set(shown(said, fact))) == 1


def test_all_places_show_the_same_of_the_base(said):
    assert len(set(shown(said, "base, held out"))) == 1
