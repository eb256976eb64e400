"""Find where an image of mostly zeros holds anything, and cut that into regions; the image is read in bands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .region import LazyImage, Region, bands_of, regions_of

CELL_PX = 64
# A patch of 128 px that is turned and shrunk reaches about so far around a pixel.
CONTEXT_PX = 3 * CELL_PX
LARGEST_REGION_PX = 2048


def occupied_regions(image: LazyImage) -> tuple[Region, ...]:
    """Return regions that hold all pixels of `image` that are not 0, with their surroundings; none overlap.

    What lies near each other is in one region, of at most `LARGEST_REGION_PX` a side: larger ones are cut.

    Raises
    ------
    DataError
        If the image cannot be read.
    """
    from scipy import ndimage  # here: docks would take longer to open

    cells = _occupied_cells(image)
    near = ndimage.binary_dilation(cells, np.ones((3, 3)), iterations=CONTEXT_PX // CELL_PX)
    found = ndimage.find_objects(ndimage.label(near, np.ones((3, 3)))[0])
    boxes = _apart(Region(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in found)
    pieces = (piece for box in boxes for piece in _cut(box) if cells[piece.slices].any())
    return tuple(_in_pixels(piece, image.shape) for piece in pieces)


def _occupied_cells(image: LazyImage) -> NDArray[np.bool_]:
    """Tell of each square of `CELL_PX` pixels whether it holds any pixel that is not 0."""
    height, width = image.shape
    cells = np.zeros((-(-height // CELL_PX), -(-width // CELL_PX)), bool)
    for band in bands_of(image):
        pixels = image.read(band).reshape(-1, *band.shape).any(axis=0)
        columns = np.logical_or.reduceat(pixels, np.arange(0, width, CELL_PX), axis=1)
        np.logical_or.at(cells, np.arange(band.top, band.bottom) // CELL_PX, columns)
    return cells


def _apart(boxes: Iterable[Region]) -> list[Region]:
    """Return regions that do not overlap: those that did are joined."""
    apart: list[Region] = []
    for box in boxes:
        joined = box
        while (other := next((one for one in apart if one.common(joined)), None)) is not None:
            apart.remove(other)
            joined = joined.around(other)
        apart.append(joined)
    return sorted(apart)


def _cut(box: Region) -> Iterator[Region]:
    """Yield a region of cells in parts of about the same size, none larger than allowed."""
    most = LARGEST_REGION_PX // CELL_PX
    height, width = (-(-side // -(-side // most)) for side in box.shape)
    for part in regions_of(box.shape, height, width):
        yield Region(box.top + part.top, box.left + part.left, box.top + part.bottom, box.left + part.right)


def _in_pixels(cells: Region, shape: Sequence[int]) -> Region:
    bottom, right = (min(size, end * CELL_PX) for size, end in zip(shape, (cells.bottom, cells.right), strict=True))
    return Region(cells.top * CELL_PX, cells.left * CELL_PX, bottom, right)
