"""Labels are tidy: thresholded, filled, split, numbered without gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.inference.postprocess import split_mask, to_labels


def disks(*centers_and_radii: tuple[int, int, int], shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    y, x = np.indices(shape)
    return np.any([(y - cy) ** 2 + (x - cx) ** 2 <= r * r for cy, cx, r in centers_and_radii], axis=0)


def test_a_pixel_at_the_threshold_is_background() -> None:
    labels = to_labels(np.array([[0.2, 0.5, 0.51]], np.float32), 0.5)
    np.testing.assert_array_equal(labels, [[0, 0, 1]])
    assert labels.dtype == np.uint8


def test_small_objects_are_removed_and_larger_ones_kept() -> None:
    mask = disks((20, 20, 10), (50, 70, 2))
    labels = to_labels(mask.astype(np.float32), 0.5, PredictConfig(min_size_px=50))
    np.testing.assert_array_equal(labels, disks((20, 20, 10)))


def test_an_object_of_exactly_the_smallest_size_is_kept() -> None:
    mask = np.zeros((9, 9), np.float32)
    mask[2:4, 2:4] = 1
    assert to_labels(mask, 0.5, PredictConfig(min_size_px=4)).sum() == 4
    assert to_labels(mask, 0.5, PredictConfig(min_size_px=5)).sum() == 0


def test_holes_are_filled_only_when_asked() -> None:
    ring = disks((30, 30, 15)) & ~disks((30, 30, 6))
    assert to_labels(ring.astype(np.float32), 0.5).sum() == ring.sum()
    filled = to_labels(ring.astype(np.float32), 0.5, PredictConfig(fill_holes=True))
    np.testing.assert_array_equal(filled, disks((30, 30, 15)))


@pytest.mark.parametrize("radius", [6, 12, 20])
def test_two_touching_disks_become_two_objects(radius: int) -> None:
    left, right = (32, 40 - radius + 2, radius), (32, 40 + radius - 2, radius)
    mask = disks(left, right)
    assert ndimage.label(mask)[1] == 1
    objects = split_mask(mask)
    assert objects.max() == 2
    areas = np.bincount(objects.ravel())[1:]
    assert areas.min() / areas.max() > 0.9


def test_one_ellipse_stays_one_object() -> None:
    y, x = np.indices((64, 96))
    ellipse = ((y - 32) / 12) ** 2 + ((x - 48) / 30) ** 2 <= 1
    assert split_mask(ellipse).max() == 1


@given(st.integers(0, 10_000), st.floats(0.0, 3.0))
def test_splitting_keeps_every_pixel_and_numbers_without_gaps(seed: int, sigma: float) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(24, 31)), sigma)
    mask = noise > 0
    objects = split_mask(mask)
    np.testing.assert_array_equal(objects > 0, mask)
    np.testing.assert_array_equal(np.unique(objects[mask]), np.arange(1, objects.max() + 1))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_or_full_image_has_no_or_one_object(value: float) -> None:
    labels = to_labels(np.full((20, 30), value, np.float32), 0.5, PredictConfig(instances=True))
    assert labels.max() == value
    assert labels.dtype == np.uint16


def test_the_smallest_size_holds_for_split_objects_and_numbers_stay_dense() -> None:
    mask = disks((10, 10, 2), (32, 30, 10), (32, 48, 10))
    labels = to_labels(mask.astype(np.float32), 0.5, PredictConfig(instances=True, min_size_px=30))
    assert labels[10, 10] == 0
    assert set(np.unique(labels)) == {0, 1, 2}
