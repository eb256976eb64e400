"""From images, base model and settings to all that a training works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config import FinetuneConfig, PrecisionName
from ..data.annotated_image import AnnotatedImage
from ..data.appearance import AS_THEY_ARE, Appearance, are_shown_alike, can_be_named
from ..data.statistics import DataStatistics, estimate_rescale
from ..device import pick_device, pick_precision
from ..errors import DataError, ModelError
from ..events import IF_WRONG, never
from ..inference.views import trains_mirrored
from ..io.regions.region import counted, regions_among
from ..models.model import Model
from ..models.provenance import TrainingImage
from ..text import first_of, images_or_regions
from .datasets import Dataset, NewImages, ReadOnce, held_out_seen_by, load_new, load_old
from .losses import build_loss
from .patches.batches import BatchSource, GridBatches, RandomBatches, split_grid
from .patches.sampler import PatchSampler
from .patches.store import PatchStore, PreparedImage
from .patches.unannotated import UnannotatedPatches, load_unannotated
from .replay import settle_pull, to_tell_apart
from .settle import fit_channels, settle_orientation, settle_schedule
from .state import Begun
from .validation import ImageValidator, PatchValidator, Validator, affordable_window


@dataclass(frozen=True)
class Setup:
    """All that a training works with, fixed before its first step.

    `as_given` is the base model as its user has it, `original` the same that knows of the new dataset, where that is
    shown otherwise, and `base` that with the channels and patch size of this training. `old` are images of the old
    dataset that are only scored, and `raw_held_out` the held-out images as the original model sees them, shown as in
    this training; None if it cannot take their channels.
    """

    as_given: Model
    original: Model
    base: Model
    config: FinetuneConfig
    device: torch.device
    precision: PrecisionName
    train: PatchStore
    held_out: PatchStore
    source: BatchSource
    validator: Validator | None
    old: tuple[PreparedImage, ...]
    records: tuple[TrainingImage, ...]
    statistics: DataStatistics | None
    notices: tuple[str, ...]
    from_scratch: bool
    new: NewImages
    raw_held_out: PatchStore | None
    old_records: tuple[TrainingImage, ...] = ()  # of old images that were given as such
    unannotated: UnannotatedPatches | None = None
    unannotated_records: tuple[TrainingImage, ...] = ()
    old_is_given: bool = False  # the old images that are scored are those given, not patches that the base carries
    older: Model | None = None  # predicts images of datasets that are shown otherwise than the new one
    told_apart: tuple[Sequence[PreparedImage], ...] = ()  # old images, or windows of each; see `to_tell_apart`

    @property
    def sees_all_alike(self) -> bool:
        """Whether old images would be predicted at the same size and in the same tiles as new ones."""
        before, now = (self.older or self.base).card, self.base.card
        return (before.rescale, before.patch_size) == (now.rescale, now.patch_size)

    @property
    def can_spare_old(self) -> bool:
        """Whether the old images that are scored may keep their weights: they are shown otherwise than the new ones."""
        return self.base.card.can_spare_old(are_given=self.old_is_given)

    @property
    def shows_otherwise(self) -> bool:
        """Whether the base as its user has it may show the new images to the network otherwise than this training."""
        ways = self.as_given.card.knows or (AS_THEY_ARE,)
        return not are_shown_alike((*ways, self.base.card.knows[-1]))

    @property
    def shows_new_by_choice(self) -> bool:
        """Whether a setting of a prediction shows images as the new ones are shown."""
        return can_be_named(self.base.card.knows[-1], self.base.card.shape.in_channels)

    @property
    def knows_channels(self) -> bool:
        """Whether the base takes the channels of this training as it was given."""
        return self.original.card.shape.in_channels == self.base.card.shape.in_channels

    def with_base_weights(self) -> Model:
        """Return the base as it was given, which shows the new images as this training does; nothing is learned."""
        knows, threshold = self.base.card.knows, self.original.card.threshold
        if self.knows_channels:
            return self.original.with_card(knows=knows)
        return self.finished(self.base.weights, threshold, for_all=self.base.older is None and self.sees_all_alike)

    def finished(self, weights: Mapping[str, Tensor], threshold: float, *, for_all: bool = False) -> Model:
        """Return the base with `weights` learned from the new images, and those that older datasets keep beside them.

        These datasets are shown otherwise. None keeps any if the new weights are `for_all`.
        """
        older = None if self.older is None or for_all else self.older.as_older()
        return replace(self.base.with_card(threshold=threshold), weights=weights, older=older)


def prepare(  # noqa: PLR0913 - each says another thing of the same training
    model: Model,
    images: Sequence[AnnotatedImage],
    config: FinetuneConfig,
    *,
    base_images: Sequence[AnnotatedImage] | None = None,
    unannotated: Sequence[AnnotatedImage] = (),
    from_scratch: bool = False,
    begun: Begun | None = None,
    should_stop: Callable[[], bool] = never,
) -> Setup:
    """Check and normalize the images, split them, and set up batches and validation.

    `from_scratch` says that `model` is untrained: there is nothing old to keep. `begun` is what was settled of a
    training that goes on; without it, it is settled. `should_stop` cuts short what takes long; the training then stops
    before its first step.

    Raises
    ------
    DataError
        If there are no images, none shows an object, or one does not fit the model.
    ModelError
        If the model cannot take the channels or the patch size asked for.
    DeviceError
        If the chosen device is not present.
    """
    if len(images) == 0:
        raise DataError("There are no annotated images to train on. Annotate at least one image.")
    given, images = images, ReadOnce(images)
    device, model = pick_device(config.device), model.seeing(config.channels)
    precision = pick_precision(config.precision, device)
    config = config.model_copy(update={"patch_size": config.patch_size or model.card.patch_size})
    base, about_base = _fit_base(model, images, config, from_scratch=from_scratch)
    new = load_new(base, images, config, device, begun, should_stop)
    old = load_old(model, base, base_images, config, device, should_stop)
    models = _with_new(model, base, new)
    settled = _settle(config, new, old, models, begun, from_scratch=from_scratch)
    config, known = settled.config, (*new.records, *old.records)
    more = load_unannotated(unannotated, new.view, config, device, annotated=known)
    source, validator = _batches(new, settled.replay, config, models.base, precision)
    own = model.card.view
    shown_alike = own.as_one_of(new.shown) if own.in_channels == new.view.in_channels else own
    unknown = _about_unknown(models.base.card.knows, new.view.in_channels)
    notices = (*about_base, *new.notices, unknown, *settled.notices, _known_to_base(new, model), more.notice)
    return Setup(
        as_given=model,
        original=models.original,
        base=models.base,
        config=config,
        device=device,
        precision=precision,
        train=new.train,
        held_out=new.held_out,
        source=source,
        validator=validator,
        old=tuple(image.cropped(config.validation_crop_px) for image in old.held_out.images),
        records=new.records,
        statistics=new.statistics,
        notices=tuple(filter(None, notices)),
        from_scratch=from_scratch,
        new=NewImages(given, new.places, new.records, new.held_out_at),
        raw_held_out=held_out_seen_by(shown_alike, images, new),
        old_records=old.records,
        old_is_given=bool(old.records) and not old.is_imitated,
        older=models.older,
        unannotated=UnannotatedPatches(more.store, config) if len(more.store) else None,
        unannotated_records=more.records,
        told_apart=tuple(to_tell_apart(old.train, old.held_out)),
    )


def _fit_base(
    model: Model, images: Sequence[AnnotatedImage], config: FinetuneConfig, *, from_scratch: bool
) -> tuple[Model, list[str]]:
    """Return the base model as the settings ask for it, and what the user should know of that."""
    base, notices = model.with_card(patch_size=config.patch_px), []
    if base.card.patch_size != model.card.patch_size:
        notices.append(
            f"The base model was trained on patches of {model.card.patch_size} px and is finetuned on "
            f"patches of {base.card.patch_size} px, which by itself changes what it finds. Leave the patch size empty "
            "to keep the base's."
        )
    if config.normalization not in (None, base.card.normalization):
        notices.append(f"The base model's normalization ({base.card.normalization.method}) is kept.")
    base, about_channels = fit_channels(base, images, config, from_scratch=from_scratch)
    rescale, about_size = config.rescale, ""
    if rescale == 0:
        rescale, about_size = estimate_rescale(images, model.card.provenance.statistics, base.card.view)
    base = base.with_card(rescale=rescale or base.card.rescale, knows=() if from_scratch else _known_before(base))
    return base, [*notices, *about_channels, about_size]


def _known_before(model: Model) -> tuple[Appearance, ...]:
    """Return how images of the datasets are shown that the base model was trained on."""
    if model.card.knows:
        return model.card.knows
    return (_measured(AS_THEY_ARE, model.card.provenance.statistics, has_masks=model.rehearsal is not None),)


def _measured(shown: Appearance, statistics: DataStatistics | None, *, has_masks: bool) -> Appearance:
    """Return the appearance of a dataset with what tells its images from others; strokes tell no share of objects."""
    if statistics is None:
        return shown.model_copy(update={"quantiles": (), "object_share": None})
    share = statistics.foreground if has_masks else None
    return shown.model_copy(update={"quantiles": statistics.normalized.everywhere, "object_share": share})


def _about_unknown(knows: Sequence[Appearance], channels: int) -> str:
    """Say that images of older datasets can hardly be told from new ones, where that matters; else nothing."""
    if are_shown_alike(knows) or all(one.quantiles for one in knows[:-1]):
        return ""
    can_be_chosen = all(can_be_named(one, channels) for one in knows)
    advice = f"Look at the predictions of some of them.{f' {IF_WRONG}' if can_be_chosen else ''}"
    return (
        "The base model does not tell how bright or dark all the images were that it was trained on, so the new model "
        f"may take some of them for new ones, and may not say where it is not sure. {advice}"
    )


@dataclass(frozen=True)
class _Models:
    """The base as it was given and as it is trained, and what predicts datasets that are shown otherwise."""

    original: Model
    base: Model
    older: Model | None


def _with_new(model: Model, base: Model, new: Dataset) -> _Models:
    """Return the models with the new dataset among those they know; the original only where it is shown otherwise."""
    has_masks = all(image.anywhere is None for image in new.train.images)
    knows = (*base.card.knows, _measured(new.shown, new.statistics, has_masks=has_masks))
    has_same_channels = model.card.shape.in_channels == base.card.shape.in_channels
    original = model.with_card(knows=knows) if new.shown.changes and has_same_channels else model
    return _Models(original, base.with_card(knows=knows), _older(model, base, new.shown))


def _older(model: Model, base: Model, shown: Appearance) -> Model | None:
    """Return what predicts the datasets that the base knows and that are not `shown` as the new one; None for none.

    It is the model as it was, with the channels of this training, or what that has beside it, where the new dataset is
    shown as its newest one is.

    Raises
    ------
    ModelError
        If the new dataset is shown otherwise, and the model keeps weights for others already.
    """
    own, before = model.card, base.card.knows
    if are_shown_alike((*before, shown)):
        return None
    if base.older is not None:
        if before[-1].is_shown_as(shown):
            return base.older
        channels = base.card.shape.in_channels
        parent = f" ({own.provenance.parent})" if own.provenance.parent else ""
        raise ModelError(
            f"{own.name or 'model'}: its weights are for images that are seen {before[-1].in_words(channels)}, beside "
            f"those that it keeps for older ones, but these images would be seen {shown.in_words(channels)}. Start "
            f"from the model that it was finetuned from{parent}."
        )
    kept = base.with_card(rescale=own.rescale, patch_size=own.patch_size, threshold=own.threshold)
    return replace(kept, rehearsal=None)


_KEPT = (
    "The base model carries no patches of its old dataset and no old images were given: nothing is replayed. Old "
    "images keep the base's weights, since they are shown to the network otherwise than the new ones."
)


@dataclass(frozen=True)
class _Settled:
    """Settings without anything left open, what is replayed, and what the user should know of that."""

    config: FinetuneConfig
    replay: PatchSampler | None
    notices: tuple[str, ...]


def _settle(
    config: FinetuneConfig, new: Dataset, old: Dataset, models: _Models, begun: Begun | None, *, from_scratch: bool
) -> _Settled:
    """Return what the settings come to with these images."""
    settled, about_layers = settle_orientation(config, new.train.images)
    replay = None
    if len(old.train):
        replay = PatchSampler(old.train, settle_orientation(config, old.train.images)[0], stream=1)
    loses_nothing = from_scratch or (models.base.card.can_spare_old(are_given=True) and replay is None)
    settled, about_pull = settle_pull(settled, has_old_images=replay is not None, from_scratch=loses_nothing)
    settled = settle_schedule(settled, len(new.held_out), len(new.records), from_scratch=from_scratch)
    shapes = [image.shape for image in new.held_out.images]
    window = begun.window_px if begun else affordable_window(shapes, settled, models.original.card.patch_size)
    settled = settled.model_copy(update={"validation_crop_px": window or settled.validation_crop_px})
    about_old = () if from_scratch else (_KEPT,) if loses_nothing else old.notices
    return _Settled(settled, replay, (about_layers, *about_old, about_pull))


def _known_to_base(new: Dataset, base: Model) -> str:
    """Say which images the base model was trained on already, whatever their masks were; empty if none."""
    known = [record for record in new.records if base.card.provenance.use_of(record) in ("train", "any")]
    if not known:
        return ""
    held_out, fate = [record.name for record in known if record in new.held_out_records], "none of them is held out."
    if held_out:
        images = images_or_regions(len(held_out), regions_among(held_out))
        fate = f"the Dice on held-out {images} ({first_of(held_out)}) will be too good. "
        fate += "Start from the model that it came from."
    names, images = first_of([record.name for record in known]), counted([record.name for record in new.records])
    return f"The base model was trained on {len(known)} of these {images} before ({names}): {fate}"


def _batches(
    new: Dataset, replay: PatchSampler | None, config: FinetuneConfig, base: Model, precision: PrecisionName
) -> tuple[BatchSource, Validator | None]:
    threshold = config.threshold or base.card.threshold
    mirrored = trains_mirrored(config.augment)
    images = ImageValidator(new.held_out, config, precision, threshold, mirrored) if len(new.held_out) else None
    if config.epochs is None:
        return RandomBatches(PatchSampler(new.train, config), replay, config), images
    grid = split_grid(new.train, config)
    source = GridBatches(grid.train, new.train, config)
    if not grid.held_out:
        return source, images
    loss = build_loss(config.loss, config.false_positive_weight)
    return source, PatchValidator(grid.held_out, new.train, config, loss)
