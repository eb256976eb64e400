"""The patch-based Attention U-Net of PAULow, with width, depth and input channels as parameters."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import ModelConfig

GROUPS = 8
NEGATIVE_SLOPE = 0.01


class StandardizedConv2d(nn.Conv2d):
    """Convolution whose filters are standardized on every call (Qiao et al., arXiv 1903.10520), without a gain."""

    def standardized_weight(self) -> Tensor:
        """Return the weight with zero mean and unit (unbiased) std per output filter."""
        std, mean = torch.std_mean(self.weight, dim=(1, 2, 3), keepdim=True)
        return (self.weight - mean) / (std + 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x` (B, C, Y, X) with the standardized weight."""
        return F.conv2d(x, self.standardized_weight(), self.bias, padding=self.padding)


class ConvBlock(nn.Module):
    """Two standardized 3x3 convolutions with GroupNorm and a residual connection; keeps (Y, X)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = StandardizedConv2d(in_channels, out_channels, 3, padding=1)
        self.norm1 = nn.GroupNorm(GROUPS, out_channels)
        self.conv2 = StandardizedConv2d(out_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels)
        same = in_channels == out_channels
        self.residual = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, Y, X) to (B, out_channels, Y, X)."""
        y = F.leaky_relu(self.norm1(self.conv1(x)), NEGATIVE_SLOPE)
        y = self.norm2(self.conv2(y))
        return F.leaky_relu(y + self.residual(x), NEGATIVE_SLOPE)


class AttentionGate(nn.Module):
    """Additive attention on a skip connection (Oktay et al., arXiv 1804.03999); the gate is the upsampled map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.W_g = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.GroupNorm(GROUPS, inner))
        self.W_x = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.GroupNorm(GROUPS, inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.GroupNorm(1, 1), nn.Sigmoid())

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        """Return `skip` weighted per pixel; both inputs are (B, channels, Y, X)."""
        attention = F.leaky_relu(self.W_g(gate) + self.W_x(skip), NEGATIVE_SLOPE)
        weighted: Tensor = skip * self.psi(attention)
        return weighted


class AttentionUNet(nn.Module):
    """Attention U-Net for one class; at width 64 and 4 levels it is PAULow's network to the last parameter.

    The submodules keep PAULow's names (`conv1` … `conv4`, `up3`, `att3`, `conv3_1` … `final`), so its state
    dicts load as they are.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**level for level in range(config.levels)]
        for level, (before, after) in enumerate(zip([config.in_channels, *widths[:-1]], widths, strict=True), start=1):
            self.add_module(f"conv{level}", ConvBlock(before, after))
        for level in range(config.levels - 1, 0, -1):
            channels = widths[level - 1]
            self.add_module(f"up{level}", nn.ConvTranspose2d(2 * channels, channels, 2, stride=2))
            self.add_module(f"att{level}", AttentionGate(channels))
            self.add_module(f"conv{level}_1", ConvBlock(2 * channels, channels))
        self.dropout = nn.Dropout2d(config.dropout)
        self.final = nn.Conv2d(config.width, 1, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return the encoder's maps of `x` (B, in_channels, Y, X), level by level: (B, width, Y, X) comes first."""
        maps = [self.get_submodule("conv1")(x)]
        for level in range(2, self.config.levels + 1):
            maps.append(self.get_submodule(f"conv{level}")(F.max_pool2d(maps[-1], 2)))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, Y, X) of `x` (B, in_channels, Y, X); Y and X are multiples of `side_multiple`."""
        *skips, x = self.encode(x)
        for level in range(self.config.levels - 1, 0, -1):
            x = self.get_submodule(f"up{level}")(x)
            gated = self.get_submodule(f"att{level}")(x, skips.pop())
            x = self.dropout(self.get_submodule(f"conv{level}_1")(torch.cat([gated, x], dim=1)))
        logits: Tensor = self.final(x)
        return logits


def fold_standardization(network: AttentionUNet) -> AttentionUNet:
    """Return a copy for prediction in which every standardized convolution is a plain one with the same result."""
    plain = {id(conv): _plain_conv(conv) for conv in network.modules() if isinstance(conv, StandardizedConv2d)}
    return copy.deepcopy(network, plain).eval()  # what stands there for a module is taken instead of a copy


def made_for_prediction(network: AttentionUNet, device: torch.device) -> AttentionUNet:
    """Return a copy as all predictions are made with, also those of a training: their numbers agree to the last bit."""
    ready = fold_standardization(network).to(device)
    if device.type != "mps":
        ready.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ready


def _plain_conv(conv: StandardizedConv2d) -> nn.Conv2d:
    with torch.device("meta"):  # draws no random number: validating must not change a training
        plain = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1)
    copied = {name: tensor.clone() for name, tensor in conv.state_dict().items()}
    plain.load_state_dict(copied | {"weight": conv.standardized_weight().detach()}, assign=True)
    return plain
