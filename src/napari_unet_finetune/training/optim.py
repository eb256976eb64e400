"""Who is trained, at which rate, when and how long: parameter groups, phases, schedules, L2-SP, weight averaging."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from ..config import FinetuneConfig
from ..models.attention_unet import AttentionUNet
from ..models.layer_groups import depth_of, select_parameters

COSINE_FLOOR = 0.01

# How a training without a fixed length sees that its weights are worth no more than before: so many validations in a
# row are compared with as many before them, since one alone is chance, and less than this is no gain.
WINDOW = 3
GAIN = 0.003
# Then its rate falls. The fall takes so much of the steps before it, and at least so many.
FALL_SHARE, SHORTEST_FALL = 0.5, 200
# A training that never settles falls in this last share of its steps.
LAST_SHARE = 0.25

Fall = tuple[int, int]  # the steps from and to which the rate falls


def build_optimizer(network: AttentionUNet, config: FinetuneConfig) -> torch.optim.Optimizer:
    """Return the optimizer over all parameters, one group per depth; a group's `rate` scales its learning rate."""
    by_depth: dict[int, list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        by_depth.setdefault(depth_of(name, network.config.levels), []).append(parameter)
    groups = [
        {"params": parameters, "rate": config.level_decay**depth} for depth, parameters in sorted(by_depth.items())
    ]
    # One kernel for the whole update; that of MPS is not in every version of torch that is supported.
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, fused=fused)
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)


def start_phase(network: AttentionUNet, config: FinetuneConfig, step: int, steps: int) -> None:
    """Freeze all but the layers that `step` trains; frozen ones get no gradient and so are left out of the update."""
    in_first = config.first_phase_layers is not None and step < config.first_phase_share * steps
    group = config.first_phase_layers if in_first and config.first_phase_layers else config.layers
    trained = {id(parameter) for parameter in select_parameters(network, group).values()}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in trained)
        if id(parameter) not in trained:
            parameter.grad = None


def learning_rate_at(step: int, steps: int, config: FinetuneConfig, fall: Fall | None = None) -> float:
    """Return the learning rate of `step` (from 0) in a training of `steps`; `fall` is that of a plateau, once known."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "step":
        return config.learning_rate * (1.0 if step < 0.75 * steps else 0.1)
    first, last = (fall or latest_fall(steps)) if config.schedule == "plateau" else (config.warmup_steps, steps)
    done = max(0, step - first) / max(1, last - first)
    return config.learning_rate * cosine(done)


def cosine(done: float) -> float:
    """Return the share of the peak rate after this share of a fall, from 1 to `COSINE_FLOOR`."""
    return COSINE_FLOOR + (1 - COSINE_FLOOR) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def has_settled(worths: Sequence[float]) -> bool:
    """Tell whether the last validations are worth no more than those before them."""
    if len(worths) < 2 * WINDOW:
        return False
    return fmean(worths[-WINDOW:]) < fmean(worths[-2 * WINDOW : -WINDOW]) + GAIN


def latest_fall(steps: int) -> Fall:
    """Return the fall of a training of `steps` that never settles."""
    return round((1 - LAST_SHARE) * steps), steps


def fall_from(step: int, steps: int, validate_every: int) -> Fall:
    """Return the fall that begins after `step`, which ends with a validation or with the last of all `steps`."""
    length = max(SHORTEST_FALL, round(FALL_SHARE * step))
    end = step + -(-length // validate_every) * validate_every
    return min(step, latest_fall(steps)[0]), min(end, steps)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group `learning_rate` times the group's own rate."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["rate"]


def l2sp_penalty(network: AttentionUNet, base: Mapping[str, Tensor], strength: float) -> Tensor:
    """Return the squared distance of the trained weights from the base model's (Li et al., ICML 2018)."""
    distances = [
        (parameter - base[name]).pow(2).sum()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    ]
    return strength / 2 * torch.stack(distances).sum()


class WeightAverage:
    """Moving average of the weights; early on it forgets faster, so that the start does not linger."""

    def __init__(self, network: AttentionUNet, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: AttentionUNet) -> None:
        """Move the average towards the weights of `network`."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.decay else 0.0
        averages, current = _aligned(self.weights, network.state_dict())
        torch._foreach_lerp_(averages, current, 1 - decay)


def _aligned(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    names: Iterable[str] = ours.keys()
    return [ours[name] for name in names], [theirs[name] for name in ours]
