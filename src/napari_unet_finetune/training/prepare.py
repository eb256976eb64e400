"""From images, base model and settings to all that a training works with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..config import FinetuneConfig, PrecisionName
from ..data.annotated_image import AnnotatedImage
from ..data.normalize import model_input
from ..data.split import split_images
from ..device import pick_device, pick_precision
from ..errors import DataError
from ..models.checkpoint import Checkpoint
from ..models.provenance import ImageRecord
from .batches import BatchSource, GridBatches, RandomBatches, split_grid
from .losses import build_loss
from .orientation import settle_orientation
from .patches import PatchStore
from .rehearsal import store_patches
from .trainer import one_backward
from .validation import ImageValidator, PatchValidator, Validator


@dataclass(frozen=True)
class Setup:
    """All that a training works with, fixed before its first step."""

    base: Checkpoint
    config: FinetuneConfig
    device: torch.device
    precision: PrecisionName
    train: PatchStore
    held_out: PatchStore
    source: BatchSource
    validator: Validator | None
    base_held_out: PatchStore
    records: tuple[ImageRecord, ...]
    notices: tuple[str, ...]


def prepare(
    images: Sequence[AnnotatedImage],
    checkpoint: Checkpoint,
    config: FinetuneConfig,
    *,
    base_images: Sequence[AnnotatedImage] | None = None,
) -> Setup:
    """Check and normalise the images, split them, and set up batches and validation.

    Raises
    ------
    DataError
        If there are no images, none shows an object, or one does not fit the model.
    DeviceError
        If the chosen device is not present.
    """
    if len(images) == 0:
        raise DataError("There are no annotated images to train on. Annotate at least one image.")
    base, notices = _fit_channels(images[0], checkpoint, config)
    device = pick_device(config.device)
    train, held_out, records, note = _load(images, base, config, device)
    if not any(len(image.foreground) for image in train.images):
        raise DataError(
            "None of the training images shows an object. Annotate at least one object, or check the masks."
        )
    config, layers_note = settle_orientation(config, train.images)
    replay, base_held_out, replay_note = _old_images(base, base_images, config, device)
    precision = pick_precision(config.precision, device, _timed_pass(base, config, device))
    source, validator = _batches(train, held_out, replay, config, base, precision)
    return Setup(
        base, config, device, precision, train, held_out, source, validator, base_held_out, records,
        tuple(filter(None, (*notices, note, layers_note, replay_note))),
    )  # fmt: skip


def _fit_channels(
    image: AnnotatedImage, checkpoint: Checkpoint, config: FinetuneConfig
) -> tuple[Checkpoint, tuple[str, ...]]:
    """Return the base model with the channels the settings ask for, and what the user should know of it."""
    base = replace(checkpoint, patch_size=config.patch_size)
    if config.channels is not None:
        base = replace(base, channels=config.channels)
    if config.in_channels is not None and config.in_channels != base.model.in_channels:
        note = f"The model's first layer was adapted from {base.model.in_channels} to {config.in_channels} channels."
        return base.with_in_channels(config.in_channels), (note,)
    if image.channels == base.model.in_channels:
        return base, ()
    rule = "repeated" if image.channels == 1 else f"reduced by the rule '{base.channels.method}'"
    return base, (
        f"Images have {image.channels} channel(s) and the model takes {base.model.in_channels}: they are {rule}.",
    )


def _load(
    images: Sequence[AnnotatedImage], base: Checkpoint, config: FinetuneConfig, device: torch.device
) -> tuple[PatchStore, PatchStore, tuple[ImageRecord, ...], str]:
    """Return training and held-out images, a record of each, and how much the held-out ones tell."""
    fractions = [float(image.target.mean()) for image in images]
    split = split_images(fractions, config.validation_share, config.seed)
    held_out_indices = set(split.validation) if config.validation == "images" else set()
    train, held_out, records = PatchStore(device), PatchStore(device), []
    for index, image in enumerate(images):
        _add(held_out if index in held_out_indices else train, image, base)
        records.append(ImageRecord(name=image.name, sha256=image_hash(image)))
    return train, held_out, tuple(records), split.note if config.validation == "images" else ""


def _add(store: PatchStore, image: AnnotatedImage, base: Checkpoint) -> None:
    pixels = model_input(
        image, in_channels=base.model.in_channels, channels=base.channels, normalization=base.normalization
    )
    store.add(image.name, pixels, image.target, image.annotated)


def image_hash(image: AnnotatedImage) -> str:
    """Return the sha256 of an image's pixels and labels."""
    digest = hashlib.sha256(repr((image.image.shape, str(image.image.dtype))).encode())
    digest.update(np.ascontiguousarray(image.image).data)
    if image.labels is not None:
        digest.update(np.ascontiguousarray(image.labels).data)
    return digest.hexdigest()


def _old_images(
    base: Checkpoint, base_images: Sequence[AnnotatedImage] | None, config: FinetuneConfig, device: torch.device
) -> tuple[PatchStore | None, PatchStore, str]:
    """Return images of the old dataset to replay and to score, from a folder or from the base model itself."""
    if base_images:
        old = config.model_copy(update={"validation": "images"})
        replay, held_out, _, _ = _load(base_images, base, old, device)
        return replay, held_out, ""
    if base.rehearsal is not None:
        replay, held_out = store_patches(base.rehearsal, device)
        return (replay if len(replay) else None), held_out, ""
    if config.replay_share == 0:
        return None, PatchStore(device), ""
    return None, PatchStore(device), (
        "The base model carries no patches of its old dataset and no old images were given: nothing is replayed, "
        "and what is forgotten cannot be measured."
    )  # fmt: skip


def _timed_pass(base: Checkpoint, config: FinetuneConfig, device: torch.device) -> Callable[[], object]:
    model = base.build_model().to(device)
    return one_backward(model, config.patch_size, config.batch_size)


def _batches(
    train: PatchStore, held_out: PatchStore, replay: PatchStore | None, config: FinetuneConfig,
    base: Checkpoint, precision: PrecisionName,
) -> tuple[BatchSource, Validator | None]:  # fmt: skip
    images = ImageValidator(held_out, config, precision, base.threshold) if len(held_out) else None
    if config.epochs is None:
        return RandomBatches(train, replay, config), images
    grid = split_grid(train, config)
    source = GridBatches(grid.train, train, config)
    if not grid.held_out:
        return source, images
    loss = build_loss(config.loss, config.false_positive_weight)
    return source, PatchValidator(grid.held_out, train, config, loss)
