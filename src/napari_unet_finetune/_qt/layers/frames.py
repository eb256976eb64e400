"""From napari layers to arrays: the frames of a layer, each of them an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...io.regions.region import Region
from .layers import PLANE

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

CHANNEL_AXES = ("c", "channel", "channels")


@dataclass(frozen=True)
class Frame:
    """One plane of a layer: (Y, X) or (C, Y, X), and where it stands in the stack."""

    name: str
    pixels: NDArray[Any]
    index: tuple[int, ...]
    scale: tuple[float, float]
    unit: str


def frame_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Return how many frames `layer` holds along each axis that is neither a channel nor a direction of the image."""
    return tuple(layer.data.shape[axis] for axis in _frame_axes(layer))


def frames_of(layer: Image | Labels, indices: Iterable[tuple[int, ...]] | None = None) -> Iterator[Frame]:
    """Yield copies of the frames of a layer one by one; dask and zarr arrays are read frame by frame.

    `indices` chooses frames by their place along the axes of `frame_shape`; None takes all.

    Raises
    ------
    DataError
        If the layer is a pyramid without full resolution, or not an image of at least two dimensions.
    """
    if layer.ndim < PLANE:
        raise DataError(f"{layer.name}: a layer of {layer.ndim} dimension is not an image. Choose another layer.")
    shape = frame_shape(layer)
    for index in np.ndindex(shape) if indices is None else indices:
        yield Frame(
            frame_name(layer.name, index, shape), _plane(layer, index), index, _scale(layer), str(layer.units[-1])
        )


def frame_name(name: str, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return the name of a frame, such as ``stack[003]`` or ``stack[01,12]``."""
    if not index:
        return name
    numbers = (f"{number:0{max(3, len(str(size - 1)))}d}" for number, size in zip(index, shape, strict=True))
    return f"{name}[{','.join(numbers)}]"


def current_frame(viewer: ViewerModel, layer: Image) -> tuple[int, ...]:
    """Return which frame of `layer` the sliders of the viewer stand at."""
    step = layer.world_to_data([viewer.dims.point[axis] for axis in range(-layer.ndim, 0)])
    return tuple(int(np.clip(round(step[axis]), 0, layer.data.shape[axis] - 1)) for axis in _frame_axes(layer))


def _frame_axes(layer: Image | Labels) -> tuple[int, ...]:
    channel = channel_axis(layer)
    return tuple(axis for axis in range(layer.ndim - PLANE) if axis != channel)


def channel_axis(layer: Image | Labels) -> int | None:
    """Return which axis of `layer` counts channels, going by its name; None if none does."""
    labels = [str(label).lower() for label in layer.axis_labels[: layer.ndim - PLANE]]
    return next((axis for axis, label in enumerate(labels) if label in CHANNEL_AXES), None)


def region_of(layer: Image, index: tuple[int, ...], region: Region) -> NDArray[Any]:
    """Return a copy of a region of a frame in full size, (Y, X) or (C, Y, X); of a lazy array no more is read."""
    return _plane(layer, index, region)


def in_view(layer: Image) -> Region:
    """Return what of a frame of `layer` the canvas shows, in pixels of the full size; all of it if that is nothing."""
    factors = layer.downsample_factors[layer.data_level] if layer.multiscale else np.ones(layer.ndim)
    size = [int(length) for length in layer.data.shape[: layer.ndim][-PLANE:]]
    first, last = layer.corner_pixels * factors, (layer.corner_pixels + 1) * factors
    (top, left), (bottom, right) = (
        np.clip(corner[-PLANE:].astype(int), 0, size).tolist() for corner in (first[0], last[1])
    )
    return Region(top, left, bottom, right) if top < bottom and left < right else Region.whole((size[0], size[1]))


def _plane(layer: Image | Labels, index: tuple[int, ...], region: Region | None = None) -> NDArray[Any]:
    data = layer.data[0] if layer.multiscale else layer.data
    place: list[Any] = [slice(None)] * data.ndim
    for axis, number in zip(_frame_axes(layer), index, strict=True):
        place[axis] = number
    if region is not None:
        place[layer.ndim - PLANE : layer.ndim] = region.slices
    plane = np.array(data[tuple(place)])  # a copy, and computed if it is lazy
    return np.moveaxis(plane[..., :3], -1, 0) if getattr(layer, "rgb", False) else plane


def _scale(layer: Image) -> tuple[float, float]:
    down, right = (float(size) for size in layer.scale[-PLANE:])
    return down, right
