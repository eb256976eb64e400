"""Which patches make up the batch of a step: random ones with replay, or the grid of the study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...config import FinetuneConfig
from .sampler import Batch, PatchSampler, PatchView, cut_batch, grid_views
from .store import PatchStore


class BatchSource(Protocol):
    """Gives the batch of any step, the same one each time it is asked."""

    steps: int
    validate_every: int

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, counted from 0."""


class RandomBatches:
    """Random patches of the new images, with a share of patches of the old ones."""

    def __init__(self, new: PatchSampler, old: PatchSampler | None, config: FinetuneConfig) -> None:
        self.steps = config.steps
        self.validate_every = min(config.validate_every, config.steps)
        self._new, self._old = new, old
        self._config = config if old else config.model_copy(update={"replay_share": 0.0})

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`, new patches first."""
        size = self._config.batch_size
        before, after = (replayed_before(index, self._config) for index in (step, step + 1))
        replayed, first_new = after - before, step * size - before
        if self._old is None or replayed == 0:
            return self._new.batch(step, first_new, size)
        old = self._old.batch(step, before, replayed)
        return self._new.batch(step, first_new, size - replayed).join(old) if replayed < size else old


def replayed_before(step: int, config: FinetuneConfig) -> int:
    """Return how many old patches were replayed before `step`; rounded down, so that the share holds over the steps."""
    return int(step * (config.batch_size * config.replay_share))


@dataclass(frozen=True)
class GridSplit:
    """Patches of a grid over all images, split at random as the study does (overlapping neighbors leak)."""

    train: list[PatchView]
    held_out: list[PatchView]


def split_grid(store: PatchStore, config: FinetuneConfig) -> GridSplit:
    """Return the study's split: a random share of all patches is held out."""
    views = grid_views(store.images, config.patch_px, config.patch_stride)
    order = np.random.default_rng((config.seed, 3)).permutation(len(views))
    held_out = min(len(views) - 1, round(len(views) * config.validation_share)) if config.validation == "patches" else 0
    return GridSplit([views[i] for i in order[held_out:]], [views[i] for i in order[:held_out]])


class GridBatches:
    """Every patch of a grid once per epoch, in a new order each time."""

    def __init__(self, views: list[PatchView], store: PatchStore, config: FinetuneConfig) -> None:
        self._views, self._store, self._config = views, store, config
        self.validate_every = -(-len(views) // config.batch_size)
        self.steps = self.validate_every * (config.epochs or 1)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step`; the last one of an epoch may be smaller."""
        epoch, place = divmod(step, self.validate_every)
        order = np.random.default_rng((self._config.seed, 4, epoch)).permutation(len(self._views))
        chosen = order[place * self._config.batch_size : (place + 1) * self._config.batch_size]
        return cut_batch([self._views[i] for i in chosen], self._config.patch_px, self._store.device)
