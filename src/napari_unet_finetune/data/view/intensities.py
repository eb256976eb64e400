"""Intensities brought to a common range: what is measured over a whole image, and how it is applied to a part of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import Normalization
from ...errors import DataError

Floats = NDArray[np.float32] | NDArray[np.float64]
# Normalized values beyond this range are hot pixels or dust; they must not drive a GroupNorm.
VALUE_RANGE = (-1.0, 3.0)
_AT_ONCE = 2**20  # values that are counted, or rows times columns that are summed, at once
_DIGIT_BITS = 16


@dataclass(frozen=True)
class Bands:
    """An image in bands from top to bottom, each as wide as the image.

    Parameters
    ----------
    read
        Yields the pixels (C, Y, X) of the bands, as often as it is called.
    channels, dtype
        Number of channels and type of the pixels.
    """

    read: Callable[[], Iterable[NDArray[np.generic]]]
    channels: int
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, pixels: NDArray[np.generic]) -> Bands:
        """Return a whole image (C, Y, X) as one band."""
        return cls(lambda: [pixels], len(pixels), pixels.dtype)

    def only(self, channel: int) -> Bands:
        """Return the same of one channel."""
        return Bands(lambda: (band[channel : channel + 1] for band in self.read()), 1, self.dtype)


@dataclass(frozen=True)
class Intensities:
    """What becomes 0, and what is 1 wide: one of each for all channels together, or one for each channel.

    There are none where nothing is measured (method "none").
    """

    offsets: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()


def measure_intensities(bands: Bands, rule: Normalization, *, name: str = "image") -> Intensities:
    """Return what `rule` needs to know of an image; the same to the last bit however it is cut into bands.

    Percentiles are those of `numpy.percentile`. They are counted and not sorted, 16 bits of a value at a time: images
    of 8 and 16 bits are read once, those of 32 bits twice, of 64 four times, in little memory.

    Raises
    ------
    DataError
        If nothing is to be normalized and the pixels are floats beyond 0 to 1.
    """
    if rule.method == "none":
        check_range(bands, name)
        return Intensities()
    measure = _zscore if rule.method == "zscore" else _percentiles
    apart = [bands.only(channel) for channel in range(bands.channels)] if rule.per_channel else [bands]
    found = [measure(one, rule) for one in apart]
    return Intensities(tuple(offset for offset, _ in found), tuple(width for _, width in found))


def apply_intensities(
    pixels: NDArray[np.generic], rule: Normalization, intensities: Intensities
) -> NDArray[np.float32]:
    """Return `pixels` (C, Y, X), any part of the image that was measured, as float32 normalized by `rule`.

    A constant image becomes zeros (percentile, zscore).
    """
    if rule.method == "none":
        return (as_floats(pixels) / largest_value(pixels.dtype)).astype(np.float32)
    pairs = zip(intensities.offsets, intensities.widths, strict=True)
    if not rule.per_channel:
        return _normalized(pixels, rule, *next(pairs))
    channels = [_normalized(pixels[place : place + 1], rule, *pair) for place, pair in enumerate(pairs)]
    return np.concatenate(channels)


def _normalized(pixels: NDArray[np.generic], rule: Normalization, offset: float, width: float) -> NDArray[np.float32]:
    if width <= 0:
        return np.zeros(pixels.shape, np.float32)
    values = as_floats(pixels)
    normalized = (values - values.dtype.type(offset)) / values.dtype.type(width)
    return (normalized if rule.method == "zscore" else np.clip(normalized, *VALUE_RANGE)).astype(np.float32)


def check_range(bands: Bands, name: str) -> None:
    """Refuse floats for which there is no largest value to divide by.

    Raises
    ------
    DataError
        If there are some beyond 0 to 1.
    """
    found = _range_of_floats(bands)
    if found is not None and is_beyond_range(*found):
        raise DataError(
            f"{name}: pixels are floats from {found[0]:g} to {found[1]:g}, but a model without normalization takes "
            "them from 0 to 1. Save the image with 8 or 16 bits."
        )


def is_beyond_range(low: float, high: float) -> bool:
    """Tell whether floats that run from `low` to `high` are no shares of a largest value."""
    return low < -0.001 or high > 1.001


def _range_of_floats(bands: Bands) -> tuple[float, float] | None:
    if not np.issubdtype(bands.dtype, np.floating):
        return None
    ranges = [(float(band.min()), float(band.max())) for band in bands.read()]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def as_floats(pixels: NDArray[np.generic]) -> Floats:
    """Return `pixels` as floats that can tell them apart: a float32 holds 16 bits exactly, but not 32 bits."""
    return pixels.astype(np.float32) if pixels.dtype.itemsize <= 2 else pixels.astype(np.float64)


def largest_value(dtype: np.dtype[Any]) -> float:
    """Return the largest value of integers of a type, 1 for floats."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def _zscore(bands: Bands, _rule: Normalization) -> tuple[float, float]:
    """Return mean and standard deviation, from sums of rows that are added without rounding."""
    (low, high), count = order_statistics(bands, lambda total: (0, total - 1))
    mean = math.fsum(total for band in bands.read() for total in _row_sums(band)) / count
    if low == high:  # rounding gives a constant image a tiny std, which would turn it into ones
        return mean, 0.0
    squares = (total for band in bands.read() for total in _row_sums(band, less=mean, power=2))
    return mean, math.sqrt(math.fsum(squares) / count)


