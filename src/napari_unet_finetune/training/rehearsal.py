"""Old images against forgetting: replayed while training, and scored before and after."""

from __future__ import annotations

import numpy as np
import torch

from ..config import AugmentConfig, FinetuneConfig
from ..models.rehearsal_patches import RehearsalPatches
from .patches import PatchSampler
from .store import PatchStore

# Of the patches kept in a base model, this share comes from its held-out images and is only used to score.
HELD_OUT_SHARE = 0.25
# Fewer patches are kept if they are large: this many pixels are 1,024 patches of 128 px.
MAX_PIXELS = 1024 * 128**2
# The pull towards the base's weights where nothing can be replayed; docs/results.md has what it saves and costs.
PULL_WITHOUT_REPLAY = 0.01


def settle_pull(config: FinetuneConfig, *, has_old_images: bool, from_scratch: bool) -> tuple[FinetuneConfig, str]:
    """Return settings in which an empty `l2sp` is a number, and a sentence if it is on without being asked for."""
    if config.l2sp is not None:
        return config, ""
    needed = not (has_old_images or from_scratch) and config.replay_share > 0
    settled = config.model_copy(update={"l2sp": PULL_WITHOUT_REPLAY if needed else 0.0})
    if not needed:
        return settled, ""
    return settled, (
        f"The weights are pulled towards the base's instead (l2sp = {PULL_WITHOUT_REPLAY:g}), which slows forgetting "
        "but does not prevent it."
    )


def store_patches(rehearsal: RehearsalPatches, device: torch.device) -> tuple[PatchStore, PatchStore]:
    """Return the patches as two stores: those to replay, and those to score."""
    replay, held_out = PatchStore(device), PatchStore(device)
    for index, (pixels, target) in enumerate(zip(rehearsal.normalized(), rehearsal.targets, strict=True)):
        store = held_out if rehearsal.held_out[index] else replay
        store.add(f"base patch {index + 1}", pixels, target)
    return replay, held_out


def collect_patches(train: PatchStore, held_out: PatchStore, config: FinetuneConfig) -> RehearsalPatches | None:
    """Return unchanged patches of a base model's images for later replay, or None if none are to be kept.

    None are kept of partly annotated images: in a patch, what is not annotated would pass for background.
    """
    count = min(config.rehearsal_patches, MAX_PIXELS // config.patch_px**2)
    if count == 0 or any(image.anywhere is not None for image in train.images + held_out.images):
        return None
    scored = round(count * HELD_OUT_SHARE) if len(held_out) else 0
    parts = [_draw(store, drawn, config) for store, drawn in ((train, count - scored), (held_out, scored)) if drawn]
    return RehearsalPatches.from_normalized(
        np.concatenate([images for images, _ in parts]),
        np.concatenate([targets for _, targets in parts]),
        np.arange(count) >= count - scored,
    )


def _draw(store: PatchStore, count: int, config: FinetuneConfig) -> tuple[np.ndarray, np.ndarray]:
    plain = config.model_copy(update={"augment": AugmentConfig.none()})
    batch = PatchSampler(store, plain, stream=2).batch(0, 0, count)
    return batch.images.cpu().numpy(), batch.target[:, 0].cpu().numpy() > 0.5


def replayed_before(step: int, config: FinetuneConfig) -> int:
    """Return how many old patches were replayed before `step`; rounded down, so that the share holds over the steps."""
    return int(step * (config.batch_size * config.replay_share))
