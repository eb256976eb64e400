"""Which weights of a training are kept: those that bring the new images most and cost the old ones little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median_low

import numpy as np
import torch
from torch import Tensor

from ..config import FinetuneConfig
from ..events import TOLERATED_DROP, TOLERATED_IMAGE_DROP, ImageChange
from ..inference.views import knows_mirrored, trains_mirrored
from ..models.attention_unet import AttentionUNet
from ..models.model import Model
from ..outcome import ENOUGH_HELD_OUT, OPTIMISM
from .optim import Fall, has_settled, learning_rate_at
from .patches.store import PatchStore, PreparedImage
from .prepare import Setup
from .state import Progress
from .validation import ImageValidator, dice_by_image, dice_of_patches, mean_dice, predict_all

# A difference in Dice that one or two images cannot tell from chance.
NOISE = 0.01
# The same for more held-out images.
SMALL_NOISE = 0.002
# What old images lose beyond what is tolerated weighs as much as a gain of the new ones that is so many times larger.
PRICE = 2.0
# Of what new images gain, at least so much is kept: for the rest the old ones may be spared.
KEPT_GAIN = 0.75
# A gain of so much Dice is what a finetuning is for: the base is not given back then, whatever the old images lose.
CLEAR_GAIN = 0.1
# Of the images that were trained on so many tell whether anything is learned; more would only take time.
MOST_JUDGED = 24
# Of the way from the base's weights to the finetuned ones, tried where these cost too much or gain nothing.
SHARES = (0.9, 0.75, 0.5, 0.25)


def worth(new: float, lost: float, tolerated: float) -> float:
    """Return what weights are worth that have a Dice of `new` on new images and `lost` so much of the old ones'."""
    return new - PRICE * max(0.0, lost - tolerated)


def is_better(one: tuple[float, float], other: tuple[float, float], raw: float | None, tolerated: float) -> bool:
    """Tell whether weights are better than others; of both the Dice on new images is given, and the loss of old ones.

    Those are that keep much more of the gain over `raw`, the base's Dice on new images; else those that are worth more.
    """
    gains = [new - (raw or 0.0) for new, _ in (one, other)]
    if gains[1] < KEPT_GAIN * gains[0] or gains[0] < KEPT_GAIN * gains[1]:
        return gains[0] > gains[1]
    return worth(*one, tolerated) > worth(*other, tolerated)


def chance(setup: Setup) -> float:
    """Return which difference in Dice on the held-out images may be chance."""
    return NOISE if has_few_held_out(setup) else SMALL_NOISE


def has_few_held_out(setup: Setup) -> bool:
    """Tell whether so few images are held out that their Dice alone may be chance."""
    return len(setup.held_out) < ENOUGH_HELD_OUT


def is_provisional(step: int, setup: Setup, fall: Fall | None = None) -> bool:
    """Tell whether weights after `step` steps are only kept until others come, since few images judge the hot phase."""
    return isinstance(setup.validator, ImageValidator) and has_few_held_out(setup) and is_hot(step, setup, fall)


def is_hot(step: int, setup: Setup, fall: Fall | None = None) -> bool:
    """Tell whether after `step` steps the learning rate is still to be above half of its peak."""
    config = setup.config
    coming = learning_rate_at(max(step, config.warmup_steps), setup.source.steps, config, fall)
    return coming > config.learning_rate / 2


def weighs_old(setup: Setup) -> bool:
    """Tell whether the old images have a say in which weights are kept."""
    return bool(setup.old) and not setup.can_spare_old and not setup.from_scratch and setup.config.tolerated_drop < 1


def last_step(setup: Setup, progress: Progress) -> int:
    """Return after how many steps the training ends, as far as is known by now."""
    return setup.source.steps if progress.fall is None else progress.fall[1]


