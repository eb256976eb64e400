"""Find images that are there twice: pixel for pixel, or nearly, also mirrored, turned or resized."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
    """An image, `second`, that shows the same as the `first`: `exact` pixel for pixel, or `turned` or mirrored."""

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
    """Return each of `images` that shows the same as an earlier one, once, with the first exact or, without, near one.

    The frames of a time series are all alike, and their pairs would be too many to read.
    """
    return _find(images, images, only_earlier=True)


def find_shared(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return each of `others` that shows the same as one of `images`, once, as `find_duplicates` does."""
    return _find(images, others, only_earlier=False)


def _find(images: Sequence[Fingerprint], others: Sequence[Fingerprint], *, only_earlier: bool) -> tuple[Duplicate, ...]:
    if not images or not others:
        return ()
    found = _find_exact(images, others, only_earlier=only_earlier)
    thumbnails = np.stack([one.thumbnail for one in others]).reshape(len(others), -1).T
    for start in range(0, len(images), _ROWS):
        straight, turned = _correlations(images[start : start + _ROWS], thumbnails)
        near = np.maximum(straight, turned) >= NEARLY_THE_SAME
        near = np.triu(near, start + 1) if only_earlier else near
        for column in np.flatnonzero(near.any(axis=0)).tolist():
            row = int(near[:, column].argmax())
            is_turned = bool(turned[row, column] > straight[row, column] + 0.01)
            pair = Duplicate(images[start + row].name, others[column].name, exact=False, turned=is_turned)
            found.setdefault(column, pair)
    return tuple(found[column] for column in sorted(found))


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
