"""Models that ship with the package, found by name; their cards say what they are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

SHIPPED = Path(__file__).resolve().parent.parent / "zoo"
_SUFFIX = ".safetensors"


def list_models() -> tuple[str, ...]:
    """Return the names of the models that ship, in their order."""
    return _names_in(SHIPPED)


@lru_cache
def _names_in(folder: Path) -> tuple[str, ...]:
    """Return what ships in `folder`, looked up once: docks ask hundreds of times for each stroke that is saved."""
    return tuple(sorted(path.stem for path in folder.glob(f"*{_SUFFIX}")))


def find_model(name: str) -> Path | None:
    """Return the file of the shipped model called `name`, or ``None`` if there is none."""
    return SHIPPED / f"{name}{_SUFFIX}" if name in list_models() else None


def shipped_name(file: Path) -> str:
    """Return the name of the shipped model in `file`, empty if it is another one."""
    return file.stem if find_model(file.stem) == file else ""
