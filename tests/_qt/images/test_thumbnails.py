"""Thumbnails: small, stretched, in colors where there are three channels."""

import numpy as np
import pytest

from napari_unet_finetune._qt.images.thumbnails import thumbnail

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((200, 100), (32, 16)),
        ((3, 200, 100), (32, 16, 3)),
        ((5, 64, 64), (32, 32)),
        ((2, 10, 8), (10, 8)),
        ((1, 500), (1, 32)),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "bool", "int64"])
def test_images_of_any_kind_become_small_8_bit_pictures(shape, expected, dtype):
    picture = thumbnail((RNG.random(shape) * 100).astype(dtype), 32)
    assert picture.dtype == np.uint8
    assert all(size <= 32 for size in picture.shape[:2])
    assert picture.ndim == len(expected)
    np.testing.assert_allclose(picture.shape[:2], expected[:2], atol=4)


def test_the_contrast_is_stretched_and_a_constant_image_is_black():
    ramp = np.tile(np.linspace(5000, 5100, 64), (64, 1)).astype(np.uint16)
    picture = thumbnail(ramp, 32)
    assert (picture.min(), picture.max()) == (0, 255)
    assert not thumbnail(np.full((50, 50), 7, np.uint8), 32).any()
