"""Random intensity changes: what they do, and what they must leave alone."""

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import AugmentConfig
from napari_unet_finetune.training.patches import augment

ALL = AugmentConfig(p_gamma=1, p_brightness=1, p_contrast=1, p_noise=1, p_blur=1, p_low_resolution=1, p_invert=1)


@pytest.fixture
def patches():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, 2, 32, 40, generator=generator)


def test_no_augmentation_leaves_the_patches_as_they_are(patches):
    changed = augment.change_intensities(patches, AugmentConfig.none(), np.random.default_rng(0))
    assert torch.equal(changed, patches)


def test_all_changes_together_stay_finite_keep_the_shape_and_do_not_touch_the_input(patches):
    before = patches.clone()
    changed = augment.change_intensities(patches, ALL, np.random.default_rng(0))
    assert changed.shape == patches.shape
    assert torch.isfinite(changed).all()
    assert torch.equal(patches, before)
    assert not torch.allclose(changed, patches, atol=0.05)


def test_the_same_generator_state_gives_the_same_change(patches):
    first, second = (augment.change_intensities(patches, ALL, np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(first, second)


def test_about_the_asked_share_of_patches_is_changed():
    patches = torch.rand(400, 1, 4, 4)
    config = AugmentConfig.none().model_copy(update={"p_invert": 0.3})
    changed = augment.change_intensities(patches, config, np.random.default_rng(0))
    share = (changed != patches).flatten(1).any(1).float().mean()
    assert 0.2 < float(share) < 0.4


def test_inversion_exchanges_bright_and_dark_and_undoes_itself(patches):
    inverted = augment.invert(patches[0])
    assert inverted.flatten().argmax() == patches[0].flatten().argmin()
    assert torch.allclose(augment.invert(inverted), patches[0], atol=1e-6)


@pytest.mark.parametrize("inverted", [False, True])
def test_gamma_keeps_order_mean_and_std(patches, inverted):
    curved = augment.apply_gamma(patches[0], 1.4, inverted=inverted)
    assert torch.equal(curved.flatten().argsort(), patches[0].flatten().argsort())
    assert float(curved.mean()) == pytest.approx(float(patches[0].mean()), abs=1e-5)
    assert float(curved.std()) == pytest.approx(float(patches[0].std()), rel=1e-4)


def test_gamma_leaves_a_constant_patch_finite():
    assert torch.isfinite(augment.apply_gamma(torch.full((1, 8, 8), 0.3), 1.5, inverted=False)).all()


def test_blur_keeps_the_mean_and_lowers_the_spread(patches):
    blurred = augment.blur(patches[0], 1.0)
    assert float(blurred.mean()) == pytest.approx(float(patches[0].mean()), abs=0.01)
    assert float(blurred.std()) < 0.5 * float(patches[0].std())


def test_blur_is_a_gaussian():
    from scipy.ndimage import gaussian_filter

    point = np.zeros((1, 21, 21), np.float32)
    point[0, 10, 10] = 1
    expected = gaussian_filter(point[0], 1.0, mode="mirror", radius=3)
    assert np.allclose(augment.blur(torch.from_numpy(point), 1.0)[0].numpy(), expected, atol=1e-6)


def test_contrast_stays_within_the_old_range(patches):
    stretched = augment.stretch_contrast(patches[0], 1.25)
    assert stretched.amin() >= patches[0].amin() and stretched.amax() <= patches[0].amax()
    assert float(stretched.std()) > float(patches[0].std())


def test_lower_resolution_removes_detail_but_not_size(patches):
    lowered = augment.lower_resolution(patches[0], 2.0)
    assert lowered.shape == patches[0].shape
    assert float(lowered.std()) < float(patches[0].std())


def squares():
    """Return patches with a bright square each, and where it is."""
    target = torch.zeros(3, 1, 32, 40)
    target[:, :, 8:20, 10:24] = 1
    return 0.2 + 0.5 * target.expand(3, 2, 32, 40), target


def test_objects_and_what_surrounds_them_change_each_by_itself():
    patches, target = squares()
    before, config = patches.clone(), AugmentConfig.none().model_copy(update={"p_objects": 1.0})
    changed = augment.change_objects(patches, target, torch.ones_like(target), config, np.random.default_rng(0))
    assert changed.shape == patches.shape and torch.isfinite(changed).all() and torch.equal(patches, before)
    moved = changed - patches
    inside, outside = moved[:, :, 14, 17], moved[:, :, 0, 0]
    assert (inside - outside).abs().min() > 0.001 and max(inside.abs().max(), outside.abs().max()) <= 0.25 + 1e-6
    assert torch.allclose(moved[:, 0], moved[:, 1])  # the channels of a patch alike
    assert not torch.allclose(inside[0], inside[1])  # each patch draws its own


@pytest.mark.parametrize("left_out", ["strokes", "no objects", "objects alone", "off"])
def test_objects_stay_as_they_are_where_they_cannot_be_told_from_what_surrounds_them(left_out):
    patches, target = squares()
    annotated, share = torch.ones_like(target), 0.0 if left_out == "off" else 1.0
    if left_out == "strokes":
        annotated[:, :, 0, 0] = 0
    if left_out in ("no objects", "objects alone"):
        target = torch.full_like(target, float(left_out == "objects alone"))
    config = AugmentConfig.none().model_copy(update={"p_objects": share})
    assert torch.equal(augment.change_objects(patches, target, annotated, config, np.random.default_rng(0)), patches)
