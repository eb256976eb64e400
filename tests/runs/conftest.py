"""A tiny model, tiny settings and a request that trains in about a second."""

import pytest

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig
from napari_unet_finetune.runs.request import FinetuneRequest

TINY = ModelConfig(width=16, levels=2)


@pytest.fixture(scope="session")
def tiny_config():
    return FinetuneConfig(
        steps=12, batch_size=2, patch_size=32, validate_every=3, warmup_steps=2, weight_average=0.5, keep_raw=False,
        augment=AugmentConfig(p_affine=0), device="cpu", precision="fp32",
    )  # fmt: skip


@pytest.fixture(scope="session")
def request_(squares, model, tiny_config):
    return FinetuneRequest(
        task="finetune", images=squares / "images", masks=squares / "masks", checkpoint=str(model),
        config=tiny_config,
    )  # fmt: skip
