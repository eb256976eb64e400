"""The images of the new and of the old dataset in memory, as the network sees them, some of them held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import overload

import torch

from ..config import FinetuneConfig
from ..data.annotated_image import AnnotatedImage
from ..data.appearance import AS_THEY_ARE, Appearance
from ..data.normalize import ModelView, network_input
from ..data.split import Split, Wholes, keep_holding_out, split_at, split_by_name, split_images
from ..data.statistics import DataStatistics, combine, measure_image
from ..errors import DataError
from ..models.model import Model
from ..models.provenance import Provenance, TrainingImage
from .patches.store import PatchStore, free_bytes
from .replay import imitated, imitation_notice, store_patches
from .settle import settle_appearance, settle_curve
from .state import Begun

# Masks with more objects than this are inverted, or are the images themselves.
NEARLY_ALL = 0.98
# Share of the free memory in which images may be kept until all is set up.
KEPT_SHARE = 0.2


@dataclass(frozen=True)
class Dataset:
    """Images as a model with `view` sees them, split into those to train on and those held out.

    `records`, `places` and `wholes` are of all of them, in the order in which they were read: how each is known again,
    which of the images that were given it is, and which image it is a region of. `held_out_at` says which are held out.
    """

    view: ModelView
    train: PatchStore
    held_out: PatchStore
    records: tuple[TrainingImage, ...] = ()
    notices: tuple[str, ...] = ()
    statistics: DataStatistics | None = None
    places: tuple[int, ...] = ()
    wholes: Wholes = ()
    held_out_at: tuple[int, ...] = ()
    is_imitated: bool = False  # what is trained on has no masks of its own

    @property
    def shown(self) -> Appearance:
        """How its images are shown, where all are shown alike."""
        return self.view.knows[0]

    @property
    def held_out_records(self) -> list[TrainingImage]:
        """How each held-out image is known again."""
        return [self.records[place] for place in self.held_out_at]

    def holding_out(self, split: Split) -> Dataset:
        """Return the same images, some of them held out."""
        return replace(
            self,
            train=self.train.part(split.train),
            held_out=self.train.part(split.validation),
            notices=(*self.notices, split.note),
            held_out_at=split.validation,
        )


@dataclass(frozen=True)
class NewImages:
    """The images of a new dataset as they were given, to be looked at once more when a training has ended.

    `places` says where each that is used stands among `images`, `records` how it is known again, and `held_out` which
    of these are held out, in the order in which they are scored.
    """

    images: Sequence[AnnotatedImage]
    places: tuple[int, ...]
    records: tuple[TrainingImage, ...]
    held_out: tuple[int, ...]

    @property
    def trained(self) -> tuple[int, ...]:
        """Which of these are trained on."""
        held_out = frozenset(self.held_out)
        return tuple(index for index in range(len(self.places)) if index not in held_out)

    def read(self, index: int) -> AnnotatedImage:
        """Return one of these, as it was when the training began.

        Raises
        ------
        DataError
            If it is gone, or is not the same any more.
        """
        image = self.images[self.places[index]]
        if TrainingImage.of(image).sha256 != self.records[index].sha256:
            raise DataError(f"{image.name}: this image or its mask has changed since the training began.")
        return image


class ReadOnce(Sequence[AnnotatedImage]):
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


def load_new(
    base: Model,
    images: ReadOnce,
    config: FinetuneConfig,
    device: torch.device,
    begun: Begun | None,
    should_stop: Callable[[], bool],
) -> Dataset:
    """Return the new images, shown so that the base finds their objects; one that knows no images, as they are.

    Raises
    ------
    DataError
        If nothing can be learned from them.
    """
    load = partial(_load_as, base=base, images=images, config=config, device=device, begun=begun)
    if not base.card.knows:
        return load(AS_THEY_ARE)
    shown, about = settle_appearance(base, images, config, device)
    if begun:
        if begun.inverted not in (None, shown.inverted):  # by another version, or by a little on another device
            shown, about = Appearance(inverted=begun.inverted), ""
        shown = shown.model_copy(update={"curves": begun.curves})
    new, about_curve = load(shown), ""
    if not begun:
        curved, about_curve = settle_curve(base, shown, (new.train, new.held_out), config, should_stop)
        new = new if curved == shown else load(curved)
    return replace(new, notices=(about, about_curve, *new.notices))


def _load_as(
    shown: Appearance,
    base: Model,
    images: ReadOnce,
    config: FinetuneConfig,
    device: torch.device,
    begun: Begun | None,
) -> Dataset:
    """Return the new images, all `shown` in one way."""
    new = _read(images.given_out(), base.card.view.as_one_of(shown), device)
    if config.validation == "images":
        new = new.holding_out(_as_begun(_split(new, config, base.card.provenance, config.held_out), new, begun))
    _check_annotations(new.train)
    return new


def _read(images: Iterable[AnnotatedImage], view: ModelView, device: torch.device) -> Dataset:
    """Read every image once, leave out those without annotation, and hold none out."""
    store, records, notices, measured, places, wholes = PatchStore(device), [], [], [], [], []
    for place, image in enumerate(images):
        if image.annotated is not None and not image.annotated.any():
            notices.append(f"{image.name}: nothing is annotated in this image; it is left out.")
            continue
        if image.image.min() == image.image.max():
            notices.append(f"{image.name}: all pixels are alike, so nothing can be learned from this image.")
        seen = network_input(image, view)
        as_it_is = None if seen.appearance.changes else seen.pixels
        measured.append(measure_image(image, view, normalized=as_it_is))
        target, quantiles = image.target if seen.target is None else seen.target, measured[-1].normalized.everywhere
        store.add(image.name, seen.pixels, target, seen.annotated, quantiles)
        records.append(TrainingImage.of(image))
        places.append(place)
        wholes.append(image.whole)
    told = tuple(records), tuple(notices), combine(measured), tuple(places), tuple(wholes)
    return Dataset(view, store, store.part([]), *told)


def _split(images: Dataset, config: FinetuneConfig, base: Provenance, names: Sequence[str] | None) -> Split:
    """Hold out the images of these `names`, or a share of them, of which the `base` was not trained on any."""
    stored, wholes = images.train.images, images.wholes
    if names is not None:
        return split_by_name([image.name for image in stored], names, wholes)
    before = [base.use_of(record) for record in images.records]
    trained, held_out = ({i for i, use in enumerate(before) if use == one} for one in ("train", "validation"))
    share, seed, fractions = config.validation_share, config.seed, [image.foreground_share for image in stored]
    if not trained and not held_out:
        return split_images(fractions, share, seed, wholes=wholes)
    chosen = keep_holding_out(fractions, share, seed, trained=trained, held_out=held_out, wholes=wholes)
    return split_at(chosen, len(stored), wholes)


def _as_begun(split: Split, images: Dataset, begun: Begun | None) -> Split:
    """Return the split with which the training began, as far as its images are there; another version drew others."""
    names, before = [image.name for image in images.train.images], begun.held_out if begun else None
    if before is None or tuple(names[place] for place in split.validation) == before:
        return split
    chosen = [place for place, name in enumerate(names) if name in before]
    is_there = tuple(names[place] for place in chosen) == before
    return split_at(chosen, len(names), images.wholes) if is_there else split


def _check_annotations(train: PatchStore) -> None:
    """Refuse images from which nothing can be learned."""
    if not any(len(image.foreground) for image in train.images):
        raise DataError("None of the training images shows an object. Annotate at least one, or check the masks.")
    if all(image.foreground_share > NEARLY_ALL for image in train.images):
        raise DataError(
            "The masks show next to no background, only objects. Check whether images and masks are swapped or the "
            "masks inverted; if they are strokes, paint some background too."
        )


def held_out_seen_by(view: ModelView, images: Sequence[AnnotatedImage], new: Dataset) -> PatchStore | None:
    """Return the held-out ones of `images` as a model with `view` sees them, or None if it cannot take them."""
    if view == new.view:
        return new.held_out
    store = PatchStore(new.held_out.device)
    try:
        for place in new.held_out_at:
            store.add_as_seen(images[new.places[place]], view)
    except DataError:  # more channels than its rule covers
        return None
    return store


def load_old(
    model: Model,
    base: Model,
    images: Sequence[AnnotatedImage] | None,
    config: FinetuneConfig,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> Dataset:
    """Return images of the old dataset to replay and to score: those given, or patches that the `base` carries.

    They have the size that the `model` gives them, which `base` is with the settings of this training.
    """
    view = base.card.view.model_copy(update={"rescale": model.card.rescale})
    if images and images[0].labels is None:
        taught = _read(imitated(model, images, config, should_stop=should_stop), view, device)
        return _imitating(taught, len(images), base)
    if images:
        old = _read(images, view, device)
        return replace(old.holding_out(_split(old, config, base.card.provenance, None)), notices=())
    if base.rehearsal is not None:
        return Dataset(view, *store_patches(base.rehearsal, device))
    notice = (
        "The base model carries no patches of its old dataset and no old images were given: nothing is replayed, "
        "and what is forgotten cannot be measured. Give old images, with their masks if there are any."
    )
    return Dataset(view, PatchStore(device), PatchStore(device), notices=(notice,) if config.replay_share else ())


def _imitating(taught: Dataset, given: int, base: Model) -> Dataset:
    """Return what was `taught` of the `given` old images without masks, beside the patches that the base carries.

    Only patches with true masks are scored: a model always agrees with itself.
    """
    notice = imitation_notice(given, len(taught.train), measured=base.rehearsal is not None)
    train, held_out = taught.train, taught.held_out
    # Predictions cover whole images, unlike strokes: patches may lie anywhere, and their shape tells of layers.
    train.images[:] = [replace(image, anywhere=None) for image in train.images]
    if base.rehearsal is not None:
        patches, held_out = store_patches(base.rehearsal, train.device)
        train = train.joined(patches)
    # What is predicted is not recorded: another device predicts a little else, and that changes no image.
    records = tuple(record.model_copy(update={"sha256": record.pixels_sha256}) for record in taught.records)
    return replace(taught, train=train, held_out=held_out, records=records, notices=(notice,), is_imitated=True)
