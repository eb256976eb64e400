"""Objects are counted and measured the same, however the mask was drawn."""

import numpy as np
import pytest

from napari_unet_finetune.data.objects import layering, measure_objects
from napari_unet_finetune.project.masks import count_objects


def disks(diameter, spacing, *, shape=(200, 200), first=20):
    rows, columns = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    number = 0
    for row in range(first, shape[0] - diameter // 2, spacing):
        for column in range(first, shape[1] - diameter // 2, spacing):
            number += 1
            labels[(rows - row) ** 2 + (columns - column) ** 2 <= (diameter / 2) ** 2] = number
    return labels


@pytest.mark.parametrize("diameter", [10, 24])
def test_disks_are_counted_and_measured_in_numbered_and_plain_masks(diameter):
    labels = disks(diameter, 40)
    for mask in (labels, labels > 0, (labels > 0).astype(np.uint8), np.uint8(255) * (labels > 0)):
        found = measure_objects(mask)
        assert found.count == labels.max()
        assert found.median_diameter_px == pytest.approx(diameter, rel=0.06)
        assert found.width_px == pytest.approx(diameter, rel=0.1)
        assert found.touching_border == 0


def test_the_width_of_objects_that_touch_is_still_that_of_one():
    touching = np.pad(disks(24, 22, shape=(80, 80)), 100)
    assert measure_objects(touching).count > 3
    assert measure_objects(touching > 0).count == 1
    assert measure_objects(touching > 0).width_px == pytest.approx(24, rel=0.1)


def test_pixels_that_touch_at_a_corner_are_one_object():
    mask = np.pad(np.kron(np.eye(2, dtype=np.uint8), np.ones((8, 8), np.uint8)), 20)
    found = measure_objects(mask)
    assert found.count == count_objects(mask) == 1
    assert found.elongation == pytest.approx(np.sqrt(128 / np.pi) / 4, rel=0.1)


def test_specks_do_not_change_the_width():
    mask = disks(24, 40) > 0
    specks = mask | (np.random.default_rng(0).random(mask.shape) < 0.005)
    assert measure_objects(specks).median_diameter_px < 3
    assert measure_objects(specks).width_px == pytest.approx(measure_objects(mask).width_px, rel=0.15)


def test_objects_at_the_border_are_counted():
    mask = np.zeros((50, 60), np.uint8)
    mask[:5, 10:15] = mask[20:25, 20:25] = mask[30:40, 55:] = 1
    assert measure_objects(mask).count == 3
    assert measure_objects(mask).touching_border == 2


@pytest.mark.parametrize("rows", [slice(20, 60), slice(0, 100), slice(0, 0)])
def test_layers_full_and_empty_masks_have_no_width(rows):
    mask = np.zeros((100, 120), bool)
    mask[rows] = True
    assert measure_objects(mask).width_px is None
    assert measure_objects(mask.T).width_px is None


def test_large_masks_are_measured_on_a_grid():
    mask = np.zeros((4200, 300), bool)
    mask[1000:1080, 100:180] = True
    assert measure_objects(mask).width_px == pytest.approx(80, rel=0.1)


def test_layering_is_the_share_that_rows_or_columns_explain():
    stripes = np.zeros((40, 50), bool)
    stripes[:20] = True
    assert layering(stripes) == (1.0, 0.0)
    assert layering(stripes.T) == (0.0, 1.0)
    assert layering(np.ones((4, 4), bool)) == (0.0, 0.0)
