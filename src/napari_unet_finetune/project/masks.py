"""The mask files of a project: written with what they hold counted, put aside instead of deleted.

Every mask is painted in one alphabet: 0 where nothing is painted, `BACKGROUND` for strokes of background, all other
numbers for objects. The first version had whole masks in one folder and strokes in another; they are read as what they
mean, and never written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.annotated_image import AnnotatedImage
from ..data.masks import BACKGROUND, Meaning, read_labels
from ..data.masks import STROKES as FOREIGN_STROKES
from ..data.painted import ASIDE_UNSEEN, REMOVED, painted_meaning
from ..errors import DataError
from ..io.disk import file_stamp, write_file
from ..io.images import ImageHeader, ImageRef, read_image, write_labels
from ..io.regions.occupied import occupied_regions
from ..io.regions.region import Region, is_large
from .image import Origin, Part, SavedMask

Labels = NDArray[np.uint16]

_LARGEST = np.iinfo(np.uint16).max


def save_mask(
    path: Path, name: str, labels: NDArray[np.generic], header: ImageHeader, origin: Origin, meaning: Meaning
) -> SavedMask:
    """Write `labels` of the image `name` to `path`, over what was there, and return what they hold.

    Raises
    ------
    DataError
        If the labels do not fit the image, are no labels, or the disk does not take them.
    """
    if labels.shape != header.size:
        raise DataError(
            f"{name}: image is {header.size} but its labels are {labels.shape}. Choose labels drawn on this image."
        )
    if labels.size and int(labels.max()) > _LARGEST:
        raise DataError(f"{name}: labels reach {labels.max()}, more than {_LARGEST}. Number the objects anew.")
    write_labels(path, labels, scale=header.scale, unit=header.unit, overwrite=True)
    return describe_mask(path, name, labels.astype(np.uint16), origin, meaning)


def describe_mask(path: Path, name: str, labels: Labels, origin: Origin, meaning: Meaning) -> SavedMask:
    """Return what `labels` hold, which lie in the file `path`."""
    height, width = labels.shape
    background = labels == BACKGROUND
    background_px = int(np.count_nonzero(background))
    object_px = int(np.count_nonzero(labels)) - background_px
    objects = count_objects(np.where(background, 0, labels) if background_px else labels)
    return SavedMask(
        name, path, origin, (height, width), object_px, background_px, objects, file_stamp(path), meaning,
        parts=_annotated_parts(name, labels, background),
    )  # fmt: skip


def _annotated_parts(name: str, labels: Labels, background: NDArray[np.bool_]) -> tuple[Part, ...] | None:
    """Return the annotated regions of a large mask, the same that its file has on the command line."""
    if not is_large(labels.shape):
        return None

    def counted(region: Region) -> Part:
        painted, background_px = (int(np.count_nonzero(array[region.slices])) for array in (labels, background))
        return Part(region, painted - background_px, background_px)

    return tuple(map(counted, occupied_regions(AnnotatedImage(name, labels))))


def count_objects(labels: NDArray[np.generic]) -> int:
    """Return how many connected regions of one number there are, so that objects painted with one label count."""
    painted = labels > 0  # type: ignore[operator]
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    if not rows.size:
        return 0
    from skimage.measure import label

    part = labels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    _, count = label(part, connectivity=2, return_num=True)  # type: ignore[no-untyped-call]
    return int(count)


def read_mask_file(path: Path, meaning: Meaning, numbered: Path | None = None) -> Labels:
    """Return the labels in a mask file of a project as they are painted today.

    `numbered` is a whole mask from which objects of the same shape get their numbers.

    Raises
    ------
    DataError
        If the file is missing, damaged or holds no labels.
    """
    stored = _read_stored(path)
    if meaning.background == BACKGROUND:
        return stored
    if not meaning.background:
        return without_background(stored, path.name)
    objects = (stored > 0) & (stored != meaning.background)
    numbers = np.ones_like(stored) if numbered is None else _numbers_of(numbered, objects)
    return np.where(objects, numbers, np.where(stored == meaning.background, BACKGROUND, 0)).astype(np.uint16)


def _numbers_of(numbered: Path, objects: NDArray[np.bool_]) -> Labels:
    labels = without_background(_read_stored(numbered), numbered.name)
    return labels if np.array_equal(labels > 0, objects) else np.ones_like(labels)


def hold_same_objects(strokes: Path, whole: Path) -> bool:
    """Tell whether a whole mask of the first version holds the objects of strokes, so that one was made of the other.

    Raises
    ------
    DataError
        If one of them cannot be read.
    """
    return np.array_equal(_read_stored(strokes) > 1, _read_stored(whole) > 0)


def _read_stored(path: Path) -> Labels:
    array = read_image(ImageRef(path), as_labels=True).array
    in_range = array.dtype.kind in "bui" and array.min() >= 0 and array.max() <= _LARGEST
    if array.ndim != 2 or not in_range:
        raise DataError(f"{path.name} does not hold labels from 0 to {_LARGEST}. Import it as a mask instead.")
    return array.astype(np.uint16)


def without_background(labels: Labels, name: str) -> Labels:
    """Return labels of which all are objects, none of them with the number of background strokes.

    Raises
    ------
    DataError
        If no other number is free.
    """
    taken = labels == BACKGROUND
    if not taken.any():
        return labels
    free = np.setdiff1d(np.arange(1, _LARGEST + 1), np.unique(labels))
    if not free.size:
        raise DataError(f"{name}: {_LARGEST} objects are one more than a mask here can hold. Leave one out.")
    return np.where(taken, free[0], labels).astype(np.uint16)


@dataclass(frozen=True)
class Beside:
    """What masks of one import hold, which tells what 1 and 2 mean in each: objects that are counted, or strokes."""

    are_counted: bool = False
    hold_strokes: bool = False


NOTHING_BESIDE = Beside()


def look_beside(refs: Iterable[ImageRef]) -> Beside:
    """Look through masks from elsewhere until one has three objects, so that they are counted; some may be strokes."""
    hold_strokes = False
    for ref in refs:
        with suppress(DataError):  # said when it is read
            if painted_meaning(ref.path) is None:
                values = _small_values(read_image(ref, as_labels=True).array)
                if len(values - {0}) > 2:
                    return Beside(are_counted=True)
                hold_strokes |= values >= {1, 2}
    return Beside(hold_strokes=hold_strokes)


def read_foreign_mask(
    ref: ImageRef, name: str, size: tuple[int, int], *, sparse: bool, beside: Beside = NOTHING_BESIDE
) -> Labels:
    """Return a mask from elsewhere as the image `name` of `size` keeps it.

    Where unpainted pixels are unknown (`sparse`), what holds strokes of background (1) and objects (2) is taken as it
    is meant, unless others of its import (`beside`) have more objects, and of all else the background is painted. A
    mask painted in another dataset means what it means there.

    Raises
    ------
    DataError
        If it cannot be read or understood, or its size differs.
    """
    painted = painted_meaning(ref.path)
    if painted is not None:
        return _fitting(_from_dataset(ref, *painted, sparse=sparse), ref.name, name, size)
    array = read_image(ref, as_labels=True).array
    values = _small_values(array) if sparse and not beside.are_counted else set()
    if beside.hold_strokes and values - {0} in ({1}, {2}):
        raise DataError(
            f"{ref.name} holds {max(values)} alone, and masks beside it hold strokes of 1 and 2: it may be strokes or "
            "a whole mask. Add a stroke of the other number to it, or import whole masks from a folder of their own."
        )
    if {1, 2} <= values <= {0, 1, 2}:
        return _fitting(_from_strokes(array, ref.name), ref.name, name, size)
    return _fitting(_from_whole(array, ref.name, sparse=sparse), ref.name, name, size)


def _from_dataset(ref: ImageRef, meaning: Meaning, numbered: Path | None, *, sparse: bool) -> Labels:
    painted = read_mask_file(ref.path, meaning, numbered if numbered and numbered.is_file() else None)
    if meaning.sparse == sparse or painted.all():
        return painted
    if sparse:
        return over_background(painted)
    raise DataError(
        f"{ref.name} holds strokes: what is not painted there is unknown, and would be background here. "
        'Untick "Unpainted = background" first, or paint all of it there.'
    )


def fit_foreign_labels(
    array: NDArray[np.generic], called: str, name: str, size: tuple[int, int], *, strokes: bool, sparse: bool
) -> Labels:
    """Return labels `called` so, of which it is known whether they are strokes, as the image `name` of `size` keeps it.

    Raises what `read_foreign_mask` raises.
    """
    if strokes:
        return _fitting(_from_strokes(array, called), called, name, size)
    numbers = array.astype(np.uint16) if array.dtype == np.uint8 else array  # 255 is no shade of a soft mask
    return _fitting(_from_whole(numbers, called, sparse=sparse), called, name, size)


def _fitting(labels: Labels, called: str, name: str, size: tuple[int, int]) -> Labels:
    if labels.shape != size:
        raise DataError(
            f"{name}: image is {size} but the mask {called} is {labels.shape}. Choose a mask drawn on this image."
        )
    return labels


def _from_strokes(array: NDArray[np.generic], name: str) -> Labels:
    reading = read_labels(array, name=name, meaning=FOREIGN_STROKES)
    assert reading.annotated is not None
    return np.where(reading.annotated, over_background(reading.labels), 0).astype(np.uint16)


def _from_whole(array: NDArray[np.generic], name: str, *, sparse: bool) -> Labels:
    """Return a whole mask, with its background painted where unpainted pixels are unknown (`sparse`).

    Raises
    ------
    DataError
        If it cannot be understood, or has a border that is not annotated, which would be background here.
    """
    reading = read_labels(array, name=name)
    if not sparse and reading.annotated is not None:
        raise DataError(
            f"{name} has a border of 255 that is not annotated, and would be background here. "
            'Untick "Unpainted = background" first, or set it to 0 to have it as background.'
        )
    labels = _numbered(reading.labels, name)
    if not sparse:
        return labels
    return (
        over_background(labels)
        if reading.annotated is None
        else np.where(reading.annotated, over_background(labels), 0).astype(np.uint16)
    )


def _numbered(found: NDArray[Any], name: str) -> Labels:
    """Return a whole mask as 0 and 1, or with its objects numbered."""
    numbers = np.unique(found)
    objects = numbers[numbers > 0]
    if len(objects) <= 1:
        return (found > 0).astype(np.uint16)
    if len(objects) > _LARGEST:
        raise DataError(f"{name}: {len(objects)} objects are more than the {_LARGEST} that a mask here can hold.")
    if objects[-1] > _LARGEST:
        found = np.searchsorted(numbers, found) + (numbers[0] > 0)
    return without_background(found.astype(np.uint16), name)


def _small_values(array: NDArray[np.generic]) -> set[int]:
    """Return the first values of a mask that may be strokes, or numbers of objects; an empty set for any other."""
    if array.ndim != 2 or array.dtype.kind not in "ui":
        return set()
    values = set(np.unique(array)[:5].tolist())
    return values if values <= {0, 1, 2, 3, 4} else set()


def over_background(labels: NDArray[np.generic]) -> Labels:
    """Return a whole mask with its background painted."""
    painted = labels.astype(np.uint16)
    painted[painted == 0] = BACKGROUND
    return painted


def put_aside(path: Path, *, is_predicted: bool = False) -> Path | None:
    """Move a mask file into the folder ``removed`` beside it and return where it is now, ``None`` if there was none.

    The name says of a prediction that nobody has looked at it (`is_predicted`).

    Raises
    ------
    DataError
        If it cannot be moved.
    """
    if not path.exists():
        return None
    target = _place_aside(path, is_predicted=is_predicted)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except OSError as error:
        raise DataError(f"{path} cannot be moved to {target.parent}: {error.strerror}. Check its rights.") from error
    return target


def put_back(moved: Mapping[Path, Path | None]) -> None:
    """Undo what `put_aside` did to files, each with where it is now; one that cannot be moved stays aside."""
    for path, aside in moved.items():
        with suppress(OSError):
            if aside is not None:
                aside.rename(path)


def copy_aside(path: Path, *, is_predicted: bool = False) -> Path | None:
    """Copy a mask file into the folder ``removed`` beside it and return the copy, ``None`` if there was none.

    For what another is written over, which is still there if the disk does not take that, or what others use too. Its
    name is that of `put_aside`.

    Raises
    ------
    DataError
        If it cannot be copied.
    """
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Check its rights.") from error
    target = _place_aside(path, is_predicted=is_predicted)
    write_file(target, content)
    return target


def _place_aside(path: Path, *, is_predicted: bool) -> Path:
    stem = f"{path.stem}{ASIDE_UNSEEN if is_predicted else ''}-{datetime.now():%Y%m%d-%H%M%S}"
    numbered = (
        path.parent / REMOVED / f"{stem}{mark}{path.suffix}" for mark in ("", *(f"-{i}" for i in range(2, 999)))
    )
    return next(candidate for candidate in numbered if not candidate.exists())
