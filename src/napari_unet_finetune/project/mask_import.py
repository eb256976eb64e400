"""Which masks are going to be imported for which images: paired by name, corrected by the user, checked for size."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.painted import list_masks, unseen_masks
from ..data.pairing import MASK_WORDS, Pair, pair_images, words_and_numbers
from ..errors import DataError
from ..events import drain, never
from ..io.content import is_image_file
from ..io.images import ImageRef
from ..text import count_of, first_of, size_in_px, verb_for
from .image import OWN, ProjectImage, SavedMask
from .masks import NOTHING_BESIDE, look_beside
from .project import Project

Taken = SavedMask | DataError
_REFUSED_SHOWN = 8


@dataclass(frozen=True)
class Imported:
    """What became of masks: the images that have got one, and a sentence per mask that was refused."""

    names: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """How many were imported and refused, and the first reasons."""
        shown = [f"• {sentence}" for sentence in self.refused[:_REFUSED_SHOWN]]
        more = len(self.refused) - len(shown)
        shown += [f"• and {more} more"] if more > 0 else []
        return f"{len(self.names)} imported, {len(self.refused)} refused:\n" + "\n".join(shown)


def take_masks(project: Project, pairs: Iterable[Pair]) -> Iterator[Taken]:
    """Write masks of `pairs` one by one, and yield each, or why it was refused."""
    pairs = tuple(pairs)
    beside = look_beside(pair.mask for pair in pairs) if project.sparse else NOTHING_BESIDE
    for pair in pairs:
        try:
            yield project.write_imported(pair, beside)
        except DataError as error:
            yield error


def collect(taken: Iterable[Taken], should_stop: Callable[[], bool]) -> Generator[int, None, tuple[Taken, ...]]:
    """Yield how many masks are taken so far, and return them, those until then if it was asked to stop."""
    done: list[Taken] = []
    for one in taken:
        done.append(one)
        yield len(done)
        if should_stop():
            break
    return tuple(done)


def enter_masks(project: Project, taken: Iterable[Taken]) -> Imported:
    """Enter the masks that were written; a painted mask was never among them."""
    taken = tuple(taken)
    written = [one for one in taken if isinstance(one, SavedMask)]
    refused = [str(one) for one in taken if isinstance(one, DataError)]
    try:
        if written:
            project.keep(*written)
    except DataError as error:
        refused.append(str(error))
    return Imported(tuple(mask.name for mask in written), tuple(refused))


def import_masks(project: Project, pairs: Iterable[Pair]) -> Imported:
    """Copy masks in, all that can be."""
    return enter_masks(project, drain(collect(take_masks(project, pairs), never)))


_NAMES_SHOWN = 5


@dataclass(frozen=True)
class ImportRow:
    """An image, the mask chosen for it, why, and what keeps it from being imported (empty: nothing)."""

    image: ProjectImage
    mask: ImageRef | None
    reason: str
    problem: str = ""

    @property
    def is_importable(self) -> bool:
        """Tell whether a mask will be imported."""
        return self.mask is not None and not self.problem


@dataclass
class ImportPlan:
    """One row per image; `choose` corrects it.

    Parameters
    ----------
    masks
        All masks to choose from.
    sizes
        Their sizes as far as the headers tell.
    unreadable
        Mask files that cannot be read, with the reason.
    """

    rows: list[ImportRow]
    masks: tuple[ImageRef, ...]
    sizes: dict[ImageRef, tuple[int, int]]
    unreadable: tuple[tuple[Path, str], ...] = ()

    def choose(self, place: int, mask: ImageRef | None) -> None:
        """Give the image in row `place` another mask, or none; no mask belongs to two images."""
        name = self.rows[place].image.name
        for other, row in enumerate(self.rows):
            if mask is not None and row.mask == mask and other != place:
                self.rows[other] = replace(row, mask=None, reason=f"given to {name}", problem="")
        chosen = replace(self.rows[place], mask=mask, reason="chosen by you" if mask else "left out by you")
        self.rows[place] = self._checked(chosen)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What can be imported."""
        return tuple(Pair(row.image.ref, row.mask, row.reason) for row in self.rows if row.mask and row.is_importable)

    @property
    def misfits(self) -> tuple[str, ...]:
        """One sentence per mask that belongs to an image but cannot be imported for it."""
        return tuple(f"{row.image.name} {row.problem}." for row in self.rows if row.problem)

    @property
    def left_over(self) -> tuple[ImageRef, ...]:
        """Masks that belong to no image."""
        used = {row.mask for row in self.rows}
        return tuple(mask for mask in self.masks if mask not in used)

    @property
    def summary(self) -> str:
        """What will happen, and what is left over."""
        count = len(self.pairs)
        sentences = [f"{count} of {len(self.rows)} images {verb_for(count, 'get')} a mask."]
        if replaced := [row.image.name for row in self.rows if row.is_importable and row.image.is_annotated]:
            sentences.append(
                f"{count_of(len(replaced), 'earlier import')} {verb_for(len(replaced), 'be')} replaced and put aside "
                f"({first_of(replaced, _NAMES_SHOWN)})."
            )
        if self.misfits:
            sentences.append(f"{count_of(len(self.misfits), 'mask')} cannot be imported. The first: {self.misfits[0]}")
        if self.left_over:
            names = [mask.name for mask in self.left_over]
            verb = verb_for(len(names), "belong")
            sentences.append(f"{count_of(len(names), 'mask')} {verb} to none: {first_of(names, _NAMES_SHOWN)}.")
        if self.unreadable:
            first = self.unreadable[0][1]
            sentences.append(f"{count_of(len(self.unreadable), 'mask file')} cannot be read. The first: {first}")
        return " ".join(sentences)

    def _checked(self, row: ImportRow) -> ImportRow:
        if row.mask is None:
            return replace(row, problem="")
        size, problem = self.sizes.get(row.mask), ""
        if row.image.origin in OWN:
            problem = f"has a {row.image.origin} mask, which is kept"
        elif size and row.image.size and size != row.image.size:
            problem = f"is {size_in_px(row.image.size)}, but its mask {row.mask.name} is {size_in_px(size)}"
        return replace(row, problem=problem)


def masks_beside(project: Project) -> Path | None:
    """Return where masks from elsewhere lie: among the images, or in a folder that is called so; else None."""
    source = project.source
    if project.masks_among:
        return source
    folder = source.parent if is_image_file(source) else source
    places = (folder, folder.parent)
    inside = (one for place in places for one in sorted(place.iterdir()) if one.is_dir() and one != folder)
    return next((one for one in inside if MASK_WORDS.intersection(words_and_numbers(one.name))), None)


def plan_import(project: Project, masks: Path) -> ImportPlan:
    """Pair the masks in a folder or a stack file with the images of `project`; only names and headers are read.

    Raises
    ------
    DataError
        If there is no mask that can be read.
    """
    listing = list_masks(masks)
    pairing = pair_images([image.ref for image in project.images], listing).without_unseen(unseen_masks(masks))
    paired = {pair.image: pair for pair in pairing.pairs}
    reasons = {one.ref: str(one.reason) for one in pairing.images_without_mask}
    sizes = {ref: header.size for ref, header in listing.headers.items()}
    images = {image.ref for image in project.images} - {pair.mask for pair in pairing.pairs}
    plan = ImportPlan([], tuple(ref for ref in listing.images if ref not in images), sizes, listing.unreadable)
    for image in project.images:
        pair = paired.get(image.ref)
        reason = pair.reason if pair else reasons.get(image.ref, "")
        plan.rows.append(plan._checked(ImportRow(image, pair.mask if pair else None, reason)))
    return plan
