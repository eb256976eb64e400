"""Understand a mask, whatever way it was saved, and say in plain words what was understood."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..text import first_of, percent
from .mask_clues import Shades, find_shades, find_void, has_void, surrounds

_HARDLY_BACKGROUND = 0.95
_FEW_CLASSES = 6
_SAME_COLOR = 1 / 8  # of the distance between two colors: how far from the line between them shades may be


@dataclass(frozen=True)
class Meaning:
    """What the values of a mask mean: 0 is not painted, `background` a stroke of background, all others are objects.

    Parameters
    ----------
    sparse
        What is not painted is not annotated; otherwise it is background.
    background
        0 if no value means background strokes; ``None`` for files from elsewhere: 1 in strokes, none in whole masks.
    """

    sparse: bool = False
    background: int | None = None


VERSION = 2  # of the record
RECORD = "project.json"  # of a dataset that is annotated here
BACKGROUND = 60_000  # in masks that are painted here: far from numbers of objects, and with room above for new ones
WHOLE, STROKES = Meaning(), Meaning(sparse=True)  # as in files from elsewhere


@dataclass(frozen=True, eq=False)
class LabelReading:
    """What a mask says.

    Parameters
    ----------
    labels
        ``(Y, X)`` integers, 0 is background; numbers of objects are kept as they are.
    annotated
        ``(Y, X)`` bool, where the labels hold; ``None`` means everywhere.
    description
        How the mask was understood, for the user.
    doubt
        What speaks against that, as the end of a sentence that begins with the name of the mask; empty for nothing.
    """

    labels: NDArray[np.generic]
    annotated: NDArray[np.bool_] | None
    description: str
    doubt: str = ""

    @property
    def foreground_fraction(self) -> float:
        """Share of object pixels among those that are annotated."""
        return _object_share(self.labels, self.annotated)


def say_doubts(doubts: Iterable[tuple[str, str]], nouns: str = "masks") -> tuple[str, ...]:
    """Return sentences on masks (or other `nouns`), by name, each with its doubt; empty doubts are passed over."""
    found: dict[str, list[str]] = {}
    for name, doubt in doubts:
        found.setdefault(doubt, []).append(name)
    return tuple(
        f"{names[0]} {doubt}." if len(names) == 1 else f"Each of {len(names)} {nouns} ({first_of(names)}) {doubt}."
        for doubt, names in found.items()
        if doubt
    )


def read_labels(array: NDArray[np.generic], *, name: str, meaning: Meaning = WHOLE) -> LabelReading:
    """Return what a mask says: bool, 0/1, 0/255, numbered objects, two float values or two colors.

    Integers from 1 on are objects, and so is the larger of two float values. Of two colors, black is the background;
    without black, white is; without either, the more frequent color (on a tie, the darker one). Shades between two
    values, which smoothing and JPEG leave, are cut at half. In masks from elsewhere, 255 as a border between small
    numbers is not annotated, and of two values without 0 the one that surrounds the other is background.

    Parameters
    ----------
    array
        ``(Y, X)`` or, for colors, ``(C, Y, X)``.
    name
        How messages call the mask.
    meaning
        What its values mean; `STROKES` may be 0 (not annotated), 1 (background) and 2 (object) and nothing else.

    Raises
    ------
    DataError
        If the mask can be understood in more than one way or not at all.
    """
    if array.ndim == 3 and not meaning.sparse:
        return _from_colors(array, name)
    if array.ndim != 2:
        raise DataError(f"{name}: a mask of shape {array.shape} is not (Y, X). Save one gray plane.")
    if meaning.sparse:
        return _from_strokes(array, name, meaning)
    if array.dtype == bool:
        return _reading(array.astype(np.uint8), "1-bit mask")
    if array.dtype.kind == "f" and not _holds_whole_numbers(array):
        return _from_two_floats(array, name)
    integers = _as_integers(array, name)
    guessed = _guessed(integers, name) if meaning.background is None else None
    return guessed or _from_integers(without_strokes(integers, name, meaning), name)


def without_strokes(array: NDArray[Any], name: str, meaning: Meaning) -> NDArray[Any]:
    """Return a mask of integers, read as a whole one, with 0 in place of background strokes.

    Raises
    ------
    DataError
        If there may be such strokes, but nothing says so.
    """
    if meaning.background:
        return np.where(array == meaning.background, array.dtype.type(0), array)
    if meaning.background is None and array.size and array.max() >= BACKGROUND and _may_hold_strokes(array):
        raise DataError(
            f"{name}: {BACKGROUND} is a stroke of background in masks painted with this program, and nothing tells "
            f"whether it is here. Put the {RECORD} of a mask file beside its folder, or give an object another number."
        )
    return array


def _may_hold_strokes(array: NDArray[Any]) -> bool:
    """Tell whether the value of background strokes stands alone; among objects counted so far it is one of them."""
    return bool((array == BACKGROUND).any() and not np.isin(array, (BACKGROUND - 1, BACKGROUND + 1)).any())


def _from_integers(array: NDArray[Any], name: str) -> LabelReading:
    values = np.unique(array)
    if values[0] < 0:
        raise DataError(
            f"{name}: a mask cannot hold negative numbers, found {values[0]}. Save background as 0 and objects as 1."
        )
    ids = values[values > 0]
    if len(ids) <= 1 and len(values) == 2:
        return _reading(array, f"0/{ids[0]} mask")
    kind = f"instance labels, {len(ids)} objects" if len(ids) > 1 else "mask of one value"
    if np.array_equal(ids, (1, 2)):
        kind = "instance labels 1 and 2, 2 objects"
    return _reading(array, kind)


def _guessed(array: NDArray[Any], name: str) -> LabelReading | None:
    """Return what a mask from elsewhere says if its numbers are not those of objects."""
    values = np.unique(array)
    if len(values) == 2 and values[0] > 0:
        return _from_two_classes(array, *values.tolist())
    if 2 < len(values) <= _FEW_CLASSES and values[0] == 1 and values[-1] == len(values):
        doubt = (
            f"holds the numbers 1 to {values[-1]} and no 0, as ilastik writes classes, so all of it counts as object. "
            "Save background as 0"
        )
        return replace(_from_integers(array, name), doubt=doubt)
    if len(values) < 3 or values[0] < 0:
        return None
    if (shades := find_shades(array)) is not None:
        return _from_shades(array, shades, name)
    if (void := find_void(array, values)) is not None:
        return _with_void(array, void)
    if has_void(values):
        doubt = "holds 255 beside small numbers. If 255 means void or ignore, set it to 0 or leave the mask out"
        return replace(_from_integers(array, name), doubt=doubt)
    return None


def _from_shades(array: NDArray[Any], shades: Shades, name: str) -> LabelReading:
    if not shades.is_mask:
        raise DataError(
            f"{name}: its values change from pixel to pixel, as in a photo, in probabilities or in labels that were "
            "resized. Save 0 for background and 1, 2, 3 … for objects, without smoothing."
        )
    kind = f"{shades.low:g}/{shades.high:g} mask with soft edges, cut at half"
    return _reading(shades.cut(array).astype(np.uint8), kind)


def _from_two_classes(array: NDArray[Any], low: int, high: int) -> LabelReading:
    """Read two numbers without 0, as ilastik writes them: one of them is background."""
    in_low = array == low
    around = {low: surrounds(in_low), high: surrounds(~in_low)}
    if around[low] == around[high]:
        doubt = (
            f"holds {low} and {high} and no 0, as ilastik writes two classes, so all of it counts as object. Save "
            "background as 0 and objects as 1"
        )
        return replace(_reading(array, f"values {low} and {high} without 0"), doubt=doubt)
    background = low if around[low] else high
    kind = f"values {low} and {high} without 0, as of ilastik: {background} surrounds the other and is background"
    return _reading((array != background).astype(np.uint8), kind)


def _with_void(array: NDArray[Any], void: NDArray[np.bool_]) -> LabelReading:
    labels = np.where(void, 0, array).astype(array.dtype)
    share = _object_share(labels, ~void)
    classes = ", ".join(str(value) for value in np.unique(labels[labels > 0]))
    text = f"classes {classes}, {percent(share)} foreground; the border of 255 is not annotated"
    return LabelReading(labels, ~void, text)


def _from_two_floats(array: NDArray[Any], name: str) -> LabelReading:
    low, high = array.min(), array.max()
    objects = array == high
    if not (objects | (array == low)).all():
        raise DataError(
            f"{name}: a mask of decimal numbers must hold exactly two values, this one holds others between "
            f"{low:g} and {high:g}. If these are probabilities, threshold them and save 0 and 1."
        )
    if low == high:
        raise DataError(f"{name}: all pixels are {low:g}, which says nothing. Save background as 0 and objects as 1.")
    return _reading(objects.astype(np.uint8), f"mask of {low:g} and {high:g}")


def _from_colors(array: NDArray[Any], name: str) -> LabelReading:
    first = array[:, :1, :1]
    is_first = (array == first).all(axis=0)
    if is_first.all():
        return _reading(np.zeros(is_first.shape, np.uint8), "mask of one color")
    y, x = np.unravel_index(int(np.argmin(is_first)), is_first.shape)
    second = array[:, y : y + 1, x : x + 1]
    if not (is_first | (array == second).all(axis=0)).all():
        return _from_shaded_colors(array, name)
    first_is_background = _is_background(first, second, is_first.mean(), _white(array))
    objects = ~is_first if first_is_background else is_first
    background = first if first_is_background else second
    color = ", ".join(f"{value:g}" for value in background.ravel())
    return _reading(objects.astype(np.uint8), f"two-color mask, background is ({color})")


def _from_shaded_colors(array: NDArray[Any], name: str) -> LabelReading:
    """Read a mask of two colors with shades between them, which smoothing and JPEG leave."""
    colors, counts = np.unique(array.reshape(len(array), -1), axis=1, return_counts=True)
    first = colors[:, np.argmax(counts)].astype(float)
    distance = np.linalg.norm(colors - first[:, None], axis=0)
    second = colors[:, np.argmax(counts * (distance > distance.max() / 2))].astype(float)
    line = second - first
    pixels = array.reshape(len(array), -1) - first[:, None]
    along = line @ pixels / (line @ line)
    aside = np.linalg.norm(pixels - np.outer(line, along), axis=0) / np.linalg.norm(line)
    levels = np.clip(np.rint(255 * along), 0, 255).astype(np.uint8).reshape(array.shape[1:])
    shades = find_shades(levels) if np.mean(aside > _SAME_COLOR) < _SAME_COLOR / 2 else None
    if shades is None or not shades.is_mask:
        raise DataError(
            f"{name}: a color mask must hold exactly two colors, this one holds more. "
            "Save it as a gray image with 0 for background and 1, 2, 3 … for objects."
        )
    is_second = shades.cut(levels)
    plain = np.where(is_second, second[:, None, None], first[:, None, None]).astype(array.dtype)
    found = _from_colors(plain, name)
    return replace(found, description=found.description.replace("mask,", "mask with soft edges, cut at half,"))


def _white(array: NDArray[Any]) -> Any:
    return np.iinfo(array.dtype).max if array.dtype.kind in "ui" else array.max()


def _is_background(color: NDArray[Any], other: NDArray[Any], share: float, white: Any) -> bool:
    for extreme in (0, white):
        if (color == extreme).all() != (other == extreme).all():
            return bool((color == extreme).all())
    if share == 0.5:
        return bool(color.astype(float).sum() < other.astype(float).sum())
    return bool(share > 0.5)


def _check_strokes(array: NDArray[Any], name: str) -> None:
    values = np.unique(array)
    if not np.isin(values, (0, 1, 2)).all():
        found = ", ".join(f"{value:g}" for value in values[:5])
        raise DataError(
            f"{name}: strokes must be 0 (not annotated), 1 (background) or 2 (object), found {found}. "
            "If the whole image is annotated, read it as a mask and not as strokes."
        )


def _from_strokes(array: NDArray[Any], name: str, meaning: Meaning) -> LabelReading:
    background = 1 if meaning.background is None else meaning.background
    if background == 1:
        _check_strokes(array, name)
    annotated = array > 0
    labels = (annotated & (array != background)).astype(np.uint8)
    if not annotated.any():
        return LabelReading(labels, annotated, "no strokes")
    share = _object_share(labels, annotated)
    missing = {0.0: ", no object strokes", 1.0: ", no background strokes"}.get(share, "")
    text = f"strokes: {percent(float(annotated.mean()))} annotated, {percent(share)} of it object{missing}"
    return LabelReading(labels, annotated, text)


def _reading(labels: NDArray[Any], kind: str) -> LabelReading:
    share = _object_share(labels, None)
    if share == 0:
        return LabelReading(labels, None, "empty mask")
    doubt = _inverted(labels > 0, share)
    return LabelReading(labels, None, f"{kind}, {percent(share)} foreground{': looks inverted' * bool(doubt)}", doubt)


def _inverted(objects: NDArray[np.bool_], share: float) -> str:
    """Return what to say of a mask whose objects may be its background."""
    if share > _HARDLY_BACKGROUND:
        return "has hardly any background. If objects and background are swapped, invert it"
    if surrounds(objects):
        return "has one object that surrounds many round holes. If objects and background are swapped, invert it"
    return ""


def _object_share(labels: NDArray[Any], annotated: NDArray[np.bool_] | None) -> float:
    objects = labels > 0 if annotated is None else labels[annotated] > 0
    return float(objects.mean()) if objects.size else 0.0


def _holds_whole_numbers(array: NDArray[Any]) -> bool:
    return bool((array == np.rint(array)).all()) and (array.min() >= 0 or len(np.unique(array)) > 2)


def _as_integers(array: NDArray[Any], name: str) -> NDArray[Any]:
    if array.dtype.kind in "ui":
        return array
    if array.max() > np.iinfo(np.uint32).max:
        raise DataError(f"{name}: object numbers reach {array.max():g}, more than 4294967295. Number them anew.")
    return array.astype(np.int64) if array.min() < 0 else array.astype(np.min_scalar_type(int(array.max())))
