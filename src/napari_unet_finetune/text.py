"""Numbers, times, names and lists in words, said alike everywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from unicodedata import category

_BREAKING = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs
LONGEST_WORD = 40  # characters that a line of a narrow dock holds


def printable(text: str) -> str:
    r"""Return `text` on one line: characters that break lines, and others that no screen or file takes, written out.

    Those are control characters, such as ``\n``, and the bytes in the name of a file that are no UTF-8: Python gives
    each of them a character of its own, such as ``\udcff``.
    """
    return "".join(repr(one)[1:-1] if category(one) in _BREAKING else one for one in text)


def path_in_words(path: Path) -> str:
    """Return a path as it stands within a sentence: one of a single word, such as ``'images'``, in quotes."""
    return str(path) if len(path.parts) > 1 else f"'{path}'"


def place_in_words(path: Path) -> str:
    """Return a folder or file with the folder it lies in, in quotes, for a sentence with little room."""
    return f"'{Path(*path.parts[-2:])}'"


def shortened(text: str, most: int) -> str:
    """Return `text` with at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def count_of(number: int, noun: str) -> str:
    """Return a number of things, such as ``1 image`` and ``3 images``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def images_or_regions(count: int, regions: int) -> str:
    """Return what `count` images are called of which so many are regions: images, regions, or images and regions."""
    return "images" if not regions else "regions" if regions == count else "images and regions"


def count_of_images(count: int, regions: int, what: str = "image") -> str:
    """Return a number of images of which so many are regions: ``1 image``, ``2 regions``; `what` as ``new image``."""
    nouns, (first, _, rest) = images_or_regions(count, regions), what.partition("image")
    return f"{count} {first}{nouns.removesuffix('s') if count == 1 else nouns}{rest}"


def first_of(names: Sequence[str], shown: int = 3) -> str:
    """Return the first of `names`, such as ``a, b, c, …``."""
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")


def listed(parts: Sequence[object]) -> str:
    """Return ``a, b and c``."""
    *first, last = map(str, parts)
    return f"{', '.join(first)} and {last}" if first else last


def elided(text: str, longest: int = LONGEST_WORD) -> str:
    """Return `text` with all words of more than `longest` characters, such as names of files, cut in their middle."""

    def cut(word: re.Match[str]) -> str:
        half = (longest - 1) // 2
        return f"{word[0][:half]}…{word[0][-half:]}"

    return re.sub(rf"\S{{{longest + 1},}}", cut, text)


def verb_for(number: int, verb: str) -> str:
    """Return `verb` as it stands after a number of things: ``1 image gets``, ``3 images get``; be, have and others."""
    one, many = {"be": ("is", "are"), "have": ("has", "have")}.get(verb, (f"{verb}s", verb))
    return one if number == 1 else many


def size_in_px(size: Sequence[int]) -> str:
    """Return a size (Y, X), such as ``20 × 30 px``."""
    return f"{' × '.join(map(str, size))} px"


def percent(share: float) -> str:
    """Return `share` as a percentage with as many digits as tell something: ``23 %``, ``0.4 %``, ``below 0.1 %``."""
    if 0 < share < 0.001:
        return "below 0.1 %"
    digits = 0 if share >= 0.1 or share == 0 else 1
    return f"{100 * share:.{digits}f} %"


def number(value: float | None, digits: int = 3) -> str:
    """Return a score for a table; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def plain(value: float, digits: int = 4) -> str:
    """Return a measurement with so many digits, or all before the point if these are more; never as ``1.2e+04``."""
    return without_exponent(f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}")


def without_exponent(number: str) -> str:
    """Return a number as people write it: ``0.000012`` for ``1.2e-05``."""
    return format(Decimal(number), "f") if "e" in number else number


def difference(before: float, after: float, digits: int = 3) -> float:
    """Return by how much a score has changed, as whoever subtracts the numbers that are shown finds it."""
    return round(round(after, digits) - round(before, digits), digits)


def from_to(before: float | None, after: float | None) -> str:
    """Return from what to what a score has changed, with as many digits, three at least, as tell the two apart."""
    digits = next((some for some in range(3, 7) if number(before, some) != number(after, some)), 3)
    return f"from {number(before, digits)} to {number(after, digits)}"


def times(ratio: float | None) -> str:
    """Return a ratio for a table, such as ``1.25 ×``; a dash where there is none."""
    return "–" if ratio is None else f"{ratio:.2f} ×"


def duration(seconds: float) -> str:
    """Return a time as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def about(seconds: float) -> str:
    """Return a time that was only estimated: ``about 40 s``, ``about 6 min``, ``about 2 h``."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def device_name(device: str) -> str:
    """Return what a device is called: ``CPU``, ``CUDA GPU``."""
    return {"cpu": "CPU", "cuda": "CUDA GPU", "mps": "Apple GPU"}.get(device, device)


def precision_name(precision: str) -> str:
    """Return what a number format is called: ``single precision``."""
    return {"fp32": "single precision", "bf16": "bfloat16 mixed precision"}.get(precision, precision)
