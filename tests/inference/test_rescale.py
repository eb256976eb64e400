"""A model of small objects finds large ones when it looks at the image smaller."""

import numpy as np
import pytest
from torch.nn import functional as F

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model

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


def score(model, image, config=CONFIG):
    found = SmallObjects(model, config).predict(image)
    assert found.labels.shape == found.probabilities.shape == image.shape
    return dice(found.labels > 0, image.target)


def test_large_objects_are_found_with_the_factor_and_not_without(model):
    assert score(model, squares(8)) > 0.95
    large = squares(32)
    assert score(model, large) < 0.7
    assert score(model.with_card(rescale=0.25), large) > 0.95
    assert score(model, large, CONFIG.model_copy(update={"rescale": 0.25})) > 0.95


def test_the_factor_travels_in_the_model_file(model, tmp_path):
    model.with_card(rescale=0.25).save(tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again.card.rescale == 0.25
    assert read_card(tmp_path / "model.safetensors").view == again.card.view


@pytest.mark.parametrize("factor", [0, -1, 9])
def test_a_factor_out_of_range_is_refused(model, factor):
    with pytest.raises(ModelError, match="rescale factor"):
        model.with_card(rescale=factor)
