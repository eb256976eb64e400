"""How many channels a finetuned model gets: colour that the base model never saw can be what tells objects apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..config import ChannelRule, FinetuneConfig
from ..data.annotated_image import AnnotatedImage
from ..models.checkpoint import Checkpoint
from ..words import count_of

# Enough to notice colour, without reading every file twice.
_LOOKED_AT = 5


def fit_channels(
    images: Sequence[AnnotatedImage], base: Checkpoint, config: FinetuneConfig, *, from_scratch: bool = False
) -> tuple[Checkpoint, list[str]]:
    """Return `base` with the channels and the channel rule of this training, and what the user should know of it.

    Without a wish of the user a grey model gets the channels of colour images: its first filters are repeated, so
    that it does on grey images what it did, and can learn to use colour.

    Raises
    ------
    CheckpointError
        If the model cannot take the channels asked for.
    """
    found = max(image.channels for image in images[:_LOOKED_AT])
    wanted, automatic = config.in_channels, False
    if config.channels is not None:
        base = replace(base, channels=config.channels)
    elif wanted is None and _follows_images(base, found):
        wanted, automatic = found, True
    if wanted is None or wanted == base.model.in_channels:
        return base, _difference(base, found)
    adapted = base.with_in_channels(wanted)
    change = f"The first layer was adapted from {base.model.in_channels} to {wanted} channels"
    notice = f"The model takes {count_of(wanted, 'channel')}" if from_scratch else change
    if automatic:
        notice += ", because the images are in colour; set in_channels to 1 to train on their grey values"
    return adapted, [f"{notice}.", *_difference(adapted, found)]


def _follows_images(base: Checkpoint, found: int) -> bool:
    """Tell whether colour would be lost by a rule that nobody chose."""
    return base.model.in_channels == 1 and found > 1 and base.channels == ChannelRule()


def _difference(base: Checkpoint, found: int) -> list[str]:
    if found == base.model.in_channels:
        return []
    rule = "repeated" if found == 1 else f"reduced by the rule '{base.channels.method}'"
    return [f"Images have {found} channel(s) and the model takes {base.model.in_channels}: they are {rule}."]
