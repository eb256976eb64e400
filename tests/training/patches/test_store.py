"""Prepared images: on the device or in a file, in parts and joined, and the window that is typical of one."""

import os

import numpy as np
import pytest
import torch

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.training.patches.sampler import PatchSampler
from napari_unet_finetune.training.patches.store import PatchStore

from ..conftest import CPU, plain_config, store_of


def test_images_of_joined_stores_take_turns_together():
    stores = [store_of((40, 40)), store_of((50, 60), (70, 80))]
    assert [image.shape for image in stores[0].joined(stores[1]).images] == [(40, 40), (50, 60), (70, 80)]


def test_images_that_do_not_fit_into_memory_give_the_same_patches_from_a_file():
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 80, 80), dtype=np.float32).astype(np.float16).astype(np.float32)
    batches = []
    for budget in (10**9, 0):
        store = PatchStore(CPU, budget_bytes=budget)
        store.add("image", pixels, pixels[0] > 0.5)
        batches.append(PatchSampler(store, plain_config()).batch(0, 0, 4).images)
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
    assert (PatchSampler(store, plain_config()).batch(0, 0, 1).images == 3).all()


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
    assert (PatchSampler(part, plain_config()).batch(0, 0, 1).images == 2).all()
