"""Curves over intensities as a part of a network: to be fitted, and to travel in files for other programs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data.appearance import KNOTS, PLACES


class OnCurves(nn.Module):
    """Does to normalized tiles (B, C, Y, X) what `Appearance.curved` does to an image; `values` are (C, KNOTS)."""

    def __init__(self, values: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.tensor(values, dtype=torch.float32))

    def forward(self, tiles: Tensor) -> Tensor:
        """Return the tiles with their intensities on the curves."""
        return bent(tiles, self.values)


def bent(tiles: Tensor, values: Tensor) -> Tensor:
    """Return tiles (B, C, Y, X) with the intensities of each channel on the curve through its `values` (C, KNOTS)."""
    step = 1 / (KNOTS - 1)
    slopes = ((values[:, 1:] - values[:, :-1]) / step)[..., None, None]  # ONNX does not know `diff`
    result = values[:, :1, None].expand_as(tiles)
    for index in range(KNOTS - 1):
        beyond = tiles - float(PLACES[index])
        part = beyond.clamp(min=0 if index else None, max=step if index < KNOTS - 2 else None)
        result = result + slopes[:, index] * part
    return result
