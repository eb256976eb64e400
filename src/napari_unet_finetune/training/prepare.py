"""From images, base model and settings to all that a training works with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

import torch
from torch import Tensor

from ..config import FinetuneConfig, PrecisionName
from ..data.annotated_image import AnnotatedImage
from ..data.appearance import AS_THEY_ARE, Appearance
from ..data.normalize import network_input
from ..data.split import Split, Wholes, keep_holding_out, split_at, split_by_name, split_images
from ..data.statistics import DataStatistics, combine, estimate_rescale, measure_image
from ..device import pick_device, pick_precision
from ..errors import DataError, ModelError
from ..events import never
from ..inference.views import trains_mirrored
from ..models.model import Model
from ..models.provenance import Provenance, TrainingImage
from ..text import count_of, first_of
from .losses import build_loss
from .patches.batches import BatchSource, GridBatches, RandomBatches, split_grid
from .patches.sampler import PatchSampler
from .patches.store import PatchStore, PreparedImage, free_bytes
from .patches.unannotated import UnannotatedPatches, load_unannotated
from .replay import imitated, imitation_notice, settle_pull, store_patches, to_tell_apart
from .settle import fit_channels, settle_appearance, settle_curve, settle_orientation, settle_schedule
from .state import Begun
from .validation import ImageValidator, PatchValidator, Validator, affordable_window

# Masks with more objects than this are inverted, or are the images themselves.
NEARLY_ALL = 0.98
# Share of the free memory in which images may be kept until all is set up.
KEPT_SHARE = 0.2


@dataclass(frozen=True)
class Setup:
    """All that a training works with, fixed before its first step.

    `original` is the base model as it was given, `base` the same with the channels and patch size of this training.
    `old` are images of the old dataset that are only scored, and `raw_held_out` the held-out images as the original
    model sees them, shown as in this training; None if it cannot take their channels. `raw_as_is` are the same as its
    user has it, None where that is no different.
    """

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
    raw_held_out: PatchStore | None
    raw_as_is: PatchStore | None = None
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
        known = self.base.card.knows
        scored = known[:-1] if self.old_is_given else known[:1]
        return self.older is not None and not any(one.is_shown_as(known[-1]) for one in scored)

    def finished(self, weights: Mapping[str, Tensor], threshold: float, *, for_all: bool = False) -> Model:
        """Return the base with `weights` learned from the new images, and those that older datasets keep beside them.

        These datasets are shown otherwise. None keeps any if the new weights are `for_all`.
        """
        older = None if self.older is None or for_all else self.older.as_older()
        return replace(self.base.with_card(threshold=threshold), weights=weights, older=older)


@dataclass(frozen=True)
class _Loaded:
    """Images in memory, split into those to train on and those held out."""

    train: PatchStore
    held_out: PatchStore
    records: tuple[TrainingImage, ...]
    notices: tuple[str, ...]
    statistics: DataStatistics | None = None
    held_out_places: tuple[int, ...] = ()  # which of the images that were given
    held_out_records: tuple[TrainingImage, ...] = ()
    is_imitated: bool = False  # what is trained on has no masks of its own

    @property
    def stores(self) -> tuple[PatchStore, PatchStore]:
        """What is trained on, and what is held out."""
        return self.train, self.held_out


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
    images, device, model = _ReadOnce(images), pick_device(config.device), model.seeing(config.channels)
    precision = pick_precision(config.precision, device)
    config = config.model_copy(update={"patch_size": config.patch_size or model.card.patch_size})
    base, about_base = _fit_base(model, images, config, from_scratch=from_scratch)
    before = () if from_scratch else _known_before(base)
    shown, about_shown = (AS_THEY_ARE, "") if from_scratch else settle_appearance(base, images, config, device)
    loaded = _load(base.with_card(knows=(shown,)), images.given_out(), config, device, begun)
    _check_annotations(loaded.train)
    curved, about_curve = shown.model_copy(update={"curves": begun.curves if begun else ()}), ""
    if begun is None and not from_scratch:
        curved, about_curve = settle_curve(base, shown, loaded.stores, config, should_stop)
    if curved != shown:
        shown, loaded = curved, _load(base.with_card(knows=(curved,)), images.given_out(), config, device, begun)
    old = _load_old(model, base_images, base.with_card(knows=before), config, device, should_stop)
    has_same_channels = model.card.shape.in_channels == base.card.shape.in_channels
    original = model.with_card(knows=(shown,)) if has_same_channels else model
    held_out = _seen_by_base(original, base.with_card(knows=(shown,)), images, loaded)
    as_is = _seen_by_base(model, base.with_card(knows=(shown,)), images, loaded) if shown.changes else None
    model, base = _with_new(model, base, before, shown, loaded)
    older = None if from_scratch else _older(model, base, before)
    are_apart = older is not None and not any(one.is_shown_as(shown) for one in before)
    loses_nothing = from_scratch or (are_apart and not len(old.train))
    config, replay, (about_layers, about_pull) = _settle(config, loaded.train, old.train, from_scratch=loses_nothing)
    about_kept = (_KEPT,) if loses_nothing else old.notices
    about_old = () if from_scratch else (*about_kept, about_pull, _known_to_base(loaded, model))
    held_out_count, annotated = len(loaded.held_out), len(loaded.records)
    config = settle_schedule(config, held_out_count, annotated, from_scratch=from_scratch)
    window = begun.window_px if begun else affordable_window([one.shape for one in loaded.held_out.images], config)
    config = config.model_copy(update={"validation_crop_px": window or config.validation_crop_px})
    known = (*loaded.records, *old.records)
    more = load_unannotated(
        unannotated,
        base.card.view.as_one_of(shown),
        config,
        device,
        annotated=known,
    )
    notices = (*about_base, about_shown, about_curve, *loaded.notices, about_layers, *about_old, more.notice)
    source, validator = _batches(loaded, replay, config, base, precision)
    return Setup(
        original=model,
        base=base,
        config=config,
        device=device,
        precision=precision,
        train=loaded.train,
        held_out=loaded.held_out,
        source=source,
        validator=validator,
        old=tuple(image.cropped(config.validation_crop_px) for image in old.held_out.images),
        records=loaded.records,
        statistics=loaded.statistics,
        notices=tuple(filter(None, notices)),
        from_scratch=from_scratch,
        raw_held_out=held_out,
        raw_as_is=as_is,
        old_records=old.records,
        old_is_given=bool(old.records) and not old.is_imitated,
        older=older,
        unannotated=UnannotatedPatches(more.store, config) if len(more.store) else None,
        unannotated_records=more.records,
        told_apart=tuple(to_tell_apart(*old.stores)),
    )


class _ReadOnce(Sequence[AnnotatedImage]):
    """Images that are kept once they are read, as far as memory allows: settings and splits look at some again."""

    def __init__(self, images: Sequence[AnnotatedImage]) -> None:
        self._images, self._kept = images, dict[int, AnnotatedImage]()
        self._budget = free_bytes(torch.device("cpu")) * KEPT_SHARE

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[AnnotatedImage]: ...

    def __getitem__(self, index: int | slice) -> AnnotatedImage | Sequence[AnnotatedImage]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if index in self._kept:
            return self._kept[index]
        image = self._images[index]
        if (size := _bytes_of(image)) <= self._budget:
            self._budget -= size
            self._kept[index] = image
        return image

    def __len__(self) -> int:
        return len(self._images)

    def given_out(self) -> Iterator[AnnotatedImage]:
        """Yield every image and keep it no longer: it is about to be kept as it is trained on."""
        for index in range(len(self)):
            yield self[index]
            if index in self._kept:
                self._budget += _bytes_of(self._kept.pop(index))


def _bytes_of(image: AnnotatedImage) -> int:
    return sum(part.nbytes for part in (image.image, image.labels, image.annotated) if part is not None)


def _settle(
    config: FinetuneConfig, train: PatchStore, old: PatchStore, *, from_scratch: bool
) -> tuple[FinetuneConfig, PatchSampler | None, tuple[str, str]]:
    """Return settings without anything left open, what is replayed, and what the user should know of that."""
    settled, about_layers = settle_orientation(config, train.images)
    replay = PatchSampler(old, settle_orientation(config, old.images)[0], stream=1) if len(old) else None
    settled, about_pull = settle_pull(settled, has_old_images=replay is not None, from_scratch=from_scratch)
    return settled, replay, (about_layers, about_pull)


def _known_to_base(loaded: _Loaded, base: Model) -> str:
    """Say which images the base model was trained on already, whatever their masks were; empty if none."""
    known = [record for record in loaded.records if base.card.provenance.use_of(record) in ("train", "any")]
    if not known:
        return ""
    held_out = [record.name for record in known if record in loaded.held_out_records]
    fate = (
        f"the Dice on held-out images ({first_of(held_out)}) will be too good. Start from the model that it came from."
        if held_out
        else "none of them is held out."
    )
    names = first_of([record.name for record in known])
    return (
        f"The base model was trained on {len(known)} of these {count_of(len(loaded.records), 'image')} before "
        f"({names}): {fate}"
    )


def _fit_base(
    model: Model, images: Sequence[AnnotatedImage], config: FinetuneConfig, *, from_scratch: bool
) -> tuple[Model, list[str]]:
    """Return the base model as the settings ask for it, and what the user should know of that."""
    base, notices = model.with_card(patch_size=config.patch_px), []
    if base.card.patch_size != model.card.patch_size:
        notices.append(
            f"The base model was trained on patches of {model.card.patch_size} px and is finetuned and scored on "
            f"patches of {base.card.patch_size} px. Leave the patch size empty to keep the base's."
        )
    if config.normalization not in (None, base.card.normalization):
        notices.append(f"The base model's normalization ({base.card.normalization.method}) is kept.")
    base, about_channels = fit_channels(base, images, config, from_scratch=from_scratch)
    rescale, about_size = config.rescale, ""
    if rescale == 0:
        rescale, about_size = estimate_rescale(images, model.card.provenance.statistics, base.card.view)
    return base.with_card(rescale=rescale or base.card.rescale), [*notices, *about_channels, about_size]


def _load(
    base: Model,
    images: Iterable[AnnotatedImage],
    config: FinetuneConfig,
    device: torch.device,
    begun: Begun | None = None,
) -> _Loaded:
    """Read every image once, leave out those without annotation, and hold some out."""
    store, records, notices, measured, places, wholes = PatchStore(device), [], [], [], [], []
    for place, image in enumerate(images):
        if image.annotated is not None and not image.annotated.any():
            notices.append(f"{image.name}: nothing is annotated in this image; it is left out.")
            continue
        if image.image.min() == image.image.max():
            notices.append(f"{image.name}: all pixels are alike, so nothing can be learned from this image.")
        seen = network_input(image, base.card.view)
        as_it_is = None if seen.appearance.changes else seen.pixels
        measured.append(measure_image(image, base.card.view, normalized=as_it_is))
        target, quantiles = image.target if seen.target is None else seen.target, measured[-1].normalized.everywhere
        store.add(image.name, seen.pixels, target, seen.annotated, quantiles)
        records.append(TrainingImage.of(image))
        places.append(place)
        wholes.append(image.whole)
    if config.validation != "images":
        return _Loaded(store, store.part([]), tuple(records), tuple(notices), combine(measured))
    split = _split(store, config, records, base.card.provenance, wholes)
    split = _as_begun(split, [image.name for image in store.images], begun, wholes)
    return _Loaded(
        store.part(split.train),
        store.part(split.validation),
        tuple(records),
        (*notices, split.note),
        combine(measured),
        tuple(places[index] for index in split.validation),
        tuple(records[index] for index in split.validation),
    )


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


def _with_new(
    model: Model, base: Model, before: tuple[Appearance, ...], shown: Appearance, loaded: _Loaded
) -> tuple[Model, Model]:
    """Return the models with the new dataset among those they know; the original only where it is shown otherwise."""
    has_masks = all(image.anywhere is None for image in loaded.train.images)
    knows = (*before, _measured(shown, loaded.statistics, has_masks=has_masks))
    has_same_channels = model.card.shape.in_channels == base.card.shape.in_channels
    return model.with_card(knows=knows) if shown.changes and has_same_channels else model, base.with_card(knows=knows)


_KEPT = (
    "The base model carries no patches of its old dataset and no old images were given: nothing is replayed. Old "
    "images keep the base's weights, since they are shown to the network otherwise than the new ones."
)


def _older(model: Model, base: Model, before: tuple[Appearance, ...]) -> Model | None:
    """Return what predicts the datasets known `before` that are shown otherwise than the new one; None if none is.

    It is the model as it was, with the channels of this training, or what that has beside it, where the new dataset is
    shown as its newest one is.

    Raises
    ------
    ModelError
        If the new dataset is shown otherwise, and the model keeps weights for others already.
    """
    shown, own = base.card.knows[-1], model.card
    if all(one.is_shown_as(shown) for one in before):
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
    return replace(
        base.with_card(knows=before, rescale=own.rescale, patch_size=own.patch_size, threshold=own.threshold),
        rehearsal=None,
    )


def _seen_by_base(original: Model, base: Model, images: Sequence[AnnotatedImage], loaded: _Loaded) -> PatchStore | None:
    """Return the held-out images as the unchanged base model sees them, or None if it cannot take them."""
    if original.card.view == base.card.view:
        return loaded.held_out
    store = PatchStore(loaded.held_out.device)
    try:
        for place in loaded.held_out_places:
            image = images[place]
            seen = network_input(image, original.card.view)
            store.add(image.name, seen.pixels, image.target if seen.target is None else seen.target, seen.annotated)
    except DataError:  # more channels than its rule covers
        return None
    return store


def _split(
    store: PatchStore, config: FinetuneConfig, records: Sequence[TrainingImage], base: Provenance, wholes: Wholes
) -> Split:
    """Hold some images out: those that are named, or a share of them, of which the `base` was not trained on any."""
    names, fractions = [image.name for image in store.images], [image.foreground_share for image in store.images]
    if config.held_out is not None:
        return split_by_name(names, config.held_out, wholes)
    before = [base.use_of(record) for record in records]
    trained, held_out = ({i for i, use in enumerate(before) if use == one} for one in ("train", "validation"))
    share, seed = config.validation_share, config.seed
    if not trained and not held_out:
        return split_images(fractions, share, seed, wholes=wholes)
    chosen = keep_holding_out(fractions, share, seed, trained=trained, held_out=held_out, wholes=wholes)
    return split_at(chosen, len(names), wholes)


def _as_begun(split: Split, names: Sequence[str], begun: Begun | None, wholes: Wholes) -> Split:
    """Return the split with which the training began, as far as its images are there; another version drew others."""
    before = begun.held_out if begun else None
    if before is None or tuple(names[place] for place in split.validation) == before:
        return split
    chosen = [place for place, name in enumerate(names) if name in before]
    return split_at(chosen, len(names), wholes) if tuple(names[place] for place in chosen) == before else split


def _check_annotations(train: PatchStore) -> None:
    """Refuse images from which nothing can be learned."""
    if not any(len(image.foreground) for image in train.images):
        raise DataError("None of the training images shows an object. Annotate at least one, or check the masks.")
    if all(image.foreground_share > NEARLY_ALL for image in train.images):
        raise DataError(
            "The masks show next to no background, only objects. Check whether images and masks are swapped or the "
            "masks inverted; if they are strokes, paint some background too."
        )


def _load_old(
    model: Model,
    images: Sequence[AnnotatedImage] | None,
    base: Model,
    config: FinetuneConfig,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> _Loaded:
    """Return images of the old dataset to replay and to score: those given, or patches that the `model` carries."""
    base = base.with_card(rescale=model.card.rescale)
    if images and images[0].labels is None:
        taught = imitated(model, images, config, should_stop=should_stop)
        return _load_imitated(taught, len(images), base, config, device)
    if images:
        loaded = _load(base, images, config.model_copy(update={"validation": "images", "held_out": None}), device)
        return replace(loaded, notices=())
    if base.rehearsal is not None:
        return _Loaded(*store_patches(base.rehearsal, device), (), ())
    notice = (
        "The base model carries no patches of its old dataset and no old images were given: nothing is replayed, "
        "and what is forgotten cannot be measured. Give old images, with their masks if there are any."
    )
    return _Loaded(PatchStore(device), PatchStore(device), (), (notice,) if config.replay_share else ())


def _load_imitated(
    taught: Iterable[AnnotatedImage], given: int, base: Model, config: FinetuneConfig, device: torch.device
) -> _Loaded:
    """Return what was `taught` of the `given` old images without masks, beside the patches that the base carries.

    Only patches with true masks are scored: a model always agrees with itself.
    """
    loaded = _load(base, taught, config.model_copy(update={"validation": "none", "held_out": None}), device)
    notice = imitation_notice(given, len(loaded.train), measured=base.rehearsal is not None)
    # Predictions cover whole images, unlike strokes: patches may lie anywhere, and their shape tells of layers.
    loaded.train.images[:] = [replace(image, anywhere=None) for image in loaded.train.images]
    if base.rehearsal is not None:
        patches, held_out = store_patches(base.rehearsal, device)
        loaded = replace(loaded, train=loaded.train.joined(patches), held_out=held_out)
    # What is predicted is not recorded: another device predicts a little else, and that changes no image.
    records = tuple(record.model_copy(update={"sha256": record.pixels_sha256}) for record in loaded.records)
    return replace(loaded, records=records, notices=(notice,), is_imitated=True)


def _batches(
    loaded: _Loaded,
    replay: PatchSampler | None,
    config: FinetuneConfig,
    base: Model,
    precision: PrecisionName,
) -> tuple[BatchSource, Validator | None]:
    threshold = config.threshold or base.card.threshold
    mirrored = trains_mirrored(config.augment)
    images = ImageValidator(loaded.held_out, config, precision, threshold, mirrored) if len(loaded.held_out) else None
    if config.epochs is None:
        return RandomBatches(PatchSampler(loaded.train, config), replay, config), images
    grid = split_grid(loaded.train, config)
    source = GridBatches(grid.train, loaded.train, config)
    if not grid.held_out:
        return source, images
    loss = build_loss(config.loss, config.false_positive_weight)
    return source, PatchValidator(grid.held_out, loaded.train, config, loss)
