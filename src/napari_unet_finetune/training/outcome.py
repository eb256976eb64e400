"""The end of a training: which weights are returned, at which threshold, and what to tell of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..models.attention_unet import AttentionUNet
from ..models.checkpoint import Checkpoint, weights_hash
from ..models.provenance import Provenance, package_versions
from .prepare import Setup
from .state import Progress
from .trainer import Trainer
from .validation import ImageValidator, calibrate_threshold, mean_dice, predict_prepared

# Below this many held-out images a threshold is calibrated on all annotated images.
ENOUGH_HELD_OUT = 3


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """The model and its scores: Dice on held-out images, and on the old dataset before and after."""

    checkpoint: Checkpoint
    steps: int
    stopped: bool
    kept_raw: bool
    raw_dice: float | None
    finetuned_dice: float | None
    base_dice_before: float | None
    base_dice_after: float | None
    summary: str


def conclude(trainer: Trainer, setup: Setup, progress: Progress, *, stopped: bool) -> FinetuneResult:
    """Return the best weights seen, or the base model if nothing held out got better."""
    best = progress.best or dict(trainer.average.weights)
    by_dice = isinstance(setup.validator, ImageValidator)
    kept_raw = bool(
        setup.config.keep_raw
        and by_dice
        and progress.best_score is not None
        and progress.raw_score is not None
        and progress.best_score <= progress.raw_score
    )
    if kept_raw:
        best = dict(setup.base.weights)
    model = trainer.averaged_model()
    model.load_state_dict(best)
    threshold = setup.base.threshold if kept_raw else _threshold(model, setup)
    finetuned = _dice_on_held_out(model, setup, threshold) if by_dice else None
    after = dice_on_base(model, setup, threshold)
    result = FinetuneResult(
        replace(setup.base, weights=best, threshold=threshold),
        progress.step, stopped, kept_raw, progress.raw_score, finetuned, progress.base_dice_before, after, "",
    )  # fmt: skip
    checkpoint = replace(result.checkpoint, provenance=_provenance(setup, result))
    return replace(result, checkpoint=checkpoint, summary=_summary(result, setup))


def dice_on_base(model: AttentionUNet, setup: Setup, threshold: float | None = None) -> float | None:
    """Return the mean Dice on held-out images or patches of the old dataset, or None if there are none."""
    images = setup.base_held_out.images
    if not images:
        return None
    chosen = setup.base.threshold if threshold is None else threshold
    probabilities = [predict_prepared(model, image, setup.config, setup.device, setup.precision) for image in images]
    return mean_dice(images, probabilities, chosen)


def _dice_on_held_out(model: AttentionUNet, setup: Setup, threshold: float) -> float | None:
    if not isinstance(setup.validator, ImageValidator):
        return None
    return mean_dice(setup.validator.images, setup.validator.probabilities(model), threshold)


def _threshold(model: AttentionUNet, setup: Setup) -> float:
    """Return the threshold of the finetuned model, calibrated on annotated images if so set."""
    start = setup.config.threshold or setup.base.threshold
    if not setup.config.calibrate:
        return start
    images = setup.held_out.images
    if len(images) < ENOUGH_HELD_OUT:
        images = images + setup.train.images
    images = [image.cropped(setup.config.validation_crop_px) for image in images]
    probabilities = [predict_prepared(model, image, setup.config, setup.device, setup.precision) for image in images]
    return calibrate_threshold(images, probabilities, start)


def _provenance(setup: Setup, result: FinetuneResult) -> Provenance:
    base = setup.base.provenance
    scores = {
        "val_dice": result.finetuned_dice,
        "raw_val_dice": result.raw_dice,
        "base_dice_before": result.base_dice_before,
        "base_dice_after": result.base_dice_after,
    }
    return Provenance(
        parent=base.name or None,
        parent_sha256=weights_hash(setup.base.weights),
        images=setup.records,
        config=setup.config.model_dump(mode="json"),
        seed=setup.config.seed,
        versions=package_versions(),
        scores={name: value for name, value in scores.items() if value is not None},
        notes=setup.notices,
    )


def _summary(result: FinetuneResult, setup: Setup) -> str:
    count = len(setup.held_out)
    images = f"{count} held-out image{'s' if count != 1 else ''}"
    if result.finetuned_dice is None:
        text = "Nothing was held out, so how good the model is cannot be said."
    elif result.raw_dice is None:
        text = f"Dice {result.finetuned_dice:.3f} on {images}."
    elif result.kept_raw:
        text = (
            f"Finetuning did not get better than the base model (Dice {result.raw_dice:.3f} on {images}): "
            "the base model is kept."
        )
    else:
        text = f"Dice {result.raw_dice:.3f} → {result.finetuned_dice:.3f} on {images}."
    if result.base_dice_before is not None and result.base_dice_after is not None:
        text += f" Old dataset: {result.base_dice_before:.3f} → {result.base_dice_after:.3f}."
    return text
