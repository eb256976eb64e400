"""What the images settle before a training: schedule, how patches are turned, channels, what is inverted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..config import AugmentConfig, ChannelRule, FinetuneConfig
from ..data import objects
from ..data.annotated_image import AnnotatedImage
from ..data.appearance import AS_THEY_ARE, KNOTS, Appearance, Curves, candidates, named
from ..data.channels import ALL
from ..data.statistics import have_opposite_contrast, measure
from ..device import free_memory, pick_precision
from ..errors import lacks_memory
from ..inference.views import knows_mirrored
from ..models.attention_unet import AttentionUNet
from ..models.curves import bent
from ..models.model import Model
from ..outcome import ENOUGH_HELD_OUT
from ..text import count_of
from .losses import build_loss
from .optim import cosine
from .patches.sampler import PatchSampler
from .patches.store import PatchStore, PreparedImage
from .validation import mean_dice, predict_all

# Annotated images that are too few to gain by a long training.
FEW_IMAGES = 12


def settle_orientation(config: FinetuneConfig, images: Sequence[PreparedImage]) -> tuple[FinetuneConfig, str]:
    """Return settings in which `auto` is replaced by what the masks show, and a sentence if that limits turning."""
    augment = config.augment
    if augment.orientation != "auto" or not (augment.flips or augment.p_affine):
        return config, ""
    if any(image.anywhere is not None for image in images):  # the shape of a stroke is the painter's
        return _with_orientation(config, "any"), ""
    by_row, by_column = np.mean([layering(image) for image in images], axis=0)
    if max(by_row, by_column) < objects.LAYERED:
        return _with_orientation(config, "any"), ""
    upright = by_row >= by_column
    note = (
        f"Objects lie in {'horizontal' if upright else 'vertical'} layers "
        f"({max(by_row, by_column):.0%} of the masks follow from the {'row' if upright else 'column'} alone): "
        "patches are mirrored along the layers but neither turned nor mirrored across them. If that is wrong, set "
        "Orientation to any (in the terminal, --set augment.orientation=any)."
    )
    return _with_orientation(config, "upright" if upright else "sideways"), note


def settle_schedule(
    config: FinetuneConfig, held_out: int, annotated: int, *, from_scratch: bool = False
) -> FinetuneConfig:
    """Return settings in which the schedule `auto` is one that suits so many images, some of them `held_out`.

    A finetuning with few images gained nothing by being long, one with more did (docs/experiments.md), and a network
    from scratch may learn late.
    """
    if config.schedule != "auto":
        return config
    is_few = 0 < held_out < ENOUGH_HELD_OUT and annotated <= FEW_IMAGES and not from_scratch
    return config.model_copy(update={"schedule": "plateau" if is_few and config.may_end_early else "cosine"})


def layering(image: PreparedImage) -> tuple[float, float]:
    """Return the share of the mask's variance that lies between its rows, and between its columns."""
    return objects.layering(image.target.cpu().numpy() > 0)


def _with_orientation(config: FinetuneConfig, orientation: str) -> FinetuneConfig:
    return config.model_copy(update={"augment": config.augment.model_copy(update={"orientation": orientation})})


# Enough to notice color, without reading every file twice.
_LOOKED_AT = 5


def fit_channels(
    base: Model, images: Sequence[AnnotatedImage], config: FinetuneConfig, *, from_scratch: bool = False
) -> tuple[Model, list[str]]:
    """Return `base` with the channels and the channel rule of this training, and what the user should know of it.

    Without a wish of the user a gray model gets the channels of color images: its first filters are repeated, so
    that it does on gray images what it did, and can learn to use color.

    Raises
    ------
    ModelError
        If the model cannot take the channels asked for.
    """
    found = max(image.channels for image in images[:_LOOKED_AT])
    wanted, automatic, base = config.in_channels, False, base.seeing(config.channels)
    if wanted is None and _follows_images(base, found, config.channels):
        wanted, automatic = found, True
    if wanted is None or wanted == base.card.shape.in_channels:
        return base, _difference(base, found)
    adapted = base.with_in_channels(wanted)
    change = f"The first layer was adapted from {base.card.shape.in_channels} to {wanted} channels"
    notice = f"The model takes {count_of(wanted, 'channel')}" if from_scratch else change
    if automatic:
        notice += ", because the images have as many; choose a channel to train on that one alone"
    return adapted, [f"{notice}.", *_difference(adapted, found)]


