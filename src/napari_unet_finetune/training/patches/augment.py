"""Random changes of intensity on a batch of normalized patches, on their device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...config import AugmentConfig

Change = Callable[[Tensor, np.random.Generator], Tensor]


def change_intensities(patches: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Return `patches` (B, C, Y, X) with random changes of intensity; each patch draws its own."""
    changed = patches.clone()
    for probability, change in _changes(config):
        for index in np.flatnonzero(rng.random(len(changed)) < probability):
            changed[index] = change(changed[index], rng)
    return changed


def change_objects(
    patches: Tensor, target: Tensor, annotated: Tensor, config: AugmentConfig, rng: np.random.Generator
) -> Tensor:
    """Return `patches` (B, C, Y, X) some of which have objects and surroundings of other intensities, each by itself.

    Only where both are there and every pixel is annotated; `target` and `annotated` are (B, 1, Y, X), 0 or 1. The
    outlines are blurred, lest the change draws them.
    """
    if not config.p_objects:
        return patches
    changed = patches.clone()
    for index in np.flatnonzero(rng.random(len(changed)) < config.p_objects):
        objects = target[index] > 0
        if bool(annotated[index].all()) and bool(objects.any()) and not bool(objects.all()):
            share = blur(target[index], rng.uniform(0.5, 2.0))
            inside, outside = (_shifted(changed[index], where[0], rng) for where in (objects, ~objects))
            changed[index] = share * inside + (1 - share) * outside
    return changed


def _shifted(patch: Tensor, where: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a patch (C, Y, X) with another contrast around the mean of the pixels `where` (Y, X), and brightness."""
    mean = patch[:, where].mean(dim=1)[:, None, None]
    return (patch - mean) * rng.uniform(0.6, 1.4) + mean + rng.uniform(-0.25, 0.25)


def _changes(config: AugmentConfig) -> tuple[tuple[float, Change], ...]:
    """Return chance and change in the order in which an instrument would apply them: optics, sensor, display."""
    return (
        (config.p_invert, lambda patch, _rng: invert(patch)),
        (config.p_blur, lambda patch, rng: blur(patch, rng.uniform(0.5, 1.5))),
        (config.p_low_resolution, lambda patch, rng: lower_resolution(patch, rng.uniform(1, 2))),
        (config.p_noise, lambda patch, rng: add_noise(patch, rng.uniform(0, 0.1), rng)),
        (config.p_brightness, lambda patch, rng: patch * rng.uniform(0.75, 1.25)),
        (config.p_contrast, lambda patch, rng: stretch_contrast(patch, rng.uniform(0.75, 1.25))),
        (config.p_gamma, lambda patch, rng: apply_gamma(patch, rng.uniform(0.7, 1.5), inverted=rng.random() < 0.5)),
    )


def invert(patch: Tensor) -> Tensor:
    """Exchange bright and dark inside the range of `patch`."""
    return patch.amax() + patch.amin() - patch


def blur(patch: Tensor, sigma_px: float) -> Tensor:
    """Blur `patch` (C, Y, X) with a Gaussian, borders reflected."""
    radius = max(1, round(3 * sigma_px))
    offsets = torch.arange(-radius, radius + 1, device=patch.device, dtype=patch.dtype)
    kernel = torch.exp(-(offsets**2) / (2 * sigma_px**2))
    kernel = kernel / kernel.sum()
    rows = F.pad(patch[:, None], (0, 0, radius, radius), mode="reflect")
    columns = F.pad(F.conv2d(rows, kernel.view(1, 1, -1, 1)), (radius, radius, 0, 0), mode="reflect")
    return F.conv2d(columns, kernel.view(1, 1, 1, -1))[:, 0]


def lower_resolution(patch: Tensor, factor: float) -> Tensor:
    """Sample `patch` (C, Y, X) down by `factor` and up again."""
    height, width = patch.shape[-2:]
    # Blurred first, as area averaging would; MPS has no area mode for sizes that do not divide.
    size = (round(height / factor), round(width / factor))
    small = F.interpolate(blur(patch, factor / 3)[None], size=size, mode="bilinear", align_corners=False)
    return F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)[0]


def add_noise(patch: Tensor, std: float, rng: np.random.Generator) -> Tensor:
    """Add Gaussian noise of `std`, in units of the normalized range."""
    noise = rng.standard_normal(patch.shape, dtype=np.float32)
    return patch + std * torch.from_numpy(noise).to(patch.device)


def stretch_contrast(patch: Tensor, factor: float) -> Tensor:
    """Stretch `patch` around its mean, inside its old range."""
    mean = patch.mean()
    return ((patch - mean) * factor + mean).clamp(patch.amin(), patch.amax())


def apply_gamma(patch: Tensor, gamma: float, *, inverted: bool) -> Tensor:
    """Apply a gamma curve on the range of `patch`, on bright or (inverted) on dark values; mean and std stay."""
    low, high = patch.amin(), patch.amax()
    span = (high - low).clamp_min(1e-6)
    unit = (patch - low) / span
    curved = 1 - (1 - unit) ** gamma if inverted else unit**gamma
    std = curved.std().clamp_min(1e-6)
    return (curved - curved.mean()) / std * patch.std() + patch.mean()
