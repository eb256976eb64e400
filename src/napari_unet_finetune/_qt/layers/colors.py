"""Steady colors for labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ... import colors
from ...metrics import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE
from .layers import OURS

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

ERROR_COLORS = {TRUE_POSITIVE: colors.CORRECT, FALSE_POSITIVE: colors.FALSE_POSITIVE, FALSE_NEGATIVE: colors.MISSED}
NEARLY_BLACK = "#010101"  # napari takes black for a colormap that was never set
_COLORS = f"{OURS}-colors"
_COUNT, _SEED = 49, 0.5  # of napari's own colors


def palette(first: str) -> CyclicLabelColormap:
    """Return napari's colors, which tell numbered objects apart, with a color of its own for label 1."""
    from napari.utils.colormaps import CyclicLabelColormap, label_colormap
    from napari.utils.colormaps.standardize_color import transform_color

    cycle = label_colormap(_COUNT, _SEED, background_value=0).colors.copy()
    cycle[1] = transform_color(first)[0]
    return CyclicLabelColormap(colors=cycle, seed=_SEED, background_value=0)


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
