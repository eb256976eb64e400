"""Look through images and masks before a training: what is there, how it was understood, what may go wrong."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ..data.annotated_image import AnnotatedImage
from ..data.folders import read_mask
from ..data.masks import LabelReading
from ..data.objects import measure_objects
from ..data.pairing import LeftOver, Pair, Pairing, pair_images
from ..data.statistics import DataStatistics, ModelFacts, ModelView, combine, measure_image
from ..errors import DataError
from ..events import ImageSeen, drain
from ..io.images import ImageRef, list_images, read_image, without_labels
from ..io.pixels import ImagePixels
from .advice import give_advice, name_problems, name_shared
from .against_training import Comparison, compare
from .duplicates import Duplicate, Fingerprint, find_duplicates, find_shared, take_fingerprint
from .findings import ImageFindings, Unpaired

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


@dataclass(frozen=True)
class Checkup:
    """What was found in a folder of images and, if given, a folder of masks.

    Parameters
    ----------
    images
        One entry per pair or, without masks, per image.
    not_annotated
        Images without a mask, if there are masks.
    images_without_mask, masks_without_image
        What is left over, with the reason.
    unreadable
        Files that cannot be read, with the reason.
    duplicates
        Images that are there before, or nearly; each with the first that shows the same.
    shared_with_test
        Test images that are among the others, or nearly; each with the first that shows the same.
    mean_foreground
        Mean share of object pixels over all masks, ``None`` without masks.
    empty_masks
        Number of masks without any object.
    comparison
        How far the images are from the data of the model, ``None`` if no model was given.
    problems
        What keeps an image from being used as it is, in sentences.
    advice
        What may make a training worse than it need be, in sentences.
    """

    images: tuple[ImageFindings, ...]
    not_annotated: tuple[ImageFindings, ...]
    images_without_mask: tuple[Unpaired, ...]
    masks_without_image: tuple[Unpaired, ...]
    unreadable: tuple[Unpaired, ...]
    duplicates: tuple[Duplicate, ...]
    shared_with_test: tuple[Duplicate, ...]
    mean_foreground: float | None
    empty_masks: int
    comparison: Comparison | None
    problems: tuple[str, ...]
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything in types that JSON knows."""
        values: dict[str, Any] = TypeAdapter(Checkup).dump_python(self, mode="json")
        return values


@dataclass(frozen=True)
class CheckupSource:
    """What is looked through: pairs, images without a mask, and what cannot be used.

    `has_masks` is false if only images were given; `may_lack_masks` says that images without one are still to be
    annotated, which is no problem.
    """

    pairing: Pairing
    unreadable: tuple[tuple[Path, str], ...] = ()
    has_masks: bool = True
    may_lack_masks: bool = False

    @classmethod
    def of_folders(cls, images: Path, masks: Path | None) -> CheckupSource:
        """List images and masks and pair them.

        Raises
        ------
        DataError
            If a folder is missing or holds no image.
        """
        found = list_images(images)
        if masks is None:
            alone = tuple(LeftOver(ref, "no masks were given") for ref in without_labels(found))
            return cls(Pairing((), images_without_mask=alone), found.unreadable, has_masks=False)
        found_masks = list_images(masks)
        unreadable = tuple(dict.fromkeys(found.unreadable + found_masks.unreadable))
        return cls(pair_images(found, found_masks).explained(unreadable), unreadable)


def check_folder(
    images: Path,
    masks: Path | None = None,
    *,
    sparse: bool = False,
    model: ModelFacts | None = None,
    test_images: Path | None = None,
) -> Checkup:
    """Look through the images and masks of two folders, one image in memory at a time.

    Parameters
    ----------
    images, masks
        Folders, stack files, or one folder that holds both.
    sparse
        The masks hold strokes: 0 is not annotated, 1 background, 2 object.
    model
        A model to whose data the images are compared.
    test_images
        Folder with images that are kept for the final score, to find those that are among the others too.

    Raises
    ------
    DataError
        If a folder is missing or holds no image. Whatever is wrong with single files is in the result.
    """
    source = CheckupSource.of_folders(images, masks)
    test = list_images(test_images).images if test_images else ()
    return drain(check_images(source, sparse=sparse, model=model, test_images=test))


def check_images(
    source: CheckupSource,
    *,
    sparse: bool = False,
    model: ModelFacts | None = None,
    test_images: Sequence[ImageRef] = (),
) -> Generator[ImageSeen, None, Checkup]:
    """Yield after each image and return what was found; see `check_folder`."""
    pairing = source.pairing
    alone = [one.ref for one in pairing.images_without_mask]
    todo: list[tuple[ImageRef, Pair | None]] = [(pair.image, pair) for pair in pairing.pairs]
    todo += [(ref, None) for ref in (*alone, *test_images)]
    looks = []
    for done, (ref, pair) in enumerate(todo, start=1):
        is_test = done > len(todo) - len(test_images)
        looks.append(look_at(ref, pair, sparse=sparse, view=model.view if model and not is_test else None))
        yield ImageSeen(ref.name, done, len(todo))
    known = len(todo) - len(test_images)
    return _summary(source, looks[:known], looks[known:], model)


def _summary(source: CheckupSource, looks: list[Look], test: list[Look], model: ModelFacts | None) -> Checkup:
    findings = tuple(look.findings for look in looks)
    count = len(source.pairing.pairs) if source.has_masks else len(findings)
    images, not_annotated = findings[:count], findings[count:]
    shares = [one.foreground for one in images if one.foreground is not None]
    without_mask = _unpaired(source.pairing.images_without_mask) if source.has_masks else ()
    without_image = _unpaired(source.pairing.masks_without_image)
    unreadable = tuple(Unpaired(str(path), reason) for path, reason in source.unreadable)
    prints, test_prints = ([look.fingerprint for look in part if look.fingerprint] for part in (looks, test))
    duplicates, shared = find_duplicates(prints), find_shared(prints, test_prints)
    missing = () if source.may_lack_masks else without_mask
    problems = name_problems((*findings, *(look.findings for look in test)), missing, without_image, unreadable)
    return Checkup(
        images=images,
        not_annotated=not_annotated,
        images_without_mask=without_mask,
        masks_without_image=without_image,
        unreadable=unreadable,
        duplicates=duplicates,
        shared_with_test=shared,
        mean_foreground=float(np.mean(shares)) if shares else None,
        empty_masks=sum(share == 0 for share in shares),
        comparison=compare(combine(look.statistics for look in looks if look.statistics), model) if model else None,
        problems=(*problems, *name_shared(shared)),
        advice=give_advice(images, not_annotated, duplicates),
    )


def _unpaired(rest: tuple[LeftOver, ...]) -> tuple[Unpaired, ...]:
    return tuple(Unpaired(one.ref.name, one.reason) for one in rest)
