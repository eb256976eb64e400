"""What enters the network has the size, channels and intensities that the model wants, masks included."""

import numpy as np
import pytest

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.normalize import ModelView, model_input, network_input
from napari_unet_finetune.data.view.resampling import resample, rescaled_shape


def square(annotated=None):
    labels = np.zeros((60, 90), np.uint16)
    labels[12:36, 30:54] = 7
    pixels = (labels > 0) * 180 + np.random.default_rng(0).integers(0, 40, labels.shape)
    return AnnotatedImage("img", pixels.astype(np.uint8), labels, annotated)


def test_without_a_change_of_size_it_is_the_normalized_image():
    image, view = square(), ModelView(in_channels=3)
    seen = network_input(image, view)
    plain = model_input(image, in_channels=3, channels=view.channels, normalization=view.normalization)
    np.testing.assert_array_equal(seen.pixels, plain)
    np.testing.assert_array_equal(seen.target, image.target)
    assert seen.annotated is None


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.5, 3])
def test_pixels_and_target_shrink_and_grow_together(factor):
    image = square()
    seen = network_input(image, ModelView(rescale=factor))
    assert seen.pixels.shape[1:] == seen.target.shape == rescaled_shape((60, 90), factor)
    assert seen.pixels.dtype == np.float32
    assert seen.target.sum() == pytest.approx(image.target.sum() * factor**2, rel=0.02)
    assert ((seen.pixels[0] > 0.5) == seen.target).mean() > 0.97
    back = resample(seen.target.astype(np.float32), image.shape) > 0.5
    assert (back == image.target).mean() > 0.98


def test_resampling_keeps_the_place_and_the_mean():
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (1, 64, 64))
    small = resample(ramp, (16, 16))
    assert small.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(small[0, 0, 3:-3], ramp[0, 0].reshape(16, 4).mean(axis=1)[3:-3], atol=0.01)


def test_thin_strokes_survive_and_stay_inside_what_is_annotated():
    annotated = np.zeros((60, 90), bool)
    annotated[:, 40:42] = True
    seen = network_input(square(annotated), ModelView(rescale=0.5))
    assert seen.annotated.sum() == 30
    assert (seen.target & seen.annotated).any() and (seen.annotated & ~seen.target).any()


def test_an_image_without_labels_has_no_target():
    seen = network_input(AnnotatedImage("img", np.eye(8)), ModelView(rescale=2))
    assert seen.target is None and seen.pixels.shape == (1, 16, 16)
