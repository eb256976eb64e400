"""What stands against forgetting: old patches, or a pull towards the base's weights."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.events import Notice
from napari_unet_finetune.inference.predict import LOOKED_AT_PX
from napari_unet_finetune.models.rehearsal_patches import RehearsalPatches
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.patches.store import PatchStore
from napari_unet_finetune.training.replay import (
    PULL_WITHOUT_REPLAY,
    TOLD_APART,
    WINDOWS,
    collect_patches,
    settle_pull,
    store_patches,
    to_tell_apart,
)

from .conftest import CPU, TINY, constant_store, make_squares, plain_config, tiny_config
from .test_finetune import collect


def test_without_old_images_the_weights_are_pulled_to_the_base_and_the_user_is_told():
    config, note = settle_pull(FinetuneConfig(), has_old_images=False, from_scratch=False)
    assert config.l2sp == PULL_WITHOUT_REPLAY
    assert "does not prevent" in note


@pytest.mark.parametrize(
    ("config", "has_old_images", "from_scratch"),
    [
        (FinetuneConfig(), True, False),
        (FinetuneConfig(), False, True),
        (FinetuneConfig(replay_share=0.0), False, False),  # who wants no replay has chosen to forget
        (FinetuneConfig(preset="seed recipe"), False, False),
    ],
)
def test_nothing_is_pulled_where_it_is_not_needed_or_not_wanted(config, has_old_images, from_scratch):
    settled, note = settle_pull(config, has_old_images=has_old_images, from_scratch=from_scratch)
    assert settled.l2sp == 0
    assert note == ""


def test_a_strength_that_was_asked_for_is_kept():
    settled, note = settle_pull(FinetuneConfig(l2sp=0.2), has_old_images=False, from_scratch=False)
    assert (settled.l2sp, note) == (0.2, "")


def test_a_run_says_that_it_cannot_measure_forgetting_and_what_it_does_instead(untrained):
    events, result = collect(finetune(untrained, make_squares(3), tiny_config(steps=2)))
    messages = [event.message for event in events if isinstance(event, Notice)]
    assert any("cannot be measured" in message for message in messages)
    assert any("pulled" in message for message in messages)
    assert result.model.card.provenance.config["l2sp"] == PULL_WITHOUT_REPLAY


def test_a_training_from_scratch_has_nothing_to_be_pulled_to():
    events, result = collect(train(make_squares(3), tiny_config(steps=2), shape=TINY))
    assert result.model.card.provenance.config["l2sp"] == 0
    assert not any("pulled" in event.message for event in events if isinstance(event, Notice))


@pytest.mark.parametrize("with_held_out", [True, False])
def test_patches_kept_in_a_base_model_come_back_as_they_were(with_held_out):
    held_out = constant_store(3.0) if with_held_out else PatchStore(CPU)
    kept = collect_patches(constant_store(1.0), held_out, plain_config(rehearsal_patches=8))
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
    settings = plain_config(rehearsal_patches=48)  # 12 of them are scored: 4 of each image
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
    kept = collect_patches(train, old, plain_config(rehearsal_patches=count))
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
    kept = collect_patches(store, store.part([]), plain_config(rehearsal_patches=24))
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
    kept = collect_patches(train, old, plain_config())
    replayed = Counter(kept.sources[~kept.held_out].tolist())
    known = [count for source, count in replayed.items() if source < len(kept.quantiles)]
    others = [count for source, count in replayed.items() if source >= len(kept.quantiles)]
    assert len(kept) == 256 and len(replayed) == min(trained, len(known) + sum(others))
    assert sum(known) <= max(replayed.total() / 2, replayed.total() * len(known) / trained)
    assert max(others) - min(others) <= 1  # in turns


def test_what_is_known_of_patches_lasts():
    kept = collect_patches(constant_store(9.0), held_out_store(), plain_config(rehearsal_patches=48))
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
    kept = collect_patches(constant_store(1.0, 2.0), held_out_store(), plain_config(rehearsal_patches=48))
    replay, scored = store_patches(earlier(kept, counted=counted), CPU)
    names = {f"old image {number}" for number in (1, 2, 3)} if counted else {"old images"}
    assert {image.name for image in scored.images} == names
    assert len({image.name for image in replay.images}) == len(replay) == 36
    assert [parts[0].name for parts in to_tell_apart(replay, scored)] == sorted(names)


def test_no_patches_are_kept_if_switched_off():
    assert collect_patches(constant_store(1.0), PatchStore(CPU), plain_config(rehearsal_patches=0)) is None


def test_no_patches_are_kept_of_partly_annotated_images():
    store = PatchStore(CPU)
    everywhere = np.ones((48, 48), bool)
    store.add("strokes", everywhere[None].astype(np.float32), everywhere, annotated=np.eye(48, dtype=bool))
    assert collect_patches(store, PatchStore(CPU), plain_config()) is None
