"""Look through images and masks before a training: what is there, how it was understood, what may go wrong."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from ..events import ImageSeen, drain
from .advice import give_advice, name_problems, name_shared
from .comparison import Comparison, compare
from .duplicates import Duplicate, find_duplicates, find_shared
from .files import ImageRef, list_images, without_labels
from .findings import ImageFindings, Unpaired
from .looking import Look, look_at
from .pairing import LeftOver, Pair, Pairing, pair_images
from .statistics import ModelFacts, combine


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
