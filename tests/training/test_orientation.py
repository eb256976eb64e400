"""Layers keep their up and down; nuclei may be turned."""

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.training.patches.sampler import PatchSampler, draw_matrix
from napari_unet_finetune.training.patches.store import PatchStore
from napari_unet_finetune.training.settle import layering, settle_orientation


def store_of(*targets):
    store = PatchStore(torch.device("cpu"))
    for target in targets:
        store.add("image", target[None].astype(np.float32), target)
    return store


def wavy_layer(vertical=False):
    rows, columns = np.mgrid[:120, :100]
    layer = np.abs(rows - 50 - 4 * np.sin(columns / 9)) < 14
    return layer.T if vertical else layer


def discs(seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:120, :120]
    return np.any([np.hypot(rows - y, columns - x) < 9 for y, x in rng.uniform(10, 110, (15, 2))], axis=0)


@pytest.mark.parametrize(("vertical", "expected"), [(False, "upright"), (True, "sideways")])
def test_layers_are_found_and_said(vertical, expected):
    config, note = settle_orientation(FinetuneConfig(), store_of(wavy_layer(vertical)).images)
    assert config.augment.orientation == expected
    assert ("vertical" if vertical else "horizontal") in note


def test_round_objects_and_cells_in_a_tube_may_be_turned():
    for images in (store_of(discs(0), discs(1)), store_of(*(image.target for image in make_microtube(1, count=3)))):
        config, note = settle_orientation(FinetuneConfig(), images.images)
        assert config.augment.orientation == "any" and note == ""


def test_an_orientation_that_was_chosen_is_not_overruled():
    chosen = FinetuneConfig(augment=AugmentConfig(orientation="any"))
    assert settle_orientation(chosen, store_of(wavy_layer()).images) == (chosen, "")


def test_an_empty_mask_has_no_layers():
    assert layering(store_of(np.zeros((20, 20), bool)).images[0]) == (0.0, 0.0)


@pytest.mark.parametrize(("orientation", "kept_axis"), [("upright", 0), ("sideways", 1)])
def test_patches_of_layers_are_never_turned_over(orientation, kept_axis):
    config = AugmentConfig(orientation=orientation, p_affine=0.5)
    rng = np.random.default_rng(0)
    matrices = [draw_matrix(config, rng) for _ in range(200)]
    across = np.array([matrix[kept_axis, kept_axis] for matrix in matrices])
    along = np.array([matrix[1 - kept_axis, 1 - kept_axis] for matrix in matrices])
    assert (across > 0.6).all()  # cos 15 degrees over a scale of 1.4
    assert (along > 0).any() and (along < 0).any()


def test_a_training_on_layers_keeps_the_upper_side_up():
    gradient = np.repeat(np.linspace(0, 1, 80, dtype=np.float32)[:, None], 80, axis=1)
    store = PatchStore(torch.device("cpu"))
    store.add("layers", gradient[None], gradient > 0.5)
    config, _ = settle_orientation(FinetuneConfig(patch_size=32), store.images)
    plain = config.model_copy(
        update={"augment": AugmentConfig.none().model_copy(update={"flips": True, "orientation": "upright"})}
    )
    images = PatchSampler(store, plain).batch(0, 0, 50).images
    assert config.augment.orientation == "upright"
    assert (images[:, 0, -1].mean(-1) > images[:, 0, 0].mean(-1)).all()
