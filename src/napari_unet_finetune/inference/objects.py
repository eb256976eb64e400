"""The objects of a mask that is read window by window: the same as those of the whole mask, whatever its size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..io.regions.region import Region, regions_of

CORNERS = np.ones((3, 3), bool)  # pixels that meet at a corner are connected
EDGES = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)

# Side of the squares in which masks are cut, in memory and in files: any gives the same objects, and to split touching
# ones takes 120 bytes for each pixel of a square.
WINDOW_PX = 512

# A dip of the distance map between two centers counts as a neck if it is this deep, relative to the radius of the
# median object, and at least as deep as the steps of a pixel grid.
_NECK_DEPTH = 0.05
_MIN_NECK_DEPTH_PX = 0.3
_SMOOTHING_PX = 1.0
# The distance of a pixel depends on its own object alone; the smoothing looks this far, to pixels whose own distance,
# as others lie between, is known within as many more.
_MARGIN_PX = 12

Labels = NDArray[np.integer[Any]]


class Mask(Protocol):
    """A mask that is read in parts."""

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102

    def read(self, region: Region) -> NDArray[np.bool_]:
        """Return a region of it (Y, X)."""


@dataclass(frozen=True, eq=False)
class WholeMask:
    """A mask (Y, X) in memory."""

    array: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """Size (Y, X)."""
        return self.array.shape[0], self.array.shape[1]

    def read(self, region: Region) -> NDArray[np.bool_]:
        """Return a region of it."""
        return self.array[region.slices]


@dataclass(frozen=True, eq=False)
class _Inverted:
    mask: Mask

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask.shape

    def read(self, region: Region) -> NDArray[np.bool_]:
        return ~self.mask.read(region)


@dataclass(frozen=True, eq=False)
class Components:
    """The connected parts of a mask, numbered from 1 in the order of their first pixels, row by row.

    Parameters
    ----------
    mask, window, connectivity
        What they are parts of, the side of the squares it is read in, and which neighbors are connected (3, 3).
    first_numbers
        Number of each window's own first part, less 1, among those of all windows.
    merged
        Number of the connected part (n + 1,) that each of these belongs to; 0 is background.
    areas, firsts, boxes
        Pixels of each part, place of the first one (row times width plus column), and its top, left, bottom and right.
    """

    mask: Mask
    window: int
    connectivity: NDArray[np.bool_]
    first_numbers: NDArray[np.int64]
    merged: NDArray[np.int64]
    areas: NDArray[np.int64]
    firsts: NDArray[np.int64]
    boxes: NDArray[np.int64]

    @classmethod
    def of(cls, mask: Mask, window: int, connectivity: NDArray[np.bool_]) -> Components:
        """Label each window of `mask`, and join what touches across their borders."""
        counted, tables, pairs, borders = [0], [], [], _Borders(mask.shape[1], bool(connectivity[0, 0]))
        for region in regions_of(mask.shape, window, window):
            labels, count = _label(mask.read(region), connectivity)
            tables.append(_measured(labels, count, region, mask.shape[1]))
            pairs.append(borders.joined(np.where(labels > 0, labels + counted[-1], 0), region))
            counted.append(counted[-1] + count)
        pairs.append(borders.last_row())
        areas, firsts, boxes = (np.concatenate(column) for column in zip(*tables, strict=True))
        roots = _roots(counted[-1], np.concatenate(pairs))
        return cls(mask, window, connectivity, np.array(counted), *_merge(roots, areas, firsts, boxes))

    def __len__(self) -> int:
        """Return how many parts there are."""
        return len(self.areas)

    @property
    def at_edge(self) -> NDArray[np.bool_]:
        """Tell of each part whether it reaches the edge of the image."""
        far = np.array([*self.mask.shape])
        edge: NDArray[np.bool_] = (self.boxes[:, :2] == 0).any(axis=1) | (self.boxes[:, 2:] == far).any(axis=1)
        return edge

    @cached_property
    def windows(self) -> list[Region]:
        """The squares that the mask is read in, row by row."""
        return list(regions_of(self.mask.shape, self.window, self.window))

    def windows_in(self, region: Region) -> Iterator[tuple[int, Region]]:
        """Yield number and place of the windows that have something in common with a region."""
        across = -(-self.mask.shape[1] // self.window)
        for row in range(region.top // self.window, -(-region.bottom // self.window)):
            for column in range(region.left // self.window, -(-region.right // self.window)):
                yield row * across + column, self.windows[row * across + column]

    def numbers(self, place: int) -> NDArray[np.int64]:
        """Return the numbers of the parts (Y, X) in a window; 0 is background."""
        labels, _ = _label(self.mask.read(self.windows[place]), self.connectivity)
        return self.merged[np.where(labels > 0, labels + self.first_numbers[place], 0)]


class _Borders:
    """Pairs of parts that touch across the borders of windows, which come row by row."""

    def __init__(self, width: int, corners: bool) -> None:
        self._above = np.zeros(width, np.int64)  # the last row of the windows above
        self._top, self._bottom = np.zeros(width, np.int64), np.zeros(width, np.int64)
        self._left = np.zeros(0, np.int64)
        self._steps = (-1, 0, 1) if corners else (0,)

    def joined(self, numbers: NDArray[np.int64], region: Region) -> NDArray[np.int64]:
        """Return pairs (n, 2) that touch at the left of a window, or between the rows of windows that it ends."""
        pairs = self.last_row() if region.left == 0 else self._touching(self._left, numbers[:, 0])
        self._top[region.left : region.right] = numbers[0]
        self._bottom[region.left : region.right] = numbers[-1]
        self._left = numbers[:, -1]
        return pairs

    def last_row(self) -> NDArray[np.int64]:
        """Return pairs between the last row of windows and those above."""
        pairs = self._touching(self._above, self._top)
        self._above = self._bottom.copy()
        return pairs

    def _touching(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
        found = []
        for step in self._steps:
            here, there = one[max(0, -step) : len(one) - max(0, step)], other[max(0, step) : len(other) + min(0, step)]
            both = (here > 0) & (there > 0)
            found.append(np.stack([here[both], there[both]], axis=1))
        unique: NDArray[np.int64] = np.unique(np.concatenate(found), axis=0)
        return unique


def _label(mask: NDArray[np.bool_], connectivity: NDArray[np.bool_]) -> tuple[Labels, int]:
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=connectivity)
    return labels, int(count)


def _measured(
    labels: Labels, count: int, region: Region, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return area, first pixel and box of each part of a window, in the whole image."""
    from scipy import ndimage

    flat = labels.ravel()
    firsts = np.zeros(count + 1, np.int64)
    firsts[flat[::-1]] = np.arange(flat.size)[::-1]  # the last to be written is the first
    rows, columns = np.divmod(firsts[1:], labels.shape[1])
    slices = ndimage.find_objects(labels)
    boxes = np.array([[y.start, x.start, y.stop, x.stop] for y, x in slices], np.int64).reshape(-1, 4)
    areas = np.bincount(flat, minlength=count + 1)[1:]
    corner = np.array([region.top, region.left] * 2)
    return areas, (rows + region.top) * width + columns + region.left, boxes + corner


