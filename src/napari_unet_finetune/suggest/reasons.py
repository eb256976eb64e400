"""Say in plain words why an image is worth annotating."""

from __future__ import annotations

from collections.abc import Mapping

from ..words import percent

_EXTREME = 0.9
_CLEARLY = 0.5


def reason_for_start(numbers: Mapping[str, float], images: int, *, has_annotated: bool) -> str:
    """Return why an image is suggested before a model was finetuned; `images` is the number of all images."""
    others = round(numbers["cluster_size"]) - 1
    like = f"stands for {others} images like it" if others > 1 else f"stands for {others} image like it"
    parts = [like if others > 0 else "is like no other image"]
    if has_annotated and numbers["further_from_annotated_than"] >= _EXTREME and images > 2:
        parts.append("differs more from what is annotated than most")
    return _sentence(parts + _look(numbers))


def reason_for_next(numbers: Mapping[str, float]) -> str:
    """Return why an image is suggested after a model was finetuned."""
    parts = []
    if numbers["disagreement_share"] >= _CLEARLY:
        changes = f"by {percent(numbers['disagreement'])}, more than in {_of_ten(numbers['disagreement_share'])}"
        parts.append(f"its prediction changes with brightness, contrast and sharpness ({changes})")
    if numbers["undecided_share"] >= _CLEARLY:
        share = _of_ten(numbers["undecided_share"])
        parts.append(f"{percent(numbers['undecided'])} of what it finds is near the threshold, more than in {share}")
    if not parts:
        parts.append("the least certain of several images like it")
    return _sentence(parts + _look(numbers))


def _look(numbers: Mapping[str, float]) -> list[str]:
    names = {
        "brighter_than": "brighter",
        "darker_than": "darker",
        "more_contrast_than": "more contrast",
        "less_contrast_than": "less contrast",
    }
    return [f"{word} than {_of_ten(numbers[name])}" for name, word in names.items() if numbers[name] >= _EXTREME]


def _of_ten(share: float) -> str:
    """Return a share of the other images as people count: ``9 of 10 images``."""
    tenths = int(share * 10 + 1e-9)
    return "all other images" if share >= 1 else "few other images" if tenths == 0 else f"{tenths} of 10 images"


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."
