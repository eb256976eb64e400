"""A Labels layer of an image that may be larger than memory: levels in files, filled piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ...colors import PREDICTED
from ...io.regions.region import Region, level_shapes
from .colors import palette
from .layers import OURS, PLANE, mark_of, selection_kept
from .prediction import PREDICTION, Index, made_of
from .stacks import Stack

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels


class Levels:
    """Labels of a stack in full size and in halves of it, each in a file from which the system reads what is shown.

    Parameters
    ----------
    stack
        The frames, and where they lie.
    dtype
        Type of the labels.
    folder
        A folder of its own for the files.
    """

    def __init__(self, stack: Stack, dtype: Any, folder: Path) -> None:
        self._stack = stack
        lead = stack.shape[:-PLANE]
        self.arrays: list[NDArray[Any]] = [
            open_memmap(folder / f"{level}.npy", "w+", dtype=dtype, shape=(*lead, *shape))
            for level, shape in enumerate(level_shapes(stack.size))
        ]

    def write(self, index: Index, region: Region, labels: NDArray[Any]) -> None:
        """Write the labels (Y, X) of a region of a frame into all levels; of a block, its first pixel is shown."""
        for level, array in enumerate(self.arrays):
            step = 2**level
            rows, columns = slice(-region.top % step, None, step), slice(-region.left % step, None, step)
            part = labels[rows, columns]
            top, left = -(-region.top // step), -(-region.left // step)
            array[self._stack.at(index)][top : top + part.shape[0], left : left + part.shape[1]] = part


class PyramidLayer:
    """The Labels layer of a prediction that comes in pieces, which is made when there is something to show.

    Parameters
    ----------
    viewer
        Where it is shown.
    stack
        The frames, and where they lie.
    source
        The layer that is predicted.
    """

    def __init__(self, viewer: ViewerModel, stack: Stack, source: Image) -> None:
        self._viewer, self._stack, self._made_of = viewer, stack, made_of(source)
        self.layer: Labels | None = None
        self._levels: Levels | None = None

    @property
    def is_shown(self) -> bool:
        """Tell whether its layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self, levels: Levels) -> None:
        """Show what is written in `levels` by now; a layer that the user has deleted stays so."""
        if self.layer is not None and not self.is_shown:
            return
        if self.layer is None:
            self._add(levels)
        elif levels is not self._levels:
            self.layer.data = levels.arrays
        else:
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)
        self._levels = levels

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.layer is not None and self.is_shown and mark_of(self.layer) == PREDICTION:
            self._viewer.layers.remove(self.layer)

    def _add(self, levels: Levels) -> None:
        with selection_kept(self._viewer):
            self.layer = self._viewer.add_labels(
                levels.arrays,
                multiscale=True,
                name=f"{self._stack.name} prediction",
                metadata={OURS: PREDICTION, **self._made_of},
                opacity=0.5,
                colormap=palette(PREDICTED),
                **self._stack.placement,
            )
