"""What a check of a folder notes about each image, in types that JSON knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Unpaired:
    """An image, mask or file that is left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class ImageFindings:
    """One image with its mask; what could not be found out is ``None``.

    Parameters
    ----------
    name, path
        The image.
    mask, reason
        File of its mask, and why it belongs to the image.
    size
        (Y, X) in pixels.
    percentiles
        Intensities below which 0.1, 50 and 99.9 % of the pixels lie.
    description
        How the mask was understood.
    foreground, foreground_px
        Share of object pixels among the annotated ones, and their number.
    objects, median_diameter_px, touching_border, object_width_px
        See `data.objects.ObjectMeasures`; ``None`` for strokes, which are not objects.
    sha256
        Hash of the pixels.
    problem
        Why the image cannot be used, in a sentence.
    """

    name: str
    path: str
    mask: str | None = None
    reason: str | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None
    dtype: str | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"
    percentiles: tuple[float, float, float] | None = None
    is_constant: bool = False
    description: str | None = None
    foreground: float | None = None
    foreground_px: int | None = None
    objects: int | None = None
    median_diameter_px: float | None = None
    touching_border: int | None = None
    object_width_px: float | None = None
    sha256: str | None = None
    problem: str | None = None

    def with_changes(self, **changes: Any) -> ImageFindings:
        """Return these findings with `changes` made to them."""
        return replace(self, **changes)
