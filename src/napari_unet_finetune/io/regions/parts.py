"""Finished parts of a file in work, kept on disk until it is complete, so that work that was killed goes on."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..disk import PARTIAL_SUFFIX, not_written, put_in_place, write_file

_PLAN = "plan.json"
_SUFFIX, _HASH_DIGITS = ".npz", 16


@dataclass(frozen=True)
class Parts:
    """A hidden folder beside the file in work, with one file for each part of it that is finished.

    A part is there as a whole or not at all. `plan.json` says of what and how they are made; a hash of that is part of
    their names, so that several processes can make parts, and one that was left over from another plan harms none.
    """

    target: Path
    made_by: str

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.target.with_name(f".{self.target.name}.parts")

    @classmethod
    def begin(cls, target: Path, plan: Mapping[str, Any], *, anew: bool = False) -> Self:
        """Return the parts of `target` that are made by `plan`, with those that an earlier attempt has left.

        Those of another plan are removed if it is to be made `anew`.

        Raises
        ------
        DataError
            If parts are there that were made by another plan, or the folder cannot be written to.
        """
        wanted = json.dumps(plan, indent=1, sort_keys=True)
        parts = cls(target, hashlib.sha256(wanted.encode()).hexdigest()[:_HASH_DIGITS])
        found = parts._plan()
        if found is not None and found != wanted:
            if len(parts) and not anew:
                raise DataError(
                    f"{target.name} was begun from another image, or with another model or other settings "
                    f"({_difference(found, plan)}), and {len(parts)} of its parts are kept. Go on with those, or "
                    f"predict it anew with --overwrite."
                )
            parts.remove()
        write_file(parts.folder / _PLAN, wanted)
        return parts

    def __contains__(self, name: str) -> bool:
        """Tell whether a part is finished."""
        return self.file(name).is_file()

    def __len__(self) -> int:
        """Return how many parts are finished."""
        return sum(1 for _ in self.folder.glob(f"*{_SUFFIX}"))

    def write(self, name: str, array: NDArray[np.generic], *, note: str = "") -> None:
        """Keep a finished part, with a `note` on it.

        Raises
        ------
        DataError
            If the disk does not take it.
        """
        partial = self.folder / f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
        try:
            with partial.open("xb") as file:  # not synced: what a loss of power leaves of it is found when it is read
                np.savez_compressed(file, array=array, note=np.array(note))
            put_in_place(partial, self.file(name))
        except OSError as error:
            raise DataError(not_written(self.file(name), error)) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    def read(self, name: str) -> NDArray[Any]:
        """Return a finished part.

        Raises
        ------
        DataError
            If it is damaged; it is removed, so that the next attempt makes it anew.
        """
        array: NDArray[Any] = self._read(name, "array")
        return array

    def note(self, name: str) -> str:
        """Return the note on a finished part; raises `DataError` as `read` does."""
        return str(self._read(name, "note"))

    def _read(self, name: str, what: str) -> Any:
        try:
            return read_part(self.file(name), what)
        except DAMAGED as error:
            with suppress(OSError):
                self.file(name).unlink(missing_ok=True)
            raise DataError(
                f"{self.target.name}: a part of it that was kept is damaged. Predict it again: only that part is made "
                "anew."
            ) from error

    def remove(self) -> None:
        """Remove all parts, once they are no longer needed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _plan(self) -> str | None:
        try:
            return (self.folder / _PLAN).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def file(self, name: str) -> Path:
        """Return the file of a part, which is there once it is finished; `read_part` reads it."""
        return self.folder / f"{name}-{self.made_by}{_SUFFIX}"


DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def read_part(file: Path, what: str = "array") -> Any:
    """Return what the file of a finished part holds; raises one of `DAMAGED` if it is damaged or gone."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        return stored[what]


def _difference(found: str, plan: Mapping[str, Any]) -> str:
    """Return the names of what differs."""
    try:
        before = json.loads(found)
        names = [name for name in {**before, **plan} if before.get(name) != json.loads(json.dumps(plan.get(name)))]
    except (ValueError, AttributeError):
        names = []
    return ", ".join(names) or "its plan is damaged"
