"""Look at one image and its mask once, and keep what a check-up needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .annotated_image import AnnotatedImage
from .dataset import read_mask
from .duplicates import Fingerprint, take_fingerprint
from .files import ImageRef, read_image
from .findings import ImageFindings
from .masks import LabelReading
from .objects import measure_objects
from .pairing import Pair
from .pixels import ImagePixels
from .statistics import DataStatistics, ModelView, measure_image

PERCENTILES = (0.1, 50.0, 99.9)


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of an image: findings for people, fingerprint and statistics for comparisons."""

    findings: ImageFindings
    fingerprint: Fingerprint | None = None
    statistics: DataStatistics | None = None


def look_at(image: ImageRef, mask: Pair | None, *, sparse: bool, view: ModelView | None) -> Look:
    """Return what is to be noted of an image and its mask; what is wrong with them is in the findings.

    Parameters
    ----------
    image
        The image.
    mask
        Its pair, ``None`` without a mask.
    sparse
        The mask holds strokes.
    view
        How a model looks at images, for the statistics; ``None`` takes none.
    """
    try:
        pixels = read_image(image)
    except DataError as error:
        return Look(_with_pair(ImageFindings(image.name, str(image.path), problem=str(error)), mask))
    fingerprint = take_fingerprint(image.name, pixels.array)
    findings = _with_pair(_findings(image, pixels, fingerprint.sha256), mask)
    try:
        reading = None if mask is None else _read_mask(mask, findings, sparse=sparse)
        labels, known = (reading.labels, reading.annotated) if reading else (None, None)
        annotated = AnnotatedImage(image.name, pixels.array, labels, known)
        statistics = None if view is None else measure_image(annotated, view)
    except DataError as error:
        return Look(findings.with_changes(problem=str(error)), fingerprint)
    return Look(findings if reading is None else _with_mask(findings, reading), fingerprint, statistics)


def _with_pair(findings: ImageFindings, pair: Pair | None) -> ImageFindings:
    return findings if pair is None else findings.with_changes(mask=str(pair.mask.path), reason=pair.reason)


def _findings(ref: ImageRef, pixels: ImagePixels, sha256: str) -> ImageFindings:
    array = pixels.array
    height, width = array.shape[-2:]
    return ImageFindings(
        ref.name,
        str(ref.path),
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


def _read_mask(pair: Pair, image: ImageFindings, *, sparse: bool) -> LabelReading:
    reading = read_mask(pair.mask, sparse=sparse)
    if reading.labels.shape != image.size:
        raise DataError(
            f"{image.name}: image is {image.size} but its mask is {reading.labels.shape}. Draw the mask on this image."
        )
    return reading


def _with_mask(findings: ImageFindings, reading: LabelReading) -> ImageFindings:
    findings = findings.with_changes(
        description=reading.description,
        foreground=reading.foreground_fraction,
        foreground_px=int((reading.labels > 0).sum()),  # type: ignore[operator]
    )
    if reading.annotated is not None:
        return findings
    measured = measure_objects(reading.labels)
    return findings.with_changes(
        objects=measured.count,
        median_diameter_px=measured.median_diameter_px,
        touching_border=measured.touching_border,
        object_width_px=measured.width_px,
    )