def _row_sums(band: NDArray[np.generic], *, less: float = 0.0, power: int = 1) -> list[float]:
    """Return the sum of each row of `band`, alone, whatever is above and below."""
    step = max(1, _AT_ONCE // band.shape[-1])
    rows = band.reshape(-1, band.shape[-1])
    parts = (as_floats(rows[start : start + step]).astype(np.float64) for start in range(0, len(rows), step))
    return [float(value) for part in parts for value in ((part - less) ** power).sum(axis=-1)]


def _percentiles(bands: Bands, rule: Normalization) -> tuple[float, float]:
    """Return the lower percentile and how far the upper one is from it, as `numpy.percentile` has them."""
    shares = [rule.low / 100, rule.high / 100]

    def ranks(count: int) -> list[int]:
        below = [math.floor(share * (count - 1)) for share in shares]
        return [0, count - 1, *below, *(min(rank + 1, count - 1) for rank in below)]

    (darkest, brightest, *found), count = order_statistics(bands, ranks)
    places = [share * (count - 1) for share in shares]
    low, high = (_between(found[of], found[of + 2], places[of]) for of in range(2))
    if high <= low:  # objects so rare that both percentiles are background
        low, high = float(darkest), float(brightest)
    return low, high - low


def _between(below: np.floating[Any], above: np.floating[Any], place: float) -> float:
    """Interpolate linearly between two ranks to the `place` between them, from the nearer one, as NumPy does."""
    step, share = float(above - below), place - math.floor(place)
    return float(above) - step * (1 - share) if share >= 0.5 else float(below) + step * share


def order_statistics(bands: Bands, ranks: Callable[[int], Sequence[int]]) -> tuple[list[np.floating[Any]], int]:
    """Return the values of some ranks among all pixels, in the floats that `as_floats` makes, and how many there are.

    Parameters
    ----------
    ranks
        Tells which ranks are wanted of so many pixels, counted from 0.
    """
    bits = 8 * bands.dtype.itemsize
    digit_bits = min(bits, _DIGIT_BITS)
    first = _count_digits(bands, (0,), bits - digit_bits, 1 << digit_bits)[0]
    count = int(first.sum())
    wanted = [(0, rank) for rank in ranks(count)]  # the digits that are known, and the rank among those that have them
    counts = {0: first}
    for shift in range(bits - digit_bits, -1, -digit_bits):
        counts = counts or _count_digits(bands, {known for known, _ in wanted}, shift, 1 << digit_bits)
        wanted = [_next_digit(counts[known], known, rank) for known, rank in wanted]
        counts = {}
    return list(as_floats(_from_keys(np.array([key for key, _ in wanted], np.uint64), bands.dtype))), count


def _next_digit(counts: NDArray[np.int64], known: int, rank: int) -> tuple[int, int]:
    """Return the digits with one more, and the rank among the values that have it, too."""
    up_to = np.cumsum(counts)
    digit = int(np.searchsorted(up_to, rank, side="right"))
    return known * len(counts) + digit, rank - (int(up_to[digit - 1]) if digit else 0)


def _count_digits(bands: Bands, known: Iterable[int], shift: int, size: int) -> dict[int, NDArray[np.int64]]:
    """Return how often each digit at `shift` occurs among the values that begin with the digits that are `known`."""
    counts = {prefix: np.zeros(size, np.int64) for prefix in known}
    for band in bands.read():
        for keys in _keys(band):
            digits = keys >> keys.dtype.type(shift)
            for prefix, count in counts.items():
                last = digits - keys.dtype.type(prefix * size)  # huge where the digits before are others
                chosen = last if last.max() < size else last[last < size]
                count += np.bincount(chosen.astype(np.int64), minlength=size)
    return counts


def _keys(band: NDArray[np.generic]) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
    """Yield unsigned integers that are in the order of the values."""
    flat = band.reshape(-1)
    for start in range(0, flat.size, _AT_ONCE):
        values = np.ascontiguousarray(flat[start : start + _AT_ONCE])
        unsigned = np.dtype(f"u{values.dtype.itemsize}")
        keys, top = values.view(unsigned), unsigned.type(1 << (8 * unsigned.itemsize - 1))
        if values.dtype.kind == "f":
            keys = np.where(keys & top, ~keys, keys | top)
        yield keys ^ top if values.dtype.kind == "i" else keys


def _from_keys(keys: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[np.generic]:
    unsigned = np.dtype(f"u{dtype.itemsize}")
    plain, top = keys.astype(unsigned), unsigned.type(1 << (8 * unsigned.itemsize - 1))
    if dtype.kind == "f":
        plain = np.where(plain & top, plain & ~top, ~plain)
    return (plain ^ top if dtype.kind == "i" else plain).view(dtype)
