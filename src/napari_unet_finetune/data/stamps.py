"""By what a changed file is noticed without reading it."""

from __future__ import annotations

from pathlib import Path

Stamp = tuple[int, int]
NO_FILE: Stamp = (0, 0)


def file_stamp(path: Path | None) -> Stamp:
    """Return length and time of a file; either differs after a change. `NO_FILE` if it is not there."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return NO_FILE
    return NO_FILE if found is None else (found.st_size, found.st_mtime_ns)