def _roots(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return to which connected set each of `count` parts, numbered from 1, belongs: (count,), from 0."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if count == 0:
        return np.zeros(0, np.int64)
    ones = np.ones(len(pairs), bool)
    graph = coo_array((ones, (pairs[:, 0] - 1, pairs[:, 1] - 1)), shape=(count, count))
    roots: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return roots


def _merge(
    roots: NDArray[np.int64], areas: NDArray[np.int64], firsts: NDArray[np.int64], boxes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return numbers of the merged parts in the order of their first pixels, and their areas, firsts and boxes."""
    count = int(roots.max(initial=-1)) + 1
    area, first = np.zeros(count, np.int64), np.full(count, np.iinfo(np.int64).max)
    box = np.tile(np.array([2**62, 2**62, 0, 0]), (count, 1))
    np.add.at(area, roots, areas)
    np.minimum.at(first, roots, firsts)
    np.minimum.at(box[:, :2], roots, boxes[:, :2])
    np.maximum.at(box[:, 2:], roots, boxes[:, 2:])
    order = np.argsort(first)
    number = np.zeros(count, np.int64)
    number[order] = np.arange(1, count + 1)
    return np.concatenate([[0], number[roots]]), area[order], first[order], box[order]


def filled_windows(mask: Mask, window: int) -> Iterator[tuple[Region, NDArray[np.bool_]]]:
    """Yield `mask` in squares of `window` pixels, row by row, with all holes closed that do not reach the image's edge.

    A hole is closed however large it is, and whichever windows it lies in.
    """
    background = Components.of(_Inverted(mask), window, EDGES)
    is_closed = np.concatenate([[True], ~background.at_edge])  # 0 is the mask itself
    for place, region in enumerate(background.windows):
        yield region, is_closed[background.numbers(place)]


@dataclass(frozen=True, eq=False)
class _Cut:
    """A region of a mask in which some of its connected parts lie whole, with all that matters around them."""

    region: Region
    chosen: NDArray[np.int64]  # their places among all, from 0


@dataclass(frozen=True, eq=False)
class Splitting:
    """What came of `split_touching`: the final number (n + 1,) of each provisional one, and parts too large to cut."""

    numbers: NDArray[np.int64]
    uncut: int


def split_touching(
    parts: Components,
    write: Callable[[Region, NDArray[np.int64]], None],
    *,
    min_size_px: int = 0,
    largest_px: int | None = None,
) -> Splitting:
    """Cut objects that touch at their necks, number all, and tell what the numbers that are written become.

    Watershed of the smoothed distance to the background, one object for each peak that rises above its saddle by
    more than a small part of the median object's radius (h-maxima; Vincent, IEEE Trans. Image Process. 2, 1993).
    For roundish objects such as nuclei. Each connected part is cut by itself, so that it does not matter in which
    windows the mask is read.

    Parameters
    ----------
    write
        Takes provisional numbers (Y, X), 0 is background, of each window of `parts`, row by row.
    min_size_px
        Objects with fewer pixels are removed.
    largest_px
        Connected parts whose box has more pixels stay one object: to cut one takes 125 bytes for each of these.

    Returns
    -------
    Splitting
        Final numbers are without gaps, in the order of the connected parts.
    """
    sizes = (parts.boxes[:, 2:] - parts.boxes[:, :2]).prod(axis=1)
    is_cut = sizes <= (sizes.max(initial=0) if largest_px is None else largest_px)
    cuts = _cuts(parts, is_cut)
    depths = np.zeros(len(parts))
    for cut in (cut for group in cuts for cut in group):
        _, distance, places = _looked_at(parts, cut)
        depths[cut.chosen] = _deepest(distance, places, cut.chosen)
    depth = max(_MIN_NECK_DEPTH_PX, _NECK_DEPTH * float(np.median(depths[is_cut]))) if is_cut.any() else 0.0
    whole = np.flatnonzero(~is_cut & (parts.areas >= min_size_px))
    canvas, origins, count = _Canvas(parts), [np.stack([whole + 1, 0 * whole], axis=1)], len(whole)
    as_they_are = np.zeros(len(parts) + 1, np.int64)
    as_they_are[whole + 1] = np.arange(1, count + 1)
    for window, group in enumerate(cuts):
        for cut in group:
            mask, distance, places = _looked_at(parts, cut)
            objects = np.where(places > 0, _split(mask, distance, depth), 0)
            numbers, origin = _numbered(objects, places, min_size_px)
            canvas.put(cut.region, np.where(numbers > 0, numbers + count, 0))
            origins.append(origin)
            count += len(origin)
        numbers = canvas.taken(window)
        write(parts.windows[window], numbers + as_they_are[parts.numbers(window)] if len(whole) else numbers)
    order = np.lexsort(np.concatenate(origins)[:, ::-1].T)
    final = np.zeros(count + 1, np.int64)
    final[order + 1] = np.arange(1, count + 1)
    return Splitting(final, int((~is_cut).sum()))


def _cuts(parts: Components, is_cut: NDArray[np.bool_]) -> list[list[_Cut]]:
    """Return for each window the cuts whose parts begin there: one for all that end nearby, others by themselves."""
    across = -(-parts.mask.shape[1] // parts.window)
    owners = parts.boxes[:, 0] // parts.window * across + parts.boxes[:, 1] // parts.window
    is_near: NDArray[np.bool_] = (parts.boxes[:, 2:] - parts.boxes[:, :2]).max(axis=1) <= parts.window // 4
    groups: list[list[_Cut]] = [[] for _ in parts.windows]
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(len(groups) + 1))
    for window, group in enumerate(groups):
        own = order[bounds[window] : bounds[window + 1]]
        own = own[is_cut[own]]
        near, far = own[is_near[own]], own[~is_near[own]]
        group += [_cut(parts, near)] if len(near) else []
        group += [_cut(parts, far[place : place + 1]) for place in range(len(far))]
    return groups


def _cut(parts: Components, chosen: NDArray[np.int64]) -> _Cut:
    boxes = parts.boxes[chosen]
    region = Region(*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist())
    return _Cut(region.grown(_MARGIN_PX, parts.mask.shape), chosen)


def _looked_at(parts: Components, cut: _Cut) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Return mask, distance to the background, and place of the chosen parts among all, from 1, of a cut."""
    from scipy import ndimage

    region, shape = cut.region, parts.mask.shape
    mask = parts.mask.read(region)
    pads = [
        (int(region.top == 0), int(region.bottom == shape[0])),
        (int(region.left == 0), int(region.right == shape[1])),
    ]
    padded = np.pad(mask, pads)  # what lies beyond the image is background
    inner = tuple(slice(before, size - after) for (before, after), size in zip(pads, padded.shape, strict=True))
    distance = ndimage.distance_transform_edt(padded)[inner]
    labels, count = _label(mask, parts.connectivity)
    rows, columns = np.divmod(parts.firsts[cut.chosen], shape[1])
    places = np.zeros(count + 1, np.int64)
    places[labels[rows - region.top, columns - region.left]] = cut.chosen + 1
    return mask, distance, places[labels]


def _deepest(
    distance: NDArray[np.float64], places: NDArray[np.int64], chosen: NDArray[np.int64]
) -> NDArray[np.float64]:
    from scipy import ndimage

    deepest: NDArray[np.float64] = np.asarray(ndimage.maximum(distance, places, chosen + 1), np.float64)
    return deepest


def _split(mask: NDArray[np.bool_], distance: NDArray[np.float64], depth: float) -> Labels:
    """Return the objects of a mask (Y, X), numbered from 1."""
    from scipy import ndimage
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    smooth = ndimage.gaussian_filter(distance, _SMOOTHING_PX)
    smooth[~mask] = -2 * depth - 1  # no way leads from one connected part to another
    peaks = h_maxima(smooth, depth)  # type: ignore[no-untyped-call]
    markers = _label((peaks > 0) & mask, CORNERS)[0]
    split: Labels = watershed(_heights(-smooth, mask), markers, connectivity=2, mask=mask)  # type: ignore[no-untyped-call]
    rest = _label(mask & (split == 0), CORNERS)[0]  # specks too flat for a peak
    return np.where(rest > 0, rest + split.max(), split)


def _heights(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the ranks of the values in a mask (Y, X), of equal ones row by row.

    Where a watershed finds equal heights, it takes them in an order that depends on all that lies beside.
    """
    ranks = np.zeros(values.shape, np.int64)
    places = np.flatnonzero(mask)
    ranks.flat[places[np.argsort(values.flat[places], kind="stable")]] = np.arange(1, len(places) + 1)
    return ranks


def _numbered(
    objects: Labels, places: NDArray[np.int64], min_size_px: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the large objects numbered from 1, and of each the connected part (n, 2) and the first pixel in it."""
    flat = objects.ravel()
    firsts = np.zeros(int(flat.max(initial=0)) + 1, np.int64)
    firsts[flat[::-1]] = np.arange(flat.size)[::-1]
    areas = np.bincount(flat)
    kept = np.flatnonzero(areas >= max(min_size_px, 1))
    kept = kept[kept > 0]
    numbers = np.zeros(len(areas), np.int64)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return numbers[objects], np.stack([places.ravel()[firsts[kept]], firsts[kept]], axis=1)


class _Canvas:
    """Numbers that were found for windows that are not written yet."""

    def __init__(self, parts: Components) -> None:
        self._parts = parts
        self._waiting: dict[int, list[tuple[Region, NDArray[np.int64]]]] = {}

    def put(self, region: Region, numbers: NDArray[np.int64]) -> None:
        """Keep the numbers of a region for each window that it has some in."""
        for place, window in self._parts.windows_in(region):
            common = window.common(region)
            assert common is not None
            part = numbers[common.within(region)]
            if part.any():
                self._waiting.setdefault(place, []).append((common, part.astype(np.uint32)))

    def taken(self, place: int) -> NDArray[np.int64]:
        """Return all numbers of a window (Y, X), once all that may lie in it were put."""
        window = self._parts.windows[place]
        numbers = np.zeros(window.shape, np.int64)
        for region, part in self._waiting.pop(place, ()):
            target = numbers[region.within(window)]
            target[part > 0] = part[part > 0]
        return numbers
