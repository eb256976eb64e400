"""What a training on an annotated dataset uses: images that teach, images held out, and copies of their masks."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import MOST_UNANNOTATED, FinetuneConfig
from ..data.folders import say_large
from ..data.pairing import Pair
from ..data.split import MIN_IMAGES, SOLID_IMAGES, how_held_out
from ..errors import RunError
from ..runs.request import FinetuneRequest
from ..text import count_of, first_of, percent, size_in_px
from .image import Use, Uses, counted, note_on_accepted, unpainted_note, unseen_note, uses_by_image
from .project import Project, ProjectImage, Role
from .uses import NOTHING, Known, hold_out, is_held_out, wholes_of

MASKS = "masks"
# Fewer images than this do not teach a network from nothing.
ENOUGH_FROM_SCRATCH = 20
_GOOD_NUMBER = (5, 20)


@dataclass(frozen=True)
class OldImages:
    """Folders of images of the old dataset, replayed against forgetting, and of their masks if there are any."""

    images: Path
    masks: Path | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """Which annotated images a training uses.

    Parameters
    ----------
    used
        All images that it reads, in the order of the dataset.
    train, held_out
        Images that teach, and images that only validate.
    test, unused
        Annotated images that are kept from it.
    is_chosen
        The program chose what to hold out.
    problem
        Why it cannot start, in a sentence; empty if it can.
    note
        How it validates, if not on images.
    unseen
        How many predictions nobody has looked at yet, in a sentence; empty if none. They are not used.
    unpainted
        On which large images nothing is painted any more, in a sentence; empty if on none. They are not used.
    unannotated
        Images without a mask that are learned from as well; none unless the settings say so.
    """

    used: tuple[ProjectImage, ...] = ()
    train: tuple[ProjectImage, ...] = ()
    held_out: tuple[ProjectImage, ...] = ()
    test: tuple[ProjectImage, ...] = ()
    unused: tuple[ProjectImage, ...] = ()
    is_chosen: bool = True
    problem: str = ""
    note: str = ""
    unseen: str = ""
    unpainted: str = ""
    unannotated: tuple[ProjectImage, ...] = ()

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The same as pairs of files."""
        return pairs_of(self.used)

    @property
    def uses(self) -> Uses:
        """What it uses images for; for `Project.set_used` once a model has learned from them."""
        fates: tuple[tuple[Use, tuple[ProjectImage, ...]], ...] = (
            ("train", self.train), ("validation", self.held_out), ("test", self.test)
        )  # fmt: skip
        return uses_by_image((image.ref, image.region, use) for use, images in fates for image in images)

    @property
    def title(self) -> str:
        """What the training is called while it runs."""
        return title_of(counted(self.used), len(self.held_out))

    @property
    def counts(self) -> str:
        """How many images are annotated, and what each of them is used for."""
        has_regions = any(image.region is not None for image in self.annotated)
        few_words = f"{len(self.annotated)} annotated"
        return _fates(self, counted(self.annotated, "annotated image") if has_regions else few_words)

    @property
    def annotated(self) -> tuple[ProjectImage, ...]:
        """All that is annotated, whatever becomes of it."""
        return (*self.train, *self.held_out, *self.test, *self.unused)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is used for what, how much of the pixels are objects, and of what sizes the images are."""
        return tuple(_in_words(self)) if self.used else tuple(filter(None, [self.unpainted, self.unseen]))


def plan_training(
    project: Project, config: FinetuneConfig, base: Known = NOTHING, *, sparse: bool = False
) -> TrainingPlan:
    """Return which images of `project` a training with `config` uses, from a model that has seen `base`.

    Images with the role auto go to training, and to validation as the program chooses if no image has that role. What
    was held out before stays so, and what was trained on is never held out. Annotated regions of large images count as
    images. With `sparse`, what is not painted is unknown, whatever holds in the project.
    """
    fates: dict[str, list[ProjectImage]] = {"train": [], "validation": [], "test": [], "unused": []}
    images = [_as_strokes(image) if sparse else image for image in project.images]
    annotated = [piece for image in images if image.is_annotated for piece in image.pieces]
    is_chosen = not any(image.role == "validation" for image in annotated)
    chosen = _choose(annotated, config, base, is_chosen=is_chosen)
    for image in annotated:
        fates[_fate(image, chosen, config, base)].append(image)
    train, validation, test, unused = map(tuple, fates.values())
    names = {image.name for image in (*train, *validation)}
    used = tuple(image for image in annotated if image.name in names)
    is_chosen, note = is_chosen and config.validation == "images", _NOTES[config.validation]
    unseen, unpainted = unseen_note(project.images), unpainted_note(images)
    more = tuple(filter(_may_teach_without_mask, images)) if config.unannotated_share else ()
    plan = TrainingPlan(
        used, train, validation, test, unused, is_chosen, note=note, unseen=unseen, unpainted=unpainted,
        unannotated=more,
    )  # fmt: skip
    return replace(plan, problem=_problem(plan))


def _may_teach_without_mask(image: ProjectImage) -> bool:
    """Tell whether an image is learned from without a mask: large ones are not, and none that only tests."""
    is_free = image.role in ("auto", "train") and image.used_as in ("", "train")
    return is_free and not image.is_annotated and not image.is_large


def _as_strokes(image: ProjectImage) -> ProjectImage:
    return replace(image, meaning=replace(image.meaning, sparse=True))


_NOTES = {
    "images": "",
    "patches": "Validated on patches of the training images, as in the study: there is no Dice on held-out images.",
    "none": "Nothing is held out: there is no Dice on held-out images.",
}


def _choose(
    annotated: Sequence[ProjectImage], config: FinetuneConfig, base: Known, *, is_chosen: bool
) -> frozenset[str]:
    """Return the names of the images to hold out of those whose role is left open."""
    if not is_chosen or config.validation != "images":
        return frozenset(image.name for image in annotated if image.role == "auto" and is_held_out(image, base))
    images = [one for one in annotated if one.role in ("auto", "train") and one.used_as != "test"]
    fixed = [one.name for one in images if one.role == "train"]
    return hold_out(images, config.validation_share, config.seed, fixed=fixed, base=base)


def _fate(image: ProjectImage, chosen: Collection[str], config: FinetuneConfig, base: Known) -> Role:
    """Return what a training uses an annotated image for."""
    role: Role = image.role
    if role == "auto":
        role = "test" if image.used_as == "test" else "validation" if image.name in chosen else "train"
        if is_held_out(image, base) and image.name in base.trained:
            role = "unused"  # neither may it be trained on, nor would a score on it tell anything
    return "unused" if role == "validation" and config.validation != "images" else role


def _problem(plan: TrainingPlan) -> str:
    if not plan.used:
        if plan.test or plan.unused:
            return "All annotated images are kept for testing or left out. Give at least one the role train."
        return "Correct or accept a prediction, or annotate an image." if plan.unseen else "Annotate at least 1 image."
    if not plan.train:
        return "All annotated images are for validation. Give at least one the role train."
    if not any(image.foreground for image in plan.train):
        return "No mask to train on shows an object. Annotate at least one object."
    return ""


def title_of(used: str, held_out: int) -> str:
    """Return what a training is called that uses these images, in words, and holds out so many of them."""
    apart = f" ({held_out} held out)" if held_out else ""
    return f"Finetuning with {used}{apart}"


def summarize(images: Sequence[ProjectImage], plan: TrainingPlan) -> str:
    """Return how many images there are, what a training with this `plan` uses them for, and how many would be good."""
    parts = [count_of(len(images), "image"), plan.counts]
    if predicted := sum(image.is_predicted for image in images):
        parts.append(f"{count_of(predicted, 'prediction')} that nobody has looked at")
    if len(plan.used) <= _GOOD_NUMBER[1]:
        parts.append(f"{_GOOD_NUMBER[0]} to {_GOOD_NUMBER[1]} is a good number")
    return " · ".join(parts)


def _fates(plan: TrainingPlan, total: str, held_out: str = "") -> str:
    """Return what the images are used for that are `total` in words; `held_out` names those held out."""
    fates = (
        (plan.train, "to train on"), (plan.held_out, f"held out{held_out}"),
        (plan.test, "kept for testing"), (plan.unused, "left out"),
    )  # fmt: skip
    parts = [f"{len(images)} {fate}" for images, fate in fates if images]
    if plan.train and not plan.held_out:
        parts.insert(1, "none held out")
    return f"{total}: {', '.join(parts)}" if parts else total


def _in_words(plan: TrainingPlan) -> Iterator[str]:
    chosen = ", chosen by the program" if plan.is_chosen else ""
    names = f" ({first_of([image.name for image in plan.held_out])}{chosen})"
    yield f"{_fates(plan, counted(plan.annotated, 'annotated image'), names)}."
    yield from _large(plan.annotated)
    if plan.unpainted:
        yield plan.unpainted
    if plan.unannotated:
        few = len(plan.unannotated) <= MOST_UNANNOTATED
        some = "" if few else f"{MOST_UNANNOTATED} of "
        yield f"{some}{count_of(len(plan.unannotated), 'image')} without a mask will be learned from as well."
    if accepted := note_on_accepted(plan.held_out):
        yield accepted
    new = [image.name for image in plan.held_out if not image.used_as]
    if 0 < len(new) < len(plan.held_out):
        verb, it = ("is", "it") if len(new) == 1 else ("are", "them")
        yield f"{first_of(new)} {verb} held out for the first time, so scores of earlier models do not count {it}."
    if plan.note:
        yield plan.note
    elif not plan.held_out and len(plan.used) < MIN_IMAGES:
        yield f"A score takes at least {MIN_IMAGES} annotated images."
    elif not plan.held_out:
        yield "Nothing is held out, so the model gets no score."
    else:
        yield from _worth(plan)
    if plan.unseen:
        yield plan.unseen
    yield from _balance(plan.used)
    yield from _sizes(plan.used)


def _worth(plan: TrainingPlan) -> Iterator[str]:
    """Say how far to trust a score on what is held out."""
    names = {image.name for image in plan.held_out}
    held_out = [place for place, image in enumerate(plan.used) if image.name in names]
    count, about = how_held_out(held_out, len(plan.used), wholes_of(plan.used))
    if count < SOLID_IMAGES:
        what = counted(plan.held_out) if count == len(plan.held_out) else count_of(count, "image")
        yield f"A Dice on {what} is a {'weak' if count == 1 else 'rough'} number."
    if about:
        yield about


def _large(images: Sequence[ProjectImage]) -> tuple[str, ...]:
    """Say which of the images are large, and what of them is read."""
    counts = Counter(image.ref.name for image in images if image.region is not None)
    return say_large(counts, {image.name: image.why_whole for image in images if image.why_whole})


def _balance(images: Sequence[ProjectImage]) -> Iterator[str]:
    shares = [image.foreground for image in images if image.foreground is not None]
    if not shares:
        return
    mean, low, high = sum(shares) / len(shares), min(shares), max(shares)
    spread = f" ({percent(low)} to {percent(high)})" if percent(low) != percent(high) else ""
    yield f"Objects cover {percent(mean)} of what is annotated in the images used{spread}."


def _sizes(images: Sequence[ProjectImage]) -> Iterator[str]:
    sizes = sorted({image.size for image in images if image.size}, key=lambda size: size[0] * size[1])
    if len(sizes) == 1:
        yield f"{'All are' if len(images) > 1 else 'It is'} {size_in_px(sizes[0])}."
    elif sizes:
        yield f"Sizes from {size_in_px(sizes[0])} to {size_in_px(sizes[-1])}."


def uses_of(request: FinetuneRequest) -> Uses:
    """Return what a training uses its images for."""
    held_out = request.config.held_out or ()
    pairs = request.pairs or ()
    return uses_by_image(
        (pair.image, pair.region, "validation" if pair.name in held_out else "train") for pair in pairs
    )


def make_request(
    plan: TrainingPlan,
    folder: Path,
    config: FinetuneConfig,
    *,
    checkpoint: str,
    old: OldImages | None = None,
) -> FinetuneRequest:
    """Copy the masks into the run `folder`, so that they may change meanwhile, and return what to ask for.

    Raises
    ------
    RunError
        If a mask cannot be copied.
    """
    held_out = tuple(image.name for image in plan.held_out)
    from_scratch = config.preset == "from scratch"
    return FinetuneRequest(
        task="train" if from_scratch else "finetune",
        pairs=tuple(copy_masks(plan.pairs, folder / MASKS)),
        checkpoint=None if from_scratch else checkpoint,
        base_images=old and old.images,
        base_masks=old and old.masks,
        unannotated=tuple(image.ref for image in plan.unannotated),
        config=config.model_copy(update={"held_out": held_out}),
    )


def pairs_of(images: Iterable[ProjectImage]) -> tuple[Pair, ...]:
    """Return those of `images` that are annotated, with their masks."""
    return tuple(image.pair for image in images if image.pair is not None)


def copy_masks(pairs: Sequence[Pair], folder: Path) -> Iterator[Pair]:
    """Copy the masks of `pairs` into `folder` and yield the pairs with the copies; raises `RunError` if it fails.

    Regions of one image have one copy.
    """
    copies: dict[Path, Path] = {}
    for index, pair in enumerate(pairs):
        if pair.mask.path in copies:
            yield replace(pair, mask=replace(pair.mask, path=copies[pair.mask.path]))
            continue
        copy = folder / f"{index:04d}-{pair.mask.path.name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(pair.mask.path, copy)
        except OSError as error:
            raise RunError(f"{pair.mask.path} cannot be copied to {copy} ({error.strerror}).") from error
        copies[pair.mask.path] = copy.absolute()
        yield replace(pair, mask=replace(pair.mask, path=copy.absolute()))
