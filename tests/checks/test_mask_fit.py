"""What is wrong with masks is found, and nothing is found where nothing is wrong."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.checks.mask_fit import Sample, best_shift, find_doubts, separation
from napari_unet_finetune.config import ChannelRule, Normalization
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.normalize import model_input


def discs(count=6, size=160, seed=0):
    """Images of dim discs on a noisy, uneven ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    images = []
    for index in range(count):
        labels = np.zeros((size, size), np.uint8)
        for row, column, radius in zip(*rng.integers(15, size - 15, (2, 6)), rng.integers(6, 14, 6), strict=True):
            labels[np.hypot(rows - row, columns - column) < radius] = 1
        pixels = 80 + 30 * labels + 0.2 * rows + rng.normal(0, 8, labels.shape)
        images.append(AnnotatedImage(f"img {index}", pixels.clip(0, 255).astype(np.uint8), labels))
    return images


def doubts(images, channels=ChannelRule()):  # noqa: B008 - frozen
    views = [model_input(image, in_channels=1, channels=channels, normalization=Normalization()) for image in images]
    samples = [Sample.of(image, view) for image, view in zip(images, views, strict=True)]
    return {doubt.kind: doubt.sentence for doubt in find_doubts(samples, views)}


def with_labels(images, change):
    return [replace(image, labels=change(index, image.labels)) for index, image in enumerate(images)]


@pytest.mark.parametrize("dataset", [1, 2])
def test_nothing_is_doubted_where_masks_fit(dataset, request):
    assert doubts(discs()) == {}
    assert doubts(request.getfixturevalue(f"dataset{dataset}")) == {}


@pytest.mark.parametrize("offset", [(7, -5), (0, 12), (-20, 3)])
def test_shifted_masks_are_found_with_their_offset(offset):
    found = doubts(with_labels(discs(), lambda _, labels: np.roll(labels, offset, (0, 1))))
    assert list(found) == ["shifted"]
    assert f"moved by {-offset[0]} px in Y and {-offset[1]} px in X" in found["shifted"]


def test_a_shift_in_a_large_image_is_told_in_its_own_pixels():
    (image,) = discs(1)
    big = AnnotatedImage("big", image.image.repeat(8, 0).repeat(8, 1), image.labels.repeat(8, 0).repeat(8, 1))
    moved = replace(big, labels=np.roll(big.labels, (48, 0), (0, 1)))
    view = model_input(moved, in_channels=1, channels=ChannelRule(), normalization=Normalization())
    (down, right), gain = best_shift(Sample.of(moved, view))
    assert abs(down + 48) <= 6 and abs(right) <= 6 and gain > 0.5


def test_one_shifted_mask_of_many_is_no_pattern():
    images = discs()
    assert "shifted" not in doubts([*with_labels(images[:1], lambda _, labels: np.roll(labels, 9, 0)), *images[1:]])


def test_exchanged_masks_are_found_and_named():
    images = discs()
    labels = [image.labels for image in images]
    found = doubts(with_labels(images, lambda index, _: labels[(index + 1) % len(labels)]))
    assert list(found) == ["exchanged"]
    assert "6 of 6 masks" in found["exchanged"] and "the mask of img 0 on img 1" in found["exchanged"]


def test_inverted_empty_and_tiny_masks_are_found():
    assert list(doubts(with_labels(discs(), lambda _, labels: 1 - labels))) == ["inverted"]
    found = doubts(with_labels(discs(), lambda index, labels: labels * (index > 3)))
    assert "4 of 6 images are without any object: img 0, img 1, img 2, …" in found["empty"]

    def only_a_speck(_, labels):
        speck = np.zeros_like(labels)
        speck[3:6, 3:6] = 1
        return speck

    assert "tiny" in doubts(with_labels(discs(), only_a_speck))


def test_an_image_without_objects_among_others_is_a_valid_example():
    assert doubts(with_labels(discs(8), lambda index, labels: labels * (index != 3))) == {}


def test_constant_and_clipped_images_are_found():
    flat = [replace(image, image=np.full_like(image.image, 7)) for image in discs()]
    assert "6 of 6 images" in doubts(flat)["constant"]
    bright = [replace(image, image=(image.image.astype(int) * 3).clip(0, 255).astype(np.uint8)) for image in discs()]
    assert "clipped" in doubts(bright)


def test_objects_that_only_another_channel_shows_are_found():
    rng = np.random.default_rng(0)
    images = []
    for image in discs():
        noise = rng.normal(100, 20, (2, *image.shape)).clip(0, 255).astype(np.uint8)
        images.append(replace(image, image=np.stack([*noise, image.image])))
    found = doubts(images, ChannelRule(method="channel", channel=0))
    assert "--channel 2" in found["channels"]
    assert "channels" not in doubts(images, ChannelRule(method="channel", channel=2))


def test_separation_is_chance_for_noise_and_one_for_certainty():
    (image,) = discs(1)
    noise = np.random.default_rng(0).random(image.shape)
    assert separation(noise, image) == pytest.approx(0.5, abs=0.05)
    assert separation(image.labels, image) == separation(-image.labels.astype(int), image) == 1


def test_strokes_are_not_held_against_edges():
    images = with_labels(discs(), lambda _, labels: np.roll(labels, 12, 0))
    strokes = [replace(image, annotated=np.random.default_rng(0).random(image.shape) > 0.9) for image in images]
    assert not {"shifted", "exchanged"} & set(doubts(strokes))
