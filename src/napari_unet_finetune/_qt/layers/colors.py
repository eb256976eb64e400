"""Steady colors for labels, told apart also by the color-blind, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...evaluation.areas import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from .layers import OURS

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

# Okabe and Ito's colors.
ERROR_COLORS = {TRUE_POSITIVE: "#009E73", FALSE_POSITIVE: "#E69F00", FALSE_NEGATIVE: "#CC79A7"}
ERROR_WORDS = {
    TRUE_POSITIVE: "right",
    FALSE_POSITIVE: "false positive (predicted, no object)",
    FALSE_NEGATIVE: "false negative (object, missed)",
}
# What is painted and what is predicted lie over each other; label 1 is often the only one and has this color.
PAINTED, PREDICTED = "#E69F00", "#56B4E9"
# Strokes; a label that means nothing is seen, to be erased.
BACKGROUND_COLOR, OBJECT_COLOR, STRAY_COLOR = "#009E73", PAINTED, "#CC79A7"
NEARLY_BLACK = "#010101"  # napari takes black for a colormap that was never set
_COLORS = f"{OURS}-colors"
_COUNT, _SEED = 49, 0.5  # of napari's own colors


def palette(first: str) -> CyclicLabelColormap:
    """Return napari's colors, which tell numbered objects apart, with a color of its own for label 1."""
    from napari.utils.colormaps import CyclicLabelColormap, label_colormap
    from napari.utils.colormaps.standardize_color import transform_color

    colors = label_colormap(_COUNT, _SEED, background_value=0).colors.copy()
    colors[1] = transform_color(first)[0]
    return CyclicLabelColormap(colors=colors, seed=_SEED, background_value=0)


def steady(colors: Mapping[Any, str]) -> DirectLabelColormap:
    """Return steady colors for labels, all others that under None; what is not named is transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", **colors})


def paint(layer: Labels, colors: Mapping[Any, str]) -> None:
    """Give a layer steady colors, unless it has them already."""
    if layer.metadata.get(_COLORS) == colors:
        return
    layer.metadata[_COLORS] = dict(colors)
    layer.colormap = steady(colors)
