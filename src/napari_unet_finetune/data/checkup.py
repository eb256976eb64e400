"""Look through images and masks before a training: what is there, how it was understood, what may go wrong."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .advice import give_advice, name_problems
from .dataset import read_mask
from .files import ImageRef, list_images, read_image
from .findings import ImageFindings, Unpaired
from .pairing import LeftOver, Pair, Pairing, pair_images

PERCENTILES = (0.1, 50.0, 99.9)


@dataclass(frozen=True)
class Checkup:
    """What was found in a folder of images and, if given, a folder of masks.

    Parameters
    ----------
    images
        One entry per pair or, without masks, per image.
    images_without_mask, masks_without_image
        What is left over, with the reason.
    unreadable
        Files that cannot be read, with the reason.
    mean_foreground
        Mean share of object pixels over all masks, ``None`` without masks.
    empty_masks
        Number of masks without any object.
    problems
        What keeps an image from being used as it is, in sentences.
    advice
        What may make a training worse than it need be, in sentences.
    """

    images: tuple[ImageFindings, ...]
    images_without_mask: tuple[Unpaired, ...]
    masks_without_image: tuple[Unpaired, ...]
    unreadable: tuple[Unpaired, ...]
    mean_foreground: float | None
    empty_masks: int
    problems: tuple[str, ...]
    advice: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything in types that JSON knows."""
        return asdict(self)


def check_folder(images: Path, masks: Path | None = None, *, sparse: bool = False) -> Checkup:
    """Look through the images and masks of two folders, one image in memory at a time.

    Parameters
    ----------
    images, masks
        Folders, stack files, or one folder that holds both.
    sparse
        The masks hold strokes: 0 is not annotated, 1 background, 2 object.

    Raises
    ------
    DataError
        If a folder is missing or holds no image. Whatever is wrong with single files is in the result.
    """
    found = list_images(images)
    found_masks = list_images(masks) if masks else None
    pairing = pair_images(found, found_masks) if found_masks else Pairing(())
    if found_masks is None:
        findings = tuple(_check_image(ref) for ref in found)
    else:
        findings = tuple(_check_pair(pair, sparse=sparse) for pair in pairing.pairs)
    unreadable = dict(found.unreadable + (found_masks.unreadable if found_masks else ()))
    return _summary(findings, pairing, tuple(Unpaired(str(path), reason) for path, reason in unreadable.items()))


def _summary(findings: tuple[ImageFindings, ...], pairing: Pairing, unreadable: tuple[Unpaired, ...]) -> Checkup:
    shares = [one.foreground for one in findings if one.foreground is not None]
    without_mask, without_image = _unpaired(pairing.images_without_mask), _unpaired(pairing.masks_without_image)
    return Checkup(
        images=findings,
        images_without_mask=without_mask,
        masks_without_image=without_image,
        unreadable=unreadable,
        mean_foreground=float(np.mean(shares)) if shares else None,
        empty_masks=sum(share == 0 for share in shares),
        problems=name_problems(findings, without_mask, without_image, unreadable),
        advice=give_advice(findings),
    )


def _unpaired(rest: tuple[LeftOver, ...]) -> tuple[Unpaired, ...]:
    return tuple(Unpaired(one.ref.name, one.reason) for one in rest)


def _check_pair(pair: Pair, *, sparse: bool) -> ImageFindings:
    image = _check_image(pair.image)
    known = {"mask": str(pair.mask.path), "reason": pair.reason}
    try:
        reading = read_mask(pair.mask, sparse=sparse)
    except DataError as error:
        return image.with_changes(problem=image.problem or str(error), **known)
    problem = image.problem
    if image.size and reading.labels.shape != image.size:
        problem = (
            f"{image.name}: image is {image.size} but its mask is {reading.labels.shape}. Draw the mask on this image."
        )
    return image.with_changes(
        problem=problem,
        description=reading.description,
        foreground=reading.foreground_fraction,
        foreground_px=int((reading.labels > 0).sum()),  # type: ignore[operator]
        **known,
    )


def _check_image(ref: ImageRef) -> ImageFindings:
    try:
        pixels = read_image(ref)
    except DataError as error:
        return ImageFindings(ref.name, str(ref.path), problem=str(error))
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
    )


def _percentiles(array: NDArray[Any]) -> tuple[float, float, float]:
    low, middle, high = np.percentile(array.astype(np.uint8) if array.dtype == bool else array, PERCENTILES).tolist()
    return low, middle, high
