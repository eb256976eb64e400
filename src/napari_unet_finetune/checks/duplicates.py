"""Find images that are there twice pixel for pixel, and images that look alike: also mirrored, turned or resized."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.pixels import sha256_of

THUMBNAIL_PX = 32
DETAIL_PX = 128
# Correlation of two thumbnails from which images may be copies. Different nuclei, coatings, filaments and microtubes
# stay below 0.66, copies of half the size with noise lie above 0.85; but images of one centered object are above 0.9.
MAY_LOOK_ALIKE = 0.76
# Correlation of the local detail of two images once they lie on each other: the geometric mean of that of all and that
# of a typical block. Crops with one different nucleus each stay below 0.40, copies and neighboring slices are above 0.6
# (benchmarks/look_alike.py).
LOOKS_ALIKE = 0.5
_ROWS = 256  # images compared with all others at a time, so that thousands need little memory
_MOST_CANDIDATES = 8  # the detail of so many is compared with that of an image; a copy is among the most alike
_FARTHEST_PX = 6  # that two pictures of detail are moved to lie on each other
_BLOCK_PX = 16
_FINE_PX, _COARSE_PX, _CONTRAST_PX = 1.0, 4.0, 8.0  # detail lies between the first two, and is as strong everywhere


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of an image to recognize it: the sha256 of its pixels, a small picture, and one of its detail."""

    name: str
    sha256: str
    thumbnail: NDArray[np.float64]
    detail: NDArray[np.float16]


@dataclass(frozen=True)
class Duplicate:
    """An image, `second`, that looks like the `first`: `exact` pixel for pixel, or `turned` or mirrored."""

    first: str
    second: str
    exact: bool
    turned: bool = False


def take_fingerprint(name: str, image: NDArray[Any]) -> Fingerprint:
    """Return what is needed to recognize `image` (Y, X) or (C, Y, X)."""
    gray = image if image.ndim == 2 else image.mean(axis=0)
    return Fingerprint(name, sha256_of(image), _thumbnail(gray), _detail(gray))


def find_duplicates(images: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return each of `images` that looks like an earlier one, once, with the first that is exact or, without, alike.

    The frames of a time series are all alike, and their pairs would be too many to read.
    """
    return _find(images, images, only_earlier=True)


def find_shared(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return each of `others` that looks like one of `images`, once, as `find_duplicates` does."""
    return _find(images, others, only_earlier=False)


def _find(images: Sequence[Fingerprint], others: Sequence[Fingerprint], *, only_earlier: bool) -> tuple[Duplicate, ...]:
    if not images or not others:
        return ()
    found = _find_exact(images, others, only_earlier=only_earlier)
    candidates = _candidates(images, others, only_earlier=only_earlier)
    for column, rows in candidates.items():
        if column in found:
            continue
        for row in rows:
            turned = _looks_like(images[row], others[column])
            if turned is not None:
                found[column] = Duplicate(images[row].name, others[column].name, exact=False, turned=turned)
                break
    return tuple(found[column] for column in sorted(found))


def _candidates(
    images: Sequence[Fingerprint], others: Sequence[Fingerprint], *, only_earlier: bool
) -> dict[int, list[int]]:
    """Return for each of `others` where those `images` are that it may look like: the first, then the most alike."""
    first: dict[int, int] = {}
    best: dict[int, list[tuple[float, int]]] = {}
    thumbnails = np.stack([one.thumbnail for one in others]).reshape(len(others), -1).T
    for start in range(0, len(images), _ROWS):
        correlation = _correlations(images[start : start + _ROWS], thumbnails)
        near = correlation >= MAY_LOOK_ALIKE
        near = np.triu(near, start + 1) if only_earlier else near
        for column in np.flatnonzero(near.any(axis=0)).tolist():
            rows = np.flatnonzero(near[:, column])
            first.setdefault(column, start + int(rows[0]))
            found = [(-float(correlation[row, column]), start + int(row)) for row in rows]
            best[column] = sorted(best.get(column, []) + found)[:_MOST_CANDIDATES]
    return {column: list(dict.fromkeys([first[column], *(row for _, row in best[column])])) for column in best}


def _looks_like(image: Fingerprint, other: Fingerprint) -> bool | None:
    """Return whether `other` looks like `image` only if mirrored or turned, None if it does not look like it."""
    pairs = zip(_symmetries(image.thumbnail), _symmetries(image.detail), strict=True)
    alike = [(float((small * other.thumbnail).sum()), detail) for small, detail in pairs]
    best = max(alike, key=lambda one: one[0])
    is_turned = best[0] > alike[0][0] + 0.01
    return is_turned if _common_detail((best if is_turned else alike[0])[1], other.detail) >= LOOKS_ALIKE else None


def _common_detail(detail: NDArray[np.float16], other: NDArray[np.float16]) -> float:
    """Return from 0 to 1 how much of two pictures of detail is the same, moved to lie on each other."""
    one, two = detail.astype(np.float64), other.astype(np.float64)
    spectrum = np.conj(np.fft.rfft2(one)) * np.fft.rfft2(two)
    places = np.roll(np.fft.irfft2(spectrum, s=one.shape), (_FARTHEST_PX, _FARTHEST_PX), (0, 1))
    around = places[: 2 * _FARTHEST_PX + 1, : 2 * _FARTHEST_PX + 1]
    down, right = np.unravel_index(int(around.argmax()), around.shape)
    moved = np.roll(one, (int(down) - _FARTHEST_PX, int(right) - _FARTHEST_PX), (0, 1))
    in_all = float(around.max()) / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-12)
    in_blocks = _typical_correlation(_blocks(moved), _blocks(two))
    return math.sqrt(max(in_all, 0) * max(in_blocks, 0))


