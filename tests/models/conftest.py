"""PAULow's network computed without the package's modules, state dicts in its naming, and a small model."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_unet_finetune.config import ChannelRule, ModelConfig, Normalization
from napari_unet_finetune.models.attention_unet import AttentionUNet
from napari_unet_finetune.models.card import ModelCard
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.models.provenance import Provenance, TrainingImage
from napari_unet_finetune.models.rehearsal_patches import RehearsalPatches


def _standardized(weight):
    flat = weight.numpy().reshape(len(weight), -1)
    centered = flat - flat.mean(axis=1, keepdims=True)
    return torch.from_numpy((centered / (flat.std(axis=1, ddof=1, keepdims=True) + 1e-5)).reshape(weight.shape))


def _group_norm(x, groups, scale, shift):
    array = x.numpy()
    grouped = array.reshape(len(array), groups, -1)
    grouped = (grouped - grouped.mean(2, keepdims=True)) / np.sqrt(grouped.var(2, keepdims=True) + 1e-5)
    return torch.from_numpy(grouped.reshape(array.shape)) * scale[:, None, None] + shift[:, None, None]


def _leaky(x):
    return torch.where(x > 0, x, 0.01 * x)


class _Reference:
    """PAULow's network as plain functions of a state dict, in double precision."""

    def __init__(self, state):
        self.state = {name: tensor.double() for name, tensor in state.items()}

    def _conv(self, name, x, padding=0):
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], padding=padding)

    def _norm(self, name, x, groups=8):
        return _group_norm(x, groups, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def _block(self, name, x):
        y = x
        for i in "12":
            weight = _standardized(self.state[f"{name}.conv{i}.weight"])
            y = self._norm(f"{name}.norm{i}", F.conv2d(y, weight, self.state[f"{name}.conv{i}.bias"], padding=1))
            y = _leaky(y) if i == "1" else y
        residual = self._conv(f"{name}.residual", x) if f"{name}.residual.weight" in self.state else x
        return _leaky(y + residual)

    def _gate(self, name, gate, skip):
        g = self._norm(f"{name}.W_g.1", self._conv(f"{name}.W_g.0", gate))
        s = self._norm(f"{name}.W_x.1", self._conv(f"{name}.W_x.0", skip))
        psi = self._norm(f"{name}.psi.1", self._conv(f"{name}.psi.0", _leaky(g + s)), groups=1)
        return skip / (1 + torch.exp(-psi))

    def _up(self, level, x, skip):
        up = F.conv_transpose2d(x, self.state[f"up{level}.weight"], self.state[f"up{level}.bias"], stride=2)
        return self._block(f"conv{level}_1", torch.cat([self._gate(f"att{level}", up, skip), up], dim=1))

    def logits(self, x):
        one = self._block("conv1", x.double())
        two = self._block("conv2", F.max_pool2d(one, 2))
        three = self._block("conv3", F.max_pool2d(two, 2))
        deepest = self._block("conv4", F.max_pool2d(three, 2))
        x = self._up(1, self._up(2, self._up(3, deepest, three), two), one)
        return self._conv("final", x)


def _random_state(width, in_channels, seed=0):
    """Build a state dict in PAULow's naming from the written layout, without any of the package's modules."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {}

    def conv(name, inside, outside, side):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outside, inside, side, side), (outside,)

    def norm(name, channels):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (channels,), (channels,)

    def block(name, inside, outside):
        conv(f"{name}.conv1", inside, outside, 3)
        norm(f"{name}.norm1", outside)
        conv(f"{name}.conv2", outside, outside, 3)
        norm(f"{name}.norm2", outside)
        conv(f"{name}.residual", inside, outside, 1)

    widths = [width, 2 * width, 4 * width, 8 * width]
    for level, (inside, outside) in enumerate(zip([in_channels, *widths], widths, strict=False), start=1):
        block(f"conv{level}", inside, outside)
    for level in (3, 2, 1):
        c = widths[level - 1]
        shapes[f"up{level}.weight"], shapes[f"up{level}.bias"] = (2 * c, c, 2, 2), (c,)
        for part in ("W_g", "W_x"):
            conv(f"att{level}.{part}.0", c, c // 2, 1)
            norm(f"att{level}.{part}.1", c // 2)
        conv(f"att{level}.psi.0", c // 2, 1, 1)
        norm(f"att{level}.psi.1", 1)
        block(f"conv{level}_1", 2 * c, c)
    conv("final", width, 1, 1)
    return {name: torch.randn(shape, generator=generator) * 0.3 + 0.05 for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def random_paulow_state():
    return _random_state


@pytest.fixture(scope="session")
def paulow_logits():
    return lambda state, x: _Reference(state).logits(x)


@pytest.fixture(scope="session")
def small_model():
    """Return a model with every field set to something else than its default, of the smallest network."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    config = ModelConfig(width=16, levels=2, in_channels=2, dropout=0.1)
    return Model(
        weights=AttentionUNet(config).state_dict(),
        card=ModelCard(
            shape=config,
            normalization=Normalization(method="zscore", per_channel=True),
            channels=ChannelRule(method="channel", channel=1),
            patch_size=64,
            threshold=0.37,
            rescale=0.5,
            provenance=Provenance(
                name="smallest",
                images=(TrainingImage(name='a "quoted" ü.tif', sha256="ab" * 32),),
                config={"steps": 5},
                seed=3,
            ),
        ),
        rehearsal=RehearsalPatches.from_normalized(
            rng.normal(size=(3, 2, 16, 16)).astype(np.float32),
            rng.random((3, 16, 16)) > 0.5,
            np.array([True, False, True]),
        ),
    )
