import lzma

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet_finetune.models.rehearsal_patches import RehearsalPatches


def _patches(count=6, channels=2, side=32, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, channels, side, side)).astype(np.float32)
    return RehearsalPatches.from_normalized(images, rng.random((count, side, side)) > 0.7, rng.random(count) > 0.5)


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=4, max_dims=4, max_side=4),
        elements=st.floats(-1000, 1000, width=32, allow_subnormal=True),
    )
)
def test_quantizing_loses_at_most_half_a_step_of_the_range_of_a_patch(images):
    targets = np.zeros((len(images), *images.shape[2:]), dtype=bool)
    patches = RehearsalPatches.from_normalized(images, targets, np.zeros(len(images), dtype=bool))
    span = (patches.high - patches.low)[:, None, None, None]
    tolerance = span / 510 * 1.001 + 1e-6 * np.abs(images).max() + 1e-40
    assert (np.abs(patches.normalized() - images) <= tolerance).all()


def test_eight_bit_levels_are_kept_exactly():
    levels = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    patches = RehearsalPatches.from_normalized(levels / 255, np.zeros((1, 16, 16), bool), np.zeros(1, bool))
    np.testing.assert_array_equal(patches.images[0, 0].ravel(), np.arange(256))


def test_a_constant_patch_stays_constant():
    constant = np.full((1, 1, 8, 8), 0.25, dtype=np.float32)
    patches = RehearsalPatches.from_normalized(constant, np.zeros((1, 8, 8), bool), np.zeros(1, bool))
    np.testing.assert_array_equal(patches.normalized(), constant)


@pytest.mark.parametrize(("count", "channels", "side"), [(6, 2, 32), (1, 1, 7), (0, 1, 16)])
def test_packing_loses_nothing(count, channels, side):
    patches = _patches(count, channels, side)
    again = RehearsalPatches.unpack(patches.packed, patches.in_channels)
    for field in ("images", "low", "high", "targets", "held_out"):
        np.testing.assert_array_equal(getattr(again, field), getattr(patches, field))


def test_smooth_patches_take_little_room():
    y, x = np.mgrid[:128, :128].astype(np.float32)
    blobs = [np.exp(-((y - 40 - k) ** 2 + (x - 60 + k) ** 2) / (100 + k)) for k in range(16)]
    images = np.stack(blobs)[:, None]
    patches = RehearsalPatches.from_normalized(images, images[:, 0] > 0.5, np.zeros(16, bool))
    assert sum(array.nbytes for array in patches.packed.values()) < patches.images.nbytes / 4


def test_nan_is_refused():
    images = np.full((1, 1, 8, 8), np.nan, dtype=np.float32)
    with pytest.raises(ValueError, match="NaN"):
        RehearsalPatches.from_normalized(images, np.zeros((1, 8, 8), bool), np.zeros(1, bool))


def test_targets_of_another_size_are_refused():
    with pytest.raises(ValueError, match="targets"):
        RehearsalPatches.from_normalized(
            np.zeros((1, 1, 8, 8), np.float32), np.zeros((1, 4, 4), bool), np.zeros(1, bool)
        )


def test_a_small_file_cannot_declare_a_huge_array():
    packed = dict(_patches().packed)
    packed["images"] = np.frombuffer(lzma.compress(bytes(10_000_000)), dtype=np.uint8)
    with pytest.raises(ValueError, match="declare 1048576 patches"):
        RehearsalPatches.unpack({**packed, "shape": np.array([2**20, 2**10, 2**10, 2**10])}, 2**10)
    with pytest.raises(ValueError, match=r"hold [0-9]+ bytes"):
        RehearsalPatches.unpack({**packed, "shape": np.array([10, 1, 1000, 1000])}, 1)


@pytest.mark.parametrize("name", ["shape", "images", "low", "high", "targets", "held_out"])
def test_a_missing_array_is_named(name):
    patches = _patches()
    packed = {key: array for key, array in patches.packed.items() if key != name}
    with pytest.raises(ValueError, match=name):
        RehearsalPatches.unpack(packed, patches.in_channels)


def test_grey_patches_become_several_equal_channels():
    gray = _patches(channels=1)
    color = gray.with_channels(3)
    assert color.images.shape == (6, 3, 32, 32)
    for channel in range(3):
        np.testing.assert_array_equal(color.normalized()[:, channel], gray.normalized()[:, 0])


def test_several_channels_become_their_mean():
    patches = _patches(channels=3)
    expected = patches.normalized().mean(axis=1, keepdims=True)
    gray = patches.with_channels(1).normalized()
    step = (expected.max(axis=(1, 2, 3)) - expected.min(axis=(1, 2, 3))).max() / 255
    np.testing.assert_allclose(gray, expected, atol=0.51 * step)
