"""How the frames of an image layer lie in an array of labels, and that array in the world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .frames import channel_axis, frame_shape
from .layers import PLANE, placement_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

_MICROMETERS = {"meter": 1e6, "centimeter": 1e4, "micrometer": 1.0, "angstrom": 1e-4}
_KEPT_UNITS = {"nanometer": "nm", "millimeter": "mm"}


@dataclass(frozen=True, eq=False)
class Stack:
    """The frames of an image layer, channels apart.

    Parameters
    ----------
    name
        How the image is called.
    frames
        Number of frames along each axis that is neither a channel nor a direction of the image.
    size
        (Y, X) of a frame.
    channel
        Place among the frames' axes of a channel axis that labels have to keep, with length 1, because an axis of
        frames comes before it; None if there is none.
    placement
        Where the labels lie in the world, as arguments for a layer.
    pixel
        Size of a pixel along Y and X, in `unit`.
    """

    name: str
    frames: tuple[int, ...]
    size: tuple[int, int]
    channel: int | None
    placement: Mapping[str, Any]
    pixel: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an array with one plane per frame."""
        return (*self.at(self.frames, 1), *self.size)

    @property
    def indices(self) -> Iterator[tuple[int, ...]]:
        """All frames, in order."""
        return iter(np.ndindex(self.frames))

    def at(self, index: tuple[int, ...], channel: int = 0) -> tuple[int, ...]:
        """Return where frame `index` lies in an array of `shape`."""
        if self.channel is None:
            return index
        return (*index[: self.channel], channel, *index[self.channel :])

    def shown(self, viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
        """Return which frame of `layer`, an array of `shape` in the viewer, the sliders stand at."""
        data = layer.world_to_data([viewer.dims.point[axis] for axis in range(-layer.ndim, 0)])
        lead = [int(np.clip(round(data[i]), 0, length - 1)) for i, length in enumerate(self.shape[:-PLANE])]
        return tuple(number for axis, number in enumerate(lead) if axis != self.channel)

    def fits(self, other: Stack) -> bool:
        """Tell whether frames of `other` are frames of this stack."""
        return (self.name, self.frames, self.size) == (other.name, other.frames, other.size)


def stack_of(layer: Image, name: str = "") -> Stack:
    """Return how the frames of `layer` lie, under its own name unless another is given."""
    frames, channel = frame_shape(layer), channel_axis(layer)
    shape = layer.data[0].shape if layer.multiscale else layer.data.shape
    height, width = (shape[axis - layer.rgb] for axis in (-2, -1))
    pixel, unit = pixel_size(layer)
    if channel:  # frames come before it
        placement = _stretched(placement_of(layer, layer.ndim), channel, shape[channel])
    else:
        channel, placement = None, placement_of(layer, len(frames) + PLANE)
    return Stack(name or layer.name, frames, (height, width), channel, placement, pixel, unit)


def pixel_size(layer: Layer) -> tuple[tuple[float, float], str]:
    """Return the size of a pixel along Y and X, and its unit: um, nm, mm, or px if it is not known."""
    down, right = (abs(float(size)) for size in layer.scale[-PLANE:])
    unit = str(layer.units[-1])
    if unit in _MICROMETERS:
        return (down * _MICROMETERS[unit], right * _MICROMETERS[unit]), "um"
    if unit in _KEPT_UNITS:
        return (down, right), _KEPT_UNITS[unit]
    return (1.0, 1.0), "px"


def _stretched(placement: dict[str, Any], axis: int, length: int) -> dict[str, Any]:
    """Return `placement` with the one plane along `axis` as thick as `length` planes, so that it shows at each."""
    scale, translate = (np.array(placement[key], float) for key in ("scale", "translate"))
    translate[axis] += scale[axis] * (length - 1) / 2
    scale[axis] *= length
    return {**placement, "scale": scale, "translate": translate}
