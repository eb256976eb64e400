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
from ..data.appearance import quantiles_of_parts
from ..data.windows import window_starts
from ..errors import DataError
from ..events import drain, never
from ..inference.predict import ALL_EDGES, LOOKED_AT_PX, Predictor
from ..models.model import Model
from ..models.rehearsal_patches import MAX_PIXELS, RehearsalPatches
from ..text import count_of
from .patches.sampler import PatchSampler, PatchView, cut_batch
from .patches.store import PatchStore, PreparedImage

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
# Old images that are told from new ones at the end of a training; more would only take time, and room in the model.
TOLD_APART = 24
# So many windows of each of them are kept, where they have so many side by side and there is room for them, and so many
# are looked at; with four of them the network is often of another mind than with the whole image.
WINDOWS, MOST_WINDOWS = 8, 16
# Where there are more images than have room for so many windows, those told apart take no more than this share of what
# is replayed: fewer are told apart, and the others are replayed as well.
TOLD_APART_SHARE = 0.5
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
        edges = ALL_EDGES if rehearsal.edges is None else tuple(rehearsal.edges[index].tolist())
        store.add(_name(rehearsal, index), pixels, target, quantiles=_quantiles(rehearsal, index), edges=edges)
    return replay, held_out


def _name(rehearsal: RehearsalPatches, index: int) -> str:
    """Return the name of a patch: those of one image have the same one, as far as the file tells."""
    source = None if rehearsal.sources is None else rehearsal.sources[index]
    if source is not None and source >= 0:
        return f"old image {source + 1}"
    return "old images" if rehearsal.held_out[index] else f"base patch {index + 1}"


def _quantiles(rehearsal: RehearsalPatches, index: int) -> tuple[float, ...]:
    """Return the quantiles of the image that a patch is from, empty where they are not known."""
    if rehearsal.quantiles is None or rehearsal.sources is None:
        return ()
    source = rehearsal.sources[index]
    return tuple(rehearsal.quantiles[source].tolist()) if 0 <= source < len(rehearsal.quantiles) else ()


def to_tell_apart(train: PatchStore, held_out: PatchStore) -> list[list[PreparedImage]]:
    """Return some old images, each as one image or a few windows that stand for it; held-out ones come first.

    They are those whose intensities are known as a whole; in models of earlier versions, which know none, the held-out
    ones. How images are told apart does not depend on whether the weights have seen them.
    """
    scored, others = _by_name(held_out), [image for image in _by_name(train) if image[0].quantiles]
    scored = [image for image in scored if image[0].quantiles] or scored
    some, more = _shared_out(len(scored), len(others))
    images = [*(scored[place] for place in some), *(others[place] for place in more)]
    return [[image[place] for place in _evenly(len(image), MOST_WINDOWS)] for image in images]


def _by_name(store: PatchStore) -> list[list[PreparedImage]]:
    images: dict[str, list[PreparedImage]] = {}
    for part in store.images:
        images.setdefault(part.name, []).append(part)
    return list(images.values())


