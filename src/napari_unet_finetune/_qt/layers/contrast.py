"""Contrast of an image whose channels lie behind a slider: each has its own, for stains differ in brightness."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

Limits = tuple[float, float]


def give_channels_their_contrast(viewer: ViewerModel, layer: Image, axis: int = 0) -> None:
    """Let each channel along `axis` of `layer`, which is in `viewer`, have limits of its own, also those a user sets.

    They are those of the first image that is shown in the layer, and stay for the next ones.
    """
    limits: dict[int, Limits] = {}
    shown: list[int] = []
    found = weakref.ref(layer)

    def show(_event: Any = None) -> None:
        layer = found()
        if layer is None or layer not in viewer.layers:
            viewer.dims.events.current_step.disconnect(show)
        elif (channel := _channel(viewer, layer, axis)) is not None and shown != [channel]:
            if shown:
                limits[shown[0]] = (float(layer.contrast_limits[0]), float(layer.contrast_limits[1]))
            shown[:] = [channel]
            layer.contrast_limits = limits.get(channel) or _range_of(np.take(layer.data, channel, axis))

    viewer.dims.events.current_step.connect(show)
    show()


def _channel(viewer: ViewerModel, layer: Image, axis: int) -> int | None:
    """Return which channel of `layer` the slider stands at; None if there is none, for all are shown at once."""
    of_viewer = viewer.dims.ndim - layer.ndim + axis
    if of_viewer in viewer.dims.displayed:
        return None
    return int(np.clip(viewer.dims.current_step[of_viewer], 0, layer.data.shape[axis] - 1))


def _range_of(channel: NDArray[Any]) -> Limits:
    """Return the darkest and the brightest value, which napari wants to differ."""
    finite = channel[np.isfinite(channel)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1
