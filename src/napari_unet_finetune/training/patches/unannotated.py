"""Images without masks: learned from by what the network is sure of there itself, on average over its last steps.

The averaged weights look at a patch as it is; the network learns to say the same of it with other intensities and with
a part of another patch in it (Tarvainen and Valpola, arXiv 1703.01780; Sohn et al., arXiv 2001.07685; French et al.,
arXiv 1906.01916). Where the averaged weights are not sure, nothing is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...config import MOST_UNANNOTATED, AugmentConfig, FinetuneConfig
from ...data.annotated_image import AnnotatedImage
from ...data.normalize import ModelView, network_input
from ...errors import DataError
from ...models.provenance import TrainingImage
from ...text import count_of, first_of
from .augment import change_intensities
from .sampler import Batch, PatchSampler, cut_batch
from .store import PatchStore

# A pixel is learned from where its probability is this far from undecided.
SURE = 0.9
# Before so many steps, or half of all, the network knows too little of the new images to be its own teacher.
FIRST_STEP = 150
# Chance that a part of another patch covers a patch, and how much of it.
MIXED, MIXED_SHARE = 0.5, (0.1, 0.5)
_STREAM = 6
# How intensities are changed in what is learned from, beside how that training changes them.
_CHANGES = {
    "p_gamma": 0.5,
    "p_brightness": 0.5,
    "p_contrast": 0.5,
    "p_noise": 0.3,
    "p_blur": 0.3,
    "p_low_resolution": 0.2,
}


def first_step(config: FinetuneConfig) -> int:
    """Return the step, counted from 0, from which on images without masks take part."""
    return min(FIRST_STEP, config.steps // 2)


Teacher = Callable[[Tensor], Tensor]
"""Takes patches (B, C, P, P) and returns probabilities (B, 1, P, P), float32."""


class UnannotatedPatches:
    """Draws patches of images without masks; what it draws follows from seed and step alone."""

    def __init__(self, store: PatchStore, config: FinetuneConfig) -> None:
        self._config = config
        self._sampler = PatchSampler(store, config.model_copy(update={"foreground_share": 0.0}), stream=_STREAM)
        self._augment: AugmentConfig = config.augment.model_copy(update=_CHANGES)
        self._first_step = first_step(config)

    def count(self, step: int) -> int:
        """Return how many patches `step` has, counted from 0."""
        if step < self._first_step:
            return 0
        return max(1, round(self._config.batch_size * self._config.unannotated_share))

    def batch(self, step: int, teacher: Teacher) -> Batch:
        """Return the patches of `step`, with what `teacher` says of them as they are, annotated where it is sure."""
        count = self.count(step)
        rng = np.random.default_rng((self._config.seed, _STREAM, step, 1))
        views = self._sampler.draw_views(step * count, max(count, 2), rng)  # a single one has another to be mixed with
        plain = cut_batch(views, self._config.patch_px, self._sampler.store.device)
        seen = teacher(plain.images)
        sure = (seen - 0.5).abs() > SURE - 0.5
        changed = change_intensities(plain.images, self._augment, rng)
        mixed = _mixed(Batch(changed, (seen > 0.5).float(), sure.float()), rng)
        return next(mixed.split(count))


@dataclass(frozen=True)
class Unannotated:
    """Images without masks in memory, how they are known again, and what the user should know of them."""

    store: PatchStore
    records: tuple[TrainingImage, ...] = ()
    notice: str = ""


def load_unannotated(
    images: Sequence[AnnotatedImage],
    view: ModelView,
    config: FinetuneConfig,
    device: torch.device,
    *,
    annotated: Iterable[TrainingImage],
) -> Unannotated:
    """Return some of `images` as a model with `view` sees them, spread evenly; none where that is off.

    Those that are among the `annotated` ones, whatever their names, are passed over, and those that cannot be used.
    """
    store, records, known = PatchStore(device), list[TrainingImage](), list(annotated)
    if not config.unannotated_share:
        return Unannotated(store)
    refused = list[str]()
    for place in some_of(len(images)):
        try:
            image = replace(images[place], labels=None, annotated=None)
            record = TrainingImage.of(image)
            if any(record.is_same(one) for one in known):
                continue
            seen = network_input(image, view)
        except DataError as error:
            refused.append(str(error))
            continue
        store.add(image.name, seen.pixels, np.zeros(seen.pixels.shape[1:], bool))
        records.append(record)
    return Unannotated(store, tuple(records), _notice(records, refused))


def some_of(count: int) -> list[int]:
    """Return which of so many images are learned from: all, or some that are spread evenly."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, MOST_UNANNOTATED)).round()]


def _notice(records: Sequence[TrainingImage], refused: Sequence[str]) -> str:
    """Say which images without masks take part, and which cannot."""
    left = f" {count_of(len(refused), 'other')} cannot be used: {refused[0]}" if refused else ""
    if not records:
        return f"There are no images without masks that could be learned from as well.{left}"
    names = first_of([record.name for record in records])
    return f"Learned from as well: {count_of(len(records), 'image')} without masks ({names}).{left}"


def _mixed(batch: Batch, rng: np.random.Generator) -> Batch:
    """Return the patches, some of them with a rectangle of the one before."""
    parts = [part.clone() for part in (batch.images, batch.target, batch.annotated)]
    size = batch.images.shape[-1]
    for index in np.flatnonzero(rng.random(len(batch.images)) < MIXED):
        height, width = (round(size * np.sqrt(rng.uniform(*MIXED_SHARE))) for _ in range(2))
        top, left = rng.integers(size - height + 1), rng.integers(size - width + 1)
        window = (slice(None), slice(top, top + height), slice(left, left + width))
        for part, source in zip(parts, (batch.images, batch.target, batch.annotated), strict=True):
            part[index][window] = source[index - 1][window]
    return Batch(*parts)
