"""A prediction as the beginning of a mask: how the mask came about, whatever is painted and undone afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

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
    """

    labels: NDArray[np.uint16]
    added: NDArray[np.bool_]
    before: Origin = "none"
    former: Guess | None = None
    is_accepted: bool = False

    @classmethod
    def of(cls, labels: NDArray[np.uint16] | None, origin: Origin) -> Guess | None:
        """Return the prediction that a stored mask is, ``None`` if it is anything else."""
        if labels is None or origin not in ("predicted", "accepted"):
            return None
        return cls(labels, labels > 0, is_accepted=origin == "accepted")

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
