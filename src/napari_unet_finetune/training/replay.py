"""Old images against forgetting: replayed while training, and scored before and after."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.special import logit

from ..config import AugmentConfig, FinetuneConfig, PredictConfig
from ..data.annotated_image import AnnotatedImage
from ..data.windows import window_starts
from ..errors import DataError
from ..events import drain, never
from ..inference.predict import Predictor
from ..models.model import Model
from ..models.rehearsal_patches import MAX_PIXELS, RehearsalPatches
from ..text import count_of
from .patches import PatchSampler, PatchView, cut_batch
from .store import PatchStore, PreparedImage

# More would only make the start of a training longer: a default one replays 1,600 patches.
MOST_IMAGES = 24
MOST_PIXELS = 16 * 1024**2
# Within this distance of the threshold, in logits, the base model is not sure enough to be imitated.
UNSURE = 1.0
_SURE_TO_BE_FINITE = 1e-6


def some_evenly(images: Sequence[AnnotatedImage]) -> Iterator[AnnotatedImage]:
    """Yield some of `images`, spread evenly: at most `MOST_IMAGES`, and fewer if the first one is large."""
    height, width = images[0].shape
    count = min(MOST_IMAGES, len(images), max(1, MOST_PIXELS // (height * width)))
    for place in np.linspace(0, len(images) - 1, count).round():
        yield images[int(place)]


def imitated(
    base: Model,
    images: Sequence[AnnotatedImage],
    config: FinetuneConfig,
    *,
    should_stop: Callable[[], bool] = never,
) -> Iterator[AnnotatedImage]:
    """Yield some of `images` with the labels that `base` gives them, annotated where it is sure of them.

    Once `should_stop` says yes, the rest comes without objects: there will be no training.

    Raises
    ------
    DataError
        If an image has labels of its own, or cannot be used by the model.
    """
    quick = PredictConfig(device=config.device, precision=config.precision, augment=False, overlap=0.25)
    predictor = Predictor(base, quick)
    for image in some_evenly(images):
        if image.labels is not None:
            raise DataError(
                f"{image.name}: this old image has labels and others have none. Give the labels of all, or of none."
            )
        prediction = drain(predictor.stream(image, should_stop=should_stop))
        if prediction is None:  # nothing will be trained, but the images are still those of the run
            yield replace(image, labels=np.zeros(image.shape, bool))
            continue
        sure = np.abs(_logit(prediction.probabilities) - _logit(predictor.threshold)) > UNSURE
        yield replace(image, labels=prediction.probabilities > predictor.threshold, annotated=sure)


def imitation_notice(given: int, used: int, *, measured: bool) -> str:
    """Say what stands in for the masks of `given` old images, of which `used` are replayed."""
    some = f" ({used} of them, spread evenly)" if used < given else ""
    where = (
        "What is forgotten is measured on the patches that the base model carries."
        if measured
        else "What is forgotten cannot be measured; give masks of some old images to see it."
    )
    have = "has no mask" if given == 1 else "have no masks"
    return f"The {count_of(given, 'old image')} {have}: what the base model predicts there is replayed{some}. {where}"


def _logit(probability: float | np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability, _SURE_TO_BE_FINITE, 1 - _SURE_TO_BE_FINITE)))


# Of the patches kept in a base model, this share comes from its held-out images and is only used to score.
HELD_OUT_SHARE = 0.25
# Of those, this share shows objects, where an image has so many windows with some.
OBJECTS_SHARE = 0.75
# The pull towards the base's weights where nothing can be replayed; docs/experiments.md has what it saves and costs.
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
        f"The weights are pulled toward the base's instead (Pull to the base: {PULL_WITHOUT_REPLAY:g}), which slows "
        "forgetting but does not prevent it."
    )


def store_patches(rehearsal: RehearsalPatches, device: torch.device) -> tuple[PatchStore, PatchStore]:
    """Return the patches as two stores: those to replay, and those to score."""
    replay, held_out = PatchStore(device), PatchStore(device)
    for index, (pixels, target) in enumerate(zip(rehearsal.normalized(), rehearsal.targets, strict=True)):
        store = held_out if rehearsal.held_out[index] else replay
        store.add(_name(rehearsal, index), pixels, target)
    return replay, held_out


def _name(rehearsal: RehearsalPatches, index: int) -> str:
    """Return the name of a patch; those of one held-out image have the same one, since they are scored together."""
    if not rehearsal.held_out[index]:
        return f"base patch {index + 1}"
    return "old images" if rehearsal.sources is None else f"old image {rehearsal.sources[index] + 1}"


def collect_patches(train: PatchStore, held_out: PatchStore, config: FinetuneConfig) -> RehearsalPatches | None:
    """Return unchanged patches of a base model's images for later replay, or None if none are to be kept.

    None are kept of partly annotated images: in a patch, what is not annotated would pass for background.
    """
    count = min(config.rehearsal_patches, MAX_PIXELS // config.patch_px**2)
    if count == 0 or any(image.anywhere is not None for image in train.images + held_out.images):
        return None
    views, sources = _views_to_score(held_out, round(count * HELD_OUT_SHARE), config.patch_px)
    plain = config.model_copy(update={"augment": AugmentConfig.none()})
    replayed = count - len(views)
    parts = [PatchSampler(train, plain, stream=2).batch(0, 0, replayed)] if replayed else []
    parts += [cut_batch(views, config.patch_px, held_out.device)] if views else []
    return RehearsalPatches.from_normalized(
        np.concatenate([part.images.cpu().numpy() for part in parts]),
        np.concatenate([part.target[:, 0].cpu().numpy() > 0.5 for part in parts]),
        np.arange(count) >= replayed,
        np.array([-1] * replayed + sources, np.int32),
    )


def _views_to_score(store: PatchStore, count: int, patch: int) -> tuple[list[PatchView], list[int]]:
    """Return at most `count` windows, the same number from each image where it has so many, and whose they are.

    They lie side by side, so that small images are covered.
    """
    views, sources = [], []
    some = np.linspace(0, len(store) - 1, min(len(store), count)).round().astype(int)
    for place in some:
        image = store.images[place]
        for center in _spread_out(image, count // len(some), patch):
            views.append(PatchView(image, center, np.eye(2)))
            sources.append(int(place))
    return views, sources


def _spread_out(image: PreparedImage, count: int, patch: int) -> list[tuple[float, float]]:
    """Return centers of at most `count` windows with few, some and many objects, a quarter of them without any."""
    starts = [window_starts(size, patch, patch) for size in image.shape]
    covered = {
        (row, column): int(image.target[max(0, row) : row + patch, max(0, column) : column + patch].sum())
        for row, column in itertools.product(*starts)
    }
    empty = [start for start, pixels in covered.items() if not pixels]
    others = sorted((start for start, pixels in covered.items() if pixels), key=covered.__getitem__)
    share = min(len(others), max(count - len(empty), math.ceil(OBJECTS_SHARE * count)))
    chosen = [*_some(others, share), *_some(empty, count - share)]
    return [(row + (patch - 1) / 2, column + (patch - 1) / 2) for row, column in chosen]


def _some(places: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Return at most `count` of `places`, evenly taken."""
    return [places[int(index)] for index in np.linspace(0, len(places) - 1, min(count, len(places))).round()]


def replayed_before(step: int, config: FinetuneConfig) -> int:
    """Return how many old patches were replayed before `step`; rounded down, so that the share holds over the steps."""
    return int(step * (config.batch_size * config.replay_share))
