"""The mask files of a project: written with their statistics, put aside instead of deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.masks import STROKES as STROKES_MEANING
from ..data.masks import read_labels
from ..errors import DataError
from ..io.disk import file_stamp, write_file
from ..io.images import ImageHeader, ImageRef, read_image, write_labels
from .image import Origin, ProjectImage, SavedMask

Labels = NDArray[np.uint16]

MASKS, STROKES, REMOVED = "masks", "strokes", "removed"
UNKNOWN, BACKGROUND, OBJECT = 0, 1, 2  # what the values of strokes mean


def save_mask(path: Path, name: str, labels: NDArray[np.generic], header: ImageHeader, *, sparse: bool) -> SavedMask:
    """Write `labels` of the image `name` to `path`, over what was there, and return their statistics.

    Raises
    ------
    DataError
        If the labels do not fit the image, are no labels, or the disk does not take them.
    """
    if labels.shape != header.size:
        raise DataError(
            f"{name}: image is {header.size} but its labels are {labels.shape}. Choose labels drawn on this image."
        )
    _check_values(name, labels, sparse=sparse)
    write_labels(path, labels, scale=header.scale, unit=header.unit, overwrite=True)
    return describe_mask(path, name, labels, sparse=sparse)


def describe_mask(
    path: Path, name: str, labels: NDArray[np.generic], *, sparse: bool, origin: Origin = "painted"
) -> SavedMask:
    """Return the statistics of `labels`, which lie in the file `path`.

    Raises
    ------
    DataError
        If they hold other values than strokes may have.
    """
    _check_values(name, labels, sparse=sparse)
    objects = None if sparse else count_objects(labels)
    annotated_px = np.count_nonzero(labels) if sparse else labels.size
    object_px = np.count_nonzero(labels == OBJECT if sparse else labels)
    height, width = labels.shape
    share = float(object_px / annotated_px) if annotated_px else 0.0
    return SavedMask(name, path, origin, (height, width), share, objects, file_stamp(path))


def _check_values(name: str, labels: NDArray[np.generic], *, sparse: bool) -> None:
    if sparse and labels.size and int(labels.max()) > OBJECT:
        read_labels(labels, name=name, meaning=STROKES_MEANING)  # raises, with the words for it
    if labels.size and int(labels.max()) > np.iinfo(np.uint16).max:
        raise DataError(f"{name}: labels reach {labels.max()}, more than 65535. Number the objects anew.")


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


def read_mask_file(path: Path) -> Labels:
    """Return the labels in a mask file of a project, as they were painted.

    Raises
    ------
    DataError
        If the file is missing, damaged or holds no labels.
    """
    array = read_image(ImageRef(path), as_labels=True).array
    in_range = array.dtype.kind in "bui" and array.min() >= 0 and array.max() <= np.iinfo(np.uint16).max
    if array.ndim != 2 or not in_range:
        raise DataError(f"{path.name} does not hold labels from 0 to 65535. Import it as a mask instead.")
    return array.astype(np.uint16)


def read_foreign_mask(ref: ImageRef, name: str, size: tuple[int, int], *, sparse: bool) -> Labels:
    """Return a mask from elsewhere as the image `name` of `size` keeps it.

    Raises
    ------
    DataError
        If it cannot be read or understood, or its size differs.
    """
    return fit_foreign_mask(read_image(ref, as_labels=True).array, ref.name, name, size, sparse=sparse)


def fit_foreign_mask(
    array: NDArray[np.generic], called: str, name: str, size: tuple[int, int], *, sparse: bool
) -> Labels:
    """Return a mask `called` so as the image `name` of `size` keeps it; raises what `read_foreign_mask` raises."""
    labels = understand_mask(array, name=called, sparse=sparse)
    _check_size(labels, called, name, size)
    return labels


def fit_foreign_labels(
    array: NDArray[np.generic], called: str, name: str, size: tuple[int, int], *, strokes: bool, sparse: bool
) -> Labels:
    """Return labels of which it is known whether they are `strokes` or number objects; `fit_foreign_mask` guesses it.

    Raises what `fit_foreign_mask` raises.
    """
    if strokes:
        read_labels(array, name=called, meaning=STROKES_MEANING)
        _check_size(array, called, name, size)
        return array.astype(np.uint16)
    numbers = array.astype(np.uint16) if array.dtype == np.uint8 else array  # 255 is no shade of a soft mask
    dense = fit_foreign_mask(numbers, called, name, size, sparse=False)
    return dense_to_strokes(dense) if sparse else dense


def _check_size(labels: NDArray[np.generic], called: str, name: str, size: tuple[int, int]) -> None:
    if labels.shape != size:
        raise DataError(
            f"{name}: image is {size} but the mask {called} is {labels.shape}. Choose a mask drawn on this image."
        )


def understand_mask(array: NDArray[np.generic], *, name: str, sparse: bool) -> Labels:
    """Return a mask from elsewhere as a project keeps it: 0 and 1, numbered objects, or strokes.

    For strokes, what holds background (1) and object (2) strokes is taken as it is; all else is a whole mask.

    Raises
    ------
    DataError
        If the mask cannot be understood.
    """
    if sparse and _are_strokes(array):
        return array.astype(np.uint16)
    labels = read_labels(array, name=name).labels
    numbers = np.unique(labels)
    objects = numbers[numbers > 0]
    if len(objects) <= 1:
        dense = (labels > 0).astype(np.uint16)  # type: ignore[operator]
    elif len(objects) > np.iinfo(np.uint16).max:
        raise DataError(f"{name}: {len(objects)} objects are more than the 65535 that a mask here can hold.")
    elif objects[-1] > np.iinfo(np.uint16).max:
        dense = np.searchsorted(numbers, labels).astype(np.uint16) + np.uint16(numbers[0] > 0)
    else:
        dense = labels.astype(np.uint16)
    return dense_to_strokes(dense) if sparse else dense


def _are_strokes(array: NDArray[np.generic]) -> bool:
    if array.ndim != 2 or array.dtype.kind not in "ui":
        return False
    values = set(np.unique(array).tolist())
    return values <= {UNKNOWN, BACKGROUND, OBJECT} and {BACKGROUND, OBJECT} <= values


def convert_masks(images: Iterable[ProjectImage], folder: Path, *, sparse: bool) -> Iterator[SavedMask]:
    """Write all masks into `folder` as strokes (`sparse`) or whole masks, one by one; the files they come from stay.

    Where `folder` holds the mask from before an earlier conversion, unchanged since, that one is taken: there and back
    again loses nothing.
    """
    for image in images:
        if image.mask is None:
            continue
        labels, path = read_mask_file(image.mask), folder / image.mask.name
        before = read_mask_file(path) if path.is_file() else None
        if before is None or not _same_objects(before, labels, sparse=sparse):
            copy_aside(path)
            before = dense_to_strokes(labels) if sparse else strokes_to_dense(labels)
            pixels = read_image(ImageRef(image.mask))
            write_labels(path, before, scale=pixels.scale, unit=pixels.unit, overwrite=True)
        yield describe_mask(path, image.name, before, sparse=sparse, origin=image.origin)


def dense_to_strokes(labels: Labels) -> Labels:
    """Return a whole mask as strokes that cover the image."""
    return np.where(labels > 0, OBJECT, BACKGROUND).astype(np.uint16)


def strokes_to_dense(strokes: Labels) -> Labels:
    """Return strokes as a mask in which all that is not object is background."""
    dense: Labels = (strokes == OBJECT).astype(np.uint16)
    return dense


def _same_objects(before: Labels, labels: Labels, *, sparse: bool) -> bool:
    strokes, dense = (before, labels) if sparse else (labels, before)
    return np.array_equal(strokes == OBJECT, dense > 0)


def put_aside(path: Path) -> Path | None:
    """Move a mask file into the folder ``removed`` beside it and return where it is now, ``None`` if there was none.

    Raises
    ------
    DataError
        If it cannot be moved.
    """
    if not path.exists():
        return None
    target = _place_aside(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except OSError as error:
        raise DataError(f"{path} cannot be moved to {target.parent}: {error.strerror}. Check its rights.") from error
    return target


def copy_aside(path: Path) -> Path | None:
    """Copy a mask file into the folder ``removed`` beside it and return the copy, ``None`` if there was none.

    For what another is written over, which is still there if the disk does not take that, or what others use too.

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
    target = _place_aside(path)
    write_file(target, content)
    return target


def _place_aside(path: Path) -> Path:
    stem = f"{path.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    numbered = (
        path.parent / REMOVED / f"{stem}{mark}{path.suffix}" for mark in ("", *(f"-{i}" for i in range(2, 999)))
    )
    return next(candidate for candidate in numbered if not candidate.exists())
