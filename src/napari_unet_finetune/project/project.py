"""A dataset that is being annotated: its images, and beside them masks, roles and runs, all of it on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import ChannelRule
from ..data.annotated_image import AnnotatedImage
from ..data.folders import open_unannotated, read_pair, read_unannotated
from ..data.masks import BACKGROUND, VERSION
from ..data.painted import ACCEPTED, OLD_MASKS, OLD_STROKES, PREDICTED
from ..data.pairing import Pair
from ..errors import DataError
from ..io.disk import NO_FILE, file_identity, file_stem
from ..io.images import ImageHeader, ImagePixels, read_image
from ..io.regions.region import sampled
from ..io.writing import Frame, write_frames
from .image import OWN, ROLES, Origin, ProjectImage, RegionUse, Role, SavedMask, Use, Uses, strongest
from .masks import (
    NOTHING_BESIDE,
    Beside,
    copy_aside,
    fit_foreign_labels,
    put_aside,
    put_back,
    read_foreign_mask,
    read_mask_file,
    save_mask,
)
from .opening import NotWritableError, Opened, enter, find_images, locate, with_mask, without_mask
from .record import ImageRecord, ProjectRecord, image_record, record_key, stored_source
from .shared_record import SharedRecord

__all__ = ["ROLES", "NotWritableError", "Origin", "Project", "ProjectImage", "Role", "SavedMask"]

IMAGES = "images"


class News(NamedTuple):
    """What other windows have changed: the images that are others now, and those of them whose masks are."""

    images: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()


class Project:
    """A dataset being annotated; open one with `Project.open` or `Project.from_frames`.

    All changes are on disk when a method returns, except those of `enter`. Images are never written to, masks never
    deleted. What only reads and all that begins with `write_` may run in another thread, the rest in one alone.

    Parameters
    ----------
    source
        Folder or stack file with the images.
    folder
        Where masks, runs and the record of all else lie.
    """

    def __init__(self, source: Path, folder: Path, opened: Opened, found: ProjectRecord | None) -> None:
        self.source = source
        self.folder = folder
        self._opened = opened
        self._images = opened.images
        self._masks = opened.masks
        # Files of masks as they were last written or remembered, by which it is seen that others have written them.
        self._own = {name: file_identity(self._mask_path(name)) for name in opened.stamps}
        self._is_new = found is None or found.labels is None  # no record says what a value in masks written here means
        self._channels = found.channels if found else None
        self._changes, self._written = int(opened.is_news), 0
        self._shared = SharedRecord(folder, found, self._record())

    @classmethod
    def open(cls, source: Path, folder: Path | None = None) -> Project:
        """Open the images in `source`, with all that was annotated before; only headers are read, nothing is written.

        Parameters
        ----------
        source
            Folder or stack file of images, or the folder of a project.
        folder
            Where the project lies; by default ``unet-finetune`` within the images, for a file beside it.

        Raises
        ------
        DataError
            If there are no images, or the folder belongs to others.
        NotWritableError
            If the folder takes no files, so that another one has to be chosen.
        """
        source, folder, record = locate(source, folder)
        return cls(source, folder, find_images(source, folder, record), record)

    @classmethod
    def from_frames(cls, frames: Iterable[Frame], folder: Path) -> Project:
        """Write images that are in no file, one at a time, as TIFF into ``images`` in `folder`, and open them.

        Raises
        ------
        DataError
            If there are images already, or they cannot be written.
        """
        for _ in write_frames(frames, folder / IMAGES):
            pass
        project = cls.open(folder / IMAGES, folder)
        project._write_first_record()
        return project

    @property
    def images(self) -> tuple[ProjectImage, ...]:
        """All images in natural order."""
        return tuple(self._images.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all images."""
        return tuple(self._images)

    @property
    def elsewhere(self) -> tuple[Path, ...]:
        """Subfolders of the images that hold images of their own, which are not in the dataset."""
        return self._opened.elsewhere

    @property
    def unreadable(self) -> tuple[tuple[Path, str], ...]:
        """Image and mask files that were left out, each with the reason."""
        return tuple(self._opened.unreadable)

    @property
    def masks_among(self) -> int:
        """How many masks from elsewhere lie among the images."""
        return len(self._opened.masks_among)

    def image(self, name: str) -> ProjectImage:
        """Return the image called `name`.

        Raises
        ------
        DataError
            If there is none.
        """
        if name not in self._images:
            raise DataError(f"There is no image called {name} in {self.source}. Was it renamed?")
        return self._images[name]

    def read_image(self, name: str) -> ImagePixels:
        """Return the pixels of an image; raises `DataError` if it cannot be read."""
        return read_image(self.image(name).ref)

    def sampled_image(self, name: str, size: int) -> NDArray[np.generic]:
        """Return the pixels of an image, of a large one at most `size` rows and columns; see `read_image`."""
        image = self.image(name)
        return sampled(open_unannotated(image.ref), size) if image.is_large else self.read_image(name).array

    def read_labels(self, name: str) -> NDArray[np.uint16] | None:
        """Return the mask of an image as it was painted, strokes as strokes; ``None`` if there is none.

        Raises
        ------
        DataError
            If its file cannot be read.
        """
        image = self.image(name)
        return None if image.mask is None else read_mask_file(image.mask, image.meaning, image.numbered)

    def annotated_image(self, name: str) -> AnnotatedImage:
        """Return an image with its labels and the region where they hold.

        Raises
        ------
        DataError
            If one of the files cannot be read.
        """
        image = self.image(name)
        return read_unannotated(image.ref) if image.pair is None else read_pair(image.pair)

    def save_labels(self, name: str, labels: NDArray[Any], origin: Origin, made_by: str = "") -> ProjectImage:
        """Save the mask of an image, all or nothing, and return what is now known about the image.

        `made_by` names the model whose prediction it is, if it is nothing else.

        Raises
        ------
        DataError
            If the labels do not fit the image, or the disk does not take them; what was there before stays.
        """
        self.expect(name, origin)
        return self.keep(self.write_labels(name, labels, origin, made_by))

    def write_labels(self, name: str, labels: NDArray[Any], origin: Origin, made_by: str = "") -> SavedMask:
        """Write the file of a mask; nothing else changes until `enter` or `keep` is called with the result.

        What an imported mask replaces is kept aside, and so is a file that was not written here.

        Raises what `save_labels` raises.
        """
        path = self._mask_path(name)
        self._write_first_record()
        with self._shared.locked():
            is_ours = self._own.get(name, NO_FILE) == file_identity(path)
            is_predicted = is_ours and self.image(name).is_predicted
            aside = copy_aside(path, is_predicted=is_predicted) if origin == "imported" or not is_ours else None
            saved = save_mask(path, name, labels, self._header(name), origin, self._masks.meaning(path))
            self._own[name] = file_identity(path)
        saved = replace(saved, made_by=made_by)
        return saved if is_ours else replace(saved, aside=aside)

    def enter(self, *masks: SavedMask) -> None:
        """Enter masks that were written; `write_record` must follow, for nothing is on disk yet."""
        self._number(with_mask(self.image(saved.name), saved) for saved in masks)
        for saved in masks:
            self._opened.stamps[saved.name] = saved.stamp
            self._opened.lost.pop(saved.name, None)
        self._changes += 1

    def keep(self, *masks: SavedMask) -> ProjectImage:
        """Enter masks that were written, and return the last of their images."""
        self.enter(*masks)
        self.write_record()
        return self.image(masks[-1].name)

    def write_record(self) -> None:
        """Write what is known of all images, unless that is on disk; raises `DataError` if the disk does not take it.

        It may run in two threads at once: whoever finds that there were changes meanwhile writes again.
        """
        while self._written != (changes := self._changes):
            self._shared.write(self._record())
            self._written, self._is_new = changes, False

    def check_there(self) -> None:
        """Refuse to make the folder anew after it was renamed or deleted; raises `FolderGoneError` then."""
        self._shared.check_there()

    def catch_up(self, unsaved: Collection[str] = ()) -> News:
        """Take over what other windows have changed of this dataset, and return what that is.

        Those `unsaved` here, and those whose changes are not on disk yet, stay until they are.

        Raises
        ------
        DataError
            If the record cannot be read.
        """
        shared, record = self._shared, self._shared.look()
        if record is None or not (shared.news or shared.is_set_anew):
            return News()
        ours, theirs = self._record(), {(one.file, one.frame): one for one in record.images}
        taken = shared.news - shared.changed_here(ours)
        refs = {record_key(image.ref): image.ref for image in self.images if image.name not in unsaved}
        is_switched = shared.is_set_anew and record.sparse != self.sparse
        if shared.is_set_anew:
            self._read_otherwise(sparse=record.sparse)
            self._channels = record.channels
        repainted = []
        for key in (taken := {key for key in taken if key in refs}):
            name = refs[key].name
            enter(self._opened, refs[key], theirs.get(key))
            before, self._own[name] = self._own.get(name, NO_FILE), file_identity(self._mask_path(name))
            if before != self._own[name]:
                repainted.append(name)
        names = tuple(refs[key].name for key in taken)
        shared.take_over(self._record(), taken)
        return News(self.names, self.names) if is_switched else News(names, tuple(repainted))

    def _read_otherwise(self, *, sparse: bool) -> None:
        self._masks = self._opened.masks = replace(self._masks, sparse=sparse)
        for image in self.images:
            self._images[image.name] = replace(image, meaning=replace(image.meaning, sparse=sparse))

    def _write_first_record(self) -> None:
        """See to it that a record says what a value means before a mask holds it."""
        if self._is_new:
            self._changes += 1
            self.write_record()

    def _record(self) -> ProjectRecord:
        stamps, lost, masks = self._opened.stamps, self._opened.lost, self._masks
        records = [image_record(one, self.folder, stamps.get(one.name), lost.get(one.name)) for one in self.images]
        kept = tuple(one for one in records if one is not None)
        return ProjectRecord(
            version=VERSION, source=stored_source(self.source, self.folder), sparse=masks.sparse, labels=masks.labels,
            background=BACKGROUND, old=masks.old, channels=self._channels,
            images=(*kept, *self._opened.absent),
        )  # fmt: skip

    def remove_labels(self, name: str) -> Path | None:
        """Move the mask of an image aside and return where it is now; ``None`` if there was none.

        The mask of a namesake, which an old record may show for this image, is copied there: the namesake keeps it.
        """
        if self.image(name).numbered is not None and (labels := self.read_labels(name)) is not None:
            one = self.image(name)
            self.save_labels(name, labels, one.origin, one.made_by)  # in one file, to be put aside
        image, newest, moved = self.image(name), self._mask_path(name), dict[Path, Path | None]()
        own = [*(self.folder / place / newest.name for place in (OLD_STROKES, OLD_MASKS)), newest]
        lost = self._opened.lost.pop(name, None)
        try:
            with self._shared.locked():
                copied = copy_aside(image.mask) if image.mask is not None and image.mask not in own else None
                for path in own:  # the newest last, so that a crash leaves nothing older
                    moved[path] = put_aside(path, is_predicted=image.is_predicted and path == image.mask)
                self._own[name] = NO_FILE
            self._change({name: without_mask(image)})
        except DataError:
            self._put_back(image, lost, moved)
            raise
        return copied or moved[image.mask or newest]

    def _put_back(self, image: ProjectImage, lost: ImageRecord | None, moved: Mapping[Path, Path | None]) -> None:
        """Leave all as it was before a mask was to be removed."""
        put_back(moved)
        self._images[image.name] = image
        self._own[image.name] = file_identity(self._mask_path(image.name))
        if lost is not None:
            self._opened.lost[image.name] = lost

    def restore_labels(self, name: str, aside: Path, origin: Origin, made_by: str = "") -> ProjectImage:
        """Take a mask back that `remove_labels` moved to `aside`; raises `DataError` if it cannot be read."""
        return self.save_labels(name, read_mask_file(aside, self._masks.meaning(aside)), origin, made_by)

    def write_imported(self, pair: Pair, beside: Beside = NOTHING_BESIDE) -> SavedMask:
        """Write a mask from elsewhere as the file of a mask here; `keep` it to enter it.

        What others of its import hold (`beside`) tells whether 1 and 2 are strokes or two objects.

        Raises
        ------
        DataError
            If the image has a painted mask, the sizes differ, or the mask cannot be understood.
        """
        image = self._images.get(pair.name)
        if image is None or image.ref != pair.image:
            raise DataError(f"{pair.mask.name}: its image {pair.name} is not in this dataset.")
        _check_replaceable(image)
        size = self._header(image.name).size
        labels = read_foreign_mask(pair.mask, image.name, size, sparse=self.sparse, beside=beside)
        return self.write_labels(image.name, labels, "imported")

    def write_imported_labels(
        self, name: str, labels: NDArray[Any], *, called: str, strokes: bool = False
    ) -> SavedMask:
        """Write labels that are in no file as `write_imported` does those of a file; messages say `called` for them.

        In a dataset of strokes, `strokes` tells whether the labels are strokes or whole masks; it is not guessed.

        Raises what `write_imported` raises.
        """
        _check_replaceable(self.image(name))
        size, sparse = self._header(name).size, self.sparse
        fitting = fit_foreign_labels(labels, called, name, size, strokes=strokes and sparse, sparse=sparse)
        return self.write_labels(name, fitting, "imported")

    def expect(self, name: str, origin: Origin) -> None:
        """Remember how the next mask of an image came about before it is written, where a crash would mistake it.

        No prediction becomes an annotation, and none that was painted on stays a prediction. The mask that there is
        stays what it is until then: a full disk may keep it.
        """
        image = self.image(name)
        is_mistaken = image.origin != origin and not {image.origin, origin}.isdisjoint((PREDICTED, ACCEPTED))
        expects = origin if is_mistaken else "none"
        if image.expects != expects:
            self._change({name: replace(image, expects=expects)})

    def accept(self, names: Iterable[str]) -> None:
        """Count predictions as annotations, for somebody has looked at them; other masks stay what they are."""
        unseen = [image for image in map(self.image, names) if image.is_predicted]
        self._number(replace(image, origin="accepted", suggested="") for image in unseen)
        self._change({image.name: self.image(image.name) for image in unseen})

    def set_role(self, names: Iterable[str], role: Role) -> None:
        """Set what images are used for; one to test with that may be trained on from now on is an image like others."""
        images = [replace(self.image(name), role=role) for name in names]
        gives_up = role in ("auto", "train")
        self._change({one.name: _no_test(one) if gives_up else one for one in images})

    def set_used(self, uses: Uses) -> None:
        """Enter what a training that begins uses images for.

        What was trained on stays that; what was held out before does until it is trained on.
        """
        changed = {name: _used_for(self.image(name), use) for name, use in uses.items()}
        self._change({name: image for name, image in changed.items() if image != self.image(name)})

    def set_dice(self, dice: Mapping[str, float]) -> None:
        """Enter the scores of the last prediction; images that are not named keep theirs."""
        self._change({name: replace(self.image(name), dice=value) for name, value in dice.items()})

    def set_suggested(self, reasons: Mapping[str, str]) -> None:
        """Mark images to annotate next, each with the reason; all earlier marks go."""
        self._change({image.name: replace(image, suggested=reasons.get(image.name, "")) for image in self.images})

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels of the first image that has several, empty ones where they are not known."""
        headers = (self._header(name) for name in self.names)
        return next((header.channels for header in headers if header.channels), ())

    @property
    def channels(self) -> ChannelRule | None:
        """Which of their channels was chosen for models to see; None while nobody has chosen."""
        return self._channels

    @channels.setter
    def channels(self, channels: ChannelRule | None) -> None:
        self._channels = channels
        self._changes += 1
        self.write_record()

    @property
    def sparse(self) -> bool:
        """Whether unpainted pixels are unknown, and not background; no mask changes with it, only what it means."""
        return self._masks.sparse

    @sparse.setter
    def sparse(self, sparse: bool) -> None:
        if sparse == self.sparse:
            return
        self._read_otherwise(sparse=sparse)
        self._changes += 1
        self.write_record()

    def pairs(self, *roles: Role) -> tuple[Pair, ...]:
        """Return the annotated images of these roles in order, with their masks; all roles if none is given.

        Of large images, these are their annotated regions.
        """
        chosen = (image for image in self.images if image.role in (roles or ROLES))
        return tuple(piece.pair for image in chosen for piece in image.pieces if piece.pair)

    def _number(self, images: Iterable[ProjectImage]) -> None:
        """Enter images, each with its number among those annotated, a new one if it was not among them before."""
        last = max(one.since for one in self._images.values())
        for image in images:
            is_new = image.is_annotated and not image.since
            last += is_new
            self._images[image.name] = replace(image, since=last) if is_new else image

    def _mask_path(self, name: str) -> Path:
        """Return where the mask of an image is written, though an old record may still show it another one."""
        return self.folder / self._masks.labels / f"{file_stem(self.image(name).name)}.tif"

    def _header(self, name: str) -> ImageHeader:
        return self._opened.headers[self.image(name).name]

    def _change(self, images: Mapping[str, ProjectImage]) -> None:
        self._images.update(images)
        self._changes += bool(images)
        self.write_record()


def _used_for(image: ProjectImage, use: Use | tuple[RegionUse, ...]) -> ProjectImage:
    """Return an image with what it, or regions of it, are used for from now on."""
    if isinstance(use, str) and image.parts is None:
        return replace(image, used_as=use) if use == "train" or not image.used_as else image
    image = image.with_region_uses(image.whole_use(use) if isinstance(use, str) else use)
    return replace(image, used_as=strongest((image.used_as, *(one.use for one in image.region_uses))))


def _no_test(image: ProjectImage) -> ProjectImage:
    """Return an image as one that is not to be tested with any more."""
    kept = tuple(one for one in image.region_uses if one.use != "test")
    used_as: Use = "" if image.used_as == "test" else image.used_as
    return replace(image, used_as=strongest((used_as, *(one.use for one in kept))), region_uses=kept)


def _check_replaceable(image: ProjectImage) -> None:
    if image.origin in OWN:
        raise DataError(f"{image.name} has a {image.origin} mask, which is kept. Remove it first to import another.")
