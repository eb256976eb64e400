"""Images of many files of which regions are read, few of them open at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .identity import identity_of
from .region import LazyImage, Region

MOST_OPEN = 8  # images; a system allows some hundred open files, and each image may take several
Ref = TypeVar("Ref", bound=Hashable)


class OpenedImages(Generic[Ref]):
    """Images by what refers to them, each the same object however often its file is closed and opened again.

    Parameters
    ----------
    open_image
        Opens one of them; raises `DataError` if that is not possible.
    """

    def __init__(self, open_image: Callable[[Ref], LazyImage]) -> None:
        self._files = _Files(open_image)
        self._images: dict[Ref, Reopened] = {}

    def __getitem__(self, ref: Ref) -> Reopened:
        """Return an image, which is opened if it never was; raises `DataError` if it cannot be read."""
        if ref not in self._images:
            self._images[ref] = Reopened.of(ref, self._files)
        return self._images[ref]

    def add(self, ref: Ref, image: LazyImage) -> None:
        """Take an image that is open."""
        self._files.add(ref, image)


class _Files(Generic[Ref]):
    """The images that were read last, kept open."""

    def __init__(self, open_image: Callable[[Ref], LazyImage]) -> None:
        self._open_image = open_image
        self._open: dict[Ref, LazyImage] = {}  # the last one was read last

    def get(self, ref: Ref) -> LazyImage:
        found = self._open.pop(ref, None)
        return self.add(ref, self._open_image(ref) if found is None else found)

    def add(self, ref: Ref, image: LazyImage) -> LazyImage:
        self._open[ref] = image
        while len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]  # what nobody refers to is closed
        return image


@dataclass(frozen=True, eq=False)
class Reopened:
    """What is known of an image without its file, and where its pixels are read; see `LazyImage`."""

    name: str
    shape: tuple[int, int]
    channels: int
    channel_names: tuple[str, ...]
    dtype: np.dtype[Any]
    scale: tuple[float, float]
    unit: str
    stored_rows: int
    ref: Any
    files: _Files[Any]

    @classmethod
    def of(cls, ref: Any, files: _Files[Any]) -> Reopened:
        """Return what is known of an image of `files`; raises `DataError` if it cannot be read."""
        image = files.get(ref)
        return cls(
            image.name,
            image.shape,
            image.channels,
            image.channel_names,
            image.dtype,
            image.scale,
            image.unit,
            image.stored_rows,
            ref,
            files,
        )

    @cached_property
    def identity(self) -> str:
        """What tells it from other images, found once for all its regions; raises `DataError` if it cannot be read."""
        return identity_of(self)

    def read(self, region: Region) -> NDArray[np.generic]:
        """Return the pixels of a region; raises `DataError` if the file cannot be opened or read any more."""
        return self.files.get(self.ref).read(region)
