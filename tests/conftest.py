"""What all tests share: fixed random numbers, and a few small images."""

from __future__ import annotations

import random

import numpy as np
import pytest

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.microtube import make_microtube

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def fixed_randomness() -> None:
    """Start every test from the same seeds, on one thread of torch."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries may draw from the old generator
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dataset1() -> tuple[AnnotatedImage, ...]:
    """Return four small images (64, 96) of Dataset 1 of the sample data."""
    return make_microtube(1, 4, shape=(64, 96))


@pytest.fixture(scope="session")
def dataset2() -> tuple[AnnotatedImage, ...]:
    """Return four small images (64, 96) of Dataset 2 of the sample data."""
    return make_microtube(2, 4, shape=(64, 96))
