"""The card of a model: what its file says of it, read from the header alone, so that torch is not needed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..config import ChannelRule, ModelConfig, Normalization
from ..data.statistics import ModelFacts, ModelView
from ..errors import CheckpointError
from .header import damaged, model_file_kind, read_description
from .provenance import Provenance
from .zoo import find_model, list_models

# PAULow takes a pixel for an object where its logit is above 0.5.
PAULOW_THRESHOLD = 1 / (1 + math.exp(-0.5))
PAULOW_PATCH_PX = 128
_RESULTS = ("model", "best")  # as runs call theirs
_PAULOW_NOTE = "A PAULow state dict, which tells nothing of its training; its width and channels show when it is used."


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model before it is loaded.

    Parameters
    ----------
    name
        How to call it: its own name, else that of its file.
    path
        Its file.
    model
        Shape of the network; ``None`` for a file of another program, which tells it only when it is loaded.
    normalization, channels, patch_size, threshold, provenance, rescale
        As in `Checkpoint`.
    size_bytes
        Size of the file.
    """

    name: str
    path: Path
    model: ModelConfig | None
    normalization: Normalization
    channels: ChannelRule
    patch_size: int
    threshold: float
    provenance: Provenance = field(repr=False)
    size_bytes: int
    rescale: float = 1.0

    @property
    def is_finetuned(self) -> bool:
        """Tell whether it came from another model."""
        return self.provenance.parent_sha256 is not None

    @property
    def is_shipped(self) -> bool:
        """Tell whether it ships with this program."""
        return find_model(self.path.stem) == self.path

    @property
    def target(self) -> str:
        """What a model that ships finds and in which images, in a sentence: its first note; else empty."""
        return "".join(self.provenance.notes[:1]) if self.is_shipped else ""

    @property
    def scores(self) -> Mapping[str, float]:
        """Scores by their names, for example ``val_dice``."""
        return self.provenance.scores

    @property
    def view(self) -> ModelView:
        """How it looks at an image."""
        channels = self.model.in_channels if self.model else 1
        return ModelView(
            in_channels=channels, channels=self.channels, normalization=self.normalization, rescale=self.rescale
        )

    @property
    def facts(self) -> ModelFacts:
        """What images are compared with."""
        return ModelFacts(self.name, self.view, self.provenance.statistics)


def name_of_file(model: str | Path) -> str:
    """Return how to call the model in a file: as the file, or as the run whose result it is."""
    path = Path(model)
    return path.absolute().parent.name if path.stem in _RESULTS else path.stem


def find_model_file(model: str | Path) -> Path:
    """Return the file of a model that ships, given its name, or `model` itself, be it there or not."""
    return find_model(str(model)) or Path(model)


def find_named_model(model: str | Path) -> Path:
    """Return what `find_model_file` returns; a bare name that is neither a file nor a model that ships is refused.

    Raises
    ------
    CheckpointError
        If there is no model of that name.
    """
    path = find_model_file(model)
    if len(path.parts) == 1 and not path.suffix and not _exists(path):
        names = ", ".join(list_models()) or "none yet"
        raise CheckpointError(
            f"There is no model called '{model}'. Give the path of a model file, or a model that ships: {names}."
        )
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a file's name
        return False


def read_card(model: str | Path) -> ModelCard:
    """Return the card of a model file, or of a model that ships.

    The tensors are not looked at, so that a file whose header is sound may still turn out to be damaged.

    Raises
    ------
    CheckpointError
        If there is no such model, or its file is damaged, foreign or of a newer version.
    """
    path = find_named_model(model)
    if model_file_kind(path) == "torch":
        return _paulow_card(path)
    description = read_description(path)
    try:
        return _own_card(path, description)
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise damaged(path) from error


def _own_card(path: Path, description: Mapping[str, Any]) -> ModelCard:
    provenance = Provenance.model_validate(description["provenance"])
    return ModelCard(
        name=provenance.name or name_of_file(path),
        path=path,
        model=ModelConfig.model_validate(description["model"]),
        normalization=Normalization.model_validate(description["normalization"]),
        channels=ChannelRule.model_validate(description["channels"]),
        patch_size=int(description["patch_size"]),
        threshold=float(description["threshold"]),
        provenance=provenance,
        size_bytes=path.stat().st_size,
        rescale=float(description.get("rescale", 1.0)),
    )


def _paulow_card(path: Path) -> ModelCard:
    return ModelCard(
        name=name_of_file(path),
        path=path,
        model=None,
        normalization=Normalization(method="none"),
        channels=ChannelRule(),
        patch_size=PAULOW_PATCH_PX,
        threshold=PAULOW_THRESHOLD,
        provenance=Provenance(name=path.stem, created="", package_version="", notes=(_PAULOW_NOTE,)),
        size_bytes=path.stat().st_size,
    )
