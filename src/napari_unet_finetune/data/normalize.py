"""From pixels of any type and number of channels to what the network sees, always from the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..config import ChannelRule, Normalization
from ..errors import DataError
from ..io.colors import LUMINANCE
from ..text import first_of
from .annotated_image import AnnotatedImage
from .appearance import AS_THEY_ARE, Appearance, nearest, quantiles_of
from .channels import place_of


class ModelView(BaseModel):
    """How a model looks at an image: its channels, the rules that make its input, and the change of size.

    Of several datasets that it `knows`, an image is shown as one of those that it is most like.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_channels: int = 1
    channels: ChannelRule = Field(default_factory=ChannelRule)
    normalization: Normalization = Field(default_factory=Normalization)
    rescale: float = 1.0
    knows: tuple[Appearance, ...] = ()

    def as_one_of(self, *appearances: Appearance) -> ModelView:
        """Return the same view with these appearances to choose from."""
        return self.model_copy(update={"knows": appearances})


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """An image on the network's grid: float32 (C, Y, X), and target and annotated region (Y, X) where there are any.

    `appearance` is how it is shown.
    """

    pixels: NDArray[np.float32]
    target: NDArray[np.bool_] | None
    annotated: NDArray[np.bool_] | None
    appearance: Appearance = AS_THEY_ARE


def network_input(image: AnnotatedImage, view: ModelView) -> NetworkInput:
    """Return `image` as a model with `view` sees it; normalized first, then resampled by `view.rescale`.

    Raises
    ------
    DataError
        If the image's channels or values do not fit the model.
    """
    pixels, appearance = as_shown(image, view)
    target = None if image.labels is None else image.target
    if view.rescale == 1:
        return NetworkInput(pixels, target, image.annotated, appearance)
    shape = rescaled_shape(image.shape, view.rescale)
    # Thin strokes must survive: where only some pixels are annotated, the nearest counts and not the majority.
    resample_mask = _majority if image.annotated is None else _nearest
    return NetworkInput(
        resample(pixels, shape),
        None if target is None else resample_mask(target, shape),
        None if image.annotated is None else _nearest(image.annotated, shape),
        appearance,
    )


def as_shown(image: AnnotatedImage, view: ModelView) -> tuple[NDArray[np.float32], Appearance]:
    """Return what a model with `view` sees of `image` (C, Y, X) before any change of size, and how it is shown.

    Raises
    ------
    DataError
        If the image's channels or values do not fit the model.
    """

    def seen(appearance: Appearance = AS_THEY_ARE) -> NDArray[np.float32]:
        return model_input(
            image, in_channels=view.in_channels, channels=view.channels, normalization=view.normalization,
            appearance=appearance,
        )  # fmt: skip

    if len({one.inverted for one in view.knows}) == 1:
        return seen(view.knows[0]), view.knows[0]
    pixels = seen()
    if not view.knows:
        return pixels, AS_THEY_ARE
    shown = view.knows[nearest(view.knows, quantiles_of(pixels.mean(axis=0).ravel()))]
    return (seen(shown) if shown.inverted else pixels), shown


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


Floats = NDArray[np.float32] | NDArray[np.float64]

# Normalized values beyond this range are hot pixels or dust; they must not drive a GroupNorm.
VALUE_RANGE = (-1.0, 3.0)


def model_input(
    image: AnnotatedImage,
    *,
    in_channels: int,
    channels: ChannelRule,
    normalization: Normalization,
    appearance: Appearance = AS_THEY_ARE,
) -> NDArray[np.float32]:
    """Return the network's view of `image`: float32 (in_channels, Y, X).

    Channels are brought to the model's number first, then dark and bright are exchanged where `appearance` says so, and
    intensities are normalized over the whole image.

    Raises
    ------
    DataError
        If `channels` does not say how to bring the image to `in_channels`, or its floats have no known range.
    """
    pixels = to_channels(image, in_channels, channels)
    if appearance.inverted and normalization.method == "none":
        _check_range(pixels, image.name)
    return normalize(appearance.shown(pixels), normalization, name=image.name)


def raw_input(image: AnnotatedImage, *, in_channels: int, channels: ChannelRule) -> NDArray[np.float32] | None:
    """Return (in_channels, Y, X) as shares of the data type's range, or ``None`` for floats without a known range.

    Raises
    ------
    DataError
        If `channels` does not say how to bring the image to `in_channels`.
    """
    pixels = to_channels(image, in_channels, channels)
    if _is_beyond_range(pixels):
        return None
    return (_floats(pixels) / _type_max(pixels)).astype(np.float32)