def settles(score: float, old: float | None, setup: Setup, progress: Progress) -> bool:
    """Note what weights of a validation are worth, and tell whether they have stopped getting better.

    Only where the schedule waits for this, and images are held out.
    """
    if setup.config.schedule != "plateau" or progress.fall or not isinstance(setup.validator, ImageValidator):
        return False
    progress.worths = [*progress.worths, worth(score, _lost_of(old, progress), setup.config.tolerated_drop)]
    is_learning = max(progress.worths) > 0 and progress.step > setup.config.warmup_steps
    return is_learning and has_settled(progress.worths)


def start_threshold(setup: Setup) -> float:
    """Return the probability threshold at which weights are compared, before one is calibrated."""
    return setup.config.threshold or setup.base.card.threshold


def is_best(score: float, old: float | None, setup: Setup, progress: Progress) -> bool:
    """Tell whether the weights of a validation are to be kept instead of the best so far.

    `score` is their Dice on held-out images, `old` what `glance_at_old` sees; None stands for no loss. With few
    held-out images those of the hot phase give way to any later ones: they are good by chance, and the old images are
    not yet restored. Where an old dataset is to share them, the last ones are kept even if they are worse by no more
    than chance: the new images hardly lose by it, and at the end of the schedule the old ones have gained
    (docs/experiments.md).
    """
    if progress.best_score is None:
        return True
    fall = progress.fall
    if is_provisional(progress.best_step, setup, fall) and not is_provisional(progress.step, setup, fall):
        return True
    seen, seen_best = (score, _lost_of(old, progress)), (progress.best_score, _lost_of(progress.best_old, progress))
    tolerated = setup.config.tolerated_drop
    raw = progress.raw_to_beat
    if is_better(seen, seen_best, raw, tolerated):
        return True
    now, best = worth(*seen, tolerated), worth(*seen_best, tolerated)
    is_last = progress.step == last_step(setup, progress) and isinstance(setup.validator, ImageValidator)
    raw_decides = raw is not None and now <= raw < best
    has_old = bool(setup.old) and not setup.can_spare_old
    if not is_last or not has_old or setup.config.schedule == "constant" or raw_decides:
        return False
    return now >= best - chance(setup)


def _lost_of(old: float | None, progress: Progress) -> float:
    """Return what a glance at the old images sees lost."""
    return 0.0 if old is None or progress.old_glance_before is None else progress.old_glance_before - old


def glance_at_old(network: AttentionUNet, setup: Setup, of: Model | None = None) -> float | None:
    """Return Dice on the old images, seen once and not mirrored: in a quarter of the time that `dice_on_old` takes.

    None if they have no say in which validation is the best. `of` as there.
    """
    if not weighs_old(setup) or not isinstance(setup.validator, ImageValidator):
        return None
    config, _ = _views_of(of, setup)
    return dice_of_patches(network, setup.old, config, start_threshold(setup), setup.device, setup.precision)


def dice_on_old(network: AttentionUNet, setup: Setup, threshold: float, of: Model | None = None) -> dict[str, float]:
    """Return Dice of each held-out image of the old dataset with the weights of `network`, by name; empty for none.

    They are predicted as the model `of` does it, whose weights these are; left out, as the one that is trained.
    """
    if not setup.old:
        return {}
    config, mirrored = _views_of(of, setup)
    probabilities = predict_all(network, setup.old, config, mirrored, setup.device, setup.precision)
    return dice_by_image(setup.old, probabilities, threshold)


def _views_of(model: Model | None, setup: Setup) -> tuple[FinetuneConfig, bool]:
    """Return settings with the patch size of a model, and whether it knows mirrored views; None is the trained one."""
    if model is None:
        return setup.config, trains_mirrored(setup.config.augment)
    return setup.config.model_copy(update={"patch_size": model.card.patch_size}), knows_mirrored(model)


def dice_of_model(model: Model, held_out: PatchStore, setup: Setup) -> list[float]:
    """Return Dice of a model on each of the `held_out` images, which are prepared as it sees them.

    The same windows are scored as in validations, at the size that the images have for the model.
    """
    card = model.card
    window = round(setup.config.validation_crop_px * card.rescale / setup.base.card.rescale)
    config, mirrored = _views_of(model, setup)
    config = config.model_copy(update={"validation_crop_px": window})
    validator = ImageValidator(held_out, config, setup.precision, card.threshold, mirrored)
    return validator.dice_of_each(model.build_network().to(setup.device))


