"""A small untrained model, the same for all tests of prediction."""

import pytest
import torch

from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.models.attention_unet import AttentionUNet
from napari_unet_finetune.models.card import ModelCard
from napari_unet_finetune.models.model import Model


@pytest.fixture(scope="session")
def model() -> Model:
    """Return a model of width 16 and 3 levels for patches of 32 pixels that finds objects in part of any image."""
    torch.manual_seed(0)
    network = AttentionUNet(ModelConfig(width=16, levels=3)).eval()
    with torch.no_grad():
        image = torch.rand(1, 1, 32, 32)
        network.final.weight *= 10  # clear probabilities instead of 0.5 everywhere
        network.final.bias -= network(image).median()
    return Model(network.state_dict(), ModelCard(shape=network.config, patch_size=32, threshold=0.55))
