"""What enters the network: an image with its channels, intensities and size as a model wants them, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..config import ChannelRule, Normalization
from .annotated_image import AnnotatedImage
from .normalize import model_input


class ModelView(BaseModel):
    """How a model looks at an image: its channels, the rules that make its input, and the change of size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = 1
    channels: ChannelRule = Field(default_factory=ChannelRule)
    normalization: Normalization = Field(default_factory=Normalization)
    rescale: float = 1.0


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """An image on the network's grid: float32 (C, Y, X), and target and annotated region (Y, X) where there are any."""

    pixels: NDArray[np.float32]
    target: NDArray[np.bool_] | None
    annotated: NDArray[np.bool_] | None


def network_input(image: AnnotatedImage, view: ModelView) -> NetworkInput:
    """Return `image` as a model with `view` sees it; normalised first, then resampled by `view.rescale`.

    Raises
    ------
    DataError
        If the image's channels or values do not fit the model.
    """
    pixels = model_input(image, in_channels=view.in_channels, channels=view.channels, normalization=view.normalization)
    target = None if image.labels is None else image.target
    if view.rescale == 1:
        return NetworkInput(pixels, target, image.annotated)
    shape = rescaled_shape(image.shape, view.rescale)
    # Thin strokes must survive: where only some pixels are annotated, the nearest counts and not the majority.
    resample_mask = _majority if image.annotated is None else _nearest
    return NetworkInput(
        resample(pixels, shape),
        None if target is None else resample_mask(target, shape),
        None if image.annotated is None else _nearest(image.annotated, shape),
    )


def rescaled_shape(shape: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return the size (Y, X) of an image resampled by `factor`."""
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def resample(planes: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return `planes` (…, Y, X) linearly interpolated to `shape`, smoothed before they shrink."""
    if planes.shape[-2:] == shape:
        return planes
    from skimage.transform import resize  # half a second that nobody waits for whose images keep their size

    size = (*planes.shape[:-2], *shape)
    shrinks = shape[0] < planes.shape[-2] or shape[1] < planes.shape[-1]
    options = {"order": 1, "mode": "reflect", "anti_aliasing": shrinks, "preserve_range": True}
    return np.asarray(resize(planes, size, **options), np.float32)  # type: ignore[no-untyped-call]


def _majority(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    return resample(mask.astype(np.float32), shape) > 0.5


def _nearest(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = (_nearest_indices(old, new) for old, new in zip(mask.shape, shape, strict=True))
    return mask[np.ix_(rows, columns)]


def _nearest_indices(old: int, new: int) -> NDArray[np.int64]:
    indices = ((np.arange(new) + 0.5) * old / new).astype(np.int64)
    nearest: NDArray[np.int64] = np.minimum(indices, old - 1)
    return nearest
