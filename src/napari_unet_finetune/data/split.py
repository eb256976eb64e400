"""Choose whole images to hold out for validation, and say how much a score on them is worth."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..text import count_of, verb_for

MIN_IMAGES = 4
SOLID_IMAGES = 5


@dataclass(frozen=True)
class Split:
    """Positions of training and held-out images, and in one sentence how far to trust a score on the latter."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    note: str


def split_images(foreground_fractions: Sequence[float], share: float, seed: int) -> Split:
    """Hold out a `share` of the images, at least one from four images on and none below.

    The images are sorted by their foreground and cut into as many groups as there are images to hold out; one image
    from the middle of each group is drawn, so that the held-out images are like the rest. Training always keeps an
    image with foreground, and validation gets one if there are two.

    Parameters
    ----------
    foreground_fractions
        Share of object pixels of each image.
    share
        Share of the images to hold out, between 0 and 1.
    seed
        The same seed gives the same choice.
    """
    count = len(foreground_fractions)
    if count < MIN_IMAGES:
        images = f"{count_of(count, 'image')} {verb_for(count, 'be')}"
        return Split(tuple(range(count)), (), f"{images} too few to hold one out: there is no held-out Dice.")
    held_out = min(count - 1, max(1, round(share * count)))
    rng = np.random.default_rng(seed)
    by_foreground = np.argsort(foreground_fractions, kind="stable")
    chosen = [int(rng.choice(_middle(group))) for group in np.array_split(by_foreground, held_out)]
    chosen = _with_objects(chosen, foreground_fractions, rng)
    return Split(_all_but(chosen, count), tuple(sorted(chosen)), _note(chosen, foreground_fractions))


def keep_holding_out(
    foreground_fractions: Sequence[float],
    share: float,
    seed: int,
    *,
    trained: AbstractSet[int] = frozenset(),
    held_out: AbstractSet[int] = frozenset(),
) -> tuple[int, ...]:
    """Return which images of a dataset that grows are held out: those of before, and new ones with their number.

    However many images follow, what is held out of the first ones stays the same. At least one is held out from four
    images on, if one is left that was not trained on; one with objects as soon as two have some. Training always keeps
    an image with objects.

    Parameters
    ----------
    foreground_fractions
        Share of object pixels of each image, in the order in which the images were annotated.
    share, seed
        As in `split_images`.
    trained, held_out
        Positions of images that were trained on, and of those that were held out, before.
    """
    chosen = set(held_out)
    for count in range(MIN_IMAGES, len(foreground_fractions) + 1):
        while (pool := _to_choose_from(foreground_fractions, count, share, chosen, trained)).size:
            chosen.add(int(np.random.default_rng([seed, count, len(chosen)]).choice(pool)))
    return tuple(sorted(chosen))


def _to_choose_from(
    fractions: Sequence[float], count: int, share: float, chosen: AbstractSet[int], trained: AbstractSet[int]
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return of which images among the first `count` to hold out one more than those `chosen`; none if they will do."""
    none = np.empty(0, np.intp)
    wanted = min(count - 1, max(1, round(share * count)))
    has_objects = any(fractions[i] > 0 for i in chosen)
    if has_objects and len(chosen) >= wanted:
        return none
    order = [int(i) for i in np.argsort(fractions[:count], kind="stable")]
    full = [i for i in order if fractions[i] > 0 and i not in chosen]
    free = [i for i in order if i not in chosen and i not in trained and full != [i]]
    if not has_objects and any(i in full for i in free):
        free = [i for i in free if i in full]
    elif len(chosen) >= wanted:
        return none
    groups = (set(group.tolist()) for group in np.array_split(order, wanted))
    lonely = ([i for i in free if i in group] for group in groups if not chosen & group)
    pool = next(filter(None, lonely), free)  # of a part of the range from which none is held out yet
    return _middle(np.array(pool, np.intp))


def split_by_name(names: Sequence[str], held_out: Sequence[str]) -> Split:
    """Hold out the images called `held_out`.

    Raises
    ------
    DataError
        If there is no image of such a name, or none is left to train on.
    """
    missing = [name for name in held_out if name not in names]
    if missing:
        raise DataError(f"There is no annotated image called {', '.join(missing)} to validate on. Check the names.")
    chosen = [index for index, name in enumerate(names) if name in held_out]
    if len(chosen) == len(names):
        raise DataError("All annotated images are for validation, so none is left to train on. Give some to training.")
    return split_at(chosen, len(names))


def split_at(held_out: Sequence[int], count: int) -> Split:
    """Hold out the images at these positions among `count`."""
    note = _note_on(len(held_out)) if held_out else "Nothing is held out: there is no held-out Dice."
    return Split(_all_but(held_out, count), tuple(held_out), note)


def _middle(group: np.ndarray[tuple[int], np.dtype[np.intp]]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the middle half of a group, at least one image."""
    margin = len(group) // 4
    return group[margin : len(group) - margin]


def _with_objects(chosen: list[int], fractions: Sequence[float], rng: np.random.Generator) -> list[int]:
    """Exchange one of the chosen images if otherwise only one side of the split had images with foreground."""
    full = [i for i, fraction in enumerate(fractions) if fraction > 0]
    empty = [i for i, fraction in enumerate(fractions) if fraction == 0]
    chosen_full = [i for i in chosen if i in full]
    if not chosen_full and len(full) > 1:
        return [*chosen[1:], int(rng.choice(full))]
    outside_empty = [i for i in empty if i not in chosen]
    if len(chosen_full) == len(full) and chosen_full and outside_empty:
        return [*(i for i in chosen if i != chosen_full[0]), int(rng.choice(outside_empty))]
    return chosen


def _all_but(chosen: Sequence[int], count: int) -> tuple[int, ...]:
    return tuple(i for i in range(count) if i not in chosen)


def _note(chosen: Sequence[int], fractions: Sequence[float]) -> str:
    if not any(fractions[i] > 0 for i in chosen):
        images = count_of(len(chosen), "held-out image")
        return f"{images} without any object: the Dice says only whether the model finds objects where there are none."
    return _note_on(len(chosen))


def _note_on(count: int) -> str:
    if count == 1:
        return "Only 1 held-out image: its Dice is a weak number."
    if count < SOLID_IMAGES:
        return f"Only {count} held-out images: their Dice is a rough number."
    return f"{count} held-out images."
