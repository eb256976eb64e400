"""Finetune a model on a few annotated images, or train a base model from scratch: one loop for both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..config import ChannelRule, FinetuneConfig, ModelConfig, Normalization
from ..data.annotated_image import AnnotatedImage
from ..device import free_memory
from ..errors import RunError
from ..events import Notice, Run, RunStarted, TrainingEvent, ValidationEnd, never
from ..models.attention_unet import AttentionUNet
from ..models.card import ModelCard
from ..models.model import Model
from .conclude import FinetuneResult, conclude, provenance_of
from .keep import (
    dice_of_model,
    dice_on_old,
    glance_at_old,
    is_best,
    is_provisional,
    last_step,
    mean_of,
    settles,
    start_threshold,
    weighs_old,
)
from .optim import fall_from
from .prepare import Setup, prepare
from .sort_out import dice_by_itself
from .state import Begun, NoStore, Progress, StateStore, TrainingState
from .trainer import Trainer
from .validation import ImageValidator, PatchValidator

Training = Generator[TrainingEvent, None, FinetuneResult]


def finetune(  # noqa: PLR0913 - each says another thing of the same training
    model: Model,
    images: Sequence[AnnotatedImage],
    config: FinetuneConfig | None = None,
    *,
    base_images: Sequence[AnnotatedImage] | None = None,
    unannotated: Sequence[AnnotatedImage] = (),
    should_stop: Callable[[], bool] = never,
    store: StateStore | None = None,
    **settings: Any,
) -> Run[TrainingEvent, FinetuneResult]:
    """Adapt `model` to `images`; the run tells what happens, its result is the best model.

    Parameters
    ----------
    model
        The base model. Always start from the base with all images, never from a finetuned model.
    images
        Annotated images of the new dataset; from four on, some are held out to choose the best weights.
    config
        The settings; those of the default preset if left out.
    base_images
        Images of the old dataset, against forgetting; without them the base model's own patches are used. If they
        have no labels, what the base model predicts in them is replayed, and what is forgotten cannot be measured.
    unannotated
        Images of the new dataset that nobody annotated, from which is learned where the setting `unannotated_share`
        says so; annotated ones among them are passed over.
    should_stop
        Asked before every step; the best weights so far are returned when it says yes.
    store
        Keeps state and best model, so that an interrupted run goes on with the same result.
    settings
        Instead of `config`, any of its fields by name, such as ``preset="fast"`` or ``steps=500``.

    Raises
    ------
    DataError
        If the images cannot be used.
    DeviceError
        If the device is absent or its memory does not hold one patch.
    RunError
        If the loss is not a number.
    """
    chosen = FinetuneConfig.given(config, settings)
    begin = partial(
        prepare, model, images, chosen, base_images=base_images, unannotated=unannotated, should_stop=should_stop
    )
    return Run(_fit(begin, store or NoStore(), should_stop))


def train(
    images: Sequence[AnnotatedImage],
    config: FinetuneConfig | None = None,
    *,
    shape: ModelConfig | None = None,
    unannotated: Sequence[AnnotatedImage] = (),
    should_stop: Callable[[], bool] = never,
    store: StateStore | None = None,
    **settings: Any,
) -> Run[TrainingEvent, FinetuneResult]:
    """Train a base model of this `shape` from scratch; the same loop as `finetune`, from random weights.

    The model carries patches of its images, unless switched off, so that it can be finetuned without forgetting.
    `settings` are fields of `config` by name, of which the preset is ``from scratch``; `unannotated` are images as in
    `finetune`. Raises what `finetune` raises.
    """
    chosen = FinetuneConfig.given(config, settings, preset="from scratch")
    untrained = random_model(shape or ModelConfig(), chosen)
    begin = partial(prepare, untrained, images, chosen, unannotated=unannotated, from_scratch=True)
    return Run(_fit(begin, store or NoStore(), should_stop))


def random_model(shape: ModelConfig, config: FinetuneConfig) -> Model:
    """Return an untrained model; its weights follow from the seed."""
    if config.in_channels is not None:
        shape = shape.model_copy(update={"in_channels": config.in_channels})
    with torch.random.fork_rng([]):
        torch.manual_seed(config.seed)
        weights = AttentionUNet(shape).state_dict()
    return Model(
        weights,
        ModelCard(
            shape=shape,
            normalization=config.normalization or Normalization(),
            channels=config.channels or ChannelRule(),
            patch_size=config.patch_px,
            threshold=config.threshold or 0.5,
        ),
    )


def _fit(begin: Callable[..., Setup], store: StateStore, should_stop: Callable[[], bool]) -> Training:
    state = store.load_state()
    setup = begin(begun=Begun.by(state.progress) if state else None)
    trainer = Trainer(
        setup.base.build_network(),
        setup.source,
        setup.config,
        device=setup.device,
        precision=setup.precision,
        unannotated=setup.unannotated,
    )
    progress = _resume(trainer, setup, state) if state else before_training(trainer.network, setup)
    if state and progress.best is not None:
        store.save_best(_best_model(setup, progress))  # a stop has put what it ended with in its place
    yield _run_started(setup, progress)
    yield from map(Notice, setup.notices)
    stopped = False
    while (step := progress.step) < last_step(setup, progress):
        if setup.config.patience and progress.validations_without_gain >= setup.config.patience:
            yield Notice(f"No better Dice in {setup.config.patience} validations: training ended early.")
            break
        if stopped := should_stop():
            break
        yield trainer.step(step, progress.fall)
        yield from map(Notice, trainer.take_notices())
        progress.step = step + 1
        if progress.step % setup.source.validate_every == 0 or progress.step == last_step(setup, progress):
            yield from _validated(trainer, setup, progress, store)
    if stopped and progress.step:
        store.save_state(TrainingState(progress.to_dict(), trainer.state()))
        if progress.best is None and _validate(trainer, setup, progress).best:  # out of turn, so not part of the state
            store.save_best(_best_model(setup, progress))
    result = conclude(trainer, setup, progress, stopped=stopped)
    if not stopped:
        store.save_result(result.model)
    elif result.ended.share < 1 and progress.best is not None:
        store.save_best(result.model)  # the file of a stopped training holds what is said of it
    yield result.ended
    free_memory(setup.device)
    return result


def before_training(network: AttentionUNet, setup: Setup) -> Progress:
    """Score the raw model on all that is held out, before anything changes; `network` is that of `setup.base`."""
    score, old, shown = _raw_score(setup), _old_dice(network, setup), setup.base.card.knows[-1]
    is_other = score is not None and setup.shows_otherwise
    as_is = float(np.mean(dice_by_itself(setup.as_given, setup))) if is_other else None
    return Progress(
        raw_score=score,
        old_dice_before=mean_of(old),
        data_sha256=data_sha256(setup),
        unannotated=_hashes_without_masks(setup),
        raw_as_is=as_is,
        old_glance_before=glance_at_old(network, setup, setup.original),
        old_before=old,
        curves=shown.curves,
        window_px=setup.config.validation_crop_px,
        held_out=_held_out_names(setup),
        inverted=shown.inverted,
    )


def _old_dice(network: AttentionUNet, setup: Setup) -> dict[str, float]:
    """Return Dice of the raw model on each held-out old image, with the weights that predict it."""
    if not setup.can_spare_old:
        return dice_on_old(network, setup, setup.base.card.threshold, setup.original)
    assert setup.older is not None
    older = setup.older
    return dice_on_old(older.build_network().to(setup.device), setup, older.card.threshold, older)


def _held_out_names(setup: Setup) -> tuple[str, ...]:
    return tuple(image.name for image in setup.held_out.images)


def _raw_score(setup: Setup) -> float | None:
    """Score the base model on images as it sees them; a changed first layer would see them in another way.

    None if there is no base, it cannot take the images, or no image is held out.
    """
    held_out = setup.raw_held_out
    if setup.from_scratch or held_out is None or not isinstance(setup.validator, ImageValidator):
        return None
    return float(np.mean(dice_of_model(setup.original, held_out, setup)))


def _resume(trainer: Trainer, setup: Setup, state: TrainingState) -> Progress:
    try:
        progress = Progress.from_dict(state.progress)
        trainer.restore(state.trainer)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise RunError("The saved state is of another version or another model. Start a new run.") from error
    if progress.data_sha256 != data_sha256(setup):
        raise RunError("Images, masks or the base model have changed since this run began. Start a new run.")
    if progress.unannotated != _hashes_without_masks(setup):
        raise RunError("The images without masks have changed since this run began. Start a new run.")
    if not weighs_old(setup):  # an earlier version let them have a say
        progress.best_old = None
    names = _held_out_names(setup)
    if progress.held_out not in (None, names):
        raise RunError("Other images would be held out than when this run began. Start a new run.")
    progress.held_out, progress.inverted = names, setup.base.card.knows[-1].inverted
    _score_base_anew(progress, setup)
    return progress


def _score_base_anew(progress: Progress, setup: Setup) -> None:
    """Score the base once more where an earlier version did it otherwise: in other patches, or old images together."""
    has_other_patches = setup.as_given.card.patch_size != setup.config.patch_px
    were_together = bool(setup.old) and not progress.old_before
    if not (has_other_patches or were_together):
        return
    fresh = before_training(setup.base.build_network().to(setup.device), setup)
    progress.old_before, progress.old_dice_before = fresh.old_before, fresh.old_dice_before
    progress.old_glance_before = fresh.old_glance_before
    if has_other_patches:
        progress.raw_score, progress.raw_as_is = fresh.raw_score, fresh.raw_as_is
    if were_together:
        progress.best_old = None


def data_sha256(setup: Setup) -> str:
    """Return a hash of all images and the base model, to notice on resuming that one of them has changed."""
    parts = [*(record.sha256 for record in (*setup.records, *setup.old_records)), setup.base.identity]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _hashes_without_masks(setup: Setup) -> tuple[str, ...]:
    """Return what tells that other images without masks are learned from than before."""
    return tuple(record.sha256 for record in setup.unannotated_records)


def _validated(trainer: Trainer, setup: Setup, progress: Progress, store: StateStore) -> Iterator[TrainingEvent]:
    """Validate, keep on disk what came of it, and tell it."""
    was_level = progress.fall is None
    validation = _validate(trainer, setup, progress)
    if validation.best:
        store.save_best(_best_model(setup, progress))
    store.save_state(TrainingState(progress.to_dict(), trainer.state()))
    yield validation
    if was_level and progress.fall is not None and progress.fall[0] == progress.step < progress.fall[1]:
        end = progress.fall[1]
        yield Notice(f"Nothing more is gained: the learning rate falls from here, and the training ends at step {end}.")


def _validate(trainer: Trainer, setup: Setup, progress: Progress) -> ValidationEnd:
    """Score the averaged weights and remember them if they are the best; without held-out data the last are."""
    network, old = trainer.averaged_network(), None
    score = None if setup.validator is None else setup.validator.score(network)
    best = score is None or is_best(score, None, setup, progress)
    waits = setup.config.schedule == "plateau" and progress.fall is None
    if score is not None and (waits or (best and not is_provisional(progress.step, setup, progress.fall))):
        old = glance_at_old(network, setup)  # only where it can change anything: it takes time
        best = is_best(score, old, setup, progress)
        if settles(score, old, setup, progress):
            progress.fall = fall_from(progress.step, setup.source.steps, setup.source.validate_every)
    if best:
        progress.best = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
        progress.best_score, progress.best_step, progress.best_old = score, progress.step, old
    progress.validations_without_gain = 0 if best else progress.validations_without_gain + 1
    by_loss = isinstance(setup.validator, PatchValidator)
    val_loss = -score if by_loss and score is not None else None
    last = last_step(setup, progress) if progress.fall else None
    return ValidationEnd(progress.step, None if by_loss else score, val_loss, best, last)


def _best_model(setup: Setup, progress: Progress) -> Model:
    assert progress.best is not None
    return setup.finished(progress.best, start_threshold(setup)).with_card(provenance=provenance_of(setup))


def _run_started(setup: Setup, progress: Progress) -> RunStarted:
    return RunStarted(
        device=setup.device.type,
        precision=setup.precision,
        steps=last_step(setup, progress),
        first_step=progress.step,
        train_images=tuple(image.name for image in setup.train.images),
        validation_images=_held_out_names(setup),
        raw_dice=progress.base_dice,
        best_dice=progress.best_score if isinstance(setup.validator, ImageValidator) else None,
        best_step=progress.best_step,
        window_px=round(setup.config.validation_crop_px / setup.base.card.rescale),
        unannotated_images=tuple(record.name for record in setup.unannotated_records),
    )
