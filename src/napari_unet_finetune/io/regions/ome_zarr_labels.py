"""Write labels as OME-Zarr: a pyramid, a chunk at a time, in the version and with the axes of the image."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..disk import not_written, path_within, put_in_place
from .ome_zarr import StoreAxes, axes_of_store, is_zarr, load_zarr
from .region import Region, level_shapes, regions_of

_CHUNK_PX, _WRITTEN_PX = 512, 2048


class LazyLabels(Protocol):
    """Labels that are read in parts."""

    @property
    def shape(self) -> tuple[int, int]: ...  # noqa: D102

    def read(self, region: Region) -> NDArray[np.integer[Any]]:
        """Return a region of them (Y, X)."""


def write_zarr_labels(target: Path, frames: Sequence[LazyLabels], dtype: np.dtype[Any], image: Path) -> None:
    """Write the labels of all frames of the store `image` into the store `target`, which replaces one that is there.

    It appears under its name once it is complete.

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
    except OSError as error:
        raise DataError(not_written(target, error)) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(partial, ignore_errors=True)


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
    axes = axes_of_store(image)
    group = zarr.create_group(folder, zarr_format=3 if axes.is_new else 2)
    leading = axes.sizes[:-2]
    levels = level_shapes(frames[0].shape)
    arrays = [
        group.create_array(
            str(level),
            shape=(*leading, *shape),
            dtype=dtype,
            chunks=(*(1 for _ in leading), *(min(size, _CHUNK_PX) for size in shape)),
            **({"dimension_names": [kind["name"] for kind in axes.kinds]} if axes.is_new else {}),
        )
        for level, shape in enumerate(levels)
    ]
    for place, labels in enumerate(frames):
        index = tuple(int(one) for one in np.unravel_index(place, leading)) if leading else ()
        for region in regions_of(labels.shape, _WRITTEN_PX, _WRITTEN_PX):
            arrays[0][(*index, *region.slices)] = labels.read(region).astype(dtype)
        for finer, coarser, shape in zip(arrays, arrays[1:], levels[1:], strict=False):
            for region in regions_of(shape, _WRITTEN_PX, _WRITTEN_PX):
                source = (*index, *(slice(2 * one.start, 2 * one.stop, 2) for one in region.slices))
                coarser[(*index, *region.slices)] = finer[source]
    _describe(group, axes, len(levels), source=path_within(target.absolute(), image.absolute()))


def _describe(group: Any, axes: StoreAxes, levels: int, *, source: str) -> None:
    """Write the metadata, which the models of yaozarrs have checked."""
    from yaozarrs import v04, v05

    def scale(level: int) -> list[dict[str, Any]]:
        steps = [*axes.steps[:-2], *(step * 2**level for step in axes.steps[-2:])]
        return [{"type": "scale", "scale": steps}]

    datasets = [{"path": str(level), "coordinateTransformations": scale(level)} for level in range(levels)]
    multiscale: dict[str, Any] = {"name": "labels", "axes": list(axes.kinds), "datasets": datasets, "type": "nearest"}
    label: dict[str, Any] = {"source": {"image": source}}
    if axes.is_new:
        described: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale], "image-label": label}
        v05.LabelImage.model_validate(described)
        group.attrs["ome"] = described
    else:
        described = {"multiscales": [{"version": "0.4", **multiscale}], "image-label": {"version": "0.4", **label}}
        v04.LabelImage.model_validate(described)
        group.attrs.update(described)
