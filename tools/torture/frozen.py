"""What an earlier version wrote, to be damaged: a model, datasets, trainings and a study."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

FROZEN = Path(__file__).resolve().parents[2] / "tests" / "frozen"
RUNS = Path("whole", "unet-finetune", "runs")
RUN, INTERRUPTED, STUDY = (RUNS / f"20260101-12000{name}" for name in ("0-finished", "1-interrupted", "2-curve"))


def unfrozen(folder: Path) -> Path:
    """Return a copy of what an earlier version wrote, unpacked into `folder`, with paths that lead into it."""
    shutil.copytree(FROZEN, folder)
    for packed in folder.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    for text in (*folder.rglob("*.json"), *folder.rglob("*.jsonl")):
        text.write_text(text.read_text("utf-8").replace("HERE/", f"{folder.as_posix()}/"), "utf-8")
    return folder
