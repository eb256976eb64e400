"""The end of a training: which weights are returned, and at which threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..events import RunEnded
from ..inference.views import trains_mirrored
from ..io.regions.region import regions_among
from ..models.attention_unet import AttentionUNet
from ..models.model import Model, weights_hash
from ..models.provenance import Provenance, package_versions
from ..outcome import summarized
from .keep import (
    Kept,
    choose_weights,
    dice_of_model,
    dice_on_old,
    gains_for_old,
    has_few_held_out,
    mean_of,
    start_threshold,
    training_windows,
    weighs_old,
    worst_change,
)
from .patches.store import PreparedImage
from .prepare import Setup
from .replay import collect_patches
from .sort_out import SortedOut, sort_out
from .state import Progress
from .trainer import Trainer
from .validation import ImageValidator, calibrate_threshold, dice_of_each, mean_over_images, predict_all

Probabilities = NDArray[np.float32]

UNFINISHED = "Best model so far of a training that was not finished."

# A calibrated threshold may cost the old dataset this much Dice; it seldom gains more on the new one.
THRESHOLD_COST = 0.005


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """The model, and how the training ended: what it is worth on held-out images and on the old dataset."""

    model: Model
    ended: RunEnded


@dataclass(frozen=True)
class _Scores:
    """Mean Dice on held-out images, Dice on each old image, and which images are mistaken for others.

    `spared_old` says that the old ones keep their weights.
    """

    new: float | None
    old: Mapping[str, float]
    sorted_out: SortedOut
    spared_old: bool = False


def conclude(trainer: Trainer, setup: Setup, progress: Progress, *, stopped: bool) -> FinetuneResult:
    """Return the best weights seen, a mix of them with the base's, or the base model if nothing held out got better.

    A model trained from scratch gets patches of its images to carry along.
    """
    network = trainer.averaged_network()
    kept = choose_weights(network, setup, progress)
    if kept.share == 0:
        return _base_result(kept, setup, progress, stopped=stopped)
    network.load_state_dict(kept.weights)
    threshold, dice = _choose_threshold(network, setup, progress, calibrate=setup.config.calibrate and not stopped)
    old = kept.unmixed_old if kept.share == 1 and threshold == start_threshold(setup) else {}
    old = old or dice_on_old(network, setup, threshold)
    is_measured = len(setup.base.card.knows) == 2 and setup.sees_all_alike  # of further datasets nothing is known
    for_all = setup.can_spare_old and is_measured and gains_for_old(progress.old_before, old)
    spared = setup.can_spare_old and not for_all
    rehearsal = setup.base.rehearsal
    if setup.from_scratch:
        rehearsal = collect_patches(setup.train, setup.held_out, setup.config)
    model = replace(setup.finished(kept.weights, threshold, for_all=for_all), rehearsal=rehearsal)
    model = model.with_card(provenance=provenance_of(setup))  # says in which views it predicts
    sorted_out = sort_out(model, setup, scored=stopped)
    new = sorted_out.mean_dice(dice)
    scores = _Scores(new, progress.old_before if spared else old, sorted_out, spared)
    ended = _ended(kept, setup, progress, scores, threshold, stopped=stopped)
    return FinetuneResult(model.with_card(provenance=provenance_of(setup, ended)), ended)


def _base_result(kept: Kept, setup: Setup, progress: Progress, *, stopped: bool) -> FinetuneResult:
    """Return the base: as it was given, or as a new model where it gains by how it is shown the new images."""
    threshold = setup.original.card.threshold
    if _is_raw(kept, setup, progress):
        scores = _Scores(progress.base_dice, progress.old_before, SortedOut())
        return FinetuneResult(setup.as_given, _ended(kept, setup, progress, scores, threshold, stopped=stopped))
    model = setup.with_base_weights()
    sorted_out = sort_out(model, setup, scored=stopped)
    shown = setup.raw_held_out if setup.knows_channels else setup.held_out
    told = dice_of_model(model, shown, setup) if shown and isinstance(setup.validator, ImageValidator) else []
    scores = _Scores(sorted_out.mean_dice(told), progress.old_before, sorted_out)
    ended = _ended(kept, setup, progress, scores, threshold, stopped=stopped)
    provenance = provenance_of(setup, ended)
    changes: dict[str, Any] = {}  # which views it knows, and the size at which it sees objects, stay what they were
    changes["config"] = {**provenance.config, "augment": setup.original.card.provenance.config.get("augment", {})}
    if provenance.statistics is not None:
        changes["statistics"] = provenance.statistics.resized(model.card.rescale / setup.base.card.rescale)
    return FinetuneResult(model.with_card(provenance=provenance.model_copy(update=changes)), ended)


def _is_raw(kept: Kept, setup: Setup, progress: Progress) -> bool:
    """Tell whether nothing new comes of the training: neither weights nor a gain by how new images are shown."""
    if kept.share > 0:
        return False
    if not progress.step or setup.from_scratch or not setup.shows_otherwise:
        return True
    before, shown = progress.raw_as_is, progress.raw_score
    if before is None or shown is None:
        return not setup.base.card.knows[-1].changes
    return shown <= before


def _ended(
    kept: Kept,
    setup: Setup,
    progress: Progress,
    scores: _Scores,
    threshold: float,
    *,
    stopped: bool,
) -> RunEnded:
    """Return how the training ended with a model of these `scores`."""
    kept_raw = _is_raw(kept, setup, progress)
    old = {**scores.old, **scores.sorted_out.old_dice}
    is_mixed = kept.share < 1 and progress.best is not None
    by_dice = isinstance(setup.validator, ImageValidator)
    ended = RunEnded(
        steps=progress.step,
        stopped=stopped,
        kept_raw=kept_raw,
        raw_dice=progress.base_dice,
        finetuned_dice=scores.new,
        old_dice_before=progress.old_dice_before,
        old_dice_after=mean_of(old),
        threshold=threshold,
        summary="",
        share=kept.share,
        unmixed_dice=progress.best_score if is_mixed and by_dice else None,
        unmixed_old_dice=mean_of(kept.unmixed_old) if is_mixed else None,
        old_images=len(old),
        worst_old=worst_change(progress.old_before, old),
        sorted_out=scores.sorted_out.tried,
        mistaken_old=scores.sorted_out.old,
        mistaken_new=scores.sorted_out.new,
        not_sorted_out=scores.sorted_out.failure,
        spared_old=scores.spared_old,
        shows_new_by_choice=setup.shows_new_by_choice,
    )
    held_out = [image.name for image in setup.held_out.images]
    return summarized(ended, setup.config, len(held_out), regions_among(held_out))


def _choose_threshold(
    network: AttentionUNet, setup: Setup, progress: Progress, *, calibrate: bool
) -> tuple[float, list[float]]:
    """Return threshold and Dice of each held-out image; a calibrated threshold never lowers its mean."""
    start = start_threshold(setup)
    held_out = setup.validator.images if isinstance(setup.validator, ImageValidator) else []
    probabilities = _predict(network, held_out, setup)
    threshold = start
    if calibrate:
        windows = training_windows(setup) if has_few_held_out(setup) else []
        everything = [*probabilities, *_predict(network, windows, setup)]
        threshold = calibrate_threshold([*held_out, *windows], everything, start)
        if threshold != start and _costs_the_old_dataset(network, setup, progress, threshold, start):
            threshold = start
    calibrated, plain = (dice_of_each(held_out, probabilities, value) for value in (threshold, start))
    return (threshold, calibrated) if sum(calibrated) >= sum(plain) else (start, plain)


def _costs_the_old_dataset(
    network: AttentionUNet, setup: Setup, progress: Progress, threshold: float, start: float
) -> bool:
    """Tell whether a threshold that suits the new images spoils the old ones, which share it unless they are spared."""
    if setup.can_spare_old:
        return False
    probabilities = _predict(network, setup.old, setup)
    if not probabilities:
        return False
    moved, stayed = (mean_over_images(setup.old, probabilities, value) for value in (threshold, start))
    least = stayed - THRESHOLD_COST
    if weighs_old(setup) and progress.old_dice_before is not None:
        least = max(least, min(stayed, progress.old_dice_before - setup.config.tolerated_drop))
    return moved < least


def _predict(network: AttentionUNet, images: Sequence[PreparedImage], setup: Setup) -> list[Probabilities]:
    return predict_all(
        network, images, setup.config, trains_mirrored(setup.config.augment), setup.device, setup.precision
    )


def provenance_of(setup: Setup, ended: RunEnded | None = None) -> Provenance:
    """Return where the model of this training comes from; without an end, that it is unfinished."""
    base = setup.original.card.provenance
    scores = {} if ended is None else {
        "val_dice": ended.finetuned_dice,
        "raw_val_dice": ended.raw_dice,
        "old_dice_before": ended.old_dice_before,
        "old_dice_after": ended.old_dice_after,
        "finetuned_share": ended.share if ended.share < 1 else None,
    }  # fmt: skip
    unfinished = () if ended else (UNFINISHED,)
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
