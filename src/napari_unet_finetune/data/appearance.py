"""The appearance of a dataset: what is done to its intensities so that the network sees them as it learned to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..config import AppearanceName, FittedAppearance, NormalizationName
from ..text import first_of

Curves = tuple[tuple[float, ...], ...]  # of each channel; empty for intensities that stay

# Percentiles that stand for a distribution: 0, 2, … 100 %.
LEVELS = np.linspace(0, 1, 51)
_MAX_PIXELS = 2**17
_DIGITS = 5
_MOST_TRIED_ALONE = 4


class Appearance(BaseModel):
    """How images of one dataset are shown to the network, and how they are told from those of another.

    Parameters
    ----------
    inverted
        Channels of the network whose dark and bright are exchanged, counted from 0.
    curves
        Of each channel the values, rising, that normalized intensities of 0, 1/7, … 1 become, straight lines between
        and beyond them; empty for intensities that stay.
    quantiles
        Quantiles (`LEVELS`) of the normalized intensities, of images as they are, the mean over images; empty where
        nothing is known of them.
    object_share
        Mean share of object pixels, ``None`` where nothing is known of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    inverted: tuple[int, ...] = ()
    curves: Curves = ()
    quantiles: tuple[float, ...] = ()
    object_share: float | None = Field(None, ge=0, le=1)

    def shown(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return `pixels` (C, Y, X) of any type with bright and dark exchanged where that is wanted."""
        if not self.inverted:
            return pixels
        turned, places = pixels.copy(), list(self.inverted)
        turned[places] = ~pixels[places] if pixels.dtype.kind in "iub" else 1 - pixels[places]
        return turned

    @property
    def changes(self) -> bool:
        """Whether anything is done to the images."""
        return bool(self.inverted or self.curves)

    def is_shown_as(self, other: Appearance) -> bool:
        """Tell whether the same is done to the images of both datasets."""
        return (self.inverted, self.curves) == (other.inverted, other.curves)

    def curved(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalized intensities (C, Y, X) as the curves have them, each pixel for itself."""
        if not self.curves:
            return seen
        return np.stack([_bent(plane, curve) for plane, curve in zip(seen, self.curves, strict=True)])

    def fits(self, channels: int) -> bool:
        """Tell whether this can be the appearance of images for a network of so many channels."""
        if self.curves and not (len(self.curves) == channels and all(map(is_curve, self.curves))):
            return False
        in_range = all(0 <= place < channels for place in self.inverted)
        return in_range and len(set(self.inverted)) == len(self.inverted) and len(self.quantiles) in (0, len(LEVELS))

    def distance(self, quantiles: Sequence[float]) -> float | None:
        """Return how far an image with these quantiles is from this dataset, ``None`` if nothing is known of it."""
        if len(self.quantiles) != len(quantiles):
            return None
        return float(np.abs(np.subtract(self.quantiles, quantiles)).mean())

    def in_words(self, channels: int) -> str:
        """Return what is done with images for a network of so many channels."""
        if not self.changes:
            return "as they are"
        curve = "a curve over their intensities" if self.curves else ""
        if not self.inverted:
            return f"with {curve}"
        which = f" of channel {first_of([str(place) for place in self.inverted])}"
        exchanged = f"with dark and bright{'' if len(self.inverted) == channels else which} exchanged"
        return f"{exchanged} and {curve}" if curve else exchanged

    def done_in_words(self, channels: int) -> str:
        """Return the same of an image of which it is told in any case."""
        return self.in_words(channels) if self.changes else "unchanged"

    def for_channels(self, old: int, new: int) -> Appearance:
        """Return the same for a network whose `old` channels became `new` ones."""
        everything = tuple(range(new))
        kept = everything if len(self.inverted) == old else tuple(place for place in self.inverted if place < new)
        curves = self.curves * new if old == 1 else () if old != new else self.curves
        return self.model_copy(update={"inverted": kept if self.inverted else (), "curves": curves})


AS_THEY_ARE = Appearance()

# Points of a curve over the intensities, and where they lie.
KNOTS = 8
PLACES = np.linspace(0, 1, KNOTS)


def is_curve(values: Sequence[float]) -> bool:
    """Tell whether these can be the values of a curve: as many as it has points, and rising."""
    return len(values) == KNOTS and all(low < high for low, high in pairwise(values))


def _bent(plane: NDArray[np.float32], curve: Sequence[float]) -> NDArray[np.float32]:
    """Return a channel with its intensities on a curve; in single precision and in order, as a network would do it."""
    step = np.float32(1 / (KNOTS - 1))
    bent = np.full_like(plane, np.float32(curve[0]))
    for index, slope in enumerate(np.diff(np.asarray(curve, np.float32)) / step):
        least, most = np.float32(0 if index else -np.inf), step if index < KNOTS - 2 else np.float32(np.inf)
        bent += slope * np.clip(plane - np.float32(PLACES[index]), least, most)
    return bent


def named(appearance: FittedAppearance, channels: int) -> Appearance | None:
    """Return the appearance that a setting names for a network of so many channels; ``None`` where it is open."""
    return {"as they are": AS_THEY_ARE, "inverted": Appearance(inverted=tuple(range(channels)))}.get(appearance)


def can_be_named(shown: Appearance, channels: int) -> bool:
    """Tell whether a setting of a prediction names how a dataset is shown: none does for curves, or some channels."""
    ways = [named(choice, channels) for choice in get_args(AppearanceName)]
    return any(way is not None and way.is_shown_as(shown) for way in ways)


def are_shown_alike(datasets: Sequence[Appearance]) -> bool:
    """Tell whether the same is done to the images of all these datasets."""
    return all(one.is_shown_as(datasets[0]) for one in datasets)


def candidates(channels: int) -> list[Appearance]:
    """Return all that may be tried with a network of so many channels, as they are first."""
    ways = [(), tuple(range(channels))]
    if 1 < channels <= _MOST_TRIED_ALONE:
        ways += [(place,) for place in range(channels)]
    return [Appearance(inverted=way) for way in ways]


# Mean distance of two intensity distributions, in units of the range of one of them, from which they differ.
# Measured: 0.03 to 0.06 between nuclei that need nothing, 0.13 to 0.15 between dark and bright coatings, 0.84 between
# backgrounds of opposite contrast.
DIFFERS = 0.1
# Without masks, reversed contrast is guessed where exchanging dark and bright brings images so much nearer.
ALIKE_IF_EXCHANGED = 0.5
# An image is taken for one of the dataset of which nothing is known where it is farther than this from all others.
_FAR = 0.15
# Two datasets whose distances from an image differ by less than this are not told apart by intensities alone.
_UNCLEAR = 0.3


def nearest(known: Sequence[Appearance], quantiles: Sequence[float]) -> int:
    """Return which of the `known` datasets an image with these `quantiles` is most like."""
    distances = [one.distance(quantiles) for one in known]
    measured = {place: far for place, far in enumerate(distances) if far is not None}
    best = min(measured, key=measured.__getitem__, default=0)
    if len(measured) < len(known) and measured.get(best, np.inf) > _FAR:
        return distances.index(None)
    return best


def likeliest(known: Sequence[Appearance], quantiles: Sequence[float]) -> list[Appearance]:
    """Return how an image with these `quantiles` may be one of the `known` datasets' that are shown otherwise.

    The likeliest comes first; another one only where intensities do not clearly tell the two apart.
    """
    first = known[nearest(known, quantiles)]
    distance = first.distance(quantiles)
    others = [one for one in known if not one.is_shown_as(first) and one.quantiles]
    if distance is None or not others:
        return [first]
    other = others[nearest(others, quantiles)]
    apart = other.distance(quantiles)
    return [first, other] if apart is not None and apart - distance < _UNCLEAR else [first]


def exchanged(quantiles: Sequence[float], method: NormalizationName) -> tuple[float, ...]:
    """Return the quantiles of the same image with dark and bright exchanged, normalized by `method`."""
    return tuple((0 if method == "zscore" else 1) - value for value in reversed(quantiles))


def span_of(quantiles: Sequence[float]) -> float:
    """Return the range of a distribution, as a unit of distances: never 0."""
    return max(quantiles[-1] - quantiles[0], 1e-3)


def looks_reversed(known: Sequence[Sequence[float]], quantiles: Sequence[float], method: NormalizationName) -> bool:
    """Tell whether an image is far from the `known` datasets as it is, and near one with dark and bright exchanged.

    A guess for images without masks: more or larger objects change intensities, too. Where all pixels are alike, there
    is no contrast that could be reversed.
    """
    if not quantiles or not all(known) or quantiles[0] == quantiles[-1]:
        return False

    def distance(of: Sequence[float]) -> float:
        return min((float(np.abs(np.subtract(one, of)).mean()) / span_of(one) for one in known), default=0.0)

    far = distance(quantiles)
    return far >= DIFFERS and distance(exchanged(quantiles, method)) < ALIKE_IF_EXCHANGED * far


def sampling_step(count: int) -> int:
    """Return every how many of `count` pixels one is taken for `quantiles_of`."""
    return max(1, count // _MAX_PIXELS)


def quantiles_of(values: NDArray[Any]) -> tuple[float, ...]:
    """Return the quantiles (`LEVELS`) of some of `values`, evenly taken; empty for none."""
    if values.size == 0:
        return ()
    some = values[:: sampling_step(values.size)]
    return tuple(np.round(np.quantile(some.astype(np.float64), LEVELS), _DIGITS).tolist())


def quantiles_of_parts(parts: Sequence[NDArray[Any]]) -> tuple[float, ...]:
    """Return the quantiles of parts (C, Y, X) of one image together, of the mean of their channels."""
    return quantiles_of(np.concatenate([part.mean(axis=0).ravel() for part in parts]))
