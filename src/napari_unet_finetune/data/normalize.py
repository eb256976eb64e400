"""From pixels of any type and number of channels to what the network sees, always measured over the whole image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..config import ChannelRule, Normalization
from ..errors import DataError
from ..io.colors import LUMINANCE
from ..io.regions.region import LazyImage, Region, bands_of
from ..text import first_of
from .annotated_image import AnnotatedImage
from .appearance import AS_THEY_ARE, Appearance, are_shown_alike, likeliest, quantiles_of, sampling_step
from .channels import place_of
from .view.intensities import (
    Bands,
    Intensities,
    apply_intensities,
    as_floats,
    check_range,
    is_beyond_range,
    largest_value,
    measure_intensities,
)
from .view.resampling import resample, rescaled_shape


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


# A lead from which the way to show an image is taken for certain. Figures: docs/experiments.md.
SURE = 4.0


@dataclass(frozen=True)
class Sight:
    """How one image is shown to a network: what was measured over all of it, and holds for each part.

    `distance` is how far its intensities are from the dataset that is shown so. It `looks_reversed` if it is shown as
    it is, but with dark and bright exchanged would be much more like what the model was trained on. `lead` is how much
    more plausible this is than to show the image as the `other` dataset's, at which the network looked, too: infinite
    if it did not. It counts only what both are judged by, if that is less.
    """

    appearance: Appearance
    intensities: Intensities
    distance: float = 0.0
    looks_reversed: bool = False
    lead: float = math.inf
    other: Appearance | None = None

    @property
    def is_unsure(self) -> bool:
        """Whether the image may as well be of another dataset, which is shown otherwise."""
        return not self.lead >= SURE  # nor where it is no number


def measure_sight(image: LazyImage, view: ModelView) -> Sight:
    """Return how a model with `view` sees `image` by what its intensities say, as `possible_sights` has it first."""
    return next(possible_sights(image, view))


def possible_sights(image: LazyImage, view: ModelView) -> Iterator[Sight]:
    """Yield how a model with `view` may see `image`, which is read from top to bottom, in bands; the likeliest first.

    There is more than one only where the model knows images that are shown otherwise, and the intensities of this one
    do not clearly say which of them it is like. A region of an image is seen as the whole is, which is read once.

    Raises
    ------
    DataError
        If the image's channels or values do not fit the model.
    """
    whole = image.part_of if isinstance(image, AnnotatedImage) else None
    if whole is None:
        yield from _measured_sights(image, view)
        return
    known = _sights.setdefault(whole, {})
    if view not in known:
        known[view] = tuple(_measured_sights(whole, view))
    yield from known[view]


# Kept here, as long as the whole lives, since training, check-up and statistics ask region by region, each by itself.
_sights: WeakKeyDictionary[LazyImage, dict[ModelView, tuple[Sight, ...]]] = WeakKeyDictionary()


def _measured_sights(image: LazyImage, view: ModelView) -> Iterator[Sight]:
    def measured(appearance: Appearance) -> Intensities:
        bands = _bands(image, view, appearance)
        if appearance.inverted and view.normalization.method == "none":
            check_range(_bands(image, view, AS_THEY_ARE), image.name)
        return measure_intensities(bands, view.normalization, name=image.name)

    if view.knows and are_shown_alike(view.knows):
        yield Sight(view.knows[0], measured(view.knows[0]))
        return
    as_they_are = measured(AS_THEY_ARE)
    if not view.knows:
        yield Sight(AS_THEY_ARE, as_they_are)
        return
    quantiles = quantiles_seen(image, view, as_they_are)
    for shown in likeliest(view.knows, quantiles):
        yield Sight(shown, measured(shown) if shown.inverted else as_they_are, shown.distance(quantiles) or 0.0)


def sights_of_normalized(quantiles: Sequence[float], view: ModelView) -> list[Sight]:
    """Return how a model with `view` may see pixels that are normalized already, the likeliest way first.

    They are some of an image that has these `quantiles`, as it is: what was measured of the whole holds for them.
    """
    ways = likeliest(view.knows, quantiles)
    return [Sight(way, _unchanged(way, view), way.distance(quantiles) or 0.0) for way in ways]


def _unchanged(appearance: Appearance, view: ModelView) -> Intensities:
    """Return the intensities of which nothing is to be normalized; turned ones have a mean of 1 that was 0."""
    moved = appearance.inverted if view.normalization.method == "zscore" else ()
    return Intensities(tuple(float(place in moved) for place in range(view.in_channels)), (1.0,) * view.in_channels)


def see(image: LazyImage, view: ModelView, sight: Sight, region: Region | None = None) -> NDArray[np.float32]:
    """Return what a model with `view` sees of a region (C, Y, X), or of all, before any change of size.

    Raises
    ------
    DataError
        If the image's channels do not fit the model.
    """
    part = read_part(image, region or Region.whole(image.shape))
    pixels = sight.appearance.shown(to_channels(part, view.in_channels, view.channels))
    return sight.appearance.curved(apply_intensities(pixels, view.normalization, sight.intensities))


def read_part(image: LazyImage, region: Region) -> AnnotatedImage:
    """Return a region of an image, without labels; raises `DataError` if it cannot be read."""
    return AnnotatedImage(image.name, image.read(region), channel_names=image.channel_names)


def _bands(image: LazyImage, view: ModelView, appearance: Appearance) -> Bands:
    """Return an image in bands of the network's channels (C, Y, X)."""

    def shown(region: Region) -> NDArray[np.generic]:
        return appearance.shown(to_channels(read_part(image, region), view.in_channels, view.channels))

    return Bands(lambda: map(shown, bands_of(image)), view.in_channels, shown(Region(0, 0, 1, 1)).dtype)


