"""Write labels as OME-Zarr: a pyramid, a chunk at a time, in the version and with the axes of the image."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..disk import not_written, path_within, put_in_place, write_file
from .ome_zarr import StoreAxes, StoreLevel, axes_of_store, describes_itself, is_zarr, levels_of_store, load_zarr
from .region import Region, level_shapes, regions_of

NAME = "unet-finetune"  # of labels in the image itself
_GROUP, _MADE_BY = "labels", "napari-unet-finetune"
_CHUNK_PX, _WRITTEN_PX = 512, 2048


class LazyLabels(Protocol):
    """Labels that are read in parts."""

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102

    def read(self, region: Region) -> NDArray[np.integer[Any]]:
        """Return a region of them (Y, X)."""


def write_zarr_labels(target: Path, frames: Sequence[LazyLabels], dtype: np.dtype[Any], image: Path) -> None:
    """Write the labels of all frames of the store `image` into the store `target`, which replaces one that is there.

    It appears under its name once it is complete; labels in the image itself are named in its list of labels.

    Raises
    ------
    DataError
        If the disk does not take it, or the extra is missing.
    """
    zarr = load_zarr(target)
    partial = target.with_name(f".{target.name}.writing")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        _fill(zarr, partial, frames, dtype, image, target)
        _put_in_place(partial, target)
        if target.parent == image / _GROUP:
            _enter(target, is_new=axes_of_store(image).is_new)
    except OSError as error:
        raise DataError(not_written(target, error)) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(partial, ignore_errors=True)


def labels_inside(image: Path) -> Path:
    """Return where the labels of an OME-Zarr go that are written into it: a group among its `labels`.

    Raises
    ------
    DataError
        If there can be none: it is no OME-Zarr or is read-only, or other labels are there of that name.
    """
    if not is_zarr(image) or not describes_itself(image):
        raise DataError(
            f"{image.name} is no OME-Zarr image, so that no labels can be written into it. Leave --into-image out, and "
            "choose an output folder."
        )
    target = image / _GROUP / NAME
    folder = target.parent if target.parent.exists() else image
    if not os.access(folder, os.W_OK):
        raise DataError(
            f"{image.name} is read-only, so that no labels can be written into it. Leave --into-image out, and choose "
            "an output folder."
        )
    if is_zarr(target) and not _is_ours(target):
        raise DataError(
            f"{image.name} holds labels called {NAME} that this program did not write. Give them another name, or "
            "leave --into-image out and choose an output folder."
        )
    return target


def _is_ours(target: Path) -> bool:
    is_new = (target / "zarr.json").is_file()
    values = _metadata(target, is_new=is_new)
    return _MADE_BY in (values.get("attributes", {}) if is_new else values)


def _metadata(group: Path, *, is_new: bool) -> dict[str, Any]:
    """Return what the file with the attributes of a group holds; nothing where there is none."""
    file = group / ("zarr.json" if is_new else ".zattrs")
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read. Save the image again.") from error
    return values


def _enter(target: Path, *, is_new: bool) -> None:
    """Name labels in the list of their image, which is made if there is none, and replaced as a whole."""
    group, image = target.parent, target.parent.parent
    values = _metadata(group, is_new=is_new)
    if is_new:
        values = {"zarr_format": 3, "node_type": "group", **values}
        described = values.setdefault("attributes", {}).setdefault("ome", {"version": "0.5"})
    else:
        described = values
        if not (group / ".zgroup").is_file():
            write_file(group / ".zgroup", json.dumps({"zarr_format": 2}))
    listed = [str(name) for name in described.get("labels", ())]
    if target.name not in listed:
        described["labels"] = [*listed, target.name]
        write_file(group / ("zarr.json" if is_new else ".zattrs"), json.dumps(values, indent=2))
    if (image / ".zmetadata").is_file() or (is_new and _metadata(image, is_new=True).get("consolidated_metadata")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Zarr 3 has no consolidated metadata, but this image does
            load_zarr(target).consolidate_metadata(image, zarr_format=3 if is_new else 2)


def _put_in_place(partial: Path, target: Path) -> None:
    if not is_zarr(target):
        put_in_place(partial, target)
        return
    earlier = target.with_name(f".{target.name}.earlier")
    shutil.rmtree(earlier, ignore_errors=True)
    put_in_place(target, earlier)
    put_in_place(partial, target)
    shutil.rmtree(earlier, ignore_errors=True)


def _fill(
    zarr: Any, folder: Path, frames: Sequence[LazyLabels], dtype: np.dtype[Any], image: Path, target: Path
) -> None:
    is_inside = target.parent == image / _GROUP
    axes = levels_of_store(image) if is_inside else axes_of_store(image)
    levels = axes.levels if is_inside else _halves(axes.levels[0])
    group = zarr.create_group(folder, zarr_format=3 if axes.is_new else 2)
    arrays = [
        group.create_array(
            str(number),
            shape=level.sizes,
            dtype=dtype,
            chunks=(*(1 for _ in level.sizes[:-2]), *(min(size, _CHUNK_PX) for size in level.sizes[-2:])),
            **({"dimension_names": [kind["name"] for kind in axes.kinds]} if axes.is_new else {}),
        )
        for number, level in enumerate(levels)
    ]
    for index, labels in zip(np.ndindex(*levels[0].sizes[:-2]), frames, strict=True):
        for region in regions_of(labels.shape, _WRITTEN_PX, _WRITTEN_PX):
            arrays[0][(*index, *region.slices)] = labels.read(region).astype(dtype)
    for finer, coarser in pairwise(arrays):
        _sample(finer, coarser)
    _describe(group, axes, levels, source=path_within(target.absolute(), image.absolute()))


def _halves(level: StoreLevel) -> tuple[StoreLevel, ...]:
    """Return the levels of a pyramid in whose plane each has half the size of the one before."""
    return tuple(
        StoreLevel(
            (*level.sizes[:-2], *shape),
            (*level.steps[:-2], *(step * 2**number for step in level.steps[-2:])),
            level.offsets,
        )
        for number, shape in enumerate(level_shapes((level.sizes[-2], level.sizes[-1])))
    )


def _sample(finer: Any, coarser: Any) -> None:
    """Fill a level from the one before: of the labels that a pixel covers, it gets the first."""
    lead, rows, columns = (
        [_sampled(one, other) for one, other in zip(finer.shape[axes], coarser.shape[axes], strict=True)]
        for axes in (slice(None, -2), slice(-2, -1), slice(-1, None))
    )
    for index in np.ndindex(*coarser.shape[:-2]):
        before = tuple(int(places[number]) for places, number in zip(lead, index, strict=True))
        for region in regions_of(coarser.shape[-2:], _WRITTEN_PX, _WRITTEN_PX):
            down, across = rows[0][region.slices[0]], columns[0][region.slices[1]]
            block = finer[(*before, slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1))]
            coarser[(*index, *region.slices)] = block[np.ix_(down - down[0], across - across[0])]


def _sampled(size: int, left: int) -> NDArray[np.int64]:
    """Return which of `size` pixels are taken where `left` are left."""
    step = max(1, round(size / left))
    if left in (size // step, -(-size // step)):
        return np.arange(left) * step
    return np.arange(left) * size // left


def _describe(group: Any, axes: StoreAxes, levels: Sequence[StoreLevel], *, source: str) -> None:
    """Write the metadata, which the models of yaozarrs have checked."""
    from yaozarrs import v04, v05

    def place(level: StoreLevel) -> list[dict[str, Any]]:
        shift = [{"type": "translation", "translation": list(level.offsets)}] if any(level.offsets) else []
        return [{"type": "scale", "scale": list(level.steps)}, *shift]

    datasets = [{"path": str(number), "coordinateTransformations": place(level)} for number, level in enumerate(levels)]
    multiscale: dict[str, Any] = {"name": "labels", "axes": list(axes.kinds), "datasets": datasets, "type": "nearest"}
    label: dict[str, Any] = {"source": {"image": source}}
    if axes.is_new:
        described: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale], "image-label": label}
        v05.LabelImage.model_validate(described)
        group.attrs.update({"ome": described, _MADE_BY: {}})
    else:
        described = {"multiscales": [{"version": "0.4", **multiscale}], "image-label": {"version": "0.4", **label}}
        v04.LabelImage.model_validate(described)
        group.attrs.update({**described, _MADE_BY: {}})
