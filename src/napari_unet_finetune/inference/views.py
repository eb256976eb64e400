"""Mirrored views of an image: a model that knows all of them is asked about each, and its answers are averaged."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from ..config import AugmentConfig
from ..events import Run, TileEnd
from ..models.model import Model
from .tiles import blend_tiles

# Axes along which a view is mirrored.
Views = tuple[tuple[int, ...], ...]
ONE_VIEW: Views = ((),)
MIRRORED_VIEWS: Views = ((), (-2,), (-1,), (-2, -1))


def trained_views(augment: AugmentConfig) -> Views:
    """Return the views that a training with these settled settings shows."""
    return _views(augment.orientation, flips=augment.flips)


def known_views(model: Model) -> Views:
    """Return the views on which a model was trained; one, if its file does not say."""
    augment = model.card.provenance.config.get("augment", {})
    return _views(augment.get("orientation"), flips=augment.get("flips", False))


def _views(orientation: str | None, *, flips: bool) -> Views:
    # Objects in layers are never mirrored top to bottom; their two views differ too little to be worth the time.
    return MIRRORED_VIEWS if orientation == "any" and flips else ONE_VIEW


def usual_overlap(views: Views) -> float:
    """Return the share of a tile that is best shared with the next one.

    Overlapping tiles are averaged as well, but a mirrored tile tells more than a shifted one: four views at a quarter
    of a large image take less than twice as long as one view at a half, and not four times (docs/experiments.md).
    """
    return 0.5 if len(views) == 1 else 0.25


def blend_views(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    views: Views,
    tile: int,
    overlap: float,
    batch_size: int,
) -> Generator[TileEnd, None, Tensor]:
    """Yield progress and return the mean probabilities (Y, X) of all `views` of `image` (C, Y, X).

    The rest is as in `blend_tiles`, the errors too.
    """
    mean = torch.zeros(image.shape[-2:], device=image.device)
    for part, view in enumerate(views):
        tiles = blend_tiles(
            network, image.flip(view) if view else image, tile=tile, overlap=overlap, batch_size=batch_size
        )
        mean += (yield from _part(part, len(views), tiles)).flip(view) / len(views)
    return mean


def _part(part: int, parts: int, tiles: Generator[TileEnd, None, Tensor]) -> Generator[TileEnd, None, Tensor]:
    """Pass on `tiles` as one of several parts of equal length."""
    stream = Run(tiles)
    for end in stream:
        yield TileEnd(part * end.total + end.done, parts * end.total)
    return stream.result
