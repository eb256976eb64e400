"""A training on regions of a large image in a file draws what one on regions of the same image in memory draws."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.normalize import network_input
from napari_unet_finetune.evaluation.evaluate import trained_on
from napari_unet_finetune.events import Notice, RunStarted, drain
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.patches.sampler import PatchSampler
from napari_unet_finetune.training.patches.store import PatchStore

from ..data.test_annotated_regions import VIEWS, in_memory, slide, small_is_large, write, write_slides
from .conftest import TINY, tiny_config

__all__ = ["small_is_large"]  # a fixture


@pytest.mark.parametrize("name", VIEWS)
def test_patches_are_those_of_the_same_regions_in_memory(tmp_path, name: str) -> None:
    pixels, strokes = slide(channels=3 if name in ("a mean", "each channel") else 1)
    regions = open_folder(*write(tmp_path, pixels, strokes), sparse=True)
    config = FinetuneConfig(patch_size=64)
    batches = []
    for images in (regions, in_memory(regions, pixels, strokes)):
        store = PatchStore(torch.device("cpu"))
        for image in images:
            found = network_input(image, VIEWS[name])
            store.add(image.name, found.pixels, found.target, found.annotated)
        batches.append(PatchSampler(store, config).batch(3, 0, 16))
    for part in ("images", "target", "annotated"):
        np.testing.assert_array_equal(*(getattr(batch, part).numpy() for batch in batches))


def test_a_training_ends_with_the_same_weights(tmp_path) -> None:
    pixels, strokes = slide()
    regions = open_folder(*write(tmp_path, pixels, strokes), sparse=True)
    models = [
        drain(train(images, tiny_config(), shape=TINY)).model
        for images in (regions, in_memory(regions, pixels, strokes))
    ]
    (weights, others) = (model.weights for model in models)
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_what_held_out_regions_say_is_told_only_where_others_of_the_same_image_are_trained_on(tmp_path) -> None:
    pixels, strokes = slide()
    regions = open_folder(*write(tmp_path, pixels, strokes), sparse=True)
    held_out = regions.names[:2]
    other = AnnotatedImage("other", 255 - pixels)
    elsewhere = [replace(image, part_of=other) for image in regions[:2]]
    for images, config, is_told in (
        (regions, tiny_config(held_out=held_out), True),
        ([*elsewhere, *regions[2:]], tiny_config(held_out=held_out), False),
        (regions, tiny_config(held_out=()), False),
        (regions[:1], tiny_config(), False),
    ):
        messages = [event.message for event in train(images, config, shape=TINY) if isinstance(event, Notice)]
        assert any("Held-out regions lie in images of which others" in one for one in messages) == is_told
    assert not any("held-out" in note.lower() for note in regions.notes)


def test_a_score_on_held_out_regions_is_said_to_be_on_regions(tmp_path) -> None:
    regions = open_folder(*write(tmp_path, *slide()), sparse=True)
    settings = tiny_config(held_out=regions.names[:2], keep_raw=False)
    base = drain(train(regions, settings, shape=TINY))
    assert "on 2 held-out regions" in base.ended.summary
    assert base.model.card.scores_in_words[0].endswith("on 2 held-out regions")
    assert base.model.card.images_in_words.startswith("2 regions (")
    run = finetune(base.model, regions, settings)
    told = [event.message for event in run if isinstance(event, Notice) and "trained on" in event.message]
    assert any("trained on 2 of these 4 regions before" in one for one in told)


def test_a_model_knows_a_region_whose_edges_a_stroke_has_moved(tmp_path) -> None:
    pixels, strokes = slide()
    before = open_folder(*write(tmp_path, pixels, strokes), sparse=True)
    drain(train(before, tiny_config(held_out=()), shape=TINY)).model.save(tmp_path / "model.safetensors")
    strokes[250:260, 60:70] = 2  # beside the first
    (tmp_path / "later").mkdir()
    after = open_folder(*write(tmp_path / "later", pixels, strokes), sparse=True)
    moved = after.names[0]
    assert before[0].shape != after[0].shape
    model = load_model(tmp_path / "model.safetensors")
    assert moved in trained_on(model, after)
    config = tiny_config(held_out=(moved,))
    told = [event.message for event in finetune(model, after, config) if isinstance(event, Notice)]
    assert any("will be too good" in message and moved in message for message in told)


@pytest.mark.parametrize(("slides", "is_whole"), [(1, False), (2, False), (3, True), (4, True)])
def test_slides_are_held_out_with_all_their_regions_where_there_are_three(tmp_path, slides, is_whole) -> None:
    regions = open_folder(*write_slides(tmp_path, [True] * slides), sparse=True)
    events = list(train(regions, tiny_config(), shape=TINY))
    held_out = next(event.validation_images for event in events if isinstance(event, RunStarted))
    assert held_out
    of_slides = {name.partition("[")[0] for name in held_out}
    assert (len(held_out) == 4 * len(of_slides)) == is_whole
    told = " ".join(event.message for event in events if isinstance(event, Notice))
    assert ("4 held-out regions lie in 1 image of which nothing is trained on." in told) == is_whole
    assert ("their Dice says little" in told) == (not is_whole)
