"""Patches: where they are cut, that image and masks share their geometry, that seeds decide."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.data.windows import reflected_indices, window_starts
from napari_unet_finetune.errors import RunError
from napari_unet_finetune.training.patches import PatchSampler, PatchView, cut_batch, draw_matrix, grid_views
from napari_unet_finetune.training.store import PatchStore

CPU = torch.device("cpu")
PLAIN = AugmentConfig.none()
GEOMETRY = AugmentConfig.none().model_copy(update={"flips": True, "p_affine": 1.0})


def store_of(*shapes, annotated=None, seed=0):
    """Images whose pixels are 1 on objects, so that an image and its target must stay equal."""
    rng = np.random.default_rng(seed)
    store = PatchStore(CPU)
    for index, shape in enumerate(shapes):
        target = np.zeros(shape, bool)
        for row, column in rng.integers(0, shape, (4, 2)):
            target[row : row + 9, column : column + 13] = True
        store.add(f"image {index}", target[None].astype(np.float32), target, annotated)
    return store


def config(**changes):
    return FinetuneConfig(patch_size=32, augment=PLAIN, **changes)


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
    batch = PatchSampler(store, config()).batch(0, 0, 6)
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
    batch = PatchSampler(store, config().model_copy(update={"augment": flips})).batch(0, 0, 100)
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
        batch = PatchSampler(store, config(foreground_share=share)).batch(0, 0, 100)
        found = batch.target.flatten(1).any(1).float().mean()
        assert least <= float(found) <= most


def test_patches_of_sparse_strokes_always_hold_annotated_pixels():
    annotated = np.zeros((300, 300), bool)
    annotated[10:14, 10:40] = True
    annotated[250:254, 250:260] = True
    store = store_of((300, 300), annotated=annotated)
    batch = PatchSampler(store, config(foreground_share=0.0)).batch(0, 0, 50)
    assert batch.annotated.flatten(1).any(1).all()


def test_images_take_turns():
    store = PatchStore(CPU)
    for value in range(5):
        store.add(str(value), np.full((1, 40, 40), value, np.float32), np.ones((40, 40), bool))
    batch = PatchSampler(store, config()).batch(0, 0, 20)
    counts = np.bincount(batch.images[:, 0, 0, 0].numpy().astype(int))
    assert counts.tolist() == [4] * 5


def test_images_of_joined_stores_take_turns_together():
    stores = [store_of((40, 40)), store_of((50, 60), (70, 80))]
    assert [image.shape for image in stores[0].joined(stores[1]).images] == [(40, 40), (50, 60), (70, 80)]


def test_the_same_step_gives_the_same_batch_and_another_step_another():
    augmented = FinetuneConfig(patch_size=32)
    store = store_of((90, 60), (50, 80))
    first, again, later = (PatchSampler(store, augmented).batch(step, 0, 4) for step in (3, 3, 4))
    assert torch.equal(first.images, again.images) and torch.equal(first.target, again.target)
    assert not torch.equal(first.images, later.images)


def test_images_that_do_not_fit_into_memory_give_the_same_patches_from_a_file():
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 80, 80), dtype=np.float32).astype(np.float16).astype(np.float32)
    batches = []
    for budget in (10**9, 0):
        store = PatchStore(CPU, budget_bytes=budget)
        store.add("image", pixels, pixels[0] > 0.5)
        batches.append(PatchSampler(store, config()).batch(0, 0, 4).images)
    assert torch.equal(*batches)


def test_over_the_budget_an_image_lies_in_one_file_with_its_masks(monkeypatch):
    sizes, memmap = [], np.memmap
    monkeypatch.setattr(np, "memmap", lambda *args, shape: sizes.append(shape) or memmap(*args, shape=shape))
    store, strokes = PatchStore(CPU, budget_bytes=0), np.eye(40) > 0
    pixels = np.random.default_rng(0).random((2, 40, 40), np.float32)
    store.add("whole", pixels, strokes)
    store.add("strokes", pixels, strokes, ~strokes)
    assert sizes == [(40 * 40 * 5,), (40 * 40 * 6,)]
    whole, partly = store.images
    assert whole.annotated.untyped_storage().nbytes() == 1 and bool(whole.annotated.all())
    assert np.array_equal(partly.annotated.numpy(), ~strokes) and np.array_equal(partly.target.numpy(), strokes)
    assert np.allclose(partly.pixels.numpy(), pixels, atol=1e-3)


def test_over_the_budget_of_another_device_all_of_an_image_is_in_one_place():
    store = PatchStore(torch.device("meta"), budget_bytes=0)
    store.add("image", np.zeros((1, 40, 40), np.float32), np.eye(40) > 0)
    assert store.images[0].foreground_share == pytest.approx(1 / 40)


def test_images_that_fit_nowhere_end_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(RunError, match="set TMPDIR to a folder with more"):
        PatchStore(CPU, budget_bytes=0).add("image", np.zeros((1, 40, 40), np.float32), np.ones((40, 40), bool))


@pytest.mark.skipif(os.name == "nt", reason="Windows removes the file with its last use, not before")
def test_the_file_of_images_outlives_nobody(tmp_path, monkeypatch):
    """It has no name: even a process that is killed leaves nothing behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = PatchStore(CPU, budget_bytes=0)
    store.add("image", np.full((1, 40, 40), 3, np.float32), np.ones((40, 40), bool))
    assert list(tmp_path.iterdir()) == []
    assert (PatchSampler(store, config()).batch(0, 0, 1).images == 3).all()


def test_the_grid_has_the_patches_of_the_study():
    views = grid_views(store_of((256, 256), (136, 558)).images, 128, 64)
    assert len(views) == 3 * 3 + 2 * 8
    assert {view.center[0] for view in views[9:]} == {63.5, 71.5}


def test_the_typical_window_is_small_enough_and_shows_objects():
    target = np.zeros((600, 500), bool)
    target[400:500, 300:450] = True
    store = PatchStore(CPU)
    store.add("image", target[None].astype(np.float32), target)
    window = store.images[0].cropped(256)
    assert window.shape == (256, 256)
    assert torch.equal(window.pixels[0] > 0, window.target > 0)
    assert window.target.any()


def test_the_typical_window_of_strokes_holds_objects_and_background():
    target = np.zeros((600, 600), bool)
    target[500:, 500:] = True
    annotated = np.zeros((600, 600), bool)
    annotated[20, 20:60] = True  # background only
    annotated[560, 420:560] = True  # both
    store = PatchStore(CPU)
    store.add("strokes", target[None].astype(np.float32), target, annotated)
    window = store.images[0].cropped(256)
    known = window.annotated > 0
    assert window.target[known].any() and not window.target[known].all()


def test_a_part_of_a_store_keeps_the_file_of_the_whole():
    store = PatchStore(CPU, budget_bytes=0)
    for value in range(3):
        store.add(str(value), np.full((1, 40, 40), value, np.float32), np.ones((40, 40), bool))
    part = store.part([2])
    del store
    assert (PatchSampler(part, config()).batch(0, 0, 1).images == 2).all()
