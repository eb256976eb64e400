"""What images were used for: what a model has seen of them, what is held out, and which change of that asks first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..data.split import keep_holding_out
from ..errors import RunError
from ..io.content import is_image_file
from ..io.images import ImageRef
from ..io.regions.region import Region
from ..models.card import FileCard
from ..runs.folder import RunFolder
from ..runs.history import PastRun
from ..text import count_of, first_of, verb_for
from .image import ProjectImage, Role
from .project import Project


@dataclass(frozen=True)
class Known:
    """Names of the images that a model has seen: those it was trained with, and those held out of its training."""

    trained: frozenset[str] = frozenset()
    held_out: frozenset[str] = frozenset()

    @classmethod
    def of(cls, card: FileCard, project: Project) -> Known:
        """Return which images of `project` a model has seen, be it finetuned or trained from scratch."""
        seen = images_seen(card, project)
        start = PastRun(RunFolder(card.path.parent)).start if seen else None
        if start is None:
            return cls(seen)
        names = {image.name for image in card.provenance.images}
        trained = _named_in_run(card, project, names.difference(start.validation_images))
        return cls(trained, _named_in_run(card, project, names.intersection(start.validation_images)) - trained)


def images_seen(card: FileCard, project: Project) -> frozenset[str]:
    """Return the names of the images of `project`, and of regions, that took part in a model's training.

    Its run tells that. That names are equal says little: half the world calls its images 001, 002, and so on. So the
    files must be the same, but for runs of this dataset, which may have been moved with it. Of a model that was taken
    out of the folder of its run nothing is known; a job that has the pixels at hand compares those.
    """
    return _named_in_run(card, project, {image.name for image in card.provenance.images})


def _named_in_run(card: FileCard, project: Project, used: Collection[str]) -> frozenset[str]:
    """Return how `project` calls the images and regions that a model's run knows under the names `used`.

    A region is known if any of it is; an image is, if a region of it is.
    """
    try:
        request = RunFolder(card.path.parent).request
    except RunError:
        return frozenset()
    known: dict[_File | str, list[Region | None]] = {}
    if request.pairs is not None:
        is_own = card.path.absolute().is_relative_to(project.folder)
        for pair in request.pairs:
            if pair.name in used:
                known.setdefault(_file(pair.image, is_own), []).append(pair.region)
        there = ((image, known.get(_file(image.ref, is_own), [])) for image in project.images)
    else:
        assert request.images is not None
        for record in card.provenance.images:
            if record.name in used:
                region = None if record.place is None else record.place.region
                for name in {record.name, record.name_of_image}:  # an image may be called as a region would be
                    known.setdefault(name, []).append(region)
        folder = (request.images.parent if is_image_file(request.images) else request.images).resolve()
        images = (image for image in project.images if image.ref.path.resolve().parent == folder)
        there = ((image, known.get(image.ref.file_name, [])) for image in images)
    return frozenset(name for image, regions in there for name in _names_in(image, regions))


def _names_in(image: ProjectImage, regions: Sequence[Region | None]) -> Iterator[str]:
    """Yield what an image is called of which these regions, ``None`` for all of it, are known, and its own regions."""
    if regions:
        yield image.name
    for piece in image.pieces:
        if piece.region and any(one is None or one.common(piece.region) for one in regions):
            yield piece.name


_File = tuple[str, int | None]


def _file(ref: ImageRef, by_name: bool) -> _File:
    return ref.path.name if by_name else str(ref.path.resolve()), ref.frame


NOTHING = Known()


def hold_out(
    images: Iterable[ProjectImage], share: float, seed: int, *, fixed: Collection[str] = (), base: Known = NOTHING
) -> frozenset[str]:
    """Return the names of those of `images` to hold out: those held out before and, with their number, new ones.

    Images that were trained on are never among them, be it in this dataset, by the model `base`, or because that is
    `fixed`; those whose masks are accepted predictions only if there are no others. What is chosen of the images that
    were annotated first does not depend on those that follow.
    """
    ordered, fixed = sorted(images, key=lambda image: image.since), frozenset(fixed)
    trained = {i for i, image in enumerate(ordered) if image.name in fixed or image.name in base.trained}
    trained |= {i for i, image in enumerate(ordered) if image.used_as == "train"}
    before = {i for i, image in enumerate(ordered) if is_held_out(image, base)} - trained
    fractions = [image.foreground or 0.0 for image in ordered]
    made = {i for i, image in enumerate(ordered) if image.is_accepted}  # they judge no model that has to do with them
    wholes = wholes_of(ordered)
    chosen = keep_holding_out(fractions, share, seed, trained=trained | made, held_out=before, wholes=wholes)
    if not chosen:
        chosen = keep_holding_out(fractions, share, seed, trained=trained, held_out=before, wholes=wholes)
    return frozenset(ordered[index].name for index in chosen)


def wholes_of(images: Iterable[ProjectImage]) -> tuple[ImageRef | None, ...]:
    """Return which image each of `images` is a region of, as `data.split` has it."""
    return tuple(None if image.region is None else image.ref for image in images)


def is_held_out(image: ProjectImage, base: Known = NOTHING) -> bool:
    """Tell whether an image was held out before, by the trainings of its dataset or of the model `base`."""
    return image.used_as in ("validation", "test") or (not image.used_as and image.name in base.held_out)


def role_question(images: Sequence[ProjectImage], role: Role, base: Known = NOTHING) -> str:
    """Return what to ask before `images` get a role that makes scores of models there are worthless; empty if nothing.

    `base` is what the model in use has seen.
    """
    if role in ("validation", "test"):
        taught = [one.name for one in images if one.used_as == "train" or one.name in base.trained]
        if taught:
            was, it = ("was", "it") if len(taught) == 1 else ("were", "them")
            return (
                f"{first_of(taught)} {was} trained on already. Models that have learned from {it} would score too well "
                f"on {it}. Hold {it} out all the same?"
            )
    if role in ("train", "auto"):
        kept = [one.name for one in images if _was_kept(one, role, base)]
        if kept:
            was, it = ("was", "it") if len(kept) == 1 else ("were", "them")
            return (
                f"{first_of(kept)} {was} held out of all trainings so far. A model that is trained on {it} cannot be "
                f"scored on {it}, so its scores are of other images than those before. Train on {it} all the same?"
            )
    return ""


def accept_question(images: Sequence[ProjectImage]) -> str:
    """Return what to ask before predictions become the masks of `images`; empty if there is none among them."""
    unseen = [image.name for image in images if image.is_predicted]
    if not unseen:
        return ""
    is_one = len(unseen) == 1
    masks, they = ("mask", "it") if is_one else ("masks", "them")
    return (
        f"{count_of(len(unseen), masks.removesuffix('s'))} {verb_for(len(unseen), 'be')} "
        f"{'a prediction' if is_one else 'predictions'} that nobody has looked at ({first_of(unseen)}). Models learn "
        f"from accepted predictions as from masks that you painted, but {'it' if is_one else 'they'} cannot judge the "
        f"model that made {they}. Accept {they if is_one else f'all {len(unseen)}'}?"
    )


def _was_kept(image: ProjectImage, role: Role, base: Known) -> bool:
    """Tell whether `role` gives up that an image is held out; auto does not give up one that only validated."""
    return image.used_as == "test" or (role == "train" and is_held_out(image, base))
