"""Turn what was found in a folder into plain sentences: problems to solve and advice to weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.masks import say_doubts
from ..data.pairing import BY_ORDER, name_guesses
from ..text import count_of, first_of, percent, verb_for
from .duplicates import Duplicate
from .findings import ImageFindings

PATCH_PX = 128
_ONE_AND_TWO = "instance labels 1 and 2,"
_SHOWN = 5
_DOMINANT = 0.5
_MIN_IMAGES_TO_DOMINATE = 3
_MIN_OBJECTS = 10
# Share of the images that must lie outside the range of the annotated ones to be worth a word.
_UNCOVERED = 0.1


@dataclass(frozen=True)
class Unpaired:
    """An image, mask or file that is left out, and why."""

    name: str
    reason: str


def name_problems(
    images: Sequence[ImageFindings],
    without_mask: Sequence[Unpaired],
    without_image: Sequence[Unpaired],
    unreadable: Sequence[Unpaired],
) -> tuple[str, ...]:
    """Return what keeps images from being used, one sentence each.

    Images without a mask count as long as they are fewer than those with one: else they are still to be annotated.
    """
    problems = [one.reason for one in unreadable]
    problems += [image.problem for image in images if image.problem]
    if _masks_are_missing(images, without_mask):
        problems += _left_over(without_mask, "has no mask", "images have no mask")
    problems += _left_over(without_image, "has no image", "masks have no image")
    return tuple(problems)


def name_doubts(images: Sequence[ImageFindings], without_mask: Sequence[Unpaired]) -> tuple[str, ...]:
    """Return what is right only if the user says so, one sentence each: guessed pairs and meanings, missing masks."""
    guessed = [(one.name, Path(one.mask).name) for one in images if one.mask and one.reason == BY_ORDER]
    doubts = say_doubts((Path(one.mask).name, one.doubt) for one in images if one.mask and one.doubt)
    missing = () if _masks_are_missing(images, without_mask) else without_mask
    left = _left_over(missing, "has no mask yet", "images have no mask yet")
    return (*filter(None, (name_guesses(guessed),)), *doubts, *left)


def name_shared(shared: Sequence[Duplicate]) -> tuple[str, ...]:
    """Return which test images are among the other images, in sentences: a score on them would be too good."""
    exact = [f"{pair.second} (as {pair.first})" for pair in shared if pair.exact]
    near = [f"{pair.second} (as {pair.first})" for pair in shared if not pair.exact]
    sentences = []
    if exact:
        sentences.append(
            f"{_subject(exact, 'test image', 'be')} among the other images too ({first_of(exact, _SHOWN)}): the test "
            "would be too easy. Leave them out on one side."
        )
    if near:
        sentences.append(
            f"{_subject(near, 'test image', 'look')} like another image ({first_of(near, _SHOWN)}). If they show "
            "the same place, keep them on one side: the test would be too easy."
        )
    return tuple(sentences)


def give_advice(
    images: Sequence[ImageFindings],
    not_annotated: Sequence[ImageFindings] = (),
    duplicates: Sequence[Duplicate] = (),
) -> tuple[str, ...]:
    """Return what may make a training on `images` worse than it need be, one sentence each."""
    usable, rest = ([image for image in part if image.problem is None] for part in (images, not_annotated))
    checks: tuple[Callable[[Sequence[ImageFindings]], Iterator[str]], ...] = (
        _strokes, _balance, _objects, _odd, _border, _mixed,
    )  # fmt: skip
    sentences = [sentence for check in checks for sentence in check(usable)]
    return (*sentences, *_coverage(usable, rest), *_duplicates(duplicates))


def _masks_are_missing(images: Sequence[ImageFindings], without_mask: Sequence[Unpaired]) -> bool:
    return len(without_mask) < sum(image.mask is not None for image in images)


def _left_over(rest: Sequence[Unpaired], one: str, many: str) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for item in rest:
        by_reason.setdefault(item.reason, []).append(item.name)
    return [
        f"{names[0]} {one}: {reason}."
        if len(names) == 1
        else f"{len(names)} {many} ({first_of(names, _SHOWN)}): {reason}."
        for reason, names in by_reason.items()
    ]


def _strokes(images: Sequence[ImageFindings]) -> Iterator[str]:
    """Background strokes taken for objects: every mask holds the numbers 1 and 2 and no other."""
    read = [image.description for image in images if image.description]
    if len(read) >= _MIN_IMAGES_TO_DOMINATE and all(text.startswith(_ONE_AND_TWO) for text in read):
        yield (
            "Every mask holds the numbers 1 and 2 and no other. If these are strokes, 1 for background and 2 for "
            "objects, have them read as strokes (option --sparse)."
        )


def _balance(images: Sequence[ImageFindings]) -> Iterator[str]:
    total = sum(image.foreground_px or 0 for image in images)
    if not total or len(images) < _MIN_IMAGES_TO_DOMINATE:
        return
    largest = max(images, key=lambda image: image.foreground_px or 0)
    share = (largest.foreground_px or 0) / total
    if share > _DOMINANT:
        yield f"{largest.name} holds {percent(share)} of all object pixels. Annotate images that are more alike."


def _objects(images: Sequence[ImageFindings]) -> Iterator[str]:
    total = sum(image.objects or 0 for image in images)
    if total < _MIN_OBJECTS or len(images) < _MIN_IMAGES_TO_DOMINATE:
        return
    largest = max(images, key=lambda image: image.objects or 0)
    if (largest.objects or 0) / total > _DOMINANT:
        yield (
            f"{largest.name} holds {largest.objects} of all {total} objects. A model learns its look above all; "
            "annotate more of the others."
        )


def _odd(images: Sequence[ImageFindings]) -> Iterator[str]:
    """Name images and masks that are odd by themselves."""
    odd: tuple[tuple[Callable[[ImageFindings], bool], str, str, str, str], ...] = (
        (
            lambda image: image.foreground == 0,
            "mask", "be", "empty",
            "Keep them only if there is truly no object in these images.",
        ),
        (
            lambda image: image.is_constant,
            "image", "have", "the same value everywhere",
            "Leave them out.",
        ),
        (
            lambda image: image.size is not None and min(image.size) < PATCH_PX,
            "image", "be", f"smaller than a patch of {PATCH_PX} px",
            "They are mirrored at their edges; larger images teach more.",
        ),
    )  # fmt: skip
    for is_odd, noun, verb, what, advice in odd:
        names = [image.name for image in images if is_odd(image)]
        if names:
            yield f"{_subject(names, noun, verb)} {what} ({first_of(names, _SHOWN)}). {advice}"


def _border(images: Sequence[ImageFindings]) -> Iterator[str]:
    """Objects that are cut off; layers, which always are, have no width."""
    measured = [image for image in images if image.object_width_px is not None]
    total = sum(image.objects or 0 for image in measured)
    cut = sum(image.touching_border or 0 for image in measured)
    if total >= _MIN_OBJECTS and cut > total / 2:
        yield f"{cut} of {total} objects touch the edge of their image. Larger images show more of each object."


def _mixed(images: Sequence[ImageFindings]) -> Iterator[str]:
    for what, values in (
        ("data types", Counter(image.dtype for image in images)),
        ("numbers of channels", Counter(image.channels for image in images)),
    ):
        if len(values) > 1:
            found = ", ".join(f"{count} × {value}" for value, count in values.most_common())
            yield f"The images are of several {what} ({found}). Check that all come from the same kind of recording."


def _coverage(images: Sequence[ImageFindings], rest: Sequence[ImageFindings]) -> Iterator[str]:
    """Images that are darker or brighter than every annotated one."""
    levels = [image.percentiles[1] for image in images if image.percentiles and image.mask]
    if not levels or not rest:
        return
    margin = 0.1 * (max(levels) - min(levels)) + 0.02 * max(levels)
    known = [(image.name, image.percentiles[1]) for image in rest if image.percentiles]
    for how, names in (
        ("darker", [name for name, level in known if level < min(levels) - margin]),
        ("brighter", [name for name, level in known if level > max(levels) + margin]),
    ):
        if len(names) >= max(1, _UNCOVERED * len(known)):
            yield (
                f"{len(names)} of {len(known)} images without a mask {verb_for(len(names), 'be')} {how} than "
                f"every annotated one ({first_of(names, _SHOWN)}). Annotate one or two of them."
            )


def _duplicates(duplicates: Sequence[Duplicate]) -> Iterator[str]:
    for how, verb, pairs in (
        ("the same as an earlier one, pixel for pixel", "be", [one for one in duplicates if one.exact]),
        ("like an earlier one", "look", [one for one in duplicates if not one.exact and not one.turned]),
        ("like an earlier one that was mirrored or turned", "look", [one for one in duplicates if one.turned]),
    ):
        if pairs:
            names = [f"{pair.second} as {pair.first}" for pair in pairs]
            yield (
                f"{_subject(names, 'image', verb)} {how} ({first_of(names, _SHOWN)}). Do not split them between "
                "training and test: the score would be too good."
            )


def _subject(names: Sequence[str], noun: str, verb: str) -> str:
    return f"{count_of(len(names), noun)} {verb_for(len(names), verb)}"
