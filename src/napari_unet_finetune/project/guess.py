"""A prediction as the beginning of a mask: how the mask came about, whatever is painted and undone afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..data.masks import BACKGROUND
from .image import Origin


@dataclass(frozen=True, eq=False)
class Guess:
    """What a model found in an image, as it was put into its mask.

    Parameters
    ----------
    labels
        (Y, X); the mask with the prediction in it, and nothing else changed since.
    added
        (Y, X) bool; which pixels the prediction painted.
    before, former
        How the mask came about until then; the prediction that it was, if it was one.
    is_accepted
        Somebody has looked at it, and found it right as it is.
    made_by
        Name of the model.
    """

    labels: NDArray[np.uint16]
    added: NDArray[np.bool_]
    before: Origin = "none"
    former: Guess | None = None
    is_accepted: bool = False
    made_by: str = ""

    @classmethod
    def of(cls, labels: NDArray[np.uint16] | None, origin: Origin, made_by: str = "") -> Guess | None:
        """Return the prediction that a stored mask is, ``None`` if it is anything else."""
        if labels is None or origin not in ("predicted", "accepted"):
            return None
        return cls(labels, labels > 0, is_accepted=origin == "accepted", made_by=made_by)

    def accepted(self) -> Guess:
        """Return the same, looked at."""
        return replace(self, is_accepted=True)

    def origin_of(self, labels: NDArray[np.uint16]) -> Origin:
        """Return how a mask of the same image came about: by undoing, redoing or painting what was predicted."""
        if np.array_equal(labels, self.labels):
            return "accepted" if self.is_accepted else "predicted"
        if ((labels == self.labels) & self.added).any():
            return "corrected"
        if self.former is not None:
            return self.former.origin_of(labels)
        return "corrected" if self.before == "corrected" else "painted"

    def maker_of(self, labels: NDArray[np.uint16]) -> str:
        """Return the name of the model whose prediction a mask of the same image is; empty if it is anything else."""
        if np.array_equal(labels, self.labels):
            return self.made_by
        return "" if self.former is None else self.former.maker_of(labels)


def toggled(
    labels: NDArray[np.uint16], found: NDArray[np.uint16] | None, place: tuple[int, int], label: int, *, sparse: bool
) -> NDArray[np.uint16] | None:
    """Return a mask without the painted object at `place`, or with the one that a model has `found` there.

    Parameters
    ----------
    labels, found
        (Y, X); the mask, and what a model finds, ``None`` if that is not known.
    place
        (Y, X) in pixels.
    label
        What a new object is painted with; if that is the label of background, with 1.
    sparse
        What is not painted is unknown, so that an object that is removed is background.

    Returns
    -------
    ``None`` if there is no object.
    """
    if labels[place] not in (0, BACKGROUND):
        return np.where(_region(labels == labels[place], place), BACKGROUND if sparse else 0, labels).astype(np.uint16)
    if found is None or not found[place]:
        return None
    free = (labels == 0) | (labels == BACKGROUND)
    new = _region(found > 0, place) & free
    return np.where(new, 1 if label == BACKGROUND else label, labels).astype(np.uint16)


def kept_inside(
    labels: NDArray[np.uint16], found: NDArray[np.uint16], box: tuple[slice, slice], guess: Guess | None
) -> NDArray[np.uint16]:
    """Return a mask with what a model has `found` in `box` where nothing is painted, and nothing else of its guess."""
    kept = labels.copy()
    if guess is not None and not guess.is_accepted:
        kept[guess.added & (labels == guess.labels)] = 0
        kept[box] = labels[box]
    kept[box] = np.where(kept[box] == 0, found[box], kept[box])
    return kept


def between(first: tuple[float, float], last: tuple[float, float]) -> tuple[slice, slice]:
    """Return the pixels of the rectangle between two corners (Y, X), in whatever order they are."""
    (top, low), (left, right) = (sorted(pair) for pair in zip(first, last, strict=True))
    return slice(max(round(top), 0), max(round(low) + 1, 0)), slice(max(round(left), 0), max(round(right) + 1, 0))


def _region(mask: NDArray[np.bool_], place: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the connected part of `mask` at `place`."""
    from skimage.segmentation import flood  # here: docks would take longer to open

    region: NDArray[np.bool_] = flood(mask, place, connectivity=2)  # type: ignore[no-untyped-call]
    return region