def _follows_images(base: Model, found: int, wish: ChannelRule | None) -> bool:
    """Tell whether the model is to get all channels: asked for, or because a rule that nobody chose would lose some."""
    follows = wish == ALL if wish is not None else base.card.channels in (ChannelRule(), ALL)
    return base.card.shape.in_channels == 1 and found > 1 and follows


def _difference(base: Model, found: int) -> list[str]:
    if found == base.card.shape.in_channels:
        return []
    if found == 1:
        return [f"The images are gray: their channel is repeated for the {base.card.shape.in_channels} of the model."]
    return [f"The images have {found} channels, of which the model sees {base.card.channels.in_words}."]


# The base model must gain this much Dice, mean over images, by images that are shown otherwise than they are …
CLEAR_GAIN = 0.05
# … and by a curve, which is fitted to them, at all on at least this share of them. Figures: docs/experiments.md.
CLEAR_SHARE = 0.75
# Looked at to decide; more would only take time.
_SCORED = 12
# A curve is fitted in so many steps, and takes no more than a share of 1 / FIT_SHARE of the training's.
FIT_STEPS, FIT_SHARE = 100, 4


def settle_appearance(
    base: Model, images: Sequence[AnnotatedImage], config: FinetuneConfig, device: torch.device
) -> tuple[Appearance, str]:
    """Return how the new images are to be shown to the network, and a sentence if that is not as they are.

    Left open by the settings, the base model is asked: what it finds clearly better with dark and bright exchanged, on
    the mean over images, is shown so. Single ones may be found worse: a dataset is shown in one way. If both are found
    about as well, masks decide: objects that are darker than their surroundings are shown brighter where those of the
    base's images are, and the other way round. The network learns nothing by this and forgets nothing.
    """
    channels = base.card.shape.in_channels
    chosen = named(config.appearance, channels)
    if chosen is not None:
        return chosen, ""
    some = [images[int(place)] for place in np.linspace(0, len(images) - 1, min(len(images), _SCORED)).round()]
    some = [image for image in some if image.annotated is None or image.annotated.any()]
    if not some:
        return AS_THEY_ARE, ""
    network = base.build_network().to(device)
    plain, *others = candidates(channels)
    scores = {one: _scores_shown(network, base, some, one, config, device) for one in (plain, *others)}
    found = {one: float(score.mean()) for one, score in scores.items()}
    best, why = max(others, key=found.__getitem__), "so the base finds their objects"
    if found[best] < found[plain] + CLEAR_GAIN:
        best, why = others[0], "so objects differ from their surroundings as in the base's images"
        if not is_exchanged(found[best] - found[plain], partial(_have_opposite_contrast, some, base)):
            return plain, ""
    return best, (
        f"The new images are shown to the model {best.in_words(channels)}: {why}, with Dice "
        f"{found[best]:.3f} instead of {found[plain]:.3f} on {count_of(len(some), 'annotated image')}, "
        "before anything is learned. If that is wrong, set Dark and bright to as they are (in the terminal, --set "
        '"appearance=as they are").'
    )


def is_exchanged(gain: float, have_opposite_contrast: Callable[[], bool]) -> bool:
    """Tell whether images are to be shown with dark and bright exchanged, which changes the base's Dice by `gain`.

    Whether they have the opposite contrast of the base's images is only asked where that leaves it open.
    """
    return gain >= CLEAR_GAIN or (gain > -CLEAR_GAIN and have_opposite_contrast())


def _have_opposite_contrast(images: Sequence[AnnotatedImage], base: Model) -> bool:
    return have_opposite_contrast(base.card.facts, measure(images, base.card.view.as_one_of(AS_THEY_ARE)))


