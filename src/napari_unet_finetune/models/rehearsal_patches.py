"""Training patches that travel inside a model file, so that later trainings can replay them."""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.appearance import LEVELS

# Of zlib, PNG and lzma with and without row differences, lzma at 2 was the smallest that takes under a second:
# 0.9 MB for 256 nuclei patches of 128 x 128, where zlib needs 1.5 MB and PNG 1.6 MB.
_LZMA_PRESET = 2
# Fewer patches are kept if they are large: this many pixels are 1,024 patches of 128 px.
MAX_PIXELS = 1024 * 128**2
_MAX_VALUES = 16 * MAX_PIXELS  # of all channels
_MAX_LZMA_MEMORY = 2**27
_LATER = ("sources", "quantiles", "edges")  # arrays that files of earlier versions do not have


@dataclass(frozen=True, eq=False)
class RehearsalPatches:
    """Normalized patches, quantized to 8 bits between each patch's own extremes.

    Parameters
    ----------
    images
        ``(N, C, P, P)`` uint8; 0 stands for `low` and 255 for `high`.
    low, high
        ``(N,)`` float32, normalized intensities.
    targets
        ``(N, P, P)`` bool, object pixels.
    held_out
        ``(N,)`` bool, patches of images that were held out, for measuring what is forgotten.
    sources
        ``(N,)`` int32, which image a patch is from, counted from 0 over all of them. In files of earlier versions only
        held-out images were counted, patches to replay have -1; in still earlier ones it is ``None``.
    quantiles
        ``(M, 51)`` float16, of the first M of these images what tells them from those of other datasets: the quantiles
        (`data.appearance.LEVELS`) of all their normalized pixels; ``None`` in files of earlier versions.
    edges
        ``(N, 4)`` bool, which sides of a patch (top, bottom, left, right) stand for the border of its image; ``None``
        in files of earlier versions.

    Raises
    ------
    ValueError
        If shapes or types do not fit together.
    """

    images: NDArray[np.uint8]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    targets: NDArray[np.bool_]
    held_out: NDArray[np.bool_]
    sources: NDArray[np.int32] | None = None
    quantiles: NDArray[np.float16] | None = None
    edges: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        """Check shapes and types."""
        if self.images.ndim != 4:
            raise ValueError(f"rehearsal images are {self.images.shape}, not (N, C, P, P)")
        count, _, height, width = self.images.shape
        _check("images", self.images, self.images.shape, np.uint8)
        _check("low", self.low, (count,), np.float32)
        _check("high", self.high, (count,), np.float32)
        _check("targets", self.targets, (count, height, width), np.bool_)
        _check("held_out", self.held_out, (count,), np.bool_)
        if self.sources is not None:
            _check("sources", self.sources, (count,), np.int32)
        if self.quantiles is not None:
            _check("quantiles", self.quantiles, (len(self.quantiles), len(LEVELS)), np.float16)
        if self.edges is not None:
            _check("edges", self.edges, (count, 4), np.bool_)

    def __len__(self) -> int:
        """Return the number of patches."""
        return len(self.images)

    @property
    def in_channels(self) -> int:
        """Number of channels of a patch."""
        return int(self.images.shape[1])

    @classmethod
    def from_normalized(
        cls,
        images: NDArray[np.float32],
        targets: NDArray[np.bool_],
        held_out: NDArray[np.bool_],
        sources: NDArray[np.int32] | None = None,
    ) -> RehearsalPatches:
        """Quantize `images` (N, C, P, P) float32, normalized as the network sees them.

        The error is at most 1/510 of the patch's own range.

        Raises
        ------
        ValueError
            If shapes do not fit together or an image holds NaN or infinity.
        """
        images = np.asarray(images, dtype=np.float32)
        if not np.isfinite(images).all():
            raise ValueError("rehearsal images hold NaN or infinity")
        low = images.min(axis=(1, 2, 3), initial=np.inf).astype(np.float32)
        high = images.max(axis=(1, 2, 3), initial=-np.inf).astype(np.float32)
        span = np.where(high > low, high - low, 1).astype(np.float32)
        quantized = np.rint((images - _per_patch(low)) / _per_patch(span) * 255).astype(np.uint8)
        masks = np.asarray(targets, dtype=bool), np.asarray(held_out, dtype=bool)
        return cls(quantized, low, high, *masks, sources)

    def normalized(self) -> NDArray[np.float32]:
        """Return the patches (N, C, P, P) as the network sees them."""
        step = (self.high - self.low) / np.float32(255)
        return self.images.astype(np.float32) * _per_patch(step) + _per_patch(self.low)

    def with_channels(self, channels: int) -> RehearsalPatches:
        """Return the patches with `channels` channels: one is repeated, several become their mean first."""
        if channels == self.in_channels:
            return self
        gray = self
        if self.in_channels > 1:
            mean = self.normalized().mean(axis=1, keepdims=True, dtype=np.float32)
            averaged = RehearsalPatches.from_normalized(mean, self.targets, self.held_out)
            gray = replace(self, images=averaged.images, low=averaged.low, high=averaged.high)
        return replace(gray, images=np.repeat(gray.images, channels, axis=1))

    @cached_property
    def packed(self) -> Mapping[str, NDArray[Any]]:
        """Arrays to store, losslessly compressed; kept, because a training saves the same patches many times."""
        return {
            "shape": np.array(self.images.shape, dtype=np.int64),
            "images": _compress(self.images),
            "low": self.low,
            "high": self.high,
            "targets": _compress(np.packbits(self.targets)),
            "held_out": self.held_out,
            **{name: known for name in _LATER if (known := getattr(self, name)) is not None},
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, NDArray[Any]], in_channels: int) -> RehearsalPatches:
        """Return the patches of `in_channels` channels whose `packed` is `arrays`.

        Raises
        ------
        ValueError
            If an array is missing, damaged or larger than any that is written.
        """
        try:
            count, channels, height, width = (int(side) for side in arrays["shape"])
            pixels = count * height * width
            if channels != in_channels or not 0 <= pixels <= min(MAX_PIXELS, _MAX_VALUES // channels):
                raise ValueError(f"they declare {count} patches of {height} x {width} px and {channels} channels")
            images = _decompress(arrays["images"], pixels * channels).reshape(count, channels, height, width)
            bits = np.unpackbits(_decompress(arrays["targets"], -(-pixels // 8)), count=pixels)
            targets = bits.reshape(count, height, width).astype(bool)
            later = (arrays.get(name) for name in _LATER)
            return cls(images, arrays["low"], arrays["high"], targets, arrays["held_out"], *later)
        except (KeyError, lzma.LZMAError) as error:
            raise ValueError(f"rehearsal patches cannot be unpacked ({error})") from error


def _check(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"rehearsal {name} are {array.dtype} {array.shape}, not {np.dtype(dtype)} {shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"rehearsal {name} hold NaN or infinity")


def _per_patch(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[:, None, None, None]


def _compress(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.frombuffer(lzma.compress(array.tobytes(), preset=_LZMA_PRESET), dtype=np.uint8)


def _decompress(compressed: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return `size` bytes; a stream that declares more is cut, so that a small file cannot fill the memory."""
    data = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_LZMA_MEMORY).decompress(
        compressed.tobytes(), max_length=size
    )
    if len(data) != size:
        raise ValueError(f"rehearsal patches hold {len(data)} bytes, not {size}")
    return np.frombuffer(data, dtype=np.uint8).copy()
