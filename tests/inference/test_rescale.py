"""A model of small objects finds large ones when it looks at the image smaller."""

from dataclasses import replace

import numpy as np
import pytest
from torch.nn import functional as F

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import CheckpointError
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.checkpoint import load_checkpoint, save_checkpoint

CONFIG = PredictConfig(device="cpu", precision="fp32")


class SmallObjects(Predictor):
    """Finds what is brighter than its surroundings of 13 px, and so loses the inside of large objects."""

    def logits(self, tiles):
        return 40 * (tiles - F.avg_pool2d(tiles, 13, stride=1, padding=6, count_include_pad=False)) - 4


def squares(size):
    labels = np.zeros((20 * size // 2, 24 * size // 2), np.uint8)
    for row in range(size, labels.shape[0] - size, 3 * size):
        for column in range(size, labels.shape[1] - size, 3 * size):
            labels[row : row + size, column : column + size] = 1
    noise = np.random.default_rng(0).normal(0, 3, labels.shape)
    return AnnotatedImage("squares", (40 + 150 * labels + noise).astype(np.uint8), labels)


def score(checkpoint, image, config=CONFIG):
    found = SmallObjects(checkpoint, config).predict(image)
    assert found.labels.shape == found.probabilities.shape == image.shape
    return dice(found.labels > 0, image.target)


def test_large_objects_are_found_with_the_factor_and_not_without(checkpoint):
    assert score(checkpoint, squares(8)) > 0.95
    large = squares(32)
    assert score(checkpoint, large) < 0.7
    assert score(replace(checkpoint, rescale=0.25), large) > 0.95
    assert score(checkpoint, large, CONFIG.model_copy(update={"rescale": 0.25})) > 0.95


def test_the_factor_travels_in_the_model_file(checkpoint, tmp_path):
    save_checkpoint(replace(checkpoint, rescale=0.25), tmp_path / "model.safetensors")
    again = load_checkpoint(tmp_path / "model.safetensors")
    assert again.rescale == 0.25
    assert read_card(tmp_path / "model.safetensors").view == again.view


@pytest.mark.parametrize("factor", [0, -1, 9])
def test_a_factor_out_of_range_is_refused(checkpoint, factor):
    with pytest.raises(CheckpointError, match="rescale factor"):
        replace(checkpoint, rescale=factor)
