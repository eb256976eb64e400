"""Find images that are there twice pixel for pixel, and images that look alike: also mirrored, turned or resized."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
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
_TILE = 512  # so many images are compared with as many others at a time
# Of 40,000 pictures with copies, each tree brought half of the copies whose thumbnails correlate by 0.88 to 0.94 into
# one leaf with their originals, a quarter of those by 0.76 to 0.82, and nearly all of those by more than 0.98.
_TREES, _LEAF, _COARSE_SIDE_PX = 12, 1024, 8
_DETAILS_KEPT = 2048  # 64 MB; images that are compared beyond that are read again
_MOST_CANDIDATES = 8  # the detail of so many is compared with that of an image; a copy is among the most alike
_FARTHEST_PX = 6  # that two pictures of detail are moved to lie on each other
_BLOCK_PX = 16
_FINE_PX, _COARSE_PX, _CONTRAST_PX = 1.0, 4.0, 8.0  # detail lies between the first two, and is as strong everywhere

Detail = NDArray[np.float16]
Places = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Fingerprint:
    """What is kept of an image to recognize it, about 2 KB.

    Parameters
    ----------
    name
        The image.
    sha256
        Hash of its pixels.
    thumbnail
        A small picture (Y, X), half as precise as that: correlations are off by 0.00002.
    read
        Reads its pixels again. The detail that tells images apart takes 32 KB, and only those of a thumbnail that is
        like another's need it; as many of them are kept as fit 64 MB.
    """

    name: str
    sha256: str
    thumbnail: NDArray[np.float16]
    read: Callable[[], NDArray[Any]]

    def detail(self) -> Detail:
        """Return its fine structure; none if the file has changed since and cannot be read."""
        try:
            return _detail(_gray(self.read()))
        except DataError:
            return np.zeros((DETAIL_PX, DETAIL_PX), np.float16)


@dataclass(frozen=True)
class Duplicate:
    """An image, `second`, that looks like the `first`: `exact` pixel for pixel, or `turned` or mirrored."""

    first: str
    second: str
    exact: bool
    turned: bool = False


def take_fingerprint(name: str, image: NDArray[Any], read: Callable[[], NDArray[Any]] | None = None) -> Fingerprint:
    """Return what is needed to recognize `image` (Y, X) or (C, Y, X); without `read` it is kept itself."""
    return Fingerprint(name, sha256_of(image), _thumbnail(_gray(image)), read or (lambda: image))


def find_duplicates(images: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return each of `images` that looks like an earlier one, once, with the first that is exact or, without, alike.

    The frames of a time series are all alike, and their pairs would be too many to read. Of many thousands of images,
    only those are compared that resemble one another coarsely; then another than the first may be named.
    """
    return _find(images, images, only_earlier=True)


