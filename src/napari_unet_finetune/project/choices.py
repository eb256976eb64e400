"""What a user chose for the trainings of a dataset: base, settings and old images, kept beside its record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..config import FinetuneConfig
from ..errors import FinetuneError
from ..io.disk import path_within, write_file
from ..models.card import find_model_file
from .training_plan import OldImages

CHOICES = "choices.json"


class Choices(BaseModel):
    """What was chosen, None where nothing was; `base` is a file, or the name of a model that ships."""

    model_config = ConfigDict(frozen=True)

    base: str | None = None
    config: FinetuneConfig | None = None
    old: OldImages | None = None

    @classmethod
    def read(cls, folder: Path) -> Choices:
        """Return what is kept in the project `folder`; what cannot be read, or is of another version, is left out."""
        try:
            found = json.loads((folder / CHOICES).read_bytes())
        except (OSError, ValueError):
            return cls()
        valid = (
            {name: value for name, value in found.items() if _is_valid(name, value)} if isinstance(found, dict) else {}
        )
        chosen = cls.model_validate(valid)
        if chosen.base is None or not Path(chosen.base).suffix:
            return chosen
        return chosen.model_copy(update={"base": str(folder / chosen.base)})

    def keep(self, folder: Path) -> None:
        """Write this into the project `folder`; a base within it is named so that both may move together.

        A disk that does not take it is no reason to disturb anybody.
        """
        file, base = find_model_file(self.base or ""), self.base
        if base is not None and file.is_relative_to(folder):
            base = path_within(folder, file)
        kept = self.model_copy(update={"base": base})
        try:
            write_file(folder / CHOICES, kept.model_dump_json(indent=1, exclude_none=True))
        except FinetuneError:
            return


def _is_valid(name: str, value: Any) -> bool:
    try:
        Choices.model_validate({name: value})
    except ValidationError:
        return False
    return name in Choices.model_fields
