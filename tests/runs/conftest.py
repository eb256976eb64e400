"""A tiny model, tiny settings and a request that trains in about a second."""

import pytest

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig
from napari_unet_finetune.models.checkpoint import save_checkpoint
from napari_unet_finetune.runs.request import FinetuneRequest
from napari_unet_finetune.training.finetune import random_checkpoint

TINY = ModelConfig(width=16, levels=2)


@pytest.fixture(scope="session")
def tiny_config():
    return FinetuneConfig(
        steps=12, batch_size=2, patch_size=32, validate_every=3, warmup_steps=2, weight_average=0.5, keep_raw=False,
        augment=AugmentConfig(p_affine=0), device="cpu", precision="fp32",
    )  # fmt: skip


@pytest.fixture(scope="session")
def squares(tmp_path_factory, write_squares):
    return write_squares(tmp_path_factory.mktemp("squares"), 5)


@pytest.fixture(scope="session")
def base_file(tmp_path_factory, tiny_config):
    path = tmp_path_factory.mktemp("model") / "base.safetensors"
    save_checkpoint(random_checkpoint(TINY, tiny_config), path)
    return path


@pytest.fixture(scope="session")
def request_(squares, base_file, tiny_config):
    return FinetuneRequest(
        task="finetune", images=squares / "images", masks=squares / "masks", checkpoint=str(base_file),
        config=tiny_config,
    )  # fmt: skip