def settle_curve(
    base: Model,
    shown: Appearance,
    stores: tuple[PatchStore, PatchStore],
    config: FinetuneConfig,
    should_stop: Callable[[], bool],
) -> tuple[Appearance, str]:
    """Return the appearance with a curve over the intensities, where that is clearly better, and a sentence about it.

    `stores` are images to train on, on which the curve is fitted, and held-out ones, shown as `shown` has it. Both
    decide, held-out ones first.
    """
    train, held_out = stores
    steps = min(FIT_STEPS, config.steps // FIT_SHARE)
    if config.appearance != "curve" or base.card.normalization.method == "zscore" or not steps:
        return shown, ""
    network = base.build_network().to(train.device)
    windows = [image.cropped(config.validation_crop_px) for image in [*held_out.images, *train.images][:_SCORED]]
    before = _window_scores(network, base, windows, config, train.device)
    if before.mean() > 1 - CLEAR_GAIN:
        return shown, ""
    try:
        curved = shown.model_copy(update={"curves": fit_curves(network, train, config, steps, should_stop)})
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        free_memory(train.device)
        return shown, "The memory does not hold a batch to fit a curve over the intensities with: there is none."
    shown_so = [replace(one, pixels=_curved(one.pixels, curved)) for one in windows]
    gains = _window_scores(network, base, shown_so, config, train.device) - before
    if should_stop() or gains.mean() < CLEAR_GAIN or (gains > 0).mean() < CLEAR_SHARE:
        return shown, ""
    return curved, (
        f"A curve over the intensities of the new images, fitted to the base model as it is, raises its Dice from "
        f"{before.mean():.3f} to {(before + gains).mean():.3f} on {count_of(len(windows), 'annotated image')}, before "
        "anything is learned: they are shown so."
    )


def _curved(pixels: Tensor, appearance: Appearance) -> Tensor:
    return torch.from_numpy(appearance.curved(pixels.float().cpu().numpy()))


def _scores_shown(
    network: AttentionUNet,
    base: Model,
    images: Sequence[AnnotatedImage],
    appearance: Appearance,
    config: FinetuneConfig,
    device: torch.device,
) -> NDArray[np.float64]:
    """Return Dice (images,) of the base model on typical windows of `images`, shown with this `appearance`."""
    store, view = PatchStore(device), base.card.view.as_one_of(appearance)
    for image in images:
        store.add_as_seen(image, view)
    windows = [image.cropped(config.validation_crop_px) for image in store.images]
    return _window_scores(network, base, windows, config, device)


def _window_scores(
    network: AttentionUNet, base: Model, windows: Sequence[PreparedImage], config: FinetuneConfig, device: torch.device
) -> NDArray[np.float64]:
    """Return Dice (images,) of the base model, whose `network` it is, on `windows` as they are shown."""
    precision = pick_precision(config.precision, device)
    found = predict_all(network, windows, config, knows_mirrored(base), device, precision)
    pairs = zip(windows, found, strict=True)
    return np.array([mean_dice([window], [seen], base.card.threshold) for window, seen in pairs])


_RATE = 0.03
# Weighs the squared distance from the straight line, so that values that are rare keep near it.
_PULL = 0.02
_DIGITS = 4
_LEAST_SLOPE = 0.01


def fit_curves(
    network: AttentionUNet, images: PatchStore, config: FinetuneConfig, steps: int, should_stop: Callable[[], bool]
) -> Curves:
    """Return curves, one of each channel, behind which `network` finds the objects of `images` best.

    They follow from the seed. The network is frozen and stays as it is. Once `should_stop` says yes, what was found
    until then is returned.
    """
    plain = config.model_copy(update={"augment": AugmentConfig.none()})
    sampler, loss = PatchSampler(images, plain, stream=5), build_loss("bce_dice", config.false_positive_weight)
    network.eval().requires_grad_(False)
    channels = network.config.in_channels
    straight = torch.full((channels, KNOTS - 1), math.log(math.expm1(1.0)), device=images.device)
    slopes = straight.clone().requires_grad_()
    starts = torch.zeros(channels, 1, device=images.device, requires_grad=True)
    optimizer = torch.optim.Adam([slopes, starts], lr=_RATE)
    for step in range(steps):
        if should_stop():
            break
        optimizer.param_groups[0]["lr"] = _RATE * cosine(step / steps)
        batch = sampler.batch(step, step * config.batch_size, config.batch_size)
        found = network(bent(batch.images, _values(slopes, starts)))
        far = (slopes - straight).pow(2).sum() + starts.pow(2).sum()
        optimizer.zero_grad()
        (loss(found, batch.target, batch.annotated) + _PULL * far).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return tuple(
        tuple(round(value, _DIGITS) for value in row) for row in _values(slopes, starts).detach().cpu().tolist()
    )


def _values(slopes: Tensor, starts: Tensor) -> Tensor:
    """Return the values of rising curves (C, KNOTS)."""
    rises = (F.softplus(slopes) + _LEAST_SLOPE) / (KNOTS - 1)
    return torch.cat([starts, starts + rises.cumsum(dim=1)], dim=1)