def to_channels(image: AnnotatedImage, in_channels: int, rule: ChannelRule) -> NDArray[np.generic]:
    """Return the pixels of `image` as (in_channels, Y, X).

    Raises
    ------
    DataError
        If `rule` does not cover this pair of channel numbers.
    """
    pixels, count = image.image.reshape(-1, *image.shape), image.channels
    if count == in_channels:
        return pixels
    if count == 1:
        return np.repeat(pixels, in_channels, axis=0)
    if in_channels == 1 and rule.method == "channel":
        taken = place_of(rule, count, image.channel_names, image=image.name)
        return pixels[taken : taken + 1]
    if in_channels == 1 and rule.method == "luminance" and count == len(LUMINANCE):
        return _weighted(pixels, LUMINANCE)
    if in_channels == 1 and rule.method in ("mean", "all"):
        return _weighted(pixels, (1 / count,) * count)
    raise DataError(
        f"{image.name} has {_listed(image)}, but the model takes {in_channels}. {_cure(image, in_channels)}"
    )


def _listed(image: AnnotatedImage) -> str:
    names = [name for name in image.channel_names if name]
    return f"{image.channels} channels" + (f" ({first_of(names)})" if len(names) == image.channels else "")


def _cure(image: AnnotatedImage, in_channels: int) -> str:
    if in_channels == 1:
        wanted = next(iter(image.channel_names), "") or "0"
        return f"Choose one of them as Channel in section Images or in Predict (in the terminal, --channel {wanted})."
    return (
        f"Take images with {in_channels} channels or one. A training can also give a gray model all {image.channels} "
        "channels: start from one that takes gray images."
    )


def _weighted(pixels: NDArray[np.generic], weights: tuple[float, ...]) -> NDArray[np.generic]:
    """Return the weighted mean over channels, on the scale that `pixels`' type implies."""
    mean = np.tensordot(np.asarray(weights, np.float32), pixels.astype(np.float32), axes=1)[np.newaxis]
    return mean / np.float32(_type_max(pixels)) if np.issubdtype(pixels.dtype, np.integer) else mean


def normalize(pixels: NDArray[np.generic], rule: Normalization, *, name: str = "image") -> NDArray[np.float32]:
    """Return `pixels` (C, Y, X) as float32 with intensities normalized by `rule`.

    A constant image becomes zeros (percentile, zscore).

    Raises
    ------
    DataError
        If nothing is to be normalized and `pixels` are floats beyond 0 to 1.
    """
    if rule.method == "none":
        _check_range(pixels, name)
        return (_floats(pixels) / _type_max(pixels)).astype(np.float32)
    values = _floats(pixels)
    if rule.per_channel:
        return np.concatenate([_normalize_together(channel[np.newaxis], rule) for channel in values])
    return _normalize_together(values, rule)


def _check_range(pixels: NDArray[np.generic], name: str) -> None:
    """Refuse floats for which there is no largest value to divide by."""
    if _is_beyond_range(pixels):
        low, high = float(pixels.min()), float(pixels.max())
        raise DataError(
            f"{name}: pixels are floats from {low:g} to {high:g}, but a model without normalization takes them from "
            "0 to 1. Save the image with 8 or 16 bits."
        )


def _is_beyond_range(pixels: NDArray[np.generic]) -> bool:
    if not np.issubdtype(pixels.dtype, np.floating):
        return False
    return float(pixels.min()) < -0.001 or float(pixels.max()) > 1.001


def _floats(pixels: NDArray[np.generic]) -> Floats:
    """Return `pixels` as floats that can tell them apart: a float32 holds 16 bits exactly, but not 32 bits."""
    return pixels.astype(np.float32) if pixels.dtype.itemsize <= 2 else pixels.astype(np.float64)


def _normalize_together(values: Floats, rule: Normalization) -> NDArray[np.float32]:
    offset, width = _zscore(values) if rule.method == "zscore" else _percentiles(values, rule)
    if width <= 0:
        return np.zeros(values.shape, np.float32)
    normalized = (values - values.dtype.type(offset)) / values.dtype.type(width)
    return (normalized if rule.method == "zscore" else np.clip(normalized, *VALUE_RANGE)).astype(np.float32)


def _zscore(values: Floats) -> tuple[float, float]:
    # Rounding gives a constant image a tiny std, which would turn it into ones.
    is_constant = values.min() == values.max()
    return float(values.mean(dtype=np.float64)), 0.0 if is_constant else float(values.std(dtype=np.float64))


def _percentiles(values: Floats, rule: Normalization) -> tuple[float, float]:
    low, high = np.percentile(values, (rule.low, rule.high))
    if high <= low:  # objects so rare that both percentiles are background
        low, high = values.min(), values.max()
    return float(low), float(high) - float(low)


def _type_max(pixels: NDArray[np.generic]) -> float:
    kind: np.dtype[Any] = pixels.dtype
    return float(np.iinfo(kind).max) if np.issubdtype(kind, np.integer) else 1.0
