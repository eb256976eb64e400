"""The whole way of a user: from a folder of images to masks, a finetuned model, its scores and predictions of all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("napari")

WALK = Path(__file__).parents[2] / "tools" / "walk_through.py"
STEPS = (
    "open", "images", "masks-imported", "painted", "next-image", "model", "settings", "finetuning-begins",
    "finetuning", "finetuned", "compare-choose", "compare-overlay", "compare-grid", "compare-errors", "predicted",
    "predicted-all", "questions", "suggested",
)  # fmt: skip


@pytest.mark.gui
@pytest.mark.slow
def test_a_user_gets_from_a_folder_of_images_to_a_better_model_and_predictions_of_all(tmp_path, qapp):  # noqa: ARG001
    walk = subprocess.run(
        [sys.executable, WALK, "--out", tmp_path, "--steps", "40"], capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert walk.returncode == 0, walk.stdout + walk.stderr
    said = dict(line.split(" | ", 1) for line in walk.stdout.splitlines() if " | " in line)
    pictures = [name for name in said if name.endswith(".png")]
    assert [re.sub(r"^\d+-|\.png$", "", name) for name in pictures] == list(STEPS)
    assert all((tmp_path / name).stat().st_size > 10_000 for name in pictures)
    raw, finetuned = (float(text) for text in re.findall(r": (0\.\d+)", said["mean scores"]))
    assert finetuned > raw + 0.1
    assert "31 labels files written" in said["17-predicted-all.png"]
