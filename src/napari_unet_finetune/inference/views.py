"""Mirrored views: whether a model knows them, and so may be shown every second tile mirrored."""

from __future__ import annotations

from ..config import AugmentConfig
from ..models.foreign.model import ForeignModel
from ..models.model import Model


def trains_mirrored(augment: AugmentConfig) -> bool:
    """Tell whether a training with these settled settings shows mirrored views."""
    return _mirrored(augment.orientation, flips=augment.flips)


def knows_mirrored(model: Model | ForeignModel) -> bool:
    """Tell whether a model was trained on mirrored views; no, if its file does not say."""
    augment = model.card.provenance.config.get("augment", {})
    return _mirrored(augment.get("orientation"), flips=augment.get("flips", False))


def _mirrored(orientation: str | None, *, flips: bool) -> bool:
    # Objects in layers are never mirrored top to bottom; their two views differ too little to be worth anything.
    return orientation == "any" and flips
