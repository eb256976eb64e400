"""Models that ship with the package, found by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .description import read_description

SHIPPED = Path(__file__).resolve().parent.parent / "zoo"
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ZooModel:
    """A model that ships; its file is opened only when it is asked for something."""

    name: str
    path: Path

    @property
    def description(self) -> str:
        """What the model was trained for, in a sentence or two.

        Raises
        ------
        CheckpointError
            If the file is damaged.
        """
        return " ".join(self._provenance.get("notes", ()))

    @property
    def licence(self) -> str:
        """Licence of the weights.

        Raises
        ------
        CheckpointError
            If the file is damaged.
        """
        return str(self._provenance.get("licence", ""))

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        return dict(read_description(self.path).get("provenance", {}))


def list_models() -> tuple[ZooModel, ...]:
    """Return the models that ship, in the order of their names."""
    return tuple(ZooModel(path.stem, path) for path in sorted(SHIPPED.glob(f"*{_SUFFIX}")))


def find_model(name: str) -> Path | None:
    """Return the file of the shipped model called `name`, or ``None`` if there is none."""
    return next((model.path for model in list_models() if model.name == name), None)
