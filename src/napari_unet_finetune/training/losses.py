"""Losses for few and partly annotated images; every one looks at annotated pixels only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import LossName

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes logits, target (0 or 1) and annotated (0 or 1), all float (B, 1, Y, X); returns a scalar."""

SMOOTH = 1e-6
# Below this share of predicted foreground the published loss adds the Tversky term to BCE; above, it drops BCE.
SMALL_FOREGROUND = 0.0625
FOCAL_EXPONENT = 0.75


def build_loss(name: LossName, false_positive_weight: float) -> Loss:
    """Return the loss called `name`; `false_positive_weight` is alpha of its Tversky index.

    ``bce_dice`` is BCE plus 1 - Tversky index, which at 0.5 is the Dice loss. ``dynamic`` is the loss of PAULow
    to the letter; ``dynamic_safe`` adds BCE in its third branch, where the original has next to no gradient on
    patches without objects.
    """

    def region(logits: Tensor, target: Tensor, annotated: Tensor) -> Tensor:
        return 1 - tversky_index(logits, target, annotated, false_positive_weight)

    def focal(logits: Tensor, target: Tensor, annotated: Tensor) -> Tensor:
        # The clamp keeps the slope finite where the index is exactly 1.
        return region(logits, target, annotated).clamp_min(SMOOTH) ** FOCAL_EXPONENT

    def bce_dice(logits: Tensor, target: Tensor, annotated: Tensor) -> Tensor:
        return bce(logits, target, annotated) + region(logits, target, annotated)

    def dynamic(logits: Tensor, target: Tensor, annotated: Tensor, *, safe: bool = False) -> Tensor:
        foreground = predicted_foreground(logits, annotated)
        if foreground == 0:
            return bce(logits, target, annotated)
        if foreground < SMALL_FOREGROUND:
            return bce_dice(logits, target, annotated)
        large = region(logits, target, annotated) + focal(logits, target, annotated)
        return large + bce(logits, target, annotated) if safe else large

    losses: dict[LossName, Loss] = {
        "bce_dice": bce_dice,
        "dynamic": dynamic,
        "dynamic_safe": lambda logits, target, annotated: dynamic(logits, target, annotated, safe=True),
        "tversky": region,
        "focal_tversky": focal,
    }
    return losses[name]


def bce(logits: Tensor, target: Tensor, annotated: Tensor) -> Tensor:
    """Return binary cross entropy, averaged over annotated pixels."""
    per_pixel = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (per_pixel * annotated).sum() / annotated.sum().clamp_min(1)


def tversky_index(logits: Tensor, target: Tensor, annotated: Tensor, false_positive_weight: float) -> Tensor:
    """Return the Tversky index over the whole batch (Salehi et al., MLMI 2017); at weight 0.5 it is soft Dice."""
    probabilities = torch.sigmoid(logits) * annotated
    truth = target * annotated
    true_positive = (probabilities * truth).sum()
    false_positive = probabilities.sum() - true_positive
    false_negative = truth.sum() - true_positive
    missed = false_positive_weight * false_positive + (1 - false_positive_weight) * false_negative
    return (true_positive + SMOOTH) / (true_positive + missed + SMOOTH)


def predicted_foreground(logits: Tensor, annotated: Tensor) -> float:
    """Return the share of annotated pixels whose probability is above 0.5."""
    with torch.no_grad():
        return float(((logits > 0) * annotated).sum() / annotated.sum().clamp_min(1))
