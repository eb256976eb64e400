"""The folders of the runs of a dataset, named by time and purpose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from ..models.names import STAMP

RUNS = "runs"
_LONGEST_LABEL, _STAMP_LENGTH = 60, len("20260101-120000")


def new_run_folder(folder: Path, label: str, *, earlier: Iterable[Path] = ()) -> Path:
    """Return a folder for a run in the project `folder` that is not there yet.

    Its name comes after those of all runs in `folder` and of the `earlier` ones, so that it is the newest, though the
    clock was set back since: at the end of summer time, or in another time zone.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", label)[:_LONGEST_LABEL].strip("-.") or "run"
    begun = max((datetime.now(), *_after(run_folders(folder)), *_after(earlier)))
    stem = f"{begun:{STAMP}}-{plain}"
    numbered = (folder / RUNS / f"{stem}{mark}" for mark in ("", *(f"-{number}" for number in range(2, 1000))))
    return next(path for path in numbered if not path.exists())


def _after(runs: Iterable[Path]) -> Iterator[datetime]:
    """Yield the first second after each run was begun that was begun in the future, as its name tells."""
    now = datetime.now()
    for run in runs:
        with suppress(ValueError, OverflowError):
            begun = datetime.strptime(run.name[:_STAMP_LENGTH], STAMP)
            if begun > now:
                yield begun + timedelta(seconds=1)


def run_folders(folder: Path) -> tuple[Path, ...]:
    """Return the folders of all runs in the project `folder`, oldest first."""
    runs = folder / RUNS
    return tuple(sorted(path for path in runs.iterdir() if path.is_dir())) if runs.is_dir() else ()
