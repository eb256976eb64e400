"""What a batch is made of: new and replayed patches in the asked share, or the study's grid."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.models.rehearsal_patches import RehearsalPatches
from napari_unet_finetune.training.batches import GridBatches, RandomBatches, split_grid
from napari_unet_finetune.training.patches import PatchSampler
from napari_unet_finetune.training.replay import collect_patches, replayed_before, store_patches
from napari_unet_finetune.training.store import PatchStore

CPU = torch.device("cpu")


def constant_store(*values, size=48):
    store = PatchStore(CPU)
    for value in values:
        store.add(f"{value}", np.full((1, size, size), value, np.float32), np.ones((size, size), bool))
    return store


def config(**changes):
    return FinetuneConfig(patch_size=32, augment=AugmentConfig.none(), **changes)


def random_batches(new, old, settings):
    sampler = None if old is None else PatchSampler(old, settings, stream=1)
    return RandomBatches(PatchSampler(new, settings), sampler, settings)


@given(st.integers(1, 16), st.floats(0, 0.9), st.integers(0, 200))
def test_the_replay_share_holds_over_the_steps(batch_size, share, steps):
    settings = FinetuneConfig(batch_size=batch_size, replay_share=share)
    counts = [replayed_before(step, settings) for step in range(steps + 2)]
    assert abs(counts[steps] - steps * batch_size * share) <= 1
    assert all(0 <= after - before <= batch_size for before, after in pairwise(counts))


def test_old_patches_come_in_the_asked_share():
    source = random_batches(constant_store(1.0), constant_store(-1.0), config(batch_size=4, replay_share=0.2))
    values = torch.cat([source.batch(step).images[:, 0, 0, 0] for step in range(50)])
    assert len(values) == 200
    assert int((values < 0).sum()) == 40


def test_without_old_images_all_patches_are_new():
    source = random_batches(constant_store(1.0), None, config(batch_size=4, replay_share=0.5))
    assert source.batch(3).images.shape == (4, 1, 32, 32)
    assert (source.batch(3).images == 1).all()


def test_an_epoch_of_the_grid_shows_every_patch_once_and_the_next_in_another_order():
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 64, 96), dtype=np.float32)
    store = PatchStore(CPU)
    store.add("image", pixels, pixels[0] > 0.5)
    settings = config(batch_size=4, epochs=2, patch_stride=16, validation="none", replay_share=0)
    views = split_grid(store, settings)
    assert len(views.train) == 3 * 5 and not views.held_out
    source = GridBatches(views.train, store, settings)
    assert (source.steps, source.validate_every) == (8, 4)
    epochs = [
        [patch.numpy().tobytes() for step in steps for patch in source.batch(step).images]
        for steps in (range(4), range(4, 8))
    ]
    assert len(set(epochs[0])) == 15
    assert set(epochs[0]) == set(epochs[1]) and epochs[0] != epochs[1]


def test_the_studys_split_holds_out_a_share_of_the_patches():
    views = split_grid(
        constant_store(1.0, 2.0, size=96), config(epochs=1, patch_stride=16, validation="patches", replay_share=0)
    )
    assert len(views.train) + len(views.held_out) == 2 * 25
    assert len(views.held_out) == 10


@pytest.mark.parametrize("with_held_out", [True, False])
def test_patches_kept_in_a_base_model_come_back_as_they_were(with_held_out):
    held_out = constant_store(3.0) if with_held_out else PatchStore(CPU)
    kept = collect_patches(constant_store(1.0), held_out, config(rehearsal_patches=8))
    replay, scored = store_patches(kept, CPU)
    assert (len(replay), len(scored)) == ((6, 2) if with_held_out else (8, 0))
    assert all((image.pixels == 1).all() for image in replay.images)
    assert all((image.pixels == 3).all() for image in scored.images)


def test_scored_patches_cover_each_held_out_image_and_are_scored_by_image():
    held_out = PatchStore(CPU)
    for value, size in ((1.0, 64), (2.0, 96), (3.0, 200)):
        pixels = np.full((1, size, size), value, np.float32)
        target = np.zeros((size, size), bool)
        target[:40, :40] = True
        held_out.add(f"{size} px", pixels, target)
    settings = config(rehearsal_patches=48)  # 12 of them are scored: 4 of each image
    kept = collect_patches(constant_store(9.0), held_out, settings)
    replay, scored = store_patches(kept, CPU)
    side = settings.patch_px
    names = [image.name for image in scored.images]
    assert [names.count(f"old image {number}") for number in (1, 2, 3)] == [4, 4, 4] and len(replay) == 36
    assert all((image.pixels == int(image.name[-1])).all() for image in scored.images)
    whole = [image for image in scored.images if image.name == "old image 1"]
    assert sum(int(image.target.sum()) for image in whole) == 40 * 40 and 2 * side == 64  # side by side
    assert any(not image.target.any() for image in scored.images)
    assert RehearsalPatches.unpack(kept.packed, 1).sources.tolist() == kept.sources.tolist()
    assert kept.with_channels(3).sources is kept.sources


def test_patches_of_earlier_versions_are_scored_together():
    kept = replace(collect_patches(constant_store(1.0), constant_store(3.0), config(rehearsal_patches=8)), sources=None)
    _, scored = store_patches(RehearsalPatches.unpack(kept.packed, 1), CPU)
    assert {image.name for image in scored.images} == {"old images"}


def test_no_patches_are_kept_if_switched_off():
    assert collect_patches(constant_store(1.0), PatchStore(CPU), config(rehearsal_patches=0)) is None


def test_no_patches_are_kept_of_partly_annotated_images():
    store = PatchStore(CPU)
    everywhere = np.ones((48, 48), bool)
    store.add("strokes", everywhere[None].astype(np.float32), everywhere, annotated=np.eye(48, dtype=bool))
    assert collect_patches(store, PatchStore(CPU), config()) is None
