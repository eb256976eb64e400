"""Find images that are there twice: pixel for pixel, or nearly, also mirrored, turned or resized."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 32
# Correlation of two thumbnails from which images count as nearly the same. Measured on nuclei, coatings, filaments and
# microtubes: different images stay below 0.66, copies of half the size with noise lie above 0.85.
NEARLY_THE_SAME = 0.76
_ROWS = 256  # images compared with all others at a time, so that thousands need little memory


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of an image to recognise it: the sha256 of its pixels and a small picture."""

    name: str
    sha256: str
    thumbnail: NDArray[np.float64]


@dataclass(frozen=True)
class Duplicate:
    """Two images that show the same; `exact` pixel for pixel, `turned` after mirroring or turning one of them."""

    first: str
    second: str
    exact: bool
    turned: bool = False


def take_fingerprint(name: str, image: NDArray[Any]) -> Fingerprint:
    """Return what is needed to recognise `image` (Y, X) or (C, Y, X)."""
    digest = hashlib.sha256(repr((image.shape, str(image.dtype))).encode())
    digest.update(np.ascontiguousarray(image).data)
    grey = image if image.ndim == 2 else image.mean(axis=0)
    return Fingerprint(name, digest.hexdigest(), _thumbnail(grey))


def find_duplicates(images: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return the pairs among `images` that show the same."""
    return _find(images, images, lambda first, second: first < second)


def find_shared(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return the pairs of one of `images` and one of `others` that show the same."""
    return _find(images, others, lambda _first, _second: True)


def _find(
    images: Sequence[Fingerprint], others: Sequence[Fingerprint], wanted: Callable[[int, int], bool]
) -> tuple[Duplicate, ...]:
    if not images or not others:
        return ()
    numbers = {one.sha256: number for number, one in enumerate([*images, *others])}  # equal for equal pixels
    first, second = (np.array([numbers[one.sha256] for one in side]) for side in (images, others))
    thumbnails = np.stack([one.thumbnail for one in others]).reshape(len(others), -1).T
    found = []
    for start in range(0, len(images), _ROWS):
        straight, turned = _correlations(images[start : start + _ROWS], thumbnails)
        same = first[start : start + _ROWS, None] == second
        for row, column in np.argwhere(same | (np.maximum(straight, turned) >= NEARLY_THE_SAME)).tolist():
            if wanted(start + row, column):
                exact = bool(same[row, column])
                is_turned = not exact and bool(turned[row, column] > straight[row, column] + 0.01)
                found.append(Duplicate(images[start + row].name, others[column].name, exact, is_turned))
    return tuple(found)


def _correlations(
    images: Sequence[Fingerprint], thumbnails: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the correlation of every pair as it is, and the best over the seven other symmetries of a square."""
    pictures = np.stack([one.thumbnail for one in images])
    turned = np.full((len(images), thumbnails.shape[1]), -np.inf)
    for mirrored in (pictures, pictures[:, ::-1]):
        for turns in range(4):
            correlation = np.rot90(mirrored, turns, (1, 2)).reshape(len(images), -1) @ thumbnails
            if mirrored is pictures and turns == 0:
                straight = correlation
            else:
                np.maximum(turned, correlation, out=turned)
    return straight, turned


def _thumbnail(grey: NDArray[Any]) -> NDArray[np.float64]:
    """Return a small picture of mean 0 and norm 1 without what its rows and columns have in common.

    Layers and uneven illumination would make different images of one specimen look alike.
    """
    small = grey.astype(np.float64)
    for axis in (0, 1):
        starts = np.arange(THUMBNAIL_PX) * small.shape[axis] // THUMBNAIL_PX
        counts = np.maximum(np.diff([*starts, small.shape[axis]]), 1)
        small = np.add.reduceat(small, starts, axis=axis) / np.expand_dims(counts, 1 - axis)
    small -= small.mean(axis=0)
    small -= small.mean(axis=1, keepdims=True)
    if np.abs(small).max() <= 1e-9 * (1 + max(abs(float(grey.max())), abs(float(grey.min())))):
        return np.zeros_like(small)
    small = np.sign(small) * np.sqrt(np.abs(small))  # a few bright objects must not be all that counts
    return small / np.linalg.norm(small)