def find_shared(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> tuple[Duplicate, ...]:
    """Return each of `others` that looks like one of `images`, once, as `find_duplicates` does."""
    return _find(images, others, only_earlier=False)


def _find(images: Sequence[Fingerprint], others: Sequence[Fingerprint], *, only_earlier: bool) -> tuple[Duplicate, ...]:
    search = _Search(images, others, only_earlier=only_earlier)
    for rows, columns in _groups(images, others):
        search.compare(rows, columns)
    return search.finish()


def _groups(images: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> Iterator[tuple[Places, Places]]:
    """Yield places among `images` and among `others` whose thumbnails are to be compared, each with each.

    These are all, or what lies in one leaf of several trees where that is less. Then time grows with the number of
    images and not with that of their pairs.
    """
    everything = images if others is images else [*images, *others]
    if not _in_trees(len(images), len(others), len(everything)):
        yield np.arange(len(images)), np.arange(len(others))
        return
    pictures, rng = _coarse(everything), np.random.default_rng(0)
    for part in (part for _ in range(_TREES) for part in _leaves(pictures, rng)):
        if others is images:
            yield part, part
        else:
            yield part[part < len(images)], part[part >= len(images)] - len(images)


def _in_trees(rows: int, columns: int, images: int) -> bool:
    return rows * columns > _TREES * _LEAF * images


def _coarse(images: Sequence[Fingerprint]) -> NDArray[np.float32]:
    """Return thumbnails (images, pixels) of few pixels, in which copies differ least."""
    found = np.zeros((len(images), _COARSE_SIDE_PX, _COARSE_SIDE_PX), np.float32)
    step = THUMBNAIL_PX // _COARSE_SIDE_PX
    for picture, image in zip(found, images, strict=True):
        picture[:] = image.thumbnail.reshape(_COARSE_SIDE_PX, step, _COARSE_SIDE_PX, step).mean((1, 3), np.float32)
    return found.reshape(len(images), -1)


def _leaves(pictures: NDArray[np.float32], rng: np.random.Generator) -> Iterator[Places]:
    """Yield the places of pictures (images, pixels) that resemble one another, in groups of at most `_LEAF`.

    Each group is halved by how much of a random pattern is in a picture, turned and mirrored as it fits best: what
    looks alike has about as much of it, and stays together more often than not (Dasgupta and Freund, STOC 2008).
    """
    groups = [np.arange(len(pictures))]
    while groups:
        group = groups.pop()
        if len(group) <= _LEAF:
            yield np.sort(group)
            continue
        pattern = rng.normal(size=(_COARSE_SIDE_PX, _COARSE_SIDE_PX)).astype(np.float32)
        views = np.stack([view.ravel() for view in _symmetries(pattern)], axis=1)
        order = np.argpartition((pictures[group] @ views).max(axis=1), len(group) // 2)
        groups += np.split(group[order], [len(group) // 2])


class _Search:
    """The images that some of `others` look like: of those whose thumbnails are alike, the first, then the most alike.

    With `only_earlier`, both are the same and an image is like an earlier one only.
    """

    def __init__(self, images: Sequence[Fingerprint], others: Sequence[Fingerprint], *, only_earlier: bool) -> None:
        self._images, self._others, self._only_earlier = images, others, only_earlier
        self._found = _find_exact(images, others, only_earlier=only_earlier)
        self._detail_of = lru_cache(_DETAILS_KEPT)(Fingerprint.detail)
        self._first = np.full(len(others), -1, np.int32)
        self._best = np.full((_MOST_CANDIDATES, len(others)), -1, np.int32)
        self._correlation = np.full(self._best.shape, -np.inf, np.float32)

    def compare(self, rows: Places, columns: Places) -> None:
        """Compare each of some images (rows) with each of some others (columns), both in ascending order."""
        parts_of_rows = lru_cache(2)(lambda start: _parts(self._images, rows[start : start + _TILE]))
        for start in range(0, len(columns), _TILE):
            some = columns[start : start + _TILE]
            if self._is_open(some).any():
                parts = parts_of_rows(start) if rows is columns else _parts(self._others, some)
                for at in range(0, start + 1 if self._only_earlier else len(rows), _TILE):
                    self._compare(rows[at : at + _TILE], parts_of_rows(at), some, parts)

    def finish(self) -> tuple[Duplicate, ...]:
        """Return all that is found once the most alike are looked at, too."""
        near = np.flatnonzero(self._first >= 0)
        for place in near[self._is_open(near)].tolist():
            best = self._best[:, place].tolist()
            self._look_at(place, [row for row in best if row not in (-1, self._first[place])])
        return tuple(self._found[place] for place in sorted(self._found))

    def _is_open(self, columns: Places) -> NDArray[np.bool_]:
        return np.array([place not in self._found for place in columns.tolist()], bool)

    def _compare(
        self, rows: Places, parts_of_rows: NDArray[np.float32], columns: Places, parts: NDArray[np.float32]
    ) -> None:
        is_open = self._is_open(columns)
        correlation = correlations(parts_of_rows, parts if is_open.all() else parts[:, :, is_open])
        correlation[correlation < MAY_LOOK_ALIKE] = -np.inf
        if self._only_earlier:
            correlation[rows[:, None] >= columns[is_open]] = -np.inf
        is_near = np.isfinite(correlation).any(axis=0)
        if is_near.any():
            self._note(columns[is_open][is_near], rows, correlation[:, is_near])

    def _note(self, columns: Places, rows: Places, correlation: NDArray[np.float32]) -> None:
        """Look at images (columns) that are near one for the first time; keep the most alike of each."""
        for column, row in zip(columns.tolist(), rows[np.isfinite(correlation).argmax(axis=0)].tolist(), strict=True):
            if self._first[column] < 0:
                self._first[column] = row
                self._look_at(column, [row])
        for known in self._best[:, columns]:  # another tree may have brought the two together before
            place = np.searchsorted(rows, known).clip(max=len(rows) - 1)
            is_here = np.flatnonzero(rows[place] == known)
            correlation[place[is_here], is_here] = -np.inf
        seen = np.concatenate([self._correlation[:, columns], correlation])
        where = np.concatenate([self._best[:, columns], np.broadcast_to(rows[:, None], correlation.shape)])
        most = np.argsort(-seen, axis=0, kind="stable")[:_MOST_CANDIDATES]
        self._correlation[:, columns] = best = np.take_along_axis(seen, most, axis=0)
        self._best[:, columns] = np.where(np.isfinite(best), np.take_along_axis(where, most, axis=0), -1)

    def _look_at(self, place: int, rows: Sequence[int]) -> None:
        other = self._others[place]
        for image in (self._images[row] for row in rows):
            turned = _looks_like(image, other, self._detail_of)
            if turned is not None:
                self._found[place] = Duplicate(image.name, other.name, exact=False, turned=turned)
                return


def _looks_like(image: Fingerprint, other: Fingerprint, detail_of: Callable[[Fingerprint], Detail]) -> bool | None:
    """Return whether `other` looks like `image` only if mirrored or turned, None if it does not look like it."""
    pairs = zip(_symmetries(image.thumbnail.astype(np.float64)), _symmetries(detail_of(image)), strict=True)
    alike = [(float((small * other.thumbnail).sum()), detail) for small, detail in pairs]
    best = max(alike, key=lambda one: one[0])
    is_turned = best[0] > alike[0][0] + 0.01
    return is_turned if _common_detail((best if is_turned else alike[0])[1], detail_of(other)) >= LOOKS_ALIKE else None


def _common_detail(detail: Detail, other: Detail) -> float:
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


def _parts(images: Sequence[Fingerprint], places: Places) -> NDArray[np.float32]:
    return even_and_odd([images[place] for place in places.tolist()])


def even_and_odd(images: Sequence[Fingerprint]) -> NDArray[np.float32]:
    """Return thumbnails as parts (2, 2, images, 16, 16) that stay or change sign if mirrored along Y, and along X."""
    half, shape = THUMBNAIL_PX // 2, (len(images), THUMBNAIL_PX, THUMBNAIL_PX)
    pictures = np.array([one.thumbnail for one in images], np.float32).reshape(shape) / 2
    top, bottom = pictures[:, :half], pictures[:, : -half - 1 : -1]
    rows = np.stack([top + bottom, top - bottom])
    left, right = rows[..., :half], rows[..., : -half - 1 : -1]
    return np.stack([left + right, left - right], axis=1)


def correlations(parts: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the correlation (images, others) of every pair, the best over the eight symmetries of a square.

    To mirror a picture changes the signs of its odd parts, to transpose it exchanges two of them. So the products of
    the parts, straight and transposed, hold all eight at the cost of two.
    """
    straight = _best_of_mirrored(parts, others)
    return np.maximum(straight, _best_of_mirrored(parts.transpose(1, 0, 2, 4, 3), others), out=straight)


def _best_of_mirrored(parts: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    (both, right), (down, none) = (
        [np.einsum("iyx,jyx->ij", *two, optimize=True) for two in zip(*pair, strict=True)]
        for pair in zip(parts, others, strict=True)
    )
    best: NDArray[np.float32] = np.maximum(both + right + np.abs(down + none), both - right + np.abs(down - none))
    return best


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


def _detail(gray: NDArray[Any]) -> Detail:
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


def _gray(image: NDArray[Any]) -> NDArray[Any]:
    gray: NDArray[Any] = image if image.ndim == 2 else image.mean(axis=0)
    return gray


def _thumbnail(gray: NDArray[Any]) -> NDArray[np.float16]:
    """Return a small picture of mean 0 and norm 1 without what its rows and columns have in common.

    Layers and uneven illumination would make different images of one specimen look alike.
    """
    small = _shrunk(gray, THUMBNAIL_PX)
    small -= small.mean(axis=0)
    small -= small.mean(axis=1, keepdims=True)
    if np.abs(small).max() <= 1e-9 * (1 + max(abs(float(gray.max())), abs(float(gray.min())))):
        return np.zeros(small.shape, np.float16)
    small = np.sign(small) * np.sqrt(np.abs(small))  # a few bright objects must not be all that counts
    return np.asarray(small / np.linalg.norm(small), np.float16)
