"""Models that ship with the package, found by name and described from the headers of their files, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .description import read_description

SHIPPED = Path(__file__).resolve().parent.parent / "zoo"
_SUFFIX = ".safetensors"
# What a model was trained to find; its other notes say where it fails and how it was made.
_TARGET = 0


@dataclass(frozen=True)
class ZooModel:
    """A model that ships; its file is opened only when it is asked for something.

    Each property but `size_bytes` raises `CheckpointError` if the file is damaged.
    """

    name: str
    path: Path

    @property
    def target(self) -> str:
        """What the model finds and in which images, in a sentence."""
        return "".join(self._notes[_TARGET : _TARGET + 1])

    @property
    def description(self) -> str:
        """Target, limits and how the model was made, in a few sentences."""
        return " ".join(self._notes)

    @property
    def licence(self) -> str:
        """Licence of the weights."""
        return str(self._provenance.get("licence", ""))

    @property
    def citation(self) -> str:
        """What to cite for the data the model was trained on."""
        return str(self._provenance.get("citation", ""))

    @property
    def channels(self) -> int:
        """Image channels that the network sees; images with others are brought to it."""
        return int(self._description.get("model", {}).get("in_channels", 1))

    @property
    def width(self) -> int:
        """Filters of the first level."""
        return int(self._description.get("model", {}).get("width", 0))

    @property
    def scores(self) -> Mapping[str, float]:
        """Scores by their names, for example ``test_dice``."""
        return {str(name): float(value) for name, value in self._provenance.get("scores", {}).items()}

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    @property
    def _notes(self) -> tuple[str, ...]:
        return tuple(map(str, self._provenance.get("notes", ())))

    @property
    def _provenance(self) -> dict[str, Any]:
        return dict(self._description.get("provenance", {}))

    @cached_property
    def _description(self) -> dict[str, Any]:
        return read_description(self.path)


def list_models() -> tuple[ZooModel, ...]:
    """Return the models that ship, in the order of their names."""
    return tuple(ZooModel(path.stem, path) for path in sorted(SHIPPED.glob(f"*{_SUFFIX}")))


def find_model(name: str) -> Path | None:
    """Return the file of the shipped model called `name`, or ``None`` if there is none."""
    return next((model.path for model in list_models() if model.name == name), None)
