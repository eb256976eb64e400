"""Patches: where they are cut, that image and masks share their geometry, that seeds decide."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.data.windows import reflected_indices, window_starts
from napari_unet_finetune.training.patches.sampler import PatchSampler, PatchView, cut_batch, draw_matrix, grid_views
from napari_unet_finetune.training.patches.store import PatchStore

from ..conftest import CPU, plain_config, store_of

GEOMETRY = AugmentConfig.none().model_copy(update={"flips": True, "p_affine": 1.0})


@given(st.integers(1, 300), st.integers(8, 64), st.integers(1, 64))
def test_windows_cover_everything_and_end_at_the_edge(size, window, stride):
    starts = window_starts(size, window, min(stride, window))
    covered = np.zeros(size, bool)
    for start in starts:
        covered[max(start, 0) : start + window] = True
    assert covered.all()
    assert size < window or (starts[0] == 0 and starts[-1] == size - window)


@given(st.integers(-50, 50), st.integers(1, 80), st.integers(1, 40))
def test_reflection_is_that_of_numpy(start, count, size):
    before, after = max(0, -start), max(0, start + count - size)
    padded = np.pad(np.arange(size), (before, after), mode="reflect" if size > 1 else "edge")
    assert np.array_equal(reflected_indices(start, count, size), padded[start + before :][:count])


@pytest.mark.parametrize("shape", [(100, 70), (20, 100), (7, 9)])
def test_a_patch_without_augmentation_is_a_crop_or_the_mirrored_image(shape):
    rng = np.random.default_rng(0)
    pixels = rng.random((2, *shape), dtype=np.float32)
    store = PatchStore(CPU)
    store.add("image", pixels, pixels[0] > 0.5)
    batch = PatchSampler(store, plain_config()).batch(0, 0, 6)
    size = [max(32, side) for side in shape]
    origin = [(side - full) // 2 for side, full in zip(shape, size, strict=True)]
    rows, columns = (reflected_indices(o, s, n) for o, s, n in zip(origin, size, shape, strict=True))
    padded = pixels[:, rows][:, :, columns]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), axis=(1, 2))
    for patch, target in zip(batch.images.numpy(), batch.target.numpy(), strict=True):
        matches = np.argwhere((windows == patch[:, None, None]).all(axis=(0, 3, 4)))
        assert len(matches) == 1
        assert np.array_equal(target[0] > 0, patch[0] > 0.5)


@given(st.integers(0, 10_000))
def test_mask_and_annotated_region_follow_the_image_through_any_geometry(seed):
    store = store_of((90, 60), annotated=None, seed=seed)
    image = store.images[0]
    rng = np.random.default_rng(seed)
    view = PatchView(image, tuple(rng.uniform(0, 60, 2)), draw_matrix(GEOMETRY, rng))
    batch = cut_batch([view], 32, CPU)
    # Bilinear and nearest sampling of a 0/1 image agree except within half a pixel of an edge.
    assert torch.equal((batch.images > 0.5).float(), batch.target) or (
        ((batch.images > 0.5).float() != batch.target).float().mean() < 0.02
    )
    assert batch.annotated.eq(1).all()


def test_flips_and_quarter_turns_are_exact_and_all_eight_occur():
    pixels = np.arange(32 * 32, dtype=np.float32).reshape(1, 32, 32)
    store = PatchStore(CPU)
    store.add("image", pixels, pixels[0] >= 0)
    flips = AugmentConfig.none().model_copy(update={"flips": True})
    batch = PatchSampler(store, plain_config().model_copy(update={"augment": flips})).batch(0, 0, 100)
    symmetries = {
        np.rot90(flipped, turns).tobytes(): None for flipped in (pixels[0], pixels[0].T) for turns in range(4)
    }
    seen = {np.ascontiguousarray(patch[0].numpy()).tobytes() for patch in batch.images}
    assert seen == set(symmetries)


def test_the_scale_of_a_patch_is_the_one_asked_for():
    pixels = np.tile(np.arange(200, dtype=np.float32), (200, 1))[None]
    store = PatchStore(CPU)
    store.add("image", pixels, pixels[0] >= 0)
    view = PatchView(store.images[0], (100.0, 100.0), np.eye(2) / 1.4)  # objects grow by 1.4
    row = cut_batch([view], 32, CPU).images[0, 0, 16]
    assert np.allclose(np.diff(row.numpy()), 1 / 1.4, atol=1e-3)
    assert float(row.mean()) == pytest.approx(100.0, abs=0.01)


def test_patches_on_objects_show_objects_and_the_share_is_kept():
    target = np.zeros((400, 400), bool)
    target[200:206, 300:306] = True
    store = PatchStore(CPU)
    store.add("one small object", target[None].astype(np.float32), target)
    for share, least, most in ((1.0, 1.0, 1.0), (0.5, 0.35, 0.65), (0.0, 0.0, 0.1)):
        batch = PatchSampler(store, plain_config(foreground_share=share)).batch(0, 0, 100)
        found = batch.target.flatten(1).any(1).float().mean()
        assert least <= float(found) <= most


def test_patches_of_sparse_strokes_always_hold_annotated_pixels():
    annotated = np.zeros((300, 300), bool)
    annotated[10:14, 10:40] = True
    annotated[250:254, 250:260] = True
    store = store_of((300, 300), annotated=annotated)
    batch = PatchSampler(store, plain_config(foreground_share=0.0)).batch(0, 0, 50)
    assert batch.annotated.flatten(1).any(1).all()


def test_images_take_turns():
    store = PatchStore(CPU)
    for value in range(5):
        store.add(str(value), np.full((1, 40, 40), value, np.float32), np.ones((40, 40), bool))
    batch = PatchSampler(store, plain_config()).batch(0, 0, 20)
    counts = np.bincount(batch.images[:, 0, 0, 0].numpy().astype(int))
    assert counts.tolist() == [4] * 5


def test_the_same_step_gives_the_same_batch_and_another_step_another():
    augmented = FinetuneConfig(patch_size=32)
    store = store_of((90, 60), (50, 80))
    first, again, later = (PatchSampler(store, augmented).batch(step, 0, 4) for step in (3, 3, 4))
    assert torch.equal(first.images, again.images) and torch.equal(first.target, again.target)
    assert not torch.equal(first.images, later.images)


def test_the_grid_has_the_patches_of_the_study():
    views = grid_views(store_of((256, 256), (136, 558)).images, 128, 64)
    assert len(views) == 3 * 3 + 2 * 8
    assert {view.center[0] for view in views[9:]} == {63.5, 71.5}
