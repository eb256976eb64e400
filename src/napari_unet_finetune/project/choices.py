"""What a user chose for the models of a dataset: base, settings, old images and more, kept beside its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import PRESETS, AppearanceName, AugmentConfig, FinetuneConfig
from ..errors import FinetuneError
from ..io.disk import path_within, write_file
from ..models.card import find_model_file
from .training_plan import OldImages

CHOICES = "choices.json"


class Choices(BaseModel):
    """What was chosen, None where nothing was; `base` is a file, or the name of a model that ships.

    `appearances` says by model, called like the base, which way round it is shown the images, where that was chosen.
    """

    model_config = ConfigDict(frozen=True)

    base: str | None = None
    config: FinetuneConfig | None = None
    old: OldImages | None = None
    appearances: dict[str, AppearanceName] = {}

    @classmethod
    def read(cls, folder: Path) -> Choices:
        """Return what is kept in the project `folder`; what cannot be read, or is of another version, is left out."""
        try:
            found = json.loads((folder / CHOICES).read_bytes())
        except (OSError, ValueError):
            return cls()
        kept = found if isinstance(found, dict) else {}
        now = {name: _with_standard(value) if name == "config" else value for name, value in kept.items()}
        chosen = cls.model_validate({name: value for name, value in now.items() if _is_valid(name, value)})
        return chosen._with_models(lambda model: str(folder / model) if Path(model).suffix else model)

    def keep(self, folder: Path) -> None:
        """Write this into the project `folder`; a model within it is named so that both may move together.

        A disk that does not take it is no reason to disturb anybody.
        """

        def named(model: str) -> str:
            file = find_model_file(model)
            return path_within(folder, file) if file.is_relative_to(folder) else model

        kept = self._with_models(named)
        try:
            write_file(folder / CHOICES, kept.model_dump_json(indent=1, exclude_none=True))
        except FinetuneError:
            return

    def _with_models(self, named: Callable[[str], str]) -> Choices:
        """Return the same with each model called what `named` makes of its name."""
        appearances = {named(model): appearance for model, appearance in self.appearances.items()}
        return self.model_copy(update={"base": self.base and named(self.base), "appearances": appearances})


def _with_standard(config: Any) -> Any:
    """Return settings with today's augmentation, where an earlier version wrote down a strength that it offered."""
    if not isinstance(config, dict):
        return config
    strengths = AugmentConfig(), AugmentConfig().halved, PRESETS["from scratch"]["augment"]
    standards = [one.model_dump() for one in strengths]
    now = [
        one for one in standards if config.get("augment") == {name: one[name] for name in one.keys() - {"p_objects"}}
    ]
    return {**config, "augment": now[0]} if now else config


def _is_valid(name: str, value: Any) -> bool:
    try:
        Choices.model_validate({name: value})
    except ValidationError:
        return False
    return name in Choices.model_fields
