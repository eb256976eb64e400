"""Steady colors for labels, told apart also by the color-blind, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..evaluation.area_bias import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from .layers import OURS

if TYPE_CHECKING:
    from napari.layers import Labels

# Okabe and Ito's colors.
ERROR_COLORS = {TRUE_POSITIVE: "#009E73", FALSE_POSITIVE: "#E69F00", FALSE_NEGATIVE: "#CC79A7"}
ERROR_WORDS = {
    TRUE_POSITIVE: "right",
    FALSE_POSITIVE: "false positive (predicted, no object)",
    FALSE_NEGATIVE: "false negative (object, missed)",
}
NEARLY_BLACK = "#010101"  # napari takes black for a colormap that was never set
_COLORS = f"{OURS}-colors"


def paint(layer: Labels, colors: Mapping[Any, str]) -> None:
    """Give labels steady colors, all others that under None; what is not named is transparent."""
    if layer.metadata.get(_COLORS) == colors:
        return
    from napari.utils.colormaps import DirectLabelColormap

    color_dict: dict[Any, Any] = {None: "transparent", 0: "transparent", **colors}
    layer.metadata[_COLORS] = dict(colors)
    layer.colormap = DirectLabelColormap(color_dict=color_dict)
