"""Choose whole images to hold out for validation, and say how much a score on them is worth.

Where annotated regions of large images count as images, `wholes` tell of each which one it is a region of, in values
that differ as they do, ``None`` of an image by itself. From three images on each is held out with all its regions, for
those of one image are alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..text import count_of, count_of_images, verb_for

MIN_IMAGES = 4
SOLID_IMAGES = 5
FEWEST_WHOLES = 3
OTHERS_TRAINED_ON = (
    "Held-out regions lie in images of which others are trained on: their Dice says little of other images."
)
Wholes = Sequence[Hashable | None]
_Places = np.ndarray[tuple[int], np.dtype[np.intp]]
_Marks = np.ndarray[tuple[int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Split:
    """Positions of training and held-out images, and in one sentence how far to trust a score on the latter."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    note: str


def split_images(fractions: Sequence[float], share: float, seed: int, *, wholes: Wholes = ()) -> Split:
    """Hold out a `share` of the images, at least one from four images on and none below.

    The images are sorted by their foreground and cut into as many groups as there are images to hold out; one image
    from the middle of each group is drawn, so that the held-out images are like the rest. Training always keeps an
    image with foreground, and validation gets one if there are two. An image of more than half of all regions is
    trained on.

    Parameters
    ----------
    fractions
        Share of object pixels of each image.
    share
        Share of the images to hold out, between 0 and 1.
    seed
        The same seed gives the same choice.
    wholes
        Which image each is a region of; empty if none is one.
    """
    count, units = len(fractions), units_of(wholes, len(fractions))
    if count < MIN_IMAGES:
        images = f"{count_of(count, 'image')} {verb_for(count, 'be')}"
        return Split(tuple(range(count)), (), f"{images} too few to hold one out: there is no held-out Dice.")
    chosen = _draw(_means(fractions, units), share, seed, barred=_largest(units, count))
    held_out = _members(units, chosen)
    return Split(_all_but(held_out, count), held_out, _note(held_out, fractions, wholes))


def units_of(wholes: Wholes, count: int) -> tuple[tuple[int, ...], ...]:
    """Return the positions among `count` images of those that are held out or trained on together, in their order.

    That is each image by itself, or all regions of a whole where there are wholes enough.
    """
    units: dict[Hashable, list[int]] = {}
    for place, whole in enumerate(wholes or [None] * count):
        units.setdefault((None, place) if whole is None else (whole,), []).append(place)
    return tuple(map(tuple, units.values())) if len(units) >= FEWEST_WHOLES else tuple((i,) for i in range(count))


def _means(fractions: Sequence[float], units: Sequence[tuple[int, ...]]) -> list[float]:
    return [sum(fractions[i] for i in unit) / len(unit) for unit in units]


def _members(units: Sequence[tuple[int, ...]], chosen: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(i for unit in chosen for i in units[unit]))


def _largest(units: Sequence[tuple[int, ...]], count: int) -> frozenset[int]:
    """Return which of the units has more than half of the images, if one has."""
    return frozenset(place for place, unit in enumerate(units) if len(unit) > max(1, count / 2))


def _draw(fractions: Sequence[float], share: float, seed: int, *, barred: AbstractSet[int]) -> list[int]:
    """Return which units to hold out, see `split_images`; none that is `barred`."""
    count = len(fractions)
    rng = np.random.default_rng(seed)
    by_foreground = [i for i in np.argsort(fractions, kind="stable") if i not in barred]
    held_out = min(count - 1, len(by_foreground), max(1, round(share * count)))
    groups = np.array_split(np.array(by_foreground, np.intp), held_out)
    return _with_objects([int(rng.choice(_middle(group))) for group in groups], fractions, rng, barred)


def keep_holding_out(
    fractions: Sequence[float],
    share: float,
    seed: int,
    *,
    trained: AbstractSet[int] = frozenset(),
    held_out: AbstractSet[int] = frozenset(),
    wholes: Wholes = (),
) -> tuple[int, ...]:
    """Return which images of a dataset that grows are held out: those of before, and new ones with their number.

    However many images follow, what is held out of the first ones stays the same. At least one is held out from four
    images on, if one is left that was not trained on; one with objects as soon as two have some. Training always keeps
    an image with objects. Of an image that was trained on, new regions are trained on too; until it was used, they may
    change what is held out.

    Parameters
    ----------
    fractions
        Share of object pixels of each image, in the order in which the images were annotated.
    share, seed, wholes
        As in `split_images`.
    trained, held_out
        Positions of images that were trained on, and of those that were held out, before.
    """
    units = units_of(wholes, len(fractions))
    known = {place for place, unit in enumerate(units) if not trained.isdisjoint(unit)}
    means, first = np.array(_means(fractions, units)), MIN_IMAGES if len(units) == len(fractions) else FEWEST_WHOLES
    order, full = np.argsort(means, kind="stable"), means > 0
    kept = _marked(known | _largest(units, len(fractions)), len(units))
    chosen = _marked({place for place, unit in enumerate(units) if not held_out.isdisjoint(unit)} - known, len(units))
    for count in range(first, len(units) + 1):
        wanted = min(count - 1, max(1, round(share * count)))
        while (pool := _to_choose_from(order[order < count], full, chosen, kept, wanted)).size:
            chosen[np.random.default_rng([seed, count, chosen.sum()]).choice(pool)] = True
    return tuple(sorted({*_members(units, np.flatnonzero(chosen).tolist()), *held_out}))


