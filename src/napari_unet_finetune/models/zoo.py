"""Models that ship with the package, found by name; their cards say what they are."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).resolve().parent.parent / "zoo"
_SUFFIX = ".safetensors"


def list_models() -> tuple[str, ...]:
    """Return the names of the models that ship, in their order."""
    return tuple(sorted(path.stem for path in SHIPPED.glob(f"*{_SUFFIX}")))


def find_model(name: str) -> Path | None:
    """Return the file of the shipped model called `name`, or ``None`` if there is none."""
    return SHIPPED / f"{name}{_SUFFIX}" if name in list_models() else None
