"""Channels behind a slider: each has its own contrast, which stays what a user makes of it."""

import gc
import weakref

import numpy as np
import pytest

pytest.importorskip("napari")

from napari_unet_finetune._qt.layers.contrast import give_channels_their_contrast
from napari_unet_finetune._qt.layers.layers import show_image
from napari_unet_finetune.io.pixels import ImagePixels

DIM, BRIGHT = (1, 20), (100, 5000)


def stained(seed=0, dtype=np.uint16, channels=2):
    """Return (C, Y, X), the first channel dim and the others bright."""
    shades = [DIM, *[BRIGHT] * (channels - 1)]
    image = np.stack([np.random.default_rng(seed).integers(low, high, (20, 30), dtype, endpoint=True)
                      for low, high in shades])  # fmt: skip
    for plane, limits in zip(image, shades, strict=True):
        plane[0, :2] = limits
    return image


def at(viewer, layer, channel):
    """Go to a channel and return the limits of the layer."""
    viewer.dims.set_current_step(0, channel)
    return tuple(layer.contrast_limits)


def test_each_channel_is_shown_in_its_own_range(viewer):
    layer = show_image(viewer, "image", "a", ImagePixels(stained()))
    assert [at(viewer, layer, channel) for channel in (0, 1, 0, 1)] == [DIM, BRIGHT, DIM, BRIGHT]


def test_what_a_user_sets_for_one_channel_holds_for_that_and_on_the_next_image(viewer):
    layer = show_image(viewer, "image", "a", ImagePixels(stained()))
    at(viewer, layer, 1)
    layer.contrast_limits = (200, 400)
    assert (at(viewer, layer, 0), at(viewer, layer, 1)) == (DIM, (200, 400))
    assert show_image(viewer, "image", "b", ImagePixels(stained(1))) is layer
    assert (at(viewer, layer, 0), at(viewer, layer, 1)) == (DIM, (200, 400))


@pytest.mark.parametrize("other", [stained(dtype=np.uint32), stained(channels=4), stained()[0]])
def test_another_kind_of_image_begins_anew(viewer, other):
    layer = show_image(viewer, "image", "a", ImagePixels(stained()))
    at(viewer, layer, 1)
    layer.contrast_limits = (200, 400)
    layer = show_image(viewer, "image", "b", ImagePixels(other))
    assert (200, 400) not in [at(viewer, layer, channel) for channel in (0, 1)]


@pytest.mark.parametrize("empty", [np.zeros((2, 4, 4), np.uint16), np.full((2, 4, 4), np.nan, np.float32)])
def test_an_empty_channel_has_limits_too(viewer, empty):
    layer = show_image(viewer, "image", "a", ImagePixels(empty))
    assert at(viewer, layer, 1) == (0, 1)


def test_channels_that_share_a_scale_share_their_contrast(viewer):
    layer = show_image(viewer, "sight", "a", ImagePixels(stained()), shares_contrast=True)
    layer.contrast_limits = (200, 400)
    assert at(viewer, layer, 1) == at(viewer, layer, 0) == (200, 400)


def test_frames_of_a_stack_of_channels_share_theirs(viewer):
    layer = viewer.add_image(np.stack([stained(), stained(1)]))
    give_channels_their_contrast(viewer, layer, axis=1)
    for frame in (0, 1):
        viewer.dims.set_current_step(0, frame)
        limits = []
        for channel in (0, 1):
            viewer.dims.set_current_step(1, channel)
            limits.append(tuple(layer.contrast_limits))
        assert limits == [DIM, BRIGHT]


def test_a_layer_that_is_gone_is_let_go(viewer):
    layer = weakref.ref(show_image(viewer, "image", "a", ImagePixels(stained())))
    viewer.layers.clear()
    viewer.add_image(np.zeros((3, 4, 4)))
    viewer.dims.set_current_step(0, 1)
    gc.collect()
    assert layer() is None