def _marked(places: Iterable[int], count: int) -> _Marks:
    marks = np.zeros(count, bool)
    marks[list(places)] = True
    return marks


def _to_choose_from(order: _Places, full: _Marks, chosen: _Marks, kept: _Marks, wanted: int) -> _Places:
    """Return of which units to hold out one more than those `chosen`; none if they will do.

    `order` are the first ones, by their foreground; `full` are those with objects, `kept` those to train on.
    """
    has_objects, is_enough = bool((full & chosen).any()), chosen.sum() >= wanted
    if has_objects and is_enough:
        return order[:0]
    others, is_chosen = (full & ~chosen)[order], chosen[order]
    free = ~(is_chosen | kept[order])
    if others.sum() == 1:  # the last one with objects stays for training
        free &= ~others
    if not has_objects and (free & others).any():
        free &= others
    elif is_enough or not free.any():
        return order[:0]
    parts, (each, longer) = np.arange(wanted), divmod(len(order), wanted)
    part = np.repeat(parts, each + (parts < longer))  # as np.array_split cuts, which is slow
    lonely = free & (np.bincount(part[is_chosen], minlength=wanted) == 0)[part]
    if lonely.any():  # of a part of the range from which none is held out yet
        free = lonely & (part == part[lonely][0])
    return _middle(order[free])


def split_by_name(names: Sequence[str], held_out: Sequence[str], wholes: Wholes = ()) -> Split:
    """Hold out the images called `held_out`; `wholes` as in `split_images`.

    Raises
    ------
    DataError
        If there is no image of such a name, or none is left to train on.
    """
    known, wanted = set(names), set(held_out)
    missing = [name for name in held_out if name not in known]
    if missing:
        raise DataError(f"There is no annotated image called {', '.join(missing)} to validate on. Check the names.")
    chosen = [index for index, name in enumerate(names) if name in wanted]
    if len(chosen) == len(names):
        raise DataError("All annotated images are for validation, so none is left to train on. Give some to training.")
    return split_at(chosen, len(names), wholes)


def split_at(held_out: Sequence[int], count: int, wholes: Wholes = ()) -> Split:
    """Hold out the images at these positions among `count`; `wholes` as in `split_images`."""
    note = _note_on(held_out, count, wholes) if held_out else "Nothing is held out: there is no held-out Dice."
    return Split(_all_but(held_out, count), tuple(held_out), note)


def _middle(group: _Places) -> _Places:
    """Return the middle half of a group, at least one image."""
    margin = len(group) // 4
    return group[margin : len(group) - margin]


def _with_objects(
    chosen: list[int], fractions: Sequence[float], rng: np.random.Generator, barred: AbstractSet[int]
) -> list[int]:
    """Exchange one of the chosen units if otherwise only one side of the split had units with foreground."""
    full = [i for i, fraction in enumerate(fractions) if fraction > 0]
    taken = barred | set(chosen)
    chosen_full, free = [i for i in chosen if fractions[i] > 0], [i for i in full if i not in barred]
    if not chosen_full and len(full) > 1 and free:
        return [*chosen[1:], int(rng.choice(free))]
    outside_empty = [i for i, fraction in enumerate(fractions) if fraction == 0 and i not in taken]
    if len(chosen_full) == len(full) and chosen_full:
        others = [i for i in chosen if i != chosen_full[0]]
        return [*others, int(rng.choice(outside_empty))] if outside_empty else others or chosen
    return chosen


def _all_but(chosen: Sequence[int], count: int) -> tuple[int, ...]:
    left_out = set(chosen)
    return tuple(i for i in range(count) if i not in left_out)


def _note(chosen: Sequence[int], fractions: Sequence[float], wholes: Wholes) -> str:
    if not any(fractions[i] > 0 for i in chosen):
        told = _counted(chosen, wholes)
        return f"{told} without any object: the Dice says only whether the model finds objects where there are none."
    return _note_on(chosen, len(fractions), wholes)


def _note_on(held_out: Sequence[int], count: int, wholes: Wholes) -> str:
    worth, about = how_held_out(held_out, count, wholes)
    what = _counted(held_out, wholes) if worth == len(held_out) else count_of(worth, "held-out image")
    if worth == 1:
        told = f"Only {what}: its Dice is a weak number."
    elif worth < SOLID_IMAGES:
        told = f"Only {what}: their Dice is a rough number."
    else:
        told = f"{what}."
    return " ".join(filter(None, (told, about)))


def _counted(held_out: Sequence[int], wholes: Wholes) -> str:
    regions = sum(wholes[place] is not None for place in held_out) if wholes else 0
    return count_of_images(len(held_out), regions, "held-out image")


def how_held_out(held_out: Sequence[int], count: int, wholes: Wholes) -> tuple[int, str]:
    """Return on how many images a score is, and what there is to say of those of which regions are held out.

    Regions of an image of which nothing is trained on count as one.
    """
    trained = {wholes[i] for i in _all_but(held_out, count)} if wholes else set()
    tested = [wholes[i] for i in held_out if wholes and wholes[i] is not None]
    if not trained.isdisjoint(tested):
        return len(held_out), OTHERS_TRAINED_ON
    images = len(set(tested))
    regions, lie = count_of(len(tested), "held-out region"), verb_for(len(tested), "lie")
    about = f"{regions} {lie} in {count_of(images, 'image')} of which nothing is trained on." if tested else ""
    return len(held_out) - len(tested) + images, about
