"""One image with its labels, checked once where it enters the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..io.axes import COLOR_SIZES
from ..io.regions.identity import identity_of
from ..io.regions.region import LazyImage, Region
from ..io.regions.reopened import Reopened


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """A two-dimensional image, its labels, and where these labels hold.

    Parameters
    ----------
    name
        How messages and tables call the image.
    image
        ``(Y, X)`` or ``(C, Y, X)``, any numeric type.
    labels
        ``(Y, X)``, bool or integer; above 0 is object. ``None`` if there are none.
    annotated
        ``(Y, X)`` bool, where `labels` hold; ``None`` means everywhere.
    scale
        Size of a pixel along Y and X, in `unit`.
    channel_names
        Names of the channels, where they are known.
    part_of
        The image of which it is a region, over which intensities are measured; ``None`` if it is no such region.
    region
        Where in that image it lies.

    Raises
    ------
    DataError
        If a shape or a type does not fit.
    """

    name: str
    image: NDArray[np.generic]
    labels: NDArray[np.generic] | None = None
    annotated: NDArray[np.bool_] | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"
    channel_names: tuple[str, ...] = ()
    part_of: LazyImage | None = None
    region: Region | None = None

    def __post_init__(self) -> None:
        """Check shapes and types."""
        _check_image(self.name, self.image)
        if self.labels is not None:
            _check_labels(self.name, self.labels, self.shape)
        if self.annotated is not None and self.annotated.shape != self.shape:
            raise DataError(
                f"{self.name}: image is {self.shape} but its annotated region is {self.annotated.shape}. "
                "Both must have the same size."
            )

    @classmethod
    def of(cls, image: AnnotatedImage | NDArray[np.generic], name: str = "image") -> AnnotatedImage:
        """Return `image`, or a plain array as an image without labels; a last axis of 2, 3 or 4 holds its channels."""
        if isinstance(image, AnnotatedImage):
            return image
        array = np.asarray(image)
        return cls(name, np.moveaxis(array, -1, 0) if array.ndim == 3 and array.shape[-1] in COLOR_SIZES else array)

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X) in pixels."""
        height, width = self.image.shape[-2:]
        return height, width

    @property
    def whole(self) -> str | None:
        """What tells the image of which it is a region from others; ``None`` if it is no region.

        Raises
        ------
        DataError
            If that image cannot be read.
        """
        if self.part_of is None:
            return None
        return self.part_of.identity if isinstance(self.part_of, Reopened) else identity_of(self.part_of)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its pixels."""
        return self.image.dtype

    @property
    def stored_rows(self) -> int:
        """Rows that are read at once; all of them are in memory."""
        return 1

    def read(self, region: Region) -> NDArray[np.generic]:
        """Return the pixels of a region: (Y, X) or (C, Y, X)."""
        return self.image[(..., *region.slices)]

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1 if self.image.ndim == 2 else self.image.shape[0]

    @property
    def target(self) -> NDArray[np.bool_]:
        """Object pixels (Y, X).

        Raises
        ------
        DataError
            If the image has no labels.
        """
        if self.labels is None:
            raise DataError(f"{self.name}: there are no labels. Annotate this image or leave it out.")
        target: NDArray[np.bool_] = self.labels > 0  # type: ignore[operator]
        return target

    @property
    def known(self) -> NDArray[np.bool_]:
        """Pixels (Y, X) of which the labels say what they are."""
        return np.ones(self.shape, bool) if self.annotated is None else self.annotated

    @property
    def foreground(self) -> float:
        """Share of object pixels among those that are known; 0 if none is."""
        known = self.target[self.known]
        return float(known.mean()) if known.size else 0.0


def _check_image(name: str, image: NDArray[np.generic]) -> None:
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise DataError(
            f"{name}: an image of shape {image.shape} is neither (Y, X) nor (channels, Y, X). "
            "Choose one plane or split the stack into frames."
        )
    if not (np.issubdtype(image.dtype, np.number) or image.dtype == bool) or np.iscomplexobj(image):
        raise DataError(f"{name}: pixels of type {image.dtype} cannot be used. Save the image with real numbers.")
    if np.issubdtype(image.dtype, np.floating) and not np.isfinite(image).all():
        raise DataError(f"{name}: some pixels are NaN or infinite. Replace them by numbers.")


def _check_labels(name: str, labels: NDArray[np.generic], shape: tuple[int, int]) -> None:
    if labels.shape != shape:
        raise DataError(
            f"{name}: image is {shape} but its labels are {labels.shape}. Choose labels drawn on this image."
        )
    if labels.dtype != bool and not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{name}: labels are of type {labels.dtype}, not integers. Read them with read_labels().")
