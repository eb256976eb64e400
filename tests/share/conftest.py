"""Small models that differ in what another program must do for them, and the steps of BioImage.IO in NumPy."""

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.models.attention_unet import AttentionUNet
from napari_unet_finetune.models.card import ModelCard
from napari_unet_finetune.models.model import Model


@pytest.fixture(scope="session")
def make_model():
    """Return a function that makes an untrained model of the smallest network."""

    def make(in_channels=1, **card):
        torch.manual_seed(in_channels)
        shape = ModelConfig(width=16, levels=2, in_channels=in_channels)
        network = AttentionUNet(shape)
        with torch.no_grad():  # as sure of itself as a trained one, here and there
            network.final.weight.mul_(20)
        return Model(network.state_dict(), ModelCard(**{"patch_size": 32, "threshold": 0.4, **card, "shape": shape}))

    return make


@pytest.fixture(scope="session")
def small(make_model):
    """Return a gray model that knows two datasets, the newer one with dark and bright exchanged."""
    return make_model(knows=(Appearance(), Appearance(inverted=(0,))))


@pytest.fixture(scope="session")
def applied():
    """Return a function that carries out steps on an image (C, Y, X) as the format describes them."""
    return _applied


def _applied(steps, image):
    values = image.astype(np.float64)
    for step in steps:
        values = _STEPS[step["id"]](values, **step["kwargs"])
    return values


def _places(axes):
    return tuple(("channel", "y", "x").index(axis) for axis in axes)


def _scale_range(values, axes, min_percentile, max_percentile):
    low, high = np.percentile(values, (min_percentile, max_percentile), axis=_places(axes), keepdims=True)
    return (values - low) / (high - low + 1e-6)


def _zero_mean(values, axes):
    mean, std = (measure(values, axis=_places(axes), keepdims=True) for measure in (np.mean, np.std))
    return (values - mean) / (std + 1e-6)


def _linear(values, gain, offset, axis=None):
    assert axis in (None, "channel")
    along = (np.reshape(np.broadcast_to(one, len(values)), (-1, 1, 1)) for one in (gain, offset))
    return values * next(along) + next(along)


_STEPS = {
    "binarize": lambda values, threshold: (values > threshold).astype(float),
    "clip": lambda values, **limits: np.clip(values, limits["min"], limits["max"]),
    "scale_linear": _linear,
    "scale_range": _scale_range,
    "sigmoid": lambda values: 1 / (1 + np.exp(-values)),
    "zero_mean_unit_variance": _zero_mean,
}
