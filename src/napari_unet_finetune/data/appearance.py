"""The appearance of a dataset: what is done to its intensities so that the network sees them as it learned to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..config import AppearanceName
from ..text import first_of

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
    quantiles
        Quantiles (`LEVELS`) of the normalized intensities, of images as they are, the mean over images; empty where
        nothing is known of them.
    object_share
        Mean share of object pixels, ``None`` where nothing is known of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    inverted: tuple[int, ...] = ()
    quantiles: tuple[float, ...] = ()
    object_share: float | None = Field(None, ge=0, le=1)

    def shown(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return `pixels` (C, Y, X) of any type with bright and dark exchanged where that is wanted."""
        if not self.inverted:
            return pixels
        turned, places = pixels.copy(), list(self.inverted)
        turned[places] = ~pixels[places] if pixels.dtype.kind in "iub" else 1 - pixels[places]
        return turned

    def fits(self, channels: int) -> bool:
        """Tell whether this can be the appearance of images for a network of so many channels."""
        in_range = all(0 <= place < channels for place in self.inverted)
        return in_range and len(set(self.inverted)) == len(self.inverted) and len(self.quantiles) in (0, len(LEVELS))

    def distance(self, quantiles: Sequence[float]) -> float | None:
        """Return how far an image with these quantiles is from this dataset, ``None`` if nothing is known of it."""
        if len(self.quantiles) != len(quantiles):
            return None
        return float(np.abs(np.subtract(self.quantiles, quantiles)).mean())

    def in_words(self, channels: int) -> str:
        """Return what is done with images for a network of so many channels."""
        if not self.inverted:
            return "as they are"
        if len(self.inverted) == channels:
            return "with dark and bright exchanged"
        return f"with dark and bright of channel {first_of([str(place) for place in self.inverted])} exchanged"

    def for_channels(self, old: int, new: int) -> Appearance:
        """Return the same for a network whose `old` channels became `new` ones."""
        everything = tuple(range(new))
        kept = everything if len(self.inverted) == old else tuple(place for place in self.inverted if place < new)
        return self.model_copy(update={"inverted": kept if self.inverted else ()})


AS_THEY_ARE = Appearance()


def named(appearance: AppearanceName, channels: int) -> Appearance | None:
    """Return the appearance that a setting names for a network of so many channels; ``None`` where it is open."""
    return {"as they are": AS_THEY_ARE, "inverted": Appearance(inverted=tuple(range(channels)))}.get(appearance)


def candidates(channels: int) -> list[Appearance]:
    """Return all that may be tried with a network of so many channels, as they are first."""
    ways = [(), tuple(range(channels))]
    if 1 < channels <= _MOST_TRIED_ALONE:
        ways += [(place,) for place in range(channels)]
    return [Appearance(inverted=way) for way in ways]


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
    others = [one for one in known if one.inverted != first.inverted and one.quantiles]
    if distance is None or not others:
        return [first]
    other = others[nearest(others, quantiles)]
    apart = other.distance(quantiles)
    return [first, other] if apart is not None and apart - distance < _UNCLEAR else [first]


def sampling_step(count: int) -> int:
    """Return every how many of `count` pixels one is taken for `quantiles_of`."""
    return max(1, count // _MAX_PIXELS)


def quantiles_of(values: NDArray[Any]) -> tuple[float, ...]:
    """Return the quantiles (`LEVELS`) of some of `values`, evenly taken; empty for none."""
    if values.size == 0:
        return ()
    some = values[:: sampling_step(values.size)]
    return tuple(np.round(np.quantile(some.astype(np.float64), LEVELS), _DIGITS).tolist())
