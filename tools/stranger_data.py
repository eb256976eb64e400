"""The data of a walk: whole images, crops of single cells, or images with two channels, made of a pair of datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import tifffile
from scipy import ndimage

from napari_unet_finetune.data.samples import write_microtube
from napari_unet_finetune.io.images import list_images, read_image

Kind = Literal["whole", "single-cells", "two-channels"]
KINDS: tuple[str, ...] = get_args(Kind)
MARGIN_PX, CROP_PX, SMALL_PX, MOST = 16, 64, 60, 24
Array = np.ndarray[Any, Any]


def make_data(kind: Kind, source: Path | None, folder: Path) -> tuple[Path, Path]:
    """Write the old and the new dataset, each with `images` and `masks`, into `folder`, and return where they are.

    Parameters
    ----------
    kind
        What is made of them; see `KINDS`.
    source
        Folder with `dataset1` and `dataset2`; generated data without it.
    folder
        Where they go; nothing is written to `source`.
    """
    made = write_microtube(folder / "generated", MOST)[0].parent if source is None else source
    old, new = (made / f"dataset{number}" for number in (1, 2))
    return _write(kind, old, folder / "old"), _write(kind, new, folder / "cells")


def _write(kind: Kind, source: Path, out: Path) -> Path:
    for part in ("images", "masks"):
        (out / part).mkdir(parents=True)
    images, masks = list_images(source / "images"), list_images(source / "masks")
    pairs = ((read_image(image), read_image(mask, as_labels=True)) for image, mask in zip(images, masks, strict=True))
    made = (one for pixels, labels in pairs for one in _of_kind(kind, _gray(pixels.array), labels.array > 0))
    for number, (image, mask) in zip(range(1, MOST + 1), made, strict=False):
        axes = "YX" if image.ndim == 2 else "CYX"
        tifffile.imwrite(out / "images" / f"{number:03d}.tif", image, imagej=True, metadata={"axes": axes})
        tifffile.imwrite(out / "masks" / f"{number:03d}.tif", mask.astype(np.uint8))
    return out


def _gray(array: Array) -> Array:
    """Return (Y, X) of an image (Y, X) or (C, Y, X); the fourth channel of a color image is no color."""
    return array if array.ndim == 2 else array[:3].mean(axis=0).astype(array.dtype)


def _of_kind(kind: Kind, image: Array, mask: Array) -> Iterator[tuple[Array, Array]]:
    if kind == "single-cells":
        yield from _single(image, mask)
    elif kind == "two-channels":
        yield np.stack([image, _other_channel(image)]), mask
    else:
        yield image, mask


def _single(image: Array, mask: Array) -> Iterator[tuple[Array, Array]]:
    """Yield crops around one object each, of objects that stand alone."""
    objects, _ = ndimage.label(mask)
    for number, box in enumerate(ndimage.find_objects(objects), start=1):
        crop = tuple(map(_around, box, mask.shape))
        if (objects[box] == number).sum() >= SMALL_PX and set(np.unique(objects[crop])) <= {0, number}:
            yield image[crop], mask[crop]
            return  # one of each image, so that they are of all


def _around(part: slice, length: int) -> slice:
    """Return `part` of an axis with a margin, at least as long as a patch needs."""
    size = min(max(part.stop - part.start + 2 * MARGIN_PX, CROP_PX), length)
    start = min(max((part.start + part.stop - size) // 2, 0), length - size)
    return slice(start, start + size)


def _other_channel(image: Array) -> Array:
    """Return a channel in which the objects are hard to see: blurred, and its dark and bright exchanged."""
    blurred = ndimage.gaussian_filter(image.astype(np.float32), 6)
    return (blurred.max() - blurred).astype(image.dtype)