def mean_of(scores: Mapping[str, float]) -> float | None:
    """Return the mean of the scores of images, None if there are none."""
    return float(np.mean(list(scores.values()))) if scores else None


def worst_change(before: Mapping[str, float], after: Mapping[str, float]) -> ImageChange | None:
    """Return the old image that lost most or gained least, None where fewer than two can be told apart."""
    changes = [ImageChange(name, before[name], score) for name, score in after.items() if name in before]
    return min(changes, key=lambda one: one.after - one.before) if len(changes) > 1 else None


def gains_for_old(before: Mapping[str, float], after: Mapping[str, float]) -> bool:
    """Tell whether old images gain: on the mean by more than chance, and none loses clearly; not where nobody knows."""
    old, new, worst = mean_of(before), mean_of(after), worst_change(before, after)
    if old is None or new is None or new <= old + TOLERATED_DROP:
        return False
    return worst is None or worst.before - worst.after <= TOLERATED_IMAGE_DROP


@dataclass(frozen=True, eq=False)
class Kept:
    """The weights that are kept: `share` of the way from the base's to the finetuned ones.

    `unmixed_old` is what the finetuned ones alone have on each old image, empty where nobody asked, or where they are
    not kept for they gain nothing on new images.
    """

    weights: Mapping[str, Tensor]
    share: float
    unmixed_old: Mapping[str, float] = field(default_factory=dict)


def choose_weights(network: AttentionUNet, setup: Setup, progress: Progress) -> Kept:
    """Return the best weights; where they cost old images much or gain nothing, a mix with the base's, or these.

    The share is chosen by Dice on held-out images, with few of them on all annotated ones, and by what the old images
    lose (weights between two trained ones: arXiv 2109.01903). `network` only lends its shape.
    """
    base, config = setup.base.weights, setup.config
    if progress.best is None:
        return Kept(base, 0.0)
    gains = not _raw_is_as_good(network, setup, progress)
    old = _old_dice(network, progress.best, setup)
    if gains and _lost(old, progress) <= config.tolerated_drop:
        return Kept(progress.best, 1.0, old)
    if config.tolerated_drop >= 1 or setup.from_scratch:
        return Kept(base, 0.0, old if gains else {})
    mixes = {share: mixed(base, progress.best, share) for share in ((1.0, *SHARES) if gains else SHARES)}
    seen = {share: _seen(network, mix, setup, progress) for share, mix in mixes.items()}
    raw, best = _new_dice_of_base(network, setup, progress), next(iter(seen))
    for share in seen:
        if is_better(seen[share], seen[best], raw, config.tolerated_drop):
            best = share
    is_clear = seen[best][0] >= raw + CLEAR_GAIN
    is_worth_it = worth(*seen[best], config.tolerated_drop) > raw + chance(setup)
    is_learned = not has_few_held_out(setup) or _has_learned(network, mixes[best], setup)
    if config.keep_raw and not is_clear and not (is_worth_it and is_learned):
        return Kept(base, 0.0, old if gains else {})
    return Kept(mixes[best], best, old)


def _raw_is_as_good(network: AttentionUNet, setup: Setup, progress: Progress) -> bool:
    """Tell whether the finetuned weights gain nothing on new images over the base's.

    Held-out images decide. If there are only one or two and the loss on them is no more than noise, the training
    images decide too: the base model never saw them, so a clear gain on most of them counts. With none held out they
    decide alone.
    """
    if not setup.config.keep_raw or setup.from_scratch or progress.best is None:
        return False
    if setup.validator is None:
        is_over = progress.step >= last_step(setup, progress)
        return is_over and not _has_learned(network, progress.best, setup)
    raw = progress.raw_to_beat
    if progress.best_score is None or raw is None:
        return False
    gain = progress.best_score - raw
    if gain > 0:
        return False
    return not has_few_held_out(setup) or gain < -NOISE or not _has_learned(network, progress.best, setup)


