"""One image of a dataset that is being annotated: where its mask stands, and what it is used for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal, get_args

from ..data.folders import IS_WHOLE, why_not_in_parts
from ..data.masks import WHOLE, Meaning
from ..data.painted import ACCEPTED, PREDICTED, accepted_note
from ..data.pairing import Pair
from ..io.images import ImageRef
from ..io.regions.ome_zarr import has_zarr
from ..io.regions.region import Region, is_large
from ..text import count_of, count_of_images, first_of, images_or_regions, percent, printable, verb_for

# predicted: a model has made it, and nobody has looked at it; accepted: somebody has; corrected: and has changed it
Origin = Literal["none", "imported", "painted", "predicted", "accepted", "corrected"]
Role = Literal["auto", "train", "validation", "test", "unused"]  # auto: train or validation, the training decides
ROLES: tuple[Role, ...] = get_args(Role)
Use = Literal["", "train", "validation", "test"]
_STRONGEST: tuple[Use, ...] = ("train", "test", "validation")
OWN: tuple[Origin, ...] = ("painted", "accepted", "corrected")  # masks made here, which no import replaces


@dataclass(frozen=True)
class Part:
    """An annotated region of a large image, and how many pixels are painted there as objects and as background."""

    region: Region
    object_px: int = 0
    background_px: int = 0


@dataclass(frozen=True)
class RegionUse:
    """A region of an image, and what trainings used it for until now."""

    region: Region
    use: Use


Uses = Mapping[str, Use | tuple[RegionUse, ...]]  # by the name of an image, or for each of its regions


@dataclass(frozen=True)
class ProjectImage:
    """An image and what is known about it.

    Parameters
    ----------
    ref
        The file and, in a stack, the frame, called by its name in the project.
    mask
        File of its labels in the project; ``None`` if it is not annotated.
    origin
        How the mask came about.
    role
        What the image is used for.
    size
        (Y, X) in pixels; ``None`` if the header does not tell.
    object_px, background_px
        How many pixels of the mask are painted as objects, and as background.
    regions
        How many connected objects are painted.
    dice
        Dice of the last prediction that was scored on it.
    suggested
        Why to annotate it next; empty if it is not suggested.
    since
        Its number in the order in which the images were annotated, from 1; 0 if that is not known.
    used_as
        What trainings in the dataset used it for until now; once it is trained on, that stays. Of an image of which
        regions were used, for what the first of training, testing and validation that one of them was.
    region_uses
        What they used regions of it for.
    meaning
        What the values of its mask mean.
    numbered
        The whole mask with the same objects, numbered, where an earlier version has made `mask` of it.
    made_by
        Name of the model whose prediction the mask is, and nothing else.
    expects
        How the mask that is about to be written came about, if the record must know before.
    parts
        Of a large image, its annotated regions; ``None`` of others.
    read_in_parts
        Regions of its file can be read without the rest, where the extra zarr is installed.
    region
        Which region of the image this is: a training takes it as an image of its own; ``None`` for the image.
    """

    ref: ImageRef
    mask: Path | None = None
    origin: Origin = "none"
    role: Role = "auto"
    size: tuple[int, int] | None = None
    object_px: int = 0
    background_px: int = 0
    regions: int = 0
    dice: float | None = None
    suggested: str = ""
    since: int = 0
    used_as: Use = ""
    meaning: Meaning = WHOLE
    numbered: Path | None = None
    made_by: str = ""
    expects: Origin = "none"
    region_uses: tuple[RegionUse, ...] = ()
    parts: tuple[Part, ...] | None = None
    read_in_parts: bool = False
    region: Region | None = None

    @property
    def foreground(self) -> float | None:
        """Share of object pixels among the annotated ones; ``None`` without a mask."""
        if self.mask is None or self.size is None:
            return None
        annotated_px = self.object_px + self.background_px if self.meaning.sparse else self.size[0] * self.size[1]
        return self.object_px / annotated_px if annotated_px else 0.0

    @property
    def objects(self) -> int | None:
        """Number of objects; ``None`` without a mask, and for strokes, which do not count them."""
        return None if self.mask is None or self.meaning.sparse else self.regions

    @property
    def name(self) -> str:
        """How tables and messages call the image, or region; no two images of a project have the same name."""
        return f"{self.ref.name}{self.region.mark if self.region else ''}"

    @property
    def pair(self) -> Pair | None:
        """Image and mask, ``None`` if it is not annotated."""
        if self.mask is None or self.is_predicted:
            return None
        made_by = self.made_by if self.is_accepted else None
        if self.numbered is not None and not self.meaning.sparse:
            whole = replace(self.meaning, background=0)
            return Pair(self.ref, ImageRef(self.numbered), meaning=whole, made_by=made_by)
        return Pair(self.ref, ImageRef(self.mask), meaning=self.meaning, made_by=made_by, region=self.region)

    @property
    def is_large(self) -> bool:
        """Tell whether it is too large to be looked at as a whole where parts of it will do."""
        return self.size is not None and is_large(self.size)

    @property
    def is_in_regions(self) -> bool:
        """Tell whether it is large and trained on by its annotated regions, as no more of it is annotated."""
        return self.parts is not None and self.is_annotated and not self.why_whole

    @property
    def why_whole(self) -> str:
        """Why all of a large image is read, as it follows its name; empty if it need not be."""
        if self.parts is None or not self.is_annotated:
            return ""
        if not self.meaning.sparse:
            return f'{IS_WHOLE}. In napari, untick "Unpainted = background" to have only what is painted read'
        is_read_in_parts = self.read_in_parts and has_zarr()  # which the masks here take
        return "" if is_read_in_parts else why_not_in_parts("the image", has_parts=self.read_in_parts)

    @property
    def pieces(self) -> tuple[ProjectImage, ...]:
        """What a training takes as images: this one or, of a large one, its annotated regions."""
        if not self.is_in_regions:
            return (self,)
        assert self.parts is not None
        return tuple(
            replace(
                self,
                region=part.region,
                size=part.region.shape,
                object_px=part.object_px,
                background_px=part.background_px,
                used_as=self._use_of(part.region),
                parts=None,
            )
            for part in self.parts
        )

    def _use_of(self, region: Region) -> Use:
        """Return what was used of a region, whose edges may have been others then."""
        if not self.region_uses:
            return self.used_as
        return strongest(one.use for one in self.region_uses if one.region.common(region))

    def with_region_uses(self, uses: Iterable[RegionUse]) -> ProjectImage:
        """Return it with what regions of it are used for from now on; what all of it was used for before stays."""
        before = self.region_uses or self.whole_use(self.used_as)
        return replace(self, region_uses=joined_uses(before, uses))

    def whole_use(self, use: Use) -> tuple[RegionUse, ...]:
        """Return a use of all of a large image as that of a region; none of an image that is never in regions."""
        if not use or self.parts is None or self.size is None:
            return ()
        return (RegionUse(Region.whole(self.size), use),)

    @property
    def is_annotated(self) -> bool:
        """Tell whether there is a mask that somebody has made or looked at, be it an empty one."""
        return self.pair is not None

    @property
    def is_predicted(self) -> bool:
        """Tell whether its mask is a prediction that nobody has looked at, which is no annotation yet."""
        return self.mask is not None and self.origin == PREDICTED

    @property
    def is_accepted(self) -> bool:
        """Tell whether its mask is a prediction that somebody has looked at and left as it was."""
        return self.mask is not None and self.origin == ACCEPTED


@dataclass(frozen=True)
class SavedMask:
    """A mask that lies on disk and waits to be entered into its project.

    Parameters
    ----------
    name
        The image.
    path, stamp
        The file, and its length and time, by which a later change from outside is noticed.
    meaning
        What its values mean.
    aside
        Where that is now which others had written meanwhile in its place.
    made_by
        Name of the model whose prediction it is, and nothing else.
    object_px, background_px, regions, parts
        What it holds, as a `ProjectImage` knows it.
    """

    name: str
    path: Path
    origin: Origin
    size: tuple[int, int]
    object_px: int
    background_px: int
    regions: int
    stamp: tuple[int, int]
    meaning: Meaning
    numbered: Path | None = None
    aside: Path | None = None
    made_by: str = ""
    parts: tuple[Part, ...] | None = None


def strongest(uses: Iterable[Use]) -> Use:
    """Return what counts of several uses: what was trained on is known, whatever else it was used for."""
    found = set(uses)
    return next((use for use in _STRONGEST if use in found), "")


def joined_uses(before: Iterable[RegionUse], new: Iterable[RegionUse]) -> tuple[RegionUse, ...]:
    """Return uses of regions with new ones; those that lie in others say nothing more."""
    kept = list(before)
    for use in new:
        if not any(one.use == use.use and one.region.holds(use.region) for one in kept):
            kept = [one for one in kept if one.use != use.use or not use.region.holds(one.region)] + [use]
    return tuple(kept)


def uses_by_image(uses: Iterable[tuple[ImageRef, Region | None, Use]]) -> Uses:
    """Return what images and regions are used for, by the names of the images."""
    found: dict[str, Use | tuple[RegionUse, ...]] = {}
    for ref, region, use in uses:
        before = found.get(ref.name, ())
        known = before if isinstance(before, tuple) else ()
        found[ref.name] = use if region is None else (*known, RegionUse(region, use))
    return found


def with_unique_names(
    refs: Sequence[ImageRef], known: Mapping[ImageRef, str], reserved: Iterable[str] = ()
) -> tuple[ImageRef, ...]:
    """Return images called unlike all others and those `reserved`, also where capitals do not count.

    Names that are known stay; of the rest, the second ``a`` becomes ``a.png``.
    """
    names: dict[ImageRef, str] = {}
    taken = {name.casefold() for name in reserved}
    for ref in sorted(refs, key=lambda ref: ref not in known):
        names[ref] = next(name for name in _possible_names(ref, known.get(ref)) if name.casefold() not in taken)
        taken.add(names[ref].casefold())
    return tuple(replace(ref, called="" if names[ref] == ref.file_name else names[ref]) for ref in refs)


def _possible_names(ref: ImageRef, known: str | None) -> Iterator[str]:
    frame = "" if ref.frame is None else f"[{ref.frame:03d}]"
    long = printable(ref.path.name) + frame
    yield from (known or ref.file_name, ref.file_name, long)
    yield from (f"{long} ({number})" for number in count(2))


def unseen_note(images: Iterable[ProjectImage]) -> str:
    """Return how many of `images` are not used, for nobody has looked at their masks yet; empty if none."""
    count = sum(image.is_predicted for image in images)
    which = f"{count_of(count, 'prediction')} that nobody has looked at"
    return f"{which} {verb_for(count, 'be')} not used." if count else ""


def unpainted_note(images: Iterable[ProjectImage]) -> str:
    """Return which large images are not used, for all paint on them was erased; empty if none."""
    names = [image.name for image in images if not image.pieces]
    they = "it is" if len(names) == 1 else "they are"
    return f"Nothing is painted on {first_of(names)}, so {they} not used." if names else ""


def counted(images: Sequence[ProjectImage | Pair], what: str = "image") -> str:
    """Return how many `images` there are, in words: `what`, with regions of large images called that."""
    return count_of_images(len(images), _regions(images), what)


def nouns_of(images: Sequence[ProjectImage | Pair]) -> str:
    """Return whether `images` are images, regions, or images and regions."""
    return images_or_regions(len(images), _regions(images))


def _regions(images: Sequence[ProjectImage | Pair]) -> int:
    return sum(image.region is not None for image in images)


def note_on_accepted(images: Iterable[ProjectImage]) -> str:
    """Return whose scores are too good on those of `images` whose masks are accepted predictions; empty if none are."""
    return accepted_note({image.name: image.made_by for image in images if image.is_accepted})


def to_annotate(images: Iterable[ProjectImage]) -> list[ProjectImage]:
    """Return those that are not annotated in their order, suggested ones first."""
    return sorted((image for image in images if not image.is_annotated), key=lambda image: not image.suggested)


def mask_text(image: ProjectImage) -> str:
    """Return the state of a mask as a sign and words."""
    if image.mask is None:
        return "○ none"
    if image.is_predicted:
        return "◌ predicted\nnot looked at"
    if image.is_in_regions:
        text = count_of(len(image.parts), "region") if image.parts else "nothing painted"
    elif image.objects is None:
        text = "strokes"
    elif image.objects == 0:
        text = "no object"
    else:
        text = count_of(image.objects, "object")
    share = "" if not image.foreground else f" · {percent(image.foreground)}"
    return f"● {text}\n{image.origin}{share}"
