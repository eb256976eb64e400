"""The model files used lately, kept in a small file of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..io.disk import atomic_write

KEPT = 8


@dataclass(frozen=True)
class RecentModels:
    """Model files in `file`, the last used first; ``None`` remembers nothing.

    A file that cannot be read or written is no reason to disturb anybody: then there are no recent models.
    """

    file: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are still there."""
        if self.file is None or not self.file.is_file():
            return ()
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ()
        named = found if isinstance(found, list) else []
        return tuple(path for path in (Path(name) for name in named if isinstance(name, str)) if path.is_file())

    def add(self, path: Path) -> None:
        """Put `path` first."""
        if self.file is None:
            return
        path = path.absolute()
        names = [str(path), *(str(other) for other in self.paths if other != path)]
        text = json.dumps(names[:KEPT], indent=1).encode()
        try:
            atomic_write(self.file, lambda file: file.write(text))
        except OSError:
            return