def _has_learned(network: AttentionUNet, weights: Mapping[str, Tensor], setup: Setup) -> bool:
    """Tell whether weights have gained on images they were trained on as no training does by itself."""
    everything = setup.train.images
    shown = [image for image in everything if len(image.foreground)] or everything
    places = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), MOST_JUDGED)).round().astype(int))
    windows = [shown[place].cropped(setup.config.validation_crop_px) for place in places]
    raw = _scores(network, setup.base.weights, windows, setup, setup.original)
    return gains_beyond_chance(raw, _scores(network, weights, windows, setup))


def gains_beyond_chance(raw: Sequence[float], scores: Sequence[float]) -> bool:
    """Tell whether Dice of images that were trained on has risen by more than it does in any training.

    It has where it rose on more than half of them, lest one odd image decides, or clearly in the mean of all.
    """
    gains = [score - before for score, before in zip(scores, raw, strict=True)]
    return median_low(gains) > OPTIMISM or fmean(gains) >= CLEAR_GAIN


def mixed(base: Mapping[str, Tensor], finetuned: Mapping[str, Tensor], share: float) -> Mapping[str, Tensor]:
    """Return weights `share` of the way from the base's to the finetuned ones, to the last bit at both ends."""
    if share == 1:
        return finetuned
    return {name: torch.lerp(base[name], value, share) for name, value in finetuned.items()}


def _seen(
    network: AttentionUNet, weights: Mapping[str, Tensor], setup: Setup, progress: Progress
) -> tuple[float, float]:
    """Return Dice on the images that choose the share, and what the old ones lose."""
    new = _scores(network, weights, [*_held_out(setup), *_more_windows(setup)], setup)
    return float(np.mean(new)), _lost(_old_dice(network, weights, setup), progress)


def _new_dice_of_base(network: AttentionUNet, setup: Setup, progress: Progress) -> float:
    """Return the mean Dice of the base on the windows that choose the share."""
    held_out, more, weights = _held_out(setup), _more_windows(setup), setup.base.weights
    known = [progress.raw_to_beat] * len(held_out) if progress.raw_to_beat is not None else []
    rest = [*([] if known else held_out), *more]
    return float(np.mean([*known, *_scores(network, weights, rest, setup, setup.original)]))


def _held_out(setup: Setup) -> Sequence[PreparedImage]:
    return setup.validator.images if isinstance(setup.validator, ImageValidator) else ()


def _more_windows(setup: Setup) -> Sequence[PreparedImage]:
    """Return the training images where the held-out ones are too few to decide alone."""
    return training_windows(setup) if has_few_held_out(setup) else ()


def training_windows(setup: Setup) -> list[PreparedImage]:
    """Return a typical window of each training image, as it is scored."""
    return [image.cropped(setup.config.validation_crop_px) for image in setup.train.images]


def _scores(
    network: AttentionUNet,
    weights: Mapping[str, Tensor],
    windows: Sequence[PreparedImage],
    setup: Setup,
    of: Model | None = None,
) -> list[float]:
    """Return Dice on each of `windows`; `of` as in `dice_on_old`."""
    network.load_state_dict(weights)
    config, mirrored = _views_of(of, setup)
    found = predict_all(network, windows, config, mirrored, setup.device, setup.precision)
    pairs = zip(windows, found, strict=True)
    return [mean_dice([window], [probabilities], start_threshold(setup)) for window, probabilities in pairs]


def _old_dice(network: AttentionUNet, weights: Mapping[str, Tensor], setup: Setup) -> dict[str, float]:
    """Return Dice on each of the old images, none if they have no say."""
    if not weighs_old(setup):
        return {}
    network.load_state_dict(weights)
    return dice_on_old(network, setup, start_threshold(setup))


def _lost(old: Mapping[str, float], progress: Progress) -> float:
    after = mean_of(old)
    return 0.0 if after is None or progress.old_dice_before is None else progress.old_dice_before - after
