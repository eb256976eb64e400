"""The Labels layers that a user has made or opened, from which masks can be taken frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.label_frames import LabelFrames
from .layer_frames import channel_axis, frame_shape, frames_of
from .layers import mark_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

_PLANE = 2


@dataclass(frozen=True, eq=False)
class LabelsChoice:
    """A Labels layer whose frames can become masks, and what is known of them."""

    layer: Labels
    frames: LabelFrames

    def planes(self, numbers: Sequence[int] | None = None) -> Iterator[NDArray[Any]]:
        """Yield copies of the frames with these numbers, counted through all axes; of all frames without numbers."""
        shape = self.frames.shape
        chosen = range(self.frames.count) if numbers is None else numbers
        places = (tuple(int(number) for number in np.unravel_index(one, shape)) for one in chosen)
        for frame in frames_of(self.layer, places):
            yield frame.pixels.reshape(self.frames.size)


def labels_choices(viewer: ViewerModel) -> list[LabelsChoice]:
    """Return the Labels layers of `viewer` that are not ours; the selected one comes first, then the topmost."""
    from napari.layers import Labels

    found = [layer for layer in reversed(viewer.layers) if isinstance(layer, Labels) and _is_usable(layer)]
    found.sort(key=lambda layer: layer is not viewer.layers.selection.active)
    return [LabelsChoice(layer, _frames(layer)) for layer in found]


def _is_usable(layer: Labels) -> bool:
    channel = channel_axis(layer)
    return not mark_of(layer) and layer.ndim >= _PLANE and (channel is None or layer.data.shape[channel] == 1)


def _frames(layer: Labels) -> LabelFrames:
    height, width = layer.data.shape[-_PLANE:]
    return LabelFrames(layer.name, frame_shape(layer), (int(height), int(width)))