def quantiles_seen(image: LazyImage, view: ModelView, intensities: Intensities) -> tuple[float, ...]:
    """Return the quantiles of normalized pixels of an image as it is, evenly taken, of the mean of their channels."""
    height, width = image.shape
    step = sampling_step(height * width)
    taken, before = [], 0
    for band in _bands(image, view, AS_THEY_ARE).read():
        pixels = band.reshape(len(band), 1, -1)[..., -before % step :: step]
        taken.append(apply_intensities(pixels, view.normalization, intensities).mean(axis=(0, 1)))
        before += band.shape[-2] * width
    return quantiles_of(np.concatenate(taken))


def as_shown(image: LazyImage, view: ModelView) -> tuple[NDArray[np.float32], Appearance]:
    """Return what a model with `view` sees of `image` (C, Y, X) before any change of size, and how it is shown.

    Raises
    ------
    DataError
        If the image's channels or values do not fit the model.
    """
    sight = measure_sight(image, view)
    return see(image, view, sight), sight.appearance


def _majority(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    return resample(mask.astype(np.float32), shape) > 0.5


def _nearest(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = (_nearest_indices(old, new) for old, new in zip(mask.shape, shape, strict=True))
    return mask[np.ix_(rows, columns)]


def _nearest_indices(old: int, new: int) -> NDArray[np.int64]:
    indices = ((np.arange(new) + 0.5) * old / new).astype(np.int64)
    nearest: NDArray[np.int64] = np.minimum(indices, old - 1)
    return nearest


def model_input(
    image: AnnotatedImage,
    *,
    in_channels: int,
    channels: ChannelRule,
    normalization: Normalization,
    appearance: Appearance = AS_THEY_ARE,
) -> NDArray[np.float32]:
    """Return the network's view of `image`: float32 (in_channels, Y, X).

    Channels are brought to the model's number first, then dark and bright are exchanged where `appearance` says so,
    intensities are normalized over the whole image, and its curves are applied.

    Raises
    ------
    DataError
        If `channels` does not say how to bring the image to `in_channels`, or its floats have no known range.
    """
    view = ModelView(in_channels=in_channels, channels=channels, normalization=normalization, knows=(appearance,))
    return as_shown(image, view)[0]


def raw_input(image: AnnotatedImage, *, in_channels: int, channels: ChannelRule) -> NDArray[np.float32] | None:
    """Return (in_channels, Y, X) as shares of the data type's range, or ``None`` for floats without a known range.

    Raises
    ------
    DataError
        If `channels` does not say how to bring the image to `in_channels`.
    """
    pixels = to_channels(image, in_channels, channels)
    if np.issubdtype(pixels.dtype, np.floating) and is_beyond_range(float(pixels.min()), float(pixels.max())):
        return None
    return (as_floats(pixels) / largest_value(pixels.dtype)).astype(np.float32)


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
    mean = np.zeros((1, *pixels.shape[1:]), np.float32)
    for channel, weight in zip(pixels, weights, strict=True):  # no matrix product, which rounds by the image's size
        mean += np.float32(weight) * channel.astype(np.float32)
    return mean / np.float32(largest_value(pixels.dtype)) if np.issubdtype(pixels.dtype, np.integer) else mean
