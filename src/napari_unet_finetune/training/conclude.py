"""The end of a training: which weights are returned, and at which threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..events import RunEnded
from ..inference.views import knows_mirrored, trains_mirrored
from ..models.attention_unet import AttentionUNet
from ..models.model import Model, weights_hash
from ..models.provenance import Provenance, package_versions
from ..outcome import ENOUGH_HELD_OUT, summarized
from .prepare import Setup
from .replay import collect_patches
from .state import Progress
from .store import PreparedImage
from .trainer import Trainer
from .validation import ImageValidator, calibrate_threshold, mean_dice, pooled_dice, predict_all

Probabilities = NDArray[np.float32]

# A difference in Dice that one or two images cannot tell from chance.
NOISE = 0.01
# The same for more held-out images.
SMALL_NOISE = 0.002
# A calibrated threshold may cost the old dataset this much Dice; it seldom gains more on the new one.
THRESHOLD_COST = 0.005


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """The model, and how the training ended: what it is worth on held-out images and on the old dataset."""

    model: Model
    ended: RunEnded


def is_best(score: float, setup: Setup, progress: Progress) -> bool:
    """Tell whether the weights of a validation are to be kept instead of the best so far.

    Where there is an old dataset, the last ones are kept even if they are worse by no more than chance: the new images
    hardly lose by it, and at the end of the schedule the old ones have gained (docs/experiments.md).
    """
    best = progress.best_score
    if best is None or score > best:
        return True
    is_last = progress.step == setup.source.steps and isinstance(setup.validator, ImageValidator)
    raw_decides = progress.raw_score is not None and score <= progress.raw_score < best
    if not is_last or not setup.old or setup.config.schedule == "constant" or raw_decides:
        return False
    return score >= best - (SMALL_NOISE if len(setup.held_out) >= ENOUGH_HELD_OUT else NOISE)


def conclude(trainer: Trainer, setup: Setup, progress: Progress, *, stopped: bool) -> FinetuneResult:
    """Return the best weights seen, or the base model if nothing held out got better.

    A model trained from scratch gets patches of its images to carry along.
    """
    network = trainer.averaged_network()
    if progress.best is None or _raw_is_as_good(network, setup, progress):
        scores, threshold = (progress.raw_score, progress.old_dice_before), setup.original.card.threshold
        return FinetuneResult(
            setup.original, _ended(setup, progress, scores, threshold, stopped=stopped, kept_raw=True)
        )
    network.load_state_dict(progress.best)
    threshold, dice = _choose_threshold(network, setup, calibrate=setup.config.calibrate and not stopped)
    ended = _ended(setup, progress, (dice, dice_on_old(network, setup, threshold)), threshold, stopped=stopped)
    rehearsal = setup.base.rehearsal
    if setup.from_scratch:
        rehearsal = collect_patches(setup.train, setup.held_out, setup.config)
    return FinetuneResult(
        replace(
            setup.base.with_card(threshold=threshold, provenance=provenance_of(setup, ended)),
            weights=progress.best,
            rehearsal=rehearsal,
        ),
        ended,
    )


def _ended(
    setup: Setup,
    progress: Progress,
    scores: tuple[float | None, float | None],
    threshold: float,
    *,
    stopped: bool,
    kept_raw: bool = False,
) -> RunEnded:
    """Return how the training ended with a model of these `scores`: Dice on held-out images and on the old dataset."""
    finetuned_dice, old_dice_after = scores
    ended = RunEnded(
        steps=progress.step,
        stopped=stopped,
        kept_raw=kept_raw,
        raw_dice=progress.raw_score if kept_raw else progress.base_dice,
        finetuned_dice=finetuned_dice,
        old_dice_before=progress.old_dice_before,
        old_dice_after=old_dice_after,
        threshold=threshold,
        summary="",
    )
    return summarized(ended, setup.config, len(setup.held_out))


def _raw_is_as_good(network: AttentionUNet, setup: Setup, progress: Progress) -> bool:
    """Tell whether the base model should be kept.

    Held-out images decide. If there are only one or two and the loss on them is no more than noise, the training
    images decide too: the base model never saw them, so a clear gain on them counts.
    """
    if not setup.config.keep_raw or progress.best_score is None or progress.raw_score is None or progress.best is None:
        return False
    gain = progress.best_score - progress.raw_score
    if gain > 0:
        return False
    if len(setup.held_out) >= ENOUGH_HELD_OUT or gain < -NOISE:
        return True
    raw = _dice_with(network, setup.base.weights, setup, knows_mirrored(setup.original))
    finetuned = _dice_with(network, progress.best, setup, trains_mirrored(setup.config.augment))
    return finetuned <= raw + NOISE


def _dice_with(network: AttentionUNet, weights: Mapping[str, Tensor], setup: Setup, mirrored: bool) -> float:
    """Return the mean Dice on the training images."""
    network.load_state_dict(weights)
    windows = [image.cropped(setup.config.validation_crop_px) for image in setup.train.images]
    return mean_dice(windows, _predict(network, windows, setup, mirrored), setup.base.card.threshold)


def dice_on_old(network: AttentionUNet, setup: Setup, threshold: float, mirrored: bool | None = None) -> float | None:
    """Return Dice on all held-out images or patches of the old dataset together, or None if there are none.

    `mirrored` says whether the model knows mirrored views; left out, whether this training shows them.
    """
    return pooled_dice(setup.old, _predict(network, setup.old, setup, mirrored), threshold) if setup.old else None


def _choose_threshold(network: AttentionUNet, setup: Setup, *, calibrate: bool) -> tuple[float, float | None]:
    """Return threshold and Dice on held-out images; a calibrated threshold never lowers that Dice."""
    start = setup.config.threshold or setup.base.card.threshold
    held_out = setup.validator.images if isinstance(setup.validator, ImageValidator) else []
    probabilities = _predict(network, held_out, setup)
    threshold = start
    if calibrate:
        others = setup.train.images if len(held_out) < ENOUGH_HELD_OUT else []
        windows = [image.cropped(setup.config.validation_crop_px) for image in others]
        everything = [*probabilities, *_predict(network, windows, setup)]
        threshold = calibrate_threshold([*held_out, *windows], everything, start)
        if threshold != start and _costs_the_old_dataset(network, setup, threshold, start):
            threshold = start
    if not held_out:
        return threshold, None
    calibrated, plain = (mean_dice(held_out, probabilities, value) for value in (threshold, start))
    return (threshold, calibrated) if calibrated >= plain else (start, plain)


def _costs_the_old_dataset(network: AttentionUNet, setup: Setup, threshold: float, start: float) -> bool:
    """Tell whether a threshold that suits the new images spoils the old ones: they share it."""
    probabilities = _predict(network, setup.old, setup)
    if not probabilities:
        return False
    moved, stayed = (pooled_dice(setup.old, probabilities, value) for value in (threshold, start))
    return moved < stayed - THRESHOLD_COST


def _predict(
    network: AttentionUNet, images: Sequence[PreparedImage], setup: Setup, mirrored: bool | None = None
) -> list[Probabilities]:
    mirrored = trains_mirrored(setup.config.augment) if mirrored is None else mirrored
    return predict_all(network, images, setup.config, mirrored, setup.device, setup.precision)


def provenance_of(setup: Setup, ended: RunEnded | None = None) -> Provenance:
    """Return where the model of this training comes from; without an end, that it is unfinished."""
    base = setup.original.card.provenance
    scores = {} if ended is None else {
        "val_dice": ended.finetuned_dice,
        "raw_val_dice": ended.raw_dice,
        "old_dice_before": ended.old_dice_before,
        "old_dice_after": ended.old_dice_after,
    }  # fmt: skip
    unfinished = () if ended else ("Best model so far of a training that was not finished.",)
    return Provenance(
        parent=base.name or None,
        parent_sha256=None if setup.from_scratch else weights_hash(setup.original.weights),
        images=setup.records,
        held_out=tuple(image.name for image in setup.held_out.images),
        config=setup.config.model_dump(mode="json"),
        seed=setup.config.seed,
        versions=package_versions(),
        scores={name: value for name, value in scores.items() if value is not None},
        statistics=setup.statistics,
        notes=(*unfinished, *setup.notices),
        base_license=base.licence or base.base_license,
        base_citation=base.citation or base.base_citation,
    )
