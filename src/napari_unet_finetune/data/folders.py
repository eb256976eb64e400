"""A folder of images and a folder of masks as a sequence of annotated images that are read when asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import overload

from ..errors import DataError
from ..io.images import (
    ImageRef,
    Listing,
    list_images,
    open_in_parts,
    read_image,
    without_labels,
)
from ..io.pixels import ImageHeader, ImagePixels
from ..io.regions.occupied import occupied_regions
from ..io.regions.ome_zarr import MISSING, has_zarr
from ..io.regions.region import LazyImage, Region, is_large
from ..io.regions.reopened import OpenedImages
from ..text import count_of, first_of, path_in_words, verb_for
from .annotated_image import AnnotatedImage
from .masks import WHOLE, LabelReading, read_labels, say_doubts
from .painted import accepted_note, list_masks, makers_of, meaning_of, recorded_pairs, unseen_masks
from .pairing import BY_ORDER, LeftOver, NoPair, Pair, Pairing, name_guesses, pair_images

_DOUBTED = 20  # masks that are read for what is doubtful about them
IS_WHOLE = "is large, and all of it is read, since its mask says something of every pixel"
Opened = OpenedImages[ImageRef]


@dataclass(frozen=True)
class AnnotatedFolder(Sequence[AnnotatedImage]):
    """Pairs of image and mask files; each access reads one pair from disk and nothing is kept.

    Parameters
    ----------
    pairing
        Which mask belongs to which image, and what the masks mean.
    unreadable
        Files that could not be read when the folders were listed, each with the reason.
    told
        What there is to know of the files, in sentences.
    opened
        Images of which regions are read.
    """

    pairing: Pairing
    unreadable: tuple[tuple[Path, str], ...] = ()
    told: tuple[str, ...] = ()
    opened: Opened = field(default_factory=lambda: OpenedImages(open_unannotated), repr=False, compare=False)

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> AnnotatedFolder:
        """Return images and masks that are paired already."""
        return cls(Pairing(tuple(pairs)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(pair.name for pair in self.pairing.pairs)

    @property
    def without_mask(self) -> tuple[ImageRef, ...]:
        """Images that have no mask yet."""
        return tuple(
            one.ref for one in self.pairing.images_without_mask if one.reason in (NoPair.NO_MASK, NoPair.UNSEEN)
        )

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Images and masks that are in no pair, each with the reason."""
        unpaired = (*self.pairing.images_without_mask, *self.pairing.masks_without_image)
        unreadable = ((path.name, reason) for path, reason in self.unreadable)
        return (*((one.ref.name, one.reason) for one in unpaired), *unreadable)

    @property
    def left_out_note(self) -> str:
        """What is left out, in a sentence; empty if nothing is."""
        reasons = [f"{name} ({reason.rstrip('.')})" for name, reason in self.left_out]
        left = f"{count_of(len(reasons), 'file')} {verb_for(len(reasons), 'be')} left out"
        return f"{left}: {first_of(reasons)}." if reasons else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the pairs: those that were guessed, and what is left out or doubtful."""
        guessed = ((pair.name, pair.mask.name) for pair in self.pairing.pairs if pair.reason == BY_ORDER)
        accepted = note_on_accepted(self.pairing.pairs)
        told = (name_guesses(guessed), self.left_out_note, *self.told, accepted, *say_doubts(self._doubts()))
        return tuple(filter(None, told))

    def _doubts(self) -> Iterator[tuple[str, str]]:
        """Read the first masks from elsewhere, and yield the name of each with what is doubtful about it."""
        foreign = [pair for pair in self.pairing.pairs if pair.meaning == WHOLE]
        for pair in foreign[:_DOUBTED]:
            with suppress(DataError):  # said when it is used
                yield pair.mask.path.name, read_mask(pair).doubt

    def only(self, names: Iterable[str] | None) -> AnnotatedFolder:
        """Return the pairs of the images called `names`, in that order; ``None`` keeps all.

        Raises
        ------
        DataError
            If there is no image of such a name.
        """
        if names is None:
            return self
        pairs = {pair.name: pair for pair in self.pairing.pairs}
        chosen = tuple(names)
        missing = [name for name in chosen if name not in pairs]
        if missing:
            raise DataError(
                f"There is no annotated image called {first_of(missing)}. Those there are: {first_of(self.names)}."
            )
        return self._with(pairs[name] for name in chosen)

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...

    @overload
    def __getitem__(self, index: slice) -> AnnotatedFolder: ...

    def __getitem__(self, index: int | slice) -> AnnotatedImage | AnnotatedFolder:
        """Read one pair, or return a part of the folder without reading.

        Raises
        ------
        DataError
            If the image or its mask cannot be read or used.
        """
        if isinstance(index, slice):
            return self._with(self.pairing.pairs[index])
        return read_pair(self.pairing.pairs[index], self.opened)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairing.pairs)

    def besides(self, used: Collection[ImageRef]) -> AnnotatedFolder:
        """Return the same pairs; of images without masks those that are `used` are not left out."""
        left = tuple(one for one in self.pairing.images_without_mask if one.ref not in used)
        return replace(self, pairing=replace(self.pairing, images_without_mask=left))

    def _with(self, pairs: Iterable[Pair]) -> AnnotatedFolder:
        return replace(self, pairing=replace(self.pairing, pairs=tuple(pairs)))


def note_on_accepted(pairs: Iterable[Pair]) -> str:
    """Return whose scores are too good on those of `pairs` whose masks are accepted predictions; empty if none are."""
    return accepted_note({pair.name: pair.made_by for pair in pairs if pair.made_by is not None})


@dataclass(frozen=True)
class UnannotatedFolder(Sequence[AnnotatedImage]):
    """Image files without masks; each access reads one from disk and nothing is kept."""

    refs: tuple[ImageRef, ...]

    @overload
    def __getitem__(self, index: int) -> AnnotatedImage: ...

    @overload
    def __getitem__(self, index: slice) -> UnannotatedFolder: ...

    def __getitem__(self, index: int | slice) -> AnnotatedImage | UnannotatedFolder:
        """Read one image, or return a part of the folder without reading; raises `DataError` if it cannot be read."""
        if isinstance(index, slice):
            return UnannotatedFolder(self.refs[index])
        return read_unannotated(self.refs[index])

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.refs)


@overload
def open_folder(images: Path | str, masks: Path | str, *, sparse: bool = ...) -> AnnotatedFolder: ...


@overload
def open_folder(images: Path | str, masks: None = ...) -> UnannotatedFolder: ...


def open_folder(
    images: Path | str, masks: Path | str | None = None, *, sparse: bool = False
) -> AnnotatedFolder | UnannotatedFolder:
    """Return the images of a folder with their masks, each read when it is asked for.

    Parameters
    ----------
    images
        A folder or a stack file.
    masks
        The same for the masks, or the folder of the images again if it holds both. Without it, labels that `predict`
        has written beside the images are passed over. Of large images with strokes, each region that is annotated
        counts as an image.
    sparse
        The masks hold strokes: 0 is not annotated, 1 background, 2 object. Of masks that were painted in napari, the
        record beside their folder tells what they hold; then it says only that what is not painted is not annotated.

    Raises
    ------
    DataError
        If a folder is missing or empty, no mask belongs to any image, or masks lie among images without any.
    """
    if masks is None:
        return UnannotatedFolder(_without_masks(Path(images), list_images(Path(images))))
    folder = pair_folders(Path(images), Path(masks), sparse=sparse)
    if not folder.pairing.pairs:
        raise DataError(_nothing_pairs(Path(images), Path(masks), folder.pairing))
    return folder


def pair_folders(images: Path, masks: Path, *, sparse: bool = False) -> AnnotatedFolder:
    """Return what `open_folder` returns of two folders, also if no mask belongs to any image.

    In a folder of masks that were painted here, predictions that nobody has looked at are no masks yet.

    Raises
    ------
    DataError
        If a folder is missing or empty.
    """
    found, found_masks = list_images(images), list_masks(masks, sparse=sparse)
    unreadable = tuple(dict.fromkeys(found.unreadable + found_masks.unreadable))
    recorded = recorded_pairs(images, masks, found, found_masks)
    pairing = pair_images(found, found_masks).as_recorded(recorded, found)
    pairing = pairing.without_unseen(unseen_masks(masks)).explained(unreadable)
    told = tuple(dict.fromkeys(found.notes + found_masks.notes))
    pairing = pairing.read_as(partial(meaning_of, sparse=sparse)).made_by(makers_of(masks))
    return _with_regions(AnnotatedFolder(pairing, unreadable, told), {**found.headers, **found_masks.headers})


def _with_regions(folder: AnnotatedFolder, headers: Mapping[ImageRef, ImageHeader]) -> AnnotatedFolder:
    """Return the same with each annotated region of a large image by itself, where not all of it is annotated."""
    pairs, left = list[Pair](), list[LeftOver]()
    counts, reasons = dict[str, int](), dict[str, str]()
    for pair in folder.pairing.pairs:
        found = _annotated_regions(pair, headers, folder.opened) if _is_large_pair(pair, headers) else ""
        if isinstance(found, str):
            pairs.append(pair)
            reasons[pair.name] = found
        elif found:
            pairs += [replace(pair, region=region) for region in found]
            counts[pair.name] = len(found)
        else:
            left.append(LeftOver(pair.image, NoPair.NOT_ANNOTATED))
    without_mask = (*folder.pairing.images_without_mask, *left)
    pairing = replace(folder.pairing, pairs=tuple(pairs), images_without_mask=without_mask)
    return replace(folder, pairing=pairing, told=(*folder.told, *say_large(counts, reasons)))


def _is_large_pair(pair: Pair, headers: Mapping[ImageRef, ImageHeader]) -> bool:
    sizes = {headers[ref].size for ref in (pair.image, pair.mask) if ref in headers}
    return len(sizes) == 1 and is_large(sizes.pop())


def why_not_in_parts(file_of: str, *, has_parts: bool) -> str:
    """Return why all of a large image is read, as it follows its name, where regions of the file of it cannot be.

    If the file has parts, what reads them is not installed. `file_of` says whether it is that of the image or its mask.
    """
    reason = "is large, and all of it is read, which takes much memory, since"
    if has_parts and not has_zarr():
        return f"{reason} the extra that reads parts of {file_of} is missing. {MISSING.rstrip('.')}"
    return (
        f"{reason} the file of {file_of} cannot be read in parts. Save it as OME-Zarr or tiled TIFF to have only "
        "annotated regions read"
    )


def _annotated_regions(pair: Pair, headers: Mapping[ImageRef, ImageHeader], opened: Opened) -> tuple[Region, ...] | str:
    """Return the annotated regions of a large image; or why all of it is to be read, as it follows its name."""
    if not pair.meaning.sparse:
        return (
            f"{IS_WHOLE}. If 0 is not annotated in it, 1 background and 2 object, have it read as strokes (option "
            "--sparse): then only what is annotated is read"
        )
    try:
        for ref in (pair.image, pair.mask):
            found = open_in_parts(ref)
            if found is None:
                file_of = "its mask" if ref == pair.mask else "the image"
                return why_not_in_parts(file_of, has_parts=ref in headers and headers[ref].read_in_parts)
            opened.add(ref, found)
        return occupied_regions(opened[pair.mask])
    except DataError as error:
        reason = str(error).rstrip(".")
        return f"is large, and all of it is read, since no annotated regions of it can be found ({reason})"


def say_large(counts: Mapping[str, int], reasons: Mapping[str, str]) -> tuple[str, ...]:
    """Return sentences on large images, by name: how many regions of them are read, or why they are read whole."""
    regions = (
        "is large, so its annotated parts are read and not all of it: "
        f"{count_of(sum(counts.values()), 'region')}{' in all' if len(counts) > 1 else ''}, each as an image of its own"
    )
    return say_doubts([*((name, regions) for name in counts), *reasons.items()], "images")


def _without_masks(images: Path, found: Listing) -> tuple[ImageRef, ...]:
    refs = without_labels(found)
    masks = [pair.mask.name for pair in pair_images(found, found).pairs if pair.mask in refs]
    if masks:
        raise DataError(
            f"{images}: masks lie among the images ({first_of(masks)}). Give this folder for the masks too, or "
            "take them out."
        )
    return refs


def read_pair(pair: Pair, opened: Opened | None = None) -> AnnotatedImage:
    """Read an image and its mask, or a region of both.

    Parameters
    ----------
    opened
        Images of which regions are read; without them, the files are opened for this pair alone.

    Raises
    ------
    DataError
        If one of them cannot be read or used, or their sizes differ.
    """
    opened = OpenedImages(open_unannotated) if opened is None else opened
    pixels, reading = read_pixels(pair, opened), read_mask(pair, opened)
    return AnnotatedImage(
        pair.name,
        pixels.array,
        reading.labels,
        reading.annotated,
        pixels.scale,
        pixels.unit,
        pixels.channels,
        None if pair.region is None else opened[pair.image],
        pair.region,
    )


def read_pixels(pair: Pair, opened: Opened) -> ImagePixels:
    """Read the image of a pair, or a region of it; see `read_pair`. Raises `DataError` if it cannot be read."""
    if pair.region is None:
        return read_image(pair.image)
    image = opened[pair.image]
    return ImagePixels(image.read(pair.region), image.scale, image.unit, image.channel_names)


def read_unannotated(ref: ImageRef) -> AnnotatedImage:
    """Read an image that has no mask, or whose mask does not matter; raises `DataError` if it cannot be read."""
    pixels = read_image(ref)
    return AnnotatedImage(ref.name, pixels.array, scale=pixels.scale, unit=pixels.unit, channel_names=pixels.channels)


def open_unannotated(ref: ImageRef) -> LazyImage:
    """Return an image to be read in parts where its file allows that, else read all of it; raises `DataError`."""
    return open_in_parts(ref) or read_unannotated(ref)


def read_mask(pair: Pair, opened: Opened | None = None) -> LabelReading:
    """Read the mask of a pair, or a region of it, and say how it was understood; see `read_pair`.

    Raises
    ------
    DataError
        If it cannot be read or understood.
    """
    if pair.region is None:
        array = read_image(pair.mask, as_labels=True).array
    else:
        array = (open_unannotated(pair.mask) if opened is None else opened[pair.mask]).read(pair.region)
    return read_labels(array, name=pair.mask.name, meaning=pair.meaning)


def _nothing_pairs(images: Path, masks: Path, pairing: Pairing) -> str:
    left, right = pairing.images_without_mask, pairing.masks_without_image
    if any(one.reason is NoPair.UNSEEN for one in left):
        return f"{masks}: all masks are predictions that nobody has looked at. Correct or accept some in napari first."
    bare = [one.ref.name for one in left if one.reason is NoPair.NOT_ANNOTATED]
    if bare:
        return f"{masks}: nothing is annotated ({first_of(bare)}). Paint 1 for background and 2 for objects first."
    reasons = {one.reason for one in (*left, *right)}
    reason = f" ({reasons.pop()})" if len(reasons) == 1 else ""
    return (
        f"No mask in {path_in_words(masks)} belongs to an image in {path_in_words(images)}{reason}: "
        f"{_counted(left, 'image')}, "
        f"{_counted(right, 'mask')}. Give both the same name, or the same name with '_mask' at its end."
    )


def _counted(left: Sequence[LeftOver], noun: str) -> str:
    return f"{count_of(len(left), noun)} ({first_of([one.ref.name for one in left]) or 'none'})"
