"""What a file's name says about which image it belongs to: its words, its numbers, and words like image or mask."""

from __future__ import annotations

import re
from collections.abc import Sequence

# fmt: off
MASK_WORDS = frozenset(
    {
        "mask", "masks", "label", "labels", "labeled", "labelled", "seg", "segs", "segm", "segmented", "segmentation",
        "segmentations", "gt", "ground", "truth", "groundtruth", "annotation", "annotations", "annotated", "annot",
        "ann", "manual", "man", "target", "targets", "cp", "stroke", "strokes", "scribble", "scribbles", "roi", "rois",
        "instance", "instances", "binary",
    }
)
IMAGE_WORDS = frozenset(
    {
        "img", "imgs", "image", "images", "im", "raw", "orig", "original", "input", "photo", "picture", "pic",
    }
)
# fmt: on

Core = tuple[str | int, ...]


def words_and_numbers(stem: str) -> tuple[str, ...]:
    """Return the words, in small letters, and numbers of a name: ``cellMask_007`` gives ``cell mask 007``."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", stem)
    return tuple(re.findall(r"\d+|[^\W\d_]+", separated.casefold()))


def name_masks(stems: Sequence[str]) -> list[bool]:
    """Tell of each name whether it says that it is a mask; a word such as ROI that is in all of them says nothing."""
    found = [MASK_WORDS.intersection(words_and_numbers(stem)) for stem in stems]
    in_all = frozenset.intersection(*found) if found else frozenset()
    return [words != in_all for words in found]


def without_mask_words(stem: str) -> tuple[str, ...]:
    """Return the words and numbers of a mask's name that are left without words like mask or label."""
    return tuple(part for part in words_and_numbers(stem) if part not in MASK_WORDS)


def core(stem: str) -> Core:
    """Return what is left without words like image or mask; numbers count by value, so 7 is 007."""
    parts = (part for part in without_mask_words(stem) if part not in IMAGE_WORDS)
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def numbers(stem: str) -> tuple[int, ...]:
    """Return all numbers of a name."""
    return tuple(part for part in core(stem) if isinstance(part, int))


def varying_numbers(stems: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the numbers of each name without those that are the same in all, such as that of the experiment."""
    found = [numbers(stem) for stem in stems]
    if len({len(one) for one in found}) != 1 or len(found) == 1:
        return found
    varying = [place for place, column in enumerate(zip(*found, strict=True)) if len(set(column)) > 1]
    return [tuple(one[place] for place in varying) for one in found] if varying else found


def words_vary(stems: Sequence[str]) -> bool:
    """Tell whether the names differ in more than numbers and words like image or mask."""
    return len({tuple(part for part in core(stem) if isinstance(part, str)) for stem in stems}) > 1
