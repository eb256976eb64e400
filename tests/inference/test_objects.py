"""Objects of a mask that is read in windows are those of the whole mask."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet_finetune.inference.objects import (
    CORNERS,
    EDGES,
    Components,
    WholeMask,
    filled_windows,
    split_touching,
)


def blobs(seed: int, shape: tuple[int, int], sigma: float = 2.0, level: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, sigma) > level


masks = st.builds(
    blobs,
    st.integers(0, 10_000),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.sampled_from([-0.05, 0.0, 0.05]),
)
windows = st.integers(3, 70)


@given(masks, windows, st.sampled_from([CORNERS, EDGES]))
@example(np.eye(12, dtype=bool), 4, CORNERS)
@example(np.zeros((5, 5), bool), 3, CORNERS)
def test_parts_are_joined_across_windows(mask, window, connectivity):
    parts = Components.of(WholeMask(mask), window, connectivity)
    made = np.zeros(mask.shape, np.int64)
    for place, region in enumerate(parts.windows):
        made[region.slices] = parts.numbers(place)
    expected, count = ndimage.label(mask, structure=connectivity)
    np.testing.assert_array_equal(made, expected)
    assert len(parts) == count
    np.testing.assert_array_equal(parts.areas, np.bincount(expected.ravel())[1:])
    boxes = [[y.start, x.start, y.stop, x.stop] for y, x in ndimage.find_objects(expected)]
    np.testing.assert_array_equal(parts.boxes, np.array(boxes).reshape(-1, 4))


@given(masks, windows)
def test_holes_are_closed_across_windows(mask, window):
    made = np.zeros(mask.shape, bool)
    for region, filled in filled_windows(WholeMask(mask), window):
        made[region.slices] = filled
    np.testing.assert_array_equal(made, ndimage.binary_fill_holes(mask))


def split(mask: np.ndarray, window: int, **options) -> np.ndarray:
    made = np.zeros(mask.shape, np.int64)

    def write(region, numbers):
        made[region.slices] = numbers

    parts = Components.of(WholeMask(mask), window, CORNERS)
    return split_touching(parts, write, **options).numbers[made]


@settings(max_examples=60)
@given(masks, windows, st.sampled_from([0, 1, 9]))
def test_split_objects_are_the_same_numbers_in_windows_of_any_size(mask, window, min_size):
    whole = split(mask, 200, min_size_px=min_size)
    np.testing.assert_array_equal(split(mask, window, min_size_px=min_size), whole)
    if min_size < 2:
        np.testing.assert_array_equal(whole > 0, mask)


@pytest.mark.parametrize("window", [100, 171, 300, 512])
def test_many_touching_disks_are_the_same_objects(window):
    rng = np.random.default_rng(0)
    mask = np.zeros((700, 640), bool)
    y, x = np.indices((41, 41)) - 20
    for _ in range(400):
        radius, (row, column) = rng.integers(6, 20), rng.integers(0, (660, 600))
        mask[row : row + 41, column : column + 41] |= (y**2 + x**2 <= radius**2)[: 700 - row, : 640 - column]
    whole = split(mask, 1000)
    assert whole.max() > ndimage.label(mask)[1] * 1.5
    np.testing.assert_array_equal(split(mask, window), whole)


def test_a_part_that_is_too_large_to_cut_stays_one_object():
    mask = np.zeros((60, 200), bool)
    mask[5:55, 5:120] = True
    mask[10:20, 150:160] = True
    parts = Components.of(WholeMask(mask), 32, CORNERS)
    made = np.zeros(mask.shape, np.int64)

    def write(region, numbers):
        made[region.slices] = numbers

    found = split_touching(parts, write, largest_px=1000)
    assert found.uncut == 1
    np.testing.assert_array_equal(found.numbers[made], ndimage.label(mask)[0])
