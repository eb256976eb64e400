"""Which parameters belong to a layer group, how deep each lies, and how the first layer takes other channels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from torch import Tensor, nn

from ..config import LayerGroup
from ..errors import ModelError
from .attention_unet import GROUPS, AttentionUNet

_FIRST = "conv1.conv1"
_FIRST_NORM = "conv1.norm1"
_FIRST_RESIDUAL = "conv1.residual"
_EPSILON = 1e-5  # that of the weight standardization


def select_parameters(network: AttentionUNet, group: LayerGroup) -> dict[str, nn.Parameter]:
    """Return the parameters of `group` by name, in the order of the network.

    ========  =====================================================================================
    first     the first convolution block, at full resolution
    spot      `first`, the first convolution and norm of each further encoder level but the deepest,
              and the gate of the full-resolution skip (after SpotTUnet, arXiv 2107.04914)
    encoder   all convolution blocks down to the deepest
    decoder   everything else, the head included
    last      the last convolution block and the head
    norm      scale and shift of every GroupNorm, and every bias
    all       all
    ========  =====================================================================================
    """
    parameters = dict(network.named_parameters())
    if group == "norm":
        return {name: parameters[name] for name in parameters if name in _norm_names(network)}
    pattern = _group_pattern(group, network.config.levels)
    return {name: parameter for name, parameter in parameters.items() if pattern.match(name)}


def _group_pattern(group: LayerGroup, levels: int) -> re.Pattern[str]:
    encoder = rf"conv[1-{levels}]\."
    spot_levels = "".join(str(level) for level in range(2, levels))
    spot = r"conv1\.|att1\." + (rf"|conv[{spot_levels}]\.(conv1|norm1)\." if spot_levels else "")
    patterns = {
        "first": r"conv1\.",
        "spot": spot,
        "encoder": encoder,
        "decoder": rf"(?!{encoder})",
        "last": r"conv1_1\.|final\.",
        "all": "",
    }
    return re.compile(patterns[group])


def _norm_names(network: AttentionUNet) -> set[str]:
    norms = [name for name, module in network.named_modules() if isinstance(module, nn.GroupNorm)]
    biases = {name for name, _ in network.named_parameters() if name.endswith(".bias")}
    return biases | {f"{name}.weight" for name in norms}


def depth_of(name: str, levels: int) -> int:
    """Return how far along the network the parameter called `name` lies.

    0 is the first block at full resolution, ``levels - 1`` the deepest block, ``2 * levels - 2`` the last block
    and ``2 * levels - 1`` the head. With a learning rate of ``base * level_decay**depth`` the first layers, which
    hold most of what differs between domains (Shirokikh et al., arXiv 2008.07357), move most.

    Raises
    ------
    ValueError
        If no network of `levels` levels has such a parameter.
    """
    if name.startswith("final."):
        return 2 * levels - 1
    found = re.match(r"(conv|up|att)(\d+)(_1)?\.", name)
    level = int(found[2]) if found else 0
    in_encoder = found is not None and found[1] == "conv" and not found[3]
    if not 1 <= level <= (levels if in_encoder else levels - 1):
        raise ValueError(f"no parameter of a network of {levels} levels is called '{name}'")
    return level - 1 if in_encoder else 2 * levels - 1 - level


def adapt_in_channels(weights: Mapping[str, Tensor], in_channels: int) -> dict[str, Tensor]:
    """Return `weights` with the first layer made for `in_channels` image channels.

    One channel becomes several by repeating the filters: a gray image repeated over the channels then gives the
    same logits. Several become one by summing: a gray image gives *nearly* what its repetition gave before.

    The residual 1x1 convolution is plain: there, repeating divided by the number of channels, and summing, are
    exact. The 3x3 convolution is standardized, so any factor on a filter has no effect, and repeating n-fold
    multiplies its response by ``c = sqrt(n (9 n - 1) / 8)``, alike for every filter; with the bias multiplied
    by c too, the GroupNorm that follows divides c out again (exact up to its epsilon). In summing, the factor
    differs between filters. The norm's scale puts right how much a filter counts within its group, but the
    group's mean shifts; only filters that are alike in all channels are exact.

    Raises
    ------
    ModelError
        If neither the present nor the wanted number of channels is one, or the first block has as many channels
        as filters (its residual is then no layer).
    """
    weight = weights[f"{_FIRST}.weight"]
    width, present = weight.shape[:2]
    if in_channels == present:
        return dict(weights)
    if 1 not in (present, in_channels) or width in (present, in_channels):
        raise ModelError(
            f"A model of {present} channels and width {width} cannot be adapted to {in_channels} channels. "
            "Choose a rule that brings the images to the model's channels, or another model."
        )
    return {**weights, **(_repeated(weights, in_channels) if present == 1 else _summed(weights))}


def _repeated(weights: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
    weight, residual = weights[f"{_FIRST}.weight"], weights[f"{_FIRST_RESIDUAL}.weight"]
    # Keeps the unbiased std of every filter, hence its share against the epsilon of the standardization.
    same_std = math.sqrt((9 * n - 1) / (8 * n))
    return {
        f"{_FIRST}.weight": weight.repeat(1, n, 1, 1) * same_std,
        f"{_FIRST}.bias": weights[f"{_FIRST}.bias"] * (n * same_std),
        f"{_FIRST_RESIDUAL}.weight": residual.repeat(1, n, 1, 1) / n,
    }


def _summed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weight, residual = weights[f"{_FIRST}.weight"], weights[f"{_FIRST_RESIDUAL}.weight"]
    summed = weight.sum(dim=1, keepdim=True)
    factor = (weight.std(dim=(1, 2, 3)) + _EPSILON) / (summed.std(dim=(1, 2, 3)) + _EPSILON)
    of_group = factor.reshape(GROUPS, -1).mean(dim=1).repeat_interleave(len(factor) // GROUPS)
    return {
        f"{_FIRST}.weight": summed,
        f"{_FIRST}.bias": weights[f"{_FIRST}.bias"] * factor,
        f"{_FIRST_NORM}.weight": weights[f"{_FIRST_NORM}.weight"] * of_group / factor,
        f"{_FIRST_RESIDUAL}.weight": residual.sum(dim=1, keepdim=True),
    }
