"""Mirrored views of an image: a model that knows all of them is asked about each, and its answers are averaged."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from ..events import TileEnd
from .blending import blend_tiles

# Axes along which a view is mirrored.
View = tuple[int, ...]
ONE_VIEW: tuple[View, ...] = ((),)
MIRRORED_VIEWS: tuple[View, ...] = ((), (-2,), (-1,), (-2, -1))


def known_views(orientation: str | None, *, flips: bool) -> tuple[View, ...]:
    """Return the views on which a model was trained, by the settings of its augmentation.

    Objects in layers are never mirrored top to bottom; their two views differ too little to be worth the time.
    """
    return MIRRORED_VIEWS if orientation == "any" and flips else ONE_VIEW


def usual_overlap(views: tuple[View, ...]) -> float:
    """Return the share of a tile that is best shared with the next one.

    Overlapping tiles are averaged as well, but a mirrored tile tells more than a shifted one: four views at a quarter
    take less than twice as long as one view at a half, and not four times (docs/results.md).
    """
    return 0.5 if len(views) == 1 else 0.25


def blend_views(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    views: tuple[View, ...],
    tile: int,
    overlap: float,
    batch_size: int,
) -> Generator[TileEnd, None, Tensor]:
    """Yield progress and return the mean probabilities (Y, X) of all `views` of `image` (C, Y, X).

    The rest is as in `blend_tiles`, the errors too.
    """
    mean = torch.zeros(image.shape[-2:], device=image.device)
    for part, view in enumerate(views):
        tiles = blend_tiles(network, image.flip(view), tile=tile, overlap=overlap, batch_size=batch_size)
        mean += (yield from _part(part, len(views), tiles)).flip(view) / len(views)
    return mean


def _part(part: int, parts: int, tiles: Generator[TileEnd, None, Tensor]) -> Generator[TileEnd, None, Tensor]:
    """Pass on `tiles` as one of several parts of equal length."""
    while True:
        try:
            end = next(tiles)
        except StopIteration as returned:
            result: Tensor = returned.value
            return result
        yield TileEnd(part * end.total + end.done, parts * end.total)
