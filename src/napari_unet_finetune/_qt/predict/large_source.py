"""The file in which a large layer is predicted: the one that it was read from or, where it differs, a copy."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...config import ChannelRule
from ...data.channels import one_channel
from ...errors import DataError
from ...io.disk import file_stem
from ...io.images import ImageRef, list_images, open_in_parts
from ...io.regions.region import LazyImage, Region, bands_of
from ...io.writing import new_image_file
from ..layers.frames import frame_name
from ..layers.layer_image import LayerImage
from ..layers.layers import file_of
from ..layers.prediction import Index
from ..layers.stacks import Stack

if TYPE_CHECKING:
    from napari.layers import Image

_COMPARED_PX = 128  # side of the middle by which a file is recognized


@dataclass(frozen=True, eq=False)
class LargeTask:
    """Frames of a layer to be predicted in pieces; `own` is the image of the dataset that it shows, if it shows one."""

    layer: Image
    stack: Stack
    indices: tuple[Index, ...]
    own: ImageRef | None = None


@dataclass(frozen=True)
class Source:
    """A file whose frames are those of a task, in order; `channel` is the one that the layer shows of several."""

    path: Path
    channel: ChannelRule | None = None


@dataclass
class Copies:
    """Files in a folder that layers were copied into; each is made once."""

    folder: Path
    _made: WeakKeyDictionary[Any, dict[tuple[Index, ...], Path]] = field(default_factory=WeakKeyDictionary)

    def source(self, task: LargeTask) -> Generator[str, None, Source]:
        """Say what is done, and return the file to predict.

        Raises
        ------
        DataError
            If the disk does not take a copy.
        """
        yield f"Looking for the file of {task.stack.name}"
        if task.own is not None and task.own.frame is None:
            return Source(task.own.path)
        source = _shown_file(task) if len(task.indices) == prod(task.stack.frames) else None
        if source is not None:
            return source
        return Source((yield from self._copy(task)))

    def _copy(self, task: LargeTask) -> Generator[str, None, Path]:
        stack, made = task.stack, self._made.setdefault(task.layer, {})
        if task.indices in made:
            return made[task.indices]
        single = frame_name(stack.name, task.indices[0], stack.frames) if len(task.indices) == 1 else stack.name
        path = Path(tempfile.mkdtemp(dir=self.folder)) / f"{file_stem(single)}.ome.tif"
        first = LayerImage(task.layer, stack, task.indices[0])
        count, inner = len(task.indices), (*((first.channels,) if first.channels > 1 else ()), *first.shape)
        shape, axes = (inner, "") if count == 1 else ((count, *inner), "T")
        axes += "CYX" if first.channels > 1 else "YX"
        file = new_image_file(path, shape, first.dtype, axes, stack.pixel, stack.unit)
        for place, index in enumerate(task.indices):
            image = LayerImage(task.layer, stack, index)
            for band in bands_of(image):
                target = file if count == 1 else file[place]
                target[(..., *band.slices)] = image.read(band)
                done = (place + band.bottom / image.shape[0]) / count
                yield f"Reading {stack.name}: {done:.0%}"
        made[task.indices] = path
        return path


def _shown_file(task: LargeTask) -> Source | None:
    """Return the file that a layer was read from, if that is what it shows; None if in doubt."""
    path = file_of(task.layer)
    if path is None:
        return None
    try:
        refs = list_images(path)
        image = open_in_parts(refs[0]) if len(refs) == len(task.indices) else None
        shown = LayerImage(task.layer, task.stack, task.indices[0])
        return _compared(path, image, shown) if image is not None else None
    except DataError:  # napari reads it otherwise
        return None


def _compared(path: Path, image: LazyImage, shown: LayerImage) -> Source | None:
    """Compare the middle of both, as far as that tells anything."""
    if image.shape != shown.shape:
        return None
    middle = Region.middle(image.shape, _COMPARED_PX)
    theirs, ours = (np.asarray(one.read(middle)) for one in (image, shown))
    if theirs.shape == ours.shape:
        return Source(path) if np.array_equal(theirs, ours) else None
    if theirs.ndim == 2 or ours.ndim > 2:
        return None
    same = list(_same(theirs, ours))
    return Source(path, one_channel(image.channel_names, same[0])) if len(same) == 1 else None


def _same(channels: NDArray[Any], plane: NDArray[Any]) -> Iterator[int]:
    return (number for number, channel in enumerate(channels) if np.array_equal(channel, plane))
