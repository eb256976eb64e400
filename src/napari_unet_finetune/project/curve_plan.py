"""Which images of a dataset models are compared on, and which ones a learning curve trains and tests with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import FinetuneConfig
from ..data.split import MIN_IMAGES, how_held_out
from ..errors import DataError
from ..runs.request import CurveRequest
from ..text import count_of, first_of, shortened, verb_for
from .image import Use, counted, note_on_accepted, unpainted_note, unseen_note, uses_by_image
from .project import Project, ProjectImage
from .training_plan import MASKS, copy_masks, pairs_of
from .uses import NOTHING, Known, hold_out, is_held_out, wholes_of

COUNTS = (5, 10, 15, 20)
# Where no image has the role test, this share of the annotated ones is held out for testing.
TEST_SHARE = 0.2


@dataclass(frozen=True)
class CurvePlanning:
    """What a learning curve would use.

    Parameters
    ----------
    train, test
        Images to train with, of which each training takes the first, and images that all models are tested on.
    counts
        Numbers of images that fit, without the raw model.
    seeds
        Trainings for each of them.
    is_held_out
        No image has the role test, so the program holds some out.
    problem
        Why it cannot start, in a sentence; empty if it can.
    sentences
        What is used for what, in words.
    """

    train: tuple[ProjectImage, ...] = ()
    test: tuple[ProjectImage, ...] = ()
    counts: tuple[int, ...] = ()
    seeds: int = 1
    is_held_out: bool = False
    problem: str = ""
    sentences: tuple[str, ...] = ()


def plan_curve(
    project: Project, counts: Sequence[int] = COUNTS, seeds: int = 1, base: Known = NOTHING
) -> CurvePlanning:
    """Return which images of `project` a learning curve trains and tests with, from a model that has seen `base`.

    Images of the role test are tested on or, if there are none, those that other trainings have held out, and new ones
    with their number. The rest is trained with in the order of the dataset; counts that do not fit are left out.
    """
    images = (image for image in project.images if image.is_annotated and image.role != "unused")
    annotated = [piece for image in images for piece in image.pieces]
    kept = {image.name for image in annotated if _is_kept(image, base)}
    is_held_out = not any(image.role == "test" for image in annotated)
    tested = _choose(annotated, kept, base) if is_held_out else {one.name for one in annotated if one.role == "test"}
    test = tuple(image for image in annotated if image.name in tested)
    train = tuple(image for image in annotated if image.name not in tested | kept)
    fitting = tuple(sorted({count for count in counts if 0 < count <= len(train)}))
    left_out = tuple(sorted({count for count in counts if count > len(train)}))
    problem = _problem(train, test, fitting, left_out)
    planning = CurvePlanning(train, test, fitting, seeds, is_held_out, problem)
    words = () if problem else (_in_numbers(annotated, train, test), *_in_words(planning, left_out))
    words = (*words, *filter(None, [unpainted_note(project.images), unseen_note(project.images)]))
    return replace(planning, sentences=words)


def _is_kept(image: ProjectImage, base: Known) -> bool:
    """Tell whether an image is held out of other trainings, so that no model of the curve may learn from it."""
    return image.role in ("validation", "test") or (image.role == "auto" and is_held_out(image, base))


def _choose(annotated: Sequence[ProjectImage], kept: Set[str], base: Known) -> Set[str]:
    """Return the names of the images to test on where none has that role; rather such as no model has learned from."""
    known = [replace(image, used_as="test") if image.name in kept else image for image in annotated]
    fixed = [image.name for image in annotated if image.role == "train"]
    chosen = hold_out(known, TEST_SHARE, 0, fixed=fixed, base=base)
    return chosen or hold_out([replace(image, used_as="") for image in annotated], TEST_SHARE, 0, base=base)


def _problem(
    train: Sequence[ProjectImage], test: Sequence[ProjectImage], fitting: Sequence[int], left_out: Sequence[int]
) -> str:
    if not test:
        return f"Annotate at least {MIN_IMAGES} images: some train, and at least one other has to be tested on."
    if not fitting:
        least = f" Give a count of at most {len(train)}, or annotate more." if left_out else ""
        return f"No count of images fits: there are {counted(train, 'annotated image')} to train with.{least}"
    if not any(image.foreground for image in train[: fitting[0]]):
        return (
            f"None of the first {fitting[0]} images shows an object. Annotate one of them, or begin with more images."
        )
    return ""


def _in_numbers(annotated: Sequence[ProjectImage], train: Sequence[ProjectImage], test: Sequence[ProjectImage]) -> str:
    """Return what becomes of the annotated images; what neither trains nor tests is held out of other trainings."""
    kept = len(annotated) - len(train) - len(test)
    parts = [f"{len(train)} to train on", f"{len(test)} to test on", f"{kept} held out of other trainings"]
    return f"{counted(annotated, 'annotated image')}: {', '.join(parts[: 3 if kept else 2])}."


def _in_words(planning: CurvePlanning, left_out: Sequence[int]) -> Iterator[str]:
    fitting, test = planning.counts, planning.test
    trainings = len(fitting) * planning.seeds
    yield f"{count_of(trainings, 'training')}, with the first {_listed(fitting)} of those to train on."
    names = first_of([image.name for image in test])
    if again := [image.name for image in test if image.used_as == "train"]:
        yield f"Earlier models were trained on {first_of(again)}: compare them on other images."
    if accepted := note_on_accepted(test):
        yield accepted
    if planning.is_held_out:
        yield (
            f"No image has the role test, so {counted(test, 'annotated image')} ({names}) "
            f"{verb_for(len(test), 'be')} held out of all trainings."
        )
    else:
        yield f"Tested on {counted(test, 'test image')} ({names})."
    used = (*planning.train[: max(fitting)], *test)
    if about := how_held_out(range(len(used))[-len(test) :], len(used), wholes_of(used))[1]:
        yield about
    if left_out:
        yield f"Left out, because there are too few images: {_listed(left_out)}."


def note_curve_uses(project: Project, planning: CurvePlanning) -> None:
    """Remember in `project` what a curve uses its images for, so that they stay that."""
    kinds: tuple[tuple[Use, Sequence[ProjectImage]], ...] = (
        ("train", planning.train[: max(planning.counts)]),
        ("test", planning.test),
    )
    project.set_used(uses_by_image((image.ref, image.region, use) for use, images in kinds for image in images))


def make_curve_request(
    planning: CurvePlanning, folder: Path, *, checkpoint: str, config: FinetuneConfig, dataset1: Path | None = None
) -> CurveRequest:
    """Copy the masks into `folder`, so that they may change meanwhile, and return what to ask for.

    Raises
    ------
    RunError
        If a mask cannot be copied.
    """
    train, test = (tuple(copy_masks(pairs_of(images), folder / MASKS / kind)) for kind, images in _kinds(planning))
    return CurveRequest(
        train=train[: max(planning.counts)],
        test=test,
        counts=(0, *planning.counts),
        seeds=planning.seeds,
        checkpoint=checkpoint,
        dataset1=dataset1,
        config=config.model_copy(update={"held_out": None}),
    )


def _kinds(planning: CurvePlanning) -> tuple[tuple[str, Sequence[ProjectImage]], ...]:
    return ("train", planning.train), ("test", planning.test)


def parse_counts(text: str, *, least: int = 1) -> tuple[int, ...]:
    """Return the numbers in a list such as ``5, 10``, ascending.

    Raises
    ------
    DataError
        If something else stands there, or a number below `least`.
    """
    try:
        counts = tuple(sorted({int(part) for part in text.replace(";", ",").split(",") if part.strip()}))
    except ValueError:
        counts = ()
    if not counts or counts[0] < least:
        raise DataError(f"'{shortened(text, 40)}' is not a list of numbers of images. Write it as 5, 10, 15, 20.")
    return counts


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
