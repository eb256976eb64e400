"""Write files so that a crash, a full disk or a kill never leaves half of one under its final name."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError, FinetuneError

PARTIAL_SUFFIX = ".partial"


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file in the folder of `path`, flush it to disk and rename it to `path`.

    A file that was there before stays as it is until the new one is complete. The folder is made if it is missing.

    Raises
    ------
    OSError
        If the folder or the disk does not take the file; the caller knows what it was and says so.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")  # no longer for a long name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fill(partial, write)
        partial.replace(path)
        _sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(
    path: Path, content: str | bytes | Callable[[BinaryIO], object], *, error: type[FinetuneError] = DataError
) -> None:
    """Write `content`, or let it write, as `atomic_write` does; what the user can put right is said in a sentence.

    Raises
    ------
    FinetuneError
        An `error`, if the folder or the disk does not take the file.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        atomic_write(path, data if callable(data) else lambda file: file.write(data))
    except OSError as found:
        raise error(not_written(path, found)) from found


def check_suffix(path: Path, *suffixes: str) -> None:
    """Refuse to write over a file of another kind, be it there or not: a slip of the hand may name an image.

    Raises
    ------
    DataError
        If `path` ends in none of `suffixes`.
    """
    if path.suffix.lower() not in suffixes:
        raise DataError(f"{path}: this file must end in {' or '.join(suffixes)}. Choose such a name.")


def not_written(path: Path, error: OSError) -> str:
    """Return the sentence for a file that the folder or the disk does not take."""
    reason = error.strerror or "the disk did not take it"  # tifffile gives no error number for a full disk
    return f"{path} cannot be written ({reason}). Free some space or choose another folder."


def remove_partial(folder: Path) -> None:
    """Remove what writers that were killed left in `folder`; call it only while nothing writes there."""
    for partial in folder.glob(f".*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)


def _fill(partial: Path, write: Callable[[BinaryIO], object]) -> None:
    with partial.open("x+b") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last; Windows and some network disks have no such call and need none."""
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
