"""Turn what was found in a folder into plain sentences: problems to solve and advice to weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from .findings import ImageFindings, Unpaired
from .masks import LOOKS_INVERTED, percent

PATCH_PX = 128
_NAMES_SHOWN = 5
_DOMINANT = 0.5
_MIN_IMAGES_TO_DOMINATE = 3


def name_problems(
    images: Sequence[ImageFindings],
    without_mask: Sequence[Unpaired],
    without_image: Sequence[Unpaired],
    unreadable: Sequence[Unpaired],
) -> tuple[str, ...]:
    """Return what keeps images from being used, one sentence each."""
    problems = [one.reason for one in unreadable]
    problems += [image.problem for image in images if image.problem]
    problems += _left_over(without_mask, "have no mask", "has no mask")
    problems += _left_over(without_image, "are masks without image", "is a mask without image")
    return tuple(problems)


def give_advice(images: Sequence[ImageFindings]) -> tuple[str, ...]:
    """Return what may make a training on `images` worse than it need be, one sentence each."""
    usable = [image for image in images if image.problem is None]
    checks: tuple[Callable[[Sequence[ImageFindings]], Iterator[str]], ...] = (
        _balance, _empty, _inverted, _constant, _small, _mixed,
    )  # fmt: skip
    return tuple(sentence for check in checks for sentence in check(usable))


def _left_over(rest: Sequence[Unpaired], many: str, one: str) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for item in rest:
        by_reason.setdefault(item.reason, []).append(item.name)
    return [f"{_some(names)} {one if len(names) == 1 else many}: {reason}." for reason, names in by_reason.items()]


def _balance(images: Sequence[ImageFindings]) -> Iterator[str]:
    total = sum(image.foreground_px or 0 for image in images)
    if not total or len(images) < _MIN_IMAGES_TO_DOMINATE:
        return
    largest = max(images, key=lambda image: image.foreground_px or 0)
    share = (largest.foreground_px or 0) / total
    if share > _DOMINANT:
        yield f"{largest.name} holds {percent(share)} of all object pixels. Annotate images that are more alike."


def _empty(images: Sequence[ImageFindings]) -> Iterator[str]:
    empty = [image.name for image in images if image.foreground == 0]
    if empty:
        yield (
            f"{_count(empty, 'mask is', 'masks are')} empty ({_some(empty)}). "
            "Keep them only if there is truly no object in these images."
        )


def _inverted(images: Sequence[ImageFindings]) -> Iterator[str]:
    inverted = [image.name for image in images if (image.foreground or 0) > LOOKS_INVERTED]
    if inverted:
        yield (
            f"{_count(inverted, 'mask has', 'masks have')} hardly any background ({_some(inverted)}). "
            "If objects and background are exchanged, invert them."
        )


def _constant(images: Sequence[ImageFindings]) -> Iterator[str]:
    constant = [image.name for image in images if image.is_constant]
    if constant:
        subject = _count(constant, "image has", "images have")
        yield f"{subject} the same value everywhere ({_some(constant)}). Leave them out."


def _small(images: Sequence[ImageFindings]) -> Iterator[str]:
    small = [image.name for image in images if image.size and min(image.size) < PATCH_PX]
    if small:
        yield (
            f"{_count(small, 'image is', 'images are')} smaller than a patch of {PATCH_PX} px ({_some(small)}). "
            "They are mirrored at their edges; larger images teach more."
        )


def _mixed(images: Sequence[ImageFindings]) -> Iterator[str]:
    for what, values in (
        ("data types", Counter(image.dtype for image in images)),
        ("numbers of channels", Counter(image.channels for image in images)),
    ):
        if len(values) > 1:
            found = ", ".join(f"{count} × {value}" for value, count in values.most_common())
            yield f"The images are of several {what} ({found}). Check that all come from the same kind of recording."


def _count(names: Sequence[str], one: str, many: str) -> str:
    return f"{len(names)} {one if len(names) == 1 else many}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (
        f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    )
