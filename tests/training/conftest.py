"""A task small enough to learn in seconds: bright squares on a dark, noisy ground."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.events import Run, drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.training import settle
from napari_unet_finetune.training.finetune import finetune, random_model, train
from napari_unet_finetune.training.patches.store import PatchStore
from napari_unet_finetune.training.state import TrainingState

CPU = torch.device("cpu")
TINY = ModelConfig(width=16, levels=2)


def make_squares(count, *, bright=True, seed=0, size=48):
    """Images of `size` px with three squares each; dark squares on bright ground if not `bright`."""
    rng = np.random.default_rng(seed)
    images = []
    for index in range(count):
        labels = np.zeros((size, size), np.uint8)
        for row, column in rng.integers(2, size - 14, (3, 2)):
            labels[row : row + 10, column : column + 10] = 1
        clean = labels if bright else 1 - labels
        pixels = 60 + 120 * clean + rng.normal(0, 12, labels.shape)
        images.append(AnnotatedImage(f"square {index}", pixels.clip(0, 255).astype(np.uint8), labels))
    return images


INVERTED = make_squares(6, bright=False, seed=1)


def dulled(images):
    """Return images whose objects are hardly brighter than the ground, but for a few pixels that set the range."""
    changed = []
    for image in images:
        pixels = 60 + (image.image.astype(float) - 60).clip(0) * 0.25
        pixels[0, :12], pixels[-1, :12] = 0, 255
        changed.append(replace(image, image=pixels.astype(np.uint8)))
    return changed


DULL = dulled(make_squares(6, seed=1))


def scores(model, images, **settings):
    """Return the Dice of each image as it is predicted."""
    predictor = Predictor(model, PredictConfig(device="cpu", precision="fp32", **settings))
    return [dice(predictor.predict(image).labels > 0, image.target) for image in images]


def tiny_config(**changes):
    """Settings that train in about a second."""
    small = {
        "steps": 12, "batch_size": 4, "patch_size": 32, "validate_every": 6, "warmup_steps": 2, "precision": "fp32",
        "rehearsal_patches": 8, "weight_average": 0.5, "augment": AugmentConfig.none(), "device": "cpu",
    }  # fmt: skip
    return FinetuneConfig(**{**small, **changes})


def plain_config(**changes):
    """Settings of patches that are cut and neither turned nor changed."""
    return FinetuneConfig(patch_size=32, augment=AugmentConfig.none(), **changes)


def store_of(*shapes, annotated=None, seed=0):
    """Images whose pixels are 1 on objects, so that an image and its target must stay equal."""
    rng = np.random.default_rng(seed)
    store = PatchStore(CPU)
    for index, shape in enumerate(shapes):
        target = np.zeros(shape, bool)
        for row, column in rng.integers(0, shape, (4, 2)):
            target[row : row + 9, column : column + 13] = True
        store.add(f"image {index}", target[None].astype(np.float32), target, annotated)
    return store


def constant_store(*values, size=48):
    """Images of `size` px, each full of one value and all object."""
    store = PatchStore(CPU)
    for value in values:
        store.add(f"{value}", np.full((1, size, size), value, np.float32), np.ones((size, size), bool))
    return store


class MemoryStore:
    """Keeps all states, so that a test can go back to any of them."""

    def __init__(self, state=None):
        self.states = [] if state is None else [state]
        self.best = []

    def load_state(self):
        return self.states[-1] if self.states else None

    def save_state(self, state):
        self.states.append(TrainingState(dict(state.progress), dict(state.trainer)))

    def save_best(self, model):
        self.best.append(model)

    def save_result(self, model):
        self.result = model


@pytest.fixture
def untrained():
    return random_model(TINY, tiny_config())


@pytest.fixture(scope="session")
def trained():
    """A model that has learned the bright squares, and how its training ended."""
    torch.set_num_threads(1)
    return drain(train(make_squares(6), tiny_config(steps=60, learning_rate=3e-3), shape=TINY))


@pytest.fixture(scope="session")
def turned(trained):
    """Return the events and the result of one step on inverted images, which keeps the base's weights."""
    run = Run(finetune(trained.model, INVERTED, tiny_config(steps=1)))
    return list(run), run.result


@pytest.fixture(scope="module")
def short():
    """Return settings of a training that learns nothing but a curve, for which it has as many steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle, "FIT_SHARE", 1)
        yield tiny_config(appearance="curve", steps=30, learning_rate=1e-12, validate_every=30)
