"""What a batch is made of: new and replayed patches in the asked share, or the study's grid."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.training.patches.batches import GridBatches, RandomBatches, replayed_before, split_grid
from napari_unet_finetune.training.patches.sampler import PatchSampler
from napari_unet_finetune.training.patches.store import PatchStore

from ..conftest import CPU, constant_store, plain_config


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
    source = random_batches(constant_store(1.0), constant_store(-1.0), plain_config(batch_size=4, replay_share=0.2))
    values = torch.cat([source.batch(step).images[:, 0, 0, 0] for step in range(50)])
    assert len(values) == 200
    assert int((values < 0).sum()) == 40


def test_without_old_images_all_patches_are_new():
    source = random_batches(constant_store(1.0), None, plain_config(batch_size=4, replay_share=0.5))
    assert source.batch(3).images.shape == (4, 1, 32, 32)
    assert (source.batch(3).images == 1).all()


def test_an_epoch_of_the_grid_shows_every_patch_once_and_the_next_in_another_order():
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 64, 96), dtype=np.float32)
    store = PatchStore(CPU)
    store.add("image", pixels, pixels[0] > 0.5)
    settings = plain_config(batch_size=4, epochs=2, patch_stride=16, validation="none", replay_share=0)
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
        constant_store(1.0, 2.0, size=96), plain_config(epochs=1, patch_stride=16, validation="patches", replay_share=0)
    )
    assert len(views.train) + len(views.held_out) == 2 * 25
    assert len(views.held_out) == 10
