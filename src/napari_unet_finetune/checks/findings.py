"""What a check of a folder notes about each image and its mask, in types that JSON knows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.annotated_image import AnnotatedImage
from ..data.folders import Opened, read_mask, read_pixels
from ..data.masks import LabelReading
from ..data.objects import measure_objects
from ..data.pairing import Pair
from ..data.statistics import DataStatistics, ModelView, measure_image
from ..errors import DataError
from ..io.images import ImageRef, read_image
from ..io.pixels import ImagePixels
from ..text import number
from .duplicates import Fingerprint, take_fingerprint

PERCENTILES = (0.1, 50.0, 99.9)


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
    description, doubt
        How the mask was understood, and what speaks against that.
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
    doubt: str | None = None
    foreground: float | None = None
    foreground_px: int | None = None
    objects: int | None = None
    median_diameter_px: float | None = None
    touching_border: int | None = None
    object_width_px: float | None = None
    sha256: str | None = None
    problem: str | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table tells of it: name, size, type, objects, their diameter, those at the edge, and its mask."""
        size = "×".join(map(str, self.size)) if self.size else "–"
        kind = f"{self.channels} × {self.dtype}" if (self.channels or 1) > 1 else self.dtype
        file = Path(self.mask) if self.mask else None
        # The file of the mask only if its name is another than the image's.
        mask = "" if file is None or ImageRef(file).stem == ImageRef(Path(self.path)).stem else f"{file.name}: "
        counts = (number(self.objects, 0), number(self.median_diameter_px, 1), number(self.touching_border, 0))
        return self.name, size, kind or "–", *counts, f"{mask}{self.description or '–'}"


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of an image: findings for people, fingerprint and statistics for comparisons."""

    findings: ImageFindings
    fingerprint: Fingerprint | None = None
    statistics: DataStatistics | None = None


def look_at(image: ImageRef, pair: Pair | None, *, view: ModelView | None, opened: Opened) -> Look:
    """Return what is to be noted of an image and its mask; what is wrong with them is in the findings.

    Parameters
    ----------
    image
        The image.
    pair
        Image and mask, ``None`` without a mask.
    view
        How a model looks at images, for the statistics; ``None`` takes none.
    opened
        Images of which regions are looked at; see `data.folders.read_pair`.
    """
    findings = ImageFindings(image.name if pair is None else pair.name, str(image.path))
    if pair is not None:
        findings = replace(findings, mask=str(pair.mask.path), reason=pair.reason)
    fingerprint = None
    try:
        read = partial(_read, image, pair, opened)
        pixels = read()
        fingerprint = take_fingerprint(findings.name, pixels.array, lambda: read().array)
        findings = _with_pixels(findings, pixels, fingerprint.sha256)
        reading = None if pair is None else _read_mask(pair, findings, opened)
        labels, known = (reading.labels, reading.annotated) if reading else (None, None)
        region = None if pair is None else pair.region
        whole = None if region is None else opened[image]
        annotated = AnnotatedImage(findings.name, pixels.array, labels, known, part_of=whole, region=region)
        statistics = None if view is None else measure_image(annotated, view)
    except DataError as error:
        return Look(replace(findings, problem=str(error)), fingerprint)
    return Look(findings if reading is None else _with_mask(findings, reading), fingerprint, statistics)


def _read(image: ImageRef, pair: Pair | None, opened: Opened) -> ImagePixels:
    return read_image(image) if pair is None else read_pixels(pair, opened)


def _with_pixels(findings: ImageFindings, pixels: ImagePixels, sha256: str) -> ImageFindings:
    array = pixels.array
    height, width = array.shape[-2:]
    return replace(
        findings,
        size=(height, width),
        channels=1 if array.ndim == 2 else len(array),
        dtype=str(array.dtype),
        scale=pixels.scale,
        unit=pixels.unit,
        percentiles=_percentiles(array),
        is_constant=bool(array.min() == array.max()),
        sha256=sha256,
    )


def _percentiles(array: NDArray[Any]) -> tuple[float, float, float]:
    values = array if array.dtype.kind == "u" else array.astype(np.float64)  # between signed integers, steps overflow
    low, middle, high = np.percentile(values, PERCENTILES).tolist()
    return low, middle, high


def _read_mask(pair: Pair, image: ImageFindings, opened: Opened) -> LabelReading:
    reading = read_mask(pair, opened)
    if reading.labels.shape != image.size:
        raise DataError(
            f"{image.name}: image is {image.size} but its mask is {reading.labels.shape}. Draw the mask on this image."
        )
    return reading


def _with_mask(findings: ImageFindings, reading: LabelReading) -> ImageFindings:
    findings = replace(
        findings,
        description=reading.description,
        doubt=reading.doubt or None,
        foreground=reading.foreground_fraction,
        foreground_px=int((reading.labels > 0).sum()),  # type: ignore[operator]
    )
    if reading.annotated is not None:
        return findings
    measured = measure_objects(reading.labels)
    return replace(
        findings,
        objects=measured.count,
        median_diameter_px=measured.median_diameter_px,
        touching_border=measured.touching_border,
        object_width_px=measured.width_px,
    )
