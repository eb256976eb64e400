"""A frame of a layer as an image that is read in parts, be the layer in memory, in levels, or a lazy array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...io.regions.region import Region
from .frames import channel_axis, region_of
from .stacks import Stack

if TYPE_CHECKING:
    from napari.layers import Image


@dataclass(frozen=True, eq=False)
class LayerImage:
    """The frame `index` of `layer`, whose frames lie as `stack` says; see `LazyImage`."""

    layer: Image
    stack: Stack
    index: tuple[int, ...]

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.stack.name

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X) in pixels."""
        return self.stack.size

    @property
    def channels(self) -> int:
        """Number of channels."""
        if self.layer.rgb:
            return 3
        axis = channel_axis(self.layer)
        return 1 if axis is None else int(self.layer.data.shape[axis])

    @property
    def channel_names(self) -> tuple[str, ...]:
        """No names: a layer has none."""
        return ()

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of its pixels."""
        dtype: np.dtype[np.generic] = np.dtype(self.layer.data.dtype)
        return dtype

    @property
    def scale(self) -> tuple[float, float]:
        """Size of a pixel along Y and X."""
        return self.stack.pixel

    @property
    def unit(self) -> str:
        """The unit of `scale`."""
        return self.stack.unit

    @property
    def stored_rows(self) -> int:
        """Rows that are stored together."""
        chunks = getattr(self.layer.data[0] if self.layer.multiscale else self.layer.data, "chunks", None)
        rows = chunks[self.layer.ndim - 2] if chunks else 1
        return int(rows if isinstance(rows, int) else max(rows))  # dask lists the chunks of each axis

    def read(self, region: Region) -> NDArray[np.generic]:
        """Return the pixels of a region: (Y, X) or (C, Y, X)."""
        return region_of(self.layer, self.index, region)