def _shared_out(scored: int, others: int) -> tuple[list[int], list[int]]:
    """Return which of so many images that are scored, and of so many others, are told apart: half of each, or more."""
    count = min(scored, max(TOLD_APART // 2, TOLD_APART - others))
    return _evenly(scored, count), _evenly(others, TOLD_APART - count)


def _evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of `count` places, spread evenly; a single one is in the middle."""
    if most == 1 < count:
        return [count // 2]
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()]


def collect_patches(train: PatchStore, held_out: PatchStore, config: FinetuneConfig) -> RehearsalPatches | None:
    """Return unchanged patches of a base model's images for later replay, or None if none are to be kept.

    None are kept of partly annotated images: in a patch, what is not annotated would pass for background.
    """
    count = min(config.rehearsal_patches, MAX_PIXELS // config.patch_px**2)
    if count == 0 or any(image.anywhere is not None for image in train.images + held_out.images):
        return None
    scored = held_out.part(_evenly(len(held_out), round(count * HELD_OUT_SHARE)))
    to_score = _views_to_score(scored.images, round(count * HELD_OUT_SHARE), config.patch_px)
    others = train.part(_evenly(len(train), count - len(to_score)))
    some, more = _shared_out(len(scored), len(others))
    if (room := _room_to_tell_apart(len(others), len(more), count - len(to_score))) < count - len(to_score):
        more = _evenly(len(others), max(1, min(len(more), room // WINDOWS)))
    told = [*scored.part(some).images, *others.part(more).images]
    to_replay = _views_to_replay(train, others.part(more).images, count - len(to_score), config)
    numbers = _numbers([*told, *scored.images, *train.images])
    views = [*sorted(to_replay, key=lambda view: numbers[id(view.image)]), *to_score]
    batch = cut_batch(views, config.patch_px, train.device)
    patches = RehearsalPatches.from_normalized(
        batch.images.cpu().numpy(),
        batch.target[:, 0].cpu().numpy() > 0.5,
        np.arange(len(views)) >= len(to_replay),
        np.array([numbers[id(view.image)] for view in views], np.int32),
    )
    quantiles = np.array([_quantiles_of(image) for image in told], np.float16)
    return replace(patches, quantiles=quantiles, edges=np.array([_edges(view, config.patch_px) for view in views]))


def _edges(view: PatchView, patch: int) -> list[bool]:
    """Return which sides of a patch stand for the border of what is looked at when its image is predicted.

    Of an image that is looked at wholly these are the ones along its border; of a larger one, all.
    """
    starts = [center - (patch - 1) / 2 for center in view.center]
    return [
        at_border or size > LOOKED_AT_PX
        for start, size in zip(starts, view.image.shape, strict=True)
        for at_border in (start <= 0, start + patch >= size)
    ]


def _numbers(images: Sequence[PreparedImage]) -> dict[int, int]:
    """Return the number of each image by its id, in the order in which they first come."""
    return {one: number for number, one in enumerate(dict.fromkeys(map(id, images)))}


def _quantiles_of(image: PreparedImage) -> tuple[float, ...]:
    return image.quantiles or quantiles_of_parts([image.pixels.float().cpu().numpy()])


def _room_to_tell_apart(images: int, told: int, count: int) -> int:
    """Return how many of `count` windows may be of the `told` ones of so many images: all if no other goes short."""
    return count if images <= told or images * WINDOWS <= count else int(TOLD_APART_SHARE * count)


def _views_to_replay(
    train: PatchStore, told: Sequence[PreparedImage], count: int, config: FinetuneConfig
) -> list[PatchView]:
    """Return `count` windows: some of each image that is `told` apart, the rest anywhere.

    Images take turns for the rest, first the others until they have as many.
    """
    known = set(map(id, told))
    others = train.part(place for place, image in enumerate(train.images) if id(image) not in known)
    each = max(1, min(WINDOWS, _room_to_tell_apart(len(train), len(told), count) // len(told)))
    views = [view for image in told for view in _spread_out(image, each, config.patch_px)]
    plain = config.model_copy(update={"augment": AugmentConfig.none()})
    for store, most in ((others, each * len(others)), (train, count)):
        if len(store):
            views += PatchSampler(store, plain, stream=2).views(min(most, count - len(views)))
    return views


def _views_to_score(images: Sequence[PreparedImage], count: int, patch: int) -> list[PatchView]:
    """Return at most `count` windows, the same number from each image where it has so many.

    They lie side by side, so that small images are covered.
    """
    return [view for image in images for view in _spread_out(image, count // len(images), patch)]


def _spread_out(image: PreparedImage, count: int, patch: int) -> list[PatchView]:
    """Return at most `count` windows with few, some and many objects, a quarter of them without any."""
    starts = [window_starts(size, patch, patch) for size in image.shape]
    covered = {
        (row, column): int(image.target[max(0, row) : row + patch, max(0, column) : column + patch].sum())
        for row, column in itertools.product(*starts)
    }
    empty = [start for start, pixels in covered.items() if not pixels]
    others = sorted((start for start, pixels in covered.items() if pixels), key=covered.__getitem__)
    share = min(len(others), max(count - len(empty), math.ceil(OBJECTS_SHARE * count)))
    chosen = [others[place] for place in _evenly(len(others), share)]
    chosen += [empty[place] for place in _evenly(len(empty), count - share)]
    return [PatchView(image, (row + (patch - 1) / 2, column + (patch - 1) / 2), np.eye(2)) for row, column in chosen]
