"""Images without masks are learned from by what the averaged weights are sure of there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.events import Notice, drain
from napari_unet_finetune.training.finetune import finetune
from napari_unet_finetune.training.patches import unannotated
from napari_unet_finetune.training.patches.store import PatchStore
from napari_unet_finetune.training.patches.unannotated import UnannotatedPatches
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.trainer import Trainer

from ..conftest import MemoryStore, make_squares, tiny_config
from ..test_finetune import collect, same

WITH = tiny_config(unannotated_share=1.0, keep_raw=False)
IMAGES = make_squares(5, seed=1)


def without_masks(images):
    return [replace(image, name=f"more {image.name}", labels=None) for image in images]


MORE = without_masks(make_squares(4, seed=8))


def patches_of(images, config=WITH):
    store = PatchStore(torch.device("cpu"))
    for image in images:
        store.add(image.name, image.image[None].astype(np.float32) / image.image.max(), np.zeros(image.shape, bool))
    return UnannotatedPatches(store, config)


def bright(patches):
    """Stand in for a network that is sure of bright and dark pixels."""
    return (patches.clip(0, 1) * 0.98 + 0.01).mean(dim=1, keepdim=True)


def test_they_change_what_is_learned_and_are_told_in_the_model(trained):
    plain = drain(finetune(trained.model, IMAGES, WITH))
    events, result = collect(finetune(trained.model, IMAGES, WITH, unannotated=MORE))
    assert not same(plain.model.weights, result.model.weights)
    told = [event.message for event in events if isinstance(event, Notice) and "without masks" in event.message]
    assert (
        len(told) == 1 and "4 images without masks (more " in told[0] and told[0] in result.model.card.provenance.notes
    )


def test_left_to_itself_a_training_does_not_look_at_them(trained):
    class Unread(list):
        def __getitem__(self, index):
            raise AssertionError("an image was read")

    settings = tiny_config(keep_raw=False)
    plain, given = (drain(finetune(trained.model, IMAGES, settings, unannotated=more)) for more in ((), Unread(MORE)))
    assert same(plain.model.weights, given.model.weights)


def test_a_resumed_training_ends_with_the_same_weights_and_notices_others(trained):
    store = MemoryStore()
    whole = drain(finetune(trained.model, IMAGES, WITH, unannotated=MORE, store=store))
    again = MemoryStore(store.states[0])
    resumed = drain(finetune(trained.model, IMAGES, WITH, unannotated=MORE, store=again))
    assert same(whole.model.weights, resumed.model.weights)
    with pytest.raises(RunError, match="without masks have changed"):
        drain(finetune(trained.model, IMAGES, WITH, unannotated=MORE[:2], store=MemoryStore(store.states[0])))


def test_annotated_images_among_them_are_passed_over_whatever_their_names(trained):
    setup = prepare(trained.model, IMAGES, WITH, unannotated=[*without_masks(IMAGES), *MORE])
    assert [one.name for one in setup.unannotated_records] == [image.name for image in MORE]
    assert prepare(trained.model, IMAGES, WITH, unannotated=without_masks(IMAGES)).unannotated is None


def test_that_there_are_none_is_said(trained):
    assert any("no images without masks" in notice for notice in prepare(trained.model, IMAGES, WITH).notices)
    assert not any("without masks" in notice for notice in prepare(trained.model, IMAGES, tiny_config()).notices)


def test_what_is_painted_on_them_is_not_looked_at(trained):
    painted = [replace(image, name=f"more {image.name}") for image in make_squares(4, seed=8)]
    first, second = (prepare(trained.model, IMAGES, WITH, unannotated=images) for images in (MORE, painted))
    assert first.unannotated_records == second.unannotated_records != ()


def test_what_the_teacher_does_not_fit_into_memory_for_is_taught_in_parts(trained):
    setup, asked = prepare(trained.model, IMAGES, WITH, unannotated=MORE), []
    trainer = Trainer(
        setup.base.build_network(), setup.source, setup.config, device=setup.device, precision=setup.precision
    )
    network = trainer.averaged_network()

    def scarce(patches):
        asked.append(len(patches))
        if len(patches) > 1:
            raise MemoryError
        return network(patches)

    trainer.averaged_network = lambda: scarce
    assert trainer._teach(torch.zeros(4, 1, 32, 32)).shape == (4, 1, 32, 32)
    assert asked == [4, 2, 1, 1, 1, 1] and trainer.micro_batch == 1


def test_of_many_images_some_are_taken_spread_evenly(trained, monkeypatch):
    monkeypatch.setattr(unannotated, "MOST_UNANNOTATED", 2)
    setup = prepare(trained.model, IMAGES, WITH, unannotated=MORE)
    assert [one.name for one in setup.unannotated_records] == [MORE[0].name, MORE[-1].name]
    assert [unannotated.some_of(count) for count in (0, 1, 3)] == [[], [0], [0, 2]]


def test_those_that_cannot_be_used_are_told_and_the_others_learned_from(trained):
    odd = replace(MORE[0], name="odd", image=np.zeros((6, 32, 32), np.uint8))
    setup = prepare(trained.model, IMAGES, WITH, unannotated=[odd, *MORE])
    assert len(setup.unannotated_records) == 4
    assert any("1 other cannot be used: odd has 6 channels" in notice for notice in setup.notices)
    alone = prepare(trained.model, IMAGES, WITH, unannotated=[odd])
    assert alone.unannotated is None and any("no images without masks" in notice for notice in alone.notices)


def test_they_are_seen_as_the_annotated_ones_are(trained):
    dark = make_squares(5, bright=False, seed=1)
    setup = prepare(trained.model, dark, WITH, unannotated=without_masks(make_squares(2, bright=False, seed=8)))
    for image in setup.unannotated._sampler.store.images:
        assert image.pixels.float().mean() < 0.5  # bright squares on dark ground


def test_first_the_network_learns_from_masks_alone():
    patches = patches_of(MORE, WITH.model_copy(update={"steps": 1000}))
    assert [patches.count(step) for step in (0, 149, 150, 999)] == [0, 0, 4, 4]
    assert patches_of(MORE, WITH.model_copy(update={"steps": 20})).count(10) == 4
    assert patches_of(MORE, WITH.model_copy(update={"unannotated_share": 0.5, "steps": 4})).count(3) == 2


def test_the_teacher_sees_plain_patches_and_only_what_it_is_sure_of_counts(monkeypatch):
    monkeypatch.setattr(unannotated, "MIXED", 0.0)
    seen = []

    def unsure(patches):
        seen.append(patches)
        return torch.where(patches.mean(dim=1, keepdim=True) > 0.5, 0.95, 0.2)

    batch = patches_of(MORE).batch(10, unsure)
    assert batch.images.shape == batch.target.shape == batch.annotated.shape == (4, 1, 32, 32)
    assert torch.equal(batch.target, batch.annotated)  # 0.95 is sure, 0.2 is not
    assert 0 < batch.annotated.mean() < 1
    assert not torch.equal(seen[0], batch.images)  # which are changed


def test_a_single_patch_of_a_step_holds_a_part_of_another_one_too(monkeypatch):
    monkeypatch.setattr(unannotated, "_CHANGES", {})
    single = patches_of(MORE, WITH.model_copy(update={"unannotated_share": 0.25}))
    batches = []
    for chance in (0.0, 1.0):
        monkeypatch.setattr(unannotated, "MIXED", chance)
        batches.append([single.batch(step, bright).images for step in range(6, 12)])
    assert {len(images) for images in batches[0] + batches[1]} == {1}
    assert not any(torch.equal(alone, mixed) for alone, mixed in zip(*batches, strict=True))


def test_a_part_of_another_patch_brings_along_what_is_known_of_it(monkeypatch):
    monkeypatch.setattr(unannotated, "_CHANGES", {})
    plain = [patches_of(MORE).batch(10, bright) for _ in range(2)]
    assert torch.equal(plain[0].images, plain[1].images)
    monkeypatch.setattr(unannotated, "MIXED", 0.0)
    alone = patches_of(MORE).batch(10, bright)
    monkeypatch.setattr(unannotated, "MIXED", 1.0)
    mixed = patches_of(MORE).batch(10, bright)
    moved = 0
    for index in range(4):
        differs = (mixed.images[index] != alone.images[index]).any(dim=0)
        other = torch.isclose(mixed.images[index], alone.images[index - 1]).all(dim=0)
        assert bool(other[differs].all())
        assert torch.equal(mixed.target[index, 0][differs], alone.target[index - 1, 0][differs])
        moved += int(differs.sum())
    assert moved > 0