def _typical_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the median correlation of blocks (blocks, pixels) that show something in both."""
    power = np.minimum((first**2).mean(axis=1), (second**2).mean(axis=1))
    shown = (power > 0) & (power >= 0.3 * np.median(power))
    if not shown.any():
        return 0.0
    norms = np.linalg.norm(first[shown], axis=1) * np.linalg.norm(second[shown], axis=1)
    return float(np.median((first[shown] * second[shown]).sum(axis=1) / norms))


def _blocks(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (blocks, pixels) of mean 0."""
    count = DETAIL_PX // _BLOCK_PX
    blocks = picture.reshape(count, _BLOCK_PX, count, _BLOCK_PX).swapaxes(1, 2).reshape(count**2, -1)
    centered: NDArray[np.float64] = blocks - blocks.mean(axis=1, keepdims=True)
    return centered


def _find_exact(
    images: Sequence[Fingerprint], others: Sequence[Fingerprint], *, only_earlier: bool
) -> dict[int, Duplicate]:
    """Return what is known of those of `others`, by their place, that are equal to one of `images`."""
    first: dict[str, int] = {}
    for row, image in enumerate(images):
        first.setdefault(image.sha256, row)
    rows = ((column, first.get(other.sha256, len(images))) for column, other in enumerate(others))
    return {
        column: Duplicate(images[row].name, others[column].name, exact=True)
        for column, row in rows
        if row < (column if only_earlier else len(images))
    }


def _correlations(images: Sequence[Fingerprint], thumbnails: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of every pair, the best over the symmetries of a square."""
    pictures = np.stack([one.thumbnail for one in images])
    found = np.full((len(images), thumbnails.shape[1]), -np.inf)
    for turned in _symmetries(pictures):
        np.maximum(found, turned.reshape(len(images), -1) @ thumbnails, out=found)
    return found


def _symmetries(pictures: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield square pictures (…, Y, X) as they are, then turned and mirrored."""
    for mirrored in (pictures, pictures[..., ::-1]):
        for turns in range(4):
            yield np.rot90(mirrored, turns, (-2, -1))


def _shrunk(gray: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Return the means of `size` by `size` parts of an image, which are pixels of it where it is smaller."""
    small = gray.astype(np.float64)
    for axis in (0, 1):
        starts = np.arange(size) * small.shape[axis] // size
        counts = np.maximum(np.diff([*starts, small.shape[axis]]), 1)
        small = np.add.reduceat(small, starts, axis=axis) / np.expand_dims(counts, 1 - axis)
    return small


def _detail(gray: NDArray[Any]) -> NDArray[np.float16]:
    """Return the fine structure of an image at one size, equally strong everywhere: edges and texture, no shapes.

    What is left of images with one object each is what tells these objects apart.
    """
    from scipy import ndimage

    factors = [max(1.0, DETAIL_PX / size) for size in gray.shape]  # made larger where it is small, else means are taken
    wide = ndimage.zoom(gray.astype(np.float64), factors, order=1, grid_mode=True, mode="nearest")
    picture = _shrunk(wide, DETAIL_PX)
    fine, coarse = (ndimage.gaussian_filter(picture, sigma) for sigma in (_FINE_PX, _COARSE_PX))
    detail = fine - coarse
    strength = np.sqrt(ndimage.gaussian_filter(detail**2, _CONTRAST_PX))
    typical = float(np.sqrt((detail**2).mean()))
    if typical <= 1e-9 * (1 + float(np.abs(picture).max())):
        return np.zeros(picture.shape, np.float16)
    return np.asarray(detail / (strength + typical / 4), np.float16)


def _thumbnail(gray: NDArray[Any]) -> NDArray[np.float64]:
    """Return a small picture of mean 0 and norm 1 without what its rows and columns have in common.

    Layers and uneven illumination would make different images of one specimen look alike.
    """
    small = _shrunk(gray, THUMBNAIL_PX)
    small -= small.mean(axis=0)
    small -= small.mean(axis=1, keepdims=True)
    if np.abs(small).max() <= 1e-9 * (1 + max(abs(float(gray.max())), abs(float(gray.min())))):
        return np.zeros_like(small)
    small = np.sign(small) * np.sqrt(np.abs(small))  # a few bright objects must not be all that counts
    return small / np.linalg.norm(small)
