"""What a batch is made of: new and replayed patches in the asked share, or the study's grid."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.inference.predict import LOOKED_AT_PX
from napari_unet_finetune.models.rehearsal_patches import RehearsalPatches
from napari_unet_finetune.training.batches import GridBatches, RandomBatches, split_grid
from napari_unet_finetune.training.patches import PatchSampler
from napari_unet_finetune.training.replay import (
    TOLD_APART,
    WINDOWS,
    collect_patches,
    replayed_before,
    store_patches,
    to_tell_apart,
)
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


def held_out_store():
    """Return images of 64, 96 and 200 px, full of 1, 2 and 3, with objects in a corner."""
    held_out = PatchStore(CPU)
    for value, size in ((1.0, 64), (2.0, 96), (3.0, 200)):
        target = np.zeros((size, size), bool)
        target[:40, :40] = True
        held_out.add(f"{size} px", np.full((1, size, size), value, np.float32), target)
    return held_out


def test_scored_patches_cover_each_held_out_image_and_are_scored_by_image():
    settings = config(rehearsal_patches=48)  # 12 of them are scored: 4 of each image
    kept = collect_patches(constant_store(9.0), held_out_store(), settings)
    replay, scored = store_patches(kept, CPU)
    side = settings.patch_px
    names = [image.name for image in scored.images]
    assert [names.count(f"old image {number}") for number in (1, 2, 3)] == [4, 4, 4] and len(replay) == 36
    assert all((image.pixels == int(image.name[-1])).all() for image in scored.images)
    whole = [image for image in scored.images if image.name == "old image 1"]
    assert sum(int(image.target.sum()) for image in whole) == 40 * 40 and 2 * side == 64  # side by side
    assert any(not image.target.any() for image in scored.images)


@pytest.mark.parametrize("count", [1, 7, 48, 256])
@pytest.mark.parametrize(("trained", "held_out"), [(1, 0), (3, 1), (14, 3), (60, 40)])
def test_each_patch_knows_its_image_and_those_told_apart_have_some_windows(count, trained, held_out):
    """Each image is full of its own number, so that a patch shows whose it is; its quantiles tell it, too."""
    train, old = (
        constant_store(*range(start, stop), size=96) for start, stop in ((100, 100 + trained), (1, 1 + held_out))
    )
    kept = collect_patches(train, old, config(rehearsal_patches=count))
    assert len(kept) == count
    shows: dict[int, set[float]] = {}
    for source, pixels in zip(kept.sources.tolist(), kept.normalized(), strict=True):
        shows.setdefault(source, set()).update(np.unique(pixels).tolist())
    assert all(len(values) == 1 for values in shows.values())
    assert len(set.union(*shows.values())) == len(shows)  # no number stands for two images
    for source, row in enumerate(kept.quantiles.astype(float)):
        assert source not in shows or {row[0], row[-1]} == shows[source]
    is_scored = np.array([shows[source] < set(range(1, 100)) for source in kept.sources.tolist()])
    assert (is_scored == kept.held_out).all()
    replay, scored = store_patches(kept, CPU)
    assert not {one.name for one in replay.images} & {one.name for one in scored.images}
    told = to_tell_apart(replay, scored)
    assert len({parts[0].name for parts in told}) == len(told) and all(parts[0].quantiles for parts in told)
    names = {one.name for one in scored.images}
    others = [parts for parts in told if parts[0].name not in names]
    most, shown = max(TOLD_APART // 2, TOLD_APART - len(names)), min(trained, len(replay))
    have_room = shown <= most or shown * WINDOWS <= len(replay)
    room = len(replay) if have_room else len(replay) // 2
    assert len(others) == (min(shown, most) if have_room else max(1, min(most, room // WINDOWS)))
    assert len(told) - len(others) == min(len(names), max(TOLD_APART // 2, TOLD_APART - shown))
    assert all(len(parts) >= max(1, min(WINDOWS, room // len(others))) for parts in others)


@pytest.mark.parametrize("size", [32, 40, 96, LOOKED_AT_PX + 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_patch_knows_which_of_its_sides_are_the_border_of_its_image(size, axis):
    """Each pixel holds its row or column. Of an image that is only looked at in its middle all sides are."""
    store, places = PatchStore(CPU), np.indices((size, size), np.float32)[axis]
    store.add("one", places[None], np.ones((size, size), bool))
    kept = collect_patches(store, store.part([]), config(rehearsal_patches=24))
    first, last = (kept.edges[:, 2 * axis + end] for end in (0, 1))
    if size > LOOKED_AT_PX:
        assert first.all() and last.all()
    else:
        assert (first == (kept.low == 0)).all() and (last == (kept.high == size - 1)).all()
        assert first.any() and last.any() and (size == 32 or not first.all())
    replay, _ = store_patches(RehearsalPatches.unpack(kept.packed, 1), CPU)
    assert [image.edges for image in replay.images] == [tuple(row) for row in kept.edges.tolist()]


@pytest.mark.parametrize(("trained", "held_out"), [(60, 3), (60, 1), (33, 0), (22, 3), (300, 0)])
def test_many_images_are_replayed_not_only_those_told_apart(trained, held_out):
    train, old = (
        constant_store(*range(start, stop), size=256) for start, stop in ((100, 100 + trained), (1, 1 + held_out))
    )
    kept = collect_patches(train, old, config())
    replayed = Counter(kept.sources[~kept.held_out].tolist())
    known = [count for source, count in replayed.items() if source < len(kept.quantiles)]
    others = [count for source, count in replayed.items() if source >= len(kept.quantiles)]
    assert len(kept) == 256 and len(replayed) == min(trained, len(known) + sum(others))
    assert sum(known) <= max(replayed.total() / 2, replayed.total() * len(known) / trained)
    assert max(others) - min(others) <= 1  # in turns


def test_what_is_known_of_patches_lasts():
    kept = collect_patches(constant_store(9.0), held_out_store(), config(rehearsal_patches=48))
    again = RehearsalPatches.unpack(kept.packed, 1)
    assert again.sources.tolist() == kept.sources.tolist() and again.quantiles.tolist() == kept.quantiles.tolist()
    for channels in (3, 1):
        kept = kept.with_channels(channels)
        for name in ("sources", "quantiles", "edges"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(again, name))


def earlier(kept, *, counted):
    """Return patches as earlier versions kept them, which knew the sources of scored ones (`counted`) or of none."""
    sources = np.where(kept.held_out, kept.sources, -1).astype(np.int32) if counted else None
    return RehearsalPatches.unpack(replace(kept, sources=sources, quantiles=None, edges=None).packed, 1)


@pytest.mark.parametrize("counted", [True, False])
def test_patches_of_earlier_versions_are_scored_and_told_apart_as_far_as_they_are_known(counted):
    kept = collect_patches(constant_store(1.0, 2.0), held_out_store(), config(rehearsal_patches=48))
    replay, scored = store_patches(earlier(kept, counted=counted), CPU)
    names = {f"old image {number}" for number in (1, 2, 3)} if counted else {"old images"}
    assert {image.name for image in scored.images} == names
    assert len({image.name for image in replay.images}) == len(replay) == 36
    assert [parts[0].name for parts in to_tell_apart(replay, scored)] == sorted(names)


def test_no_patches_are_kept_if_switched_off():
    assert collect_patches(constant_store(1.0), PatchStore(CPU), config(rehearsal_patches=0)) is None


def test_no_patches_are_kept_of_partly_annotated_images():
    store = PatchStore(CPU)
    everywhere = np.ones((48, 48), bool)
    store.add("strokes", everywhere[None].astype(np.float32), everywhere, annotated=np.eye(48, dtype=bool))
    assert collect_patches(store, PatchStore(CPU), config()) is None
