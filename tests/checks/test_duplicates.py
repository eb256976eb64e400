"""Copies are recognised; what specimens have in common does not make them copies."""

import numpy as np

from napari_unet_finetune.checks import duplicates
from napari_unet_finetune.checks.duplicates import Duplicate, find_duplicates, find_shared, take_fingerprint


def prints(*images):
    return [take_fingerprint(str(number), image) for number, image in enumerate(images)]


def test_layers_and_uneven_light_do_not_make_images_alike():
    rng = np.random.default_rng(0)
    layers = np.repeat([20.0, 200.0, 90.0], 40)[:, None] + np.linspace(0, 50, 150)
    assert find_duplicates(prints(*(layers + rng.normal(0, 10, layers.shape) for _ in range(4)))) == ()


def test_flat_images_are_only_the_same_pixel_for_pixel():
    found = find_duplicates(prints(np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8), np.ones((9, 9))))
    assert [(pair.first, pair.second, pair.exact) for pair in found] == [("0", "1", True)]


def test_the_same_values_of_another_type_or_shape_are_not_exact():
    image = np.random.default_rng(0).integers(0, 255, (64, 32), np.uint8)
    found = find_duplicates(prints(image, image.astype(np.uint16), image.reshape(32, 64)))
    assert [(pair.first, pair.second, pair.exact) for pair in found] == [("0", "1", False)]


def test_colour_images_smaller_than_the_thumbnail_can_be_compared():
    image = np.random.default_rng(0).random((3, 9, 20))
    assert find_shared(prints(image), prints(1 - image, image))[0].second == "1"
    assert find_shared(prints(image), []) == ()


def test_each_of_many_images_that_are_alike_is_told_once_with_the_first_of_them():
    rng = np.random.default_rng(0)
    scene = rng.normal(size=(40, 40))
    series = [scene + rng.normal(0, 0.1, scene.shape) for _ in range(300)]
    found = find_duplicates(prints(*series, series[7]))
    assert [(pair.first, pair.second) for pair in found if not pair.exact] == [("0", str(n)) for n in range(1, 300)]
    assert found[-1] == Duplicate("7", "300", exact=True)
    assert find_shared(prints(*series), prints(series[5], scene)) == (
        Duplicate("5", "0", exact=True),
        Duplicate("0", "1", exact=False),
    )


def test_copies_are_found_across_the_rows_that_are_compared_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(64, 64)) for _ in range(5)]
    images += [images[0].copy(), np.rot90(images[3]) + rng.normal(0, 0.1, (64, 64))]
    seen = prints(*images)
    expected = (Duplicate("0", "5", exact=True), Duplicate("3", "6", exact=False, turned=True))
    assert find_duplicates(seen) == expected
    monkeypatch.setattr(duplicates, "_ROWS", 2)
    assert find_duplicates(seen) == expected
