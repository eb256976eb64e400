"""The folders of the runs of a dataset, named by time and purpose."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from ..models.names import STAMP

RUNS = "runs"
_LONGEST_LABEL = 60


def new_run_folder(folder: Path, label: str) -> Path:
    """Return a folder for a run in the project `folder` that is not there yet."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:_LONGEST_LABEL].strip("-.") or "run"
    stem = f"{datetime.now():{STAMP}}-{plain}"
    numbered = (folder / RUNS / f"{stem}{mark}" for mark in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(path for path in numbered if not path.exists())


def run_folders(folder: Path) -> tuple[Path, ...]:
    """Return the folders of all runs in the project `folder`, oldest first."""
    runs = folder / RUNS
    return tuple(sorted(path for path in runs.iterdir() if path.is_dir())) if runs.is_dir() else ()
