"""The Labels layer of a prediction: filled frame by frame, and left to the user once the user has painted in it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ...colors import PREDICTED
from .colors import palette
from .layers import OURS, disown, mark_of
from .stacks import Stack

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

PREDICTION, PROBABILITY = "prediction", "probability"  # asked for, and the user's from then on
RUN_PREVIEW, RUN_PREDICTION = "run preview", "run prediction"  # come and go with a training
SIGHT = "model sight"  # an image as it enters the network
_MADE_OF = f"{OURS}-made-of"  # in the metadata of what a model made: the image layer that it saw
# Larger arrays lie in a file, from which the system reads what is looked at.
LARGEST_IN_MEMORY = 512 * 2**20

Index = tuple[int, ...]


class PredictionLayer:
    """Labels of a stack in a layer of `viewer`, which is made when there is something to show.

    Parameters
    ----------
    viewer
        Where it is shown.
    stack
        The frames, and where they lie.
    folder
        Where arrays go that are too large for the memory.
    source
        The layer that is predicted; None if it is none.
    """

    def __init__(self, viewer: ViewerModel, stack: Stack, folder: Path, source: Image | None = None) -> None:
        self._viewer, self.stack, self._folder, self._source = viewer, stack, folder, source
        self.labels: NDArray[Any] = new_array(stack.shape, np.uint16, folder / f"labels-{id(self)}.npy")
        self.layer: Labels | None = None
        self._checksums: dict[Index, int] = {}
        self._is_touched = False

    @property
    def is_shown(self) -> bool:
        """Tell whether its layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    @property
    def shown_frame(self) -> Index:
        """The frame that is looked at."""
        return self.stack.shown(self._viewer, self.layer) if self.layer is not None else ()

    def is_edited(self, index: Index | None = None) -> bool:
        """Tell whether somebody else changed the labels since they were written here.

        Frame `index` is looked at in any case, the others if somebody painted or if `index` is None.
        """
        if self.layer is None:
            return False
        if self.layer.data is not self.labels:
            return True
        indices = tuple(self._checksums) if index is None or self._is_touched else (index,)
        is_edited = any(i in self._checksums and _checksum(self.frame(i)) != self._checksums[i] for i in indices)
        self._is_touched = self._is_touched and is_edited  # paint may have been undone
        return is_edited

    def frame(self, index: Index) -> NDArray[Any]:
        """Return the labels (Y, X) of a frame, not a copy."""
        plane: NDArray[Any] = self.labels[self.stack.at(index)]
        return plane

    def write(self, index: Index, labels: NDArray[Any]) -> None:
        """Replace the labels of a frame; `show` makes it visible."""
        if labels.dtype.itemsize > self.labels.dtype.itemsize:  # more than 65535 objects in one frame
            self._widen(labels.dtype)
        np.copyto(self.frame(index), labels, casting="unsafe")
        self._checksums[index] = _checksum(self.frame(index))

    def show(self) -> None:
        """Draw what was written, in a layer that is made anew if it was deleted."""
        if self.layer is None or not self.is_shown:
            self._add_layer()
        else:
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def leave_to_user(self) -> None:
        """Make the layer one of the user's, which is never written to again."""
        if self.layer is not None:
            disown(self.layer)
            self._forget_layer()

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.layer is not None and self.is_shown:
            self._viewer.layers.remove(self.layer)
        self._forget_layer()

    def _forget_layer(self) -> None:
        if self.layer is not None:
            self.layer.events.labels_update.disconnect(self._on_painted)
        self.layer = None

    def _on_painted(self, _event: Any) -> None:
        self._is_touched = True

    def _add_layer(self) -> None:
        self._forget_layer()
        self.layer = self._viewer.add_labels(
            self.labels,
            name=f"{self.stack.name} prediction",
            metadata={OURS: PREDICTION, **made_of(self._source)},
            opacity=0.5,
            colormap=palette(PREDICTED),
            **self.stack.placement,
        )
        self.layer.events.labels_update.connect(self._on_painted)

    def _widen(self, dtype: np.dtype[Any]) -> None:
        wide = new_array(self.stack.shape, dtype, self._folder / f"labels-{id(self)}-wide.npy")
        for index in self._checksums:
            wide[self.stack.at(index)] = self.frame(index)
        self._checksums = {index: _checksum(wide[self.stack.at(index)]) for index in self._checksums}
        self.labels = wide
        if self.layer is not None:
            self.layer.data = wide


def show_probabilities(viewer: ViewerModel, stack: Stack, array: NDArray[np.uint8]) -> Image:
    """Add a layer with probabilities, 255 standing for 1, at the place of `stack`."""
    return viewer.add_image(
        array,
        name=f"{stack.name} probability (255 = 1)",
        metadata={OURS: PROBABILITY},
        colormap="magma",
        contrast_limits=(0, 255),
        opacity=0.7,
        **stack.placement,
    )


def made_of(image: Image | None) -> dict[str, Any]:
    """Return what the metadata of a layer say of the one that a model saw, for `is_made_of`."""
    return {_MADE_OF: image and image.unique_id}


def is_made_of(layer: Any, image: Any) -> bool:
    """Tell whether `layer` is what a model saw in the layer `image`, or how it saw it."""
    return bool(layer.metadata.get(_MADE_OF) == image.unique_id)


def is_of_model(layer: Any) -> bool:
    """Tell whether `layer` shows what a model makes of an image, or how it sees one: it is no image of the user's."""
    return mark_of(layer) in (PREDICTION, PROBABILITY, RUN_PREVIEW, RUN_PREDICTION, SIGHT)


def new_array(shape: tuple[int, ...], dtype: Any, file: Path) -> NDArray[Any]:
    """Return zeros in memory or, if they are too many, in `file`."""
    if int(np.prod(shape)) * np.dtype(dtype).itemsize <= LARGEST_IN_MEMORY:
        return np.zeros(shape, dtype)
    file.parent.mkdir(parents=True, exist_ok=True)
    array: NDArray[Any] = open_memmap(file, "w+", dtype=dtype, shape=shape)
    return array


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)
