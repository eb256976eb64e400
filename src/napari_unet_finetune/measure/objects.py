"""Measure the objects of labels: size, shape and intensity, one row per object and one per image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isclose, pi
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..io.tables import csv_text

Value: TypeAlias = str | int | float
MeasuredRow: TypeAlias = dict[str, Value]

_SHAPES = ("eccentricity", "solidity")
_AXES = ("axis_major_length", "axis_minor_length")
# The outline of so few pixels says nothing of a shape: it is that of the pixel grid.
_FEWEST_ROUND_PX = 10
_STATISTICS = ("mean", "min", "max")
_WHITE = 255
_CORNERS = np.ones((3, 3))  # pixels that meet at a corner are connected


@dataclass(frozen=True)
class Measured:
    """What was measured in one image or in several.

    Parameters
    ----------
    objects
        One row per object. Sizes are in pixels and, where the size of a pixel is known, in its unit; intensities per
        channel by its name or, if it has none, its number from 1. Names and definitions are those of scikit-image's
        `regionprops`; `perimeter` is its `perimeter_crofton`, the one without a bias for small and for large disks, and
        `circularity` is 4 pi area / perimeter², at most 1, and left out for a few pixels.
    images
        One row per image or frame: number of objects, their total area and its share of the image.
    """

    objects: tuple[MeasuredRow, ...] = ()
    images: tuple[MeasuredRow, ...] = ()

    def __add__(self, other: Measured) -> Measured:
        """Return the rows of both."""
        return Measured(self.objects + other.objects, self.images + other.images)


@dataclass(frozen=True)
class Place:
    """Where labels come from: image, frame within it (empty if it has only one), and size of a pixel along Y and X.

    `channels` are the names of the channels of the image, as far as they are known.
    """

    image: str = ""
    frame: str = ""
    scale: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"
    channels: tuple[str, ...] = ()

    @property
    def is_square(self) -> bool:
        """Whether pixels are as high as wide, so that lengths can be told in pixels."""
        return isclose(*self.scale, rel_tol=1e-3)


def measure(labels: NDArray[Any], image: NDArray[Any] | None = None, place: Place | None = None) -> Measured:
    """Return the measurements of `labels` (Y, X), with the intensities of `image` (Y, X) or (C, Y, X) if it is given.

    Each number above 0 is an object. Labels with no number but 1, or no number but 255, are a mask: its connected
    regions are the objects, numbered from 1, and pixels that meet at a corner are connected.

    Raises
    ------
    DataError
        If these are no labels, or the image has another size.
    """
    place = place or Place()
    numbered = number_objects(labels, name=place.image)
    if image is not None and image.shape[-2:] != labels.shape:
        raise DataError(
            f"{place.image}: the image is {image.shape[-2:]} but its labels are {labels.shape}. "
            "Choose labels drawn on this image."
        )
    rows = tuple(_objects(numbered, image, place))
    return Measured(rows, (_summary(rows, labels.size, place),))


def number_objects(labels: NDArray[Any], *, name: str = "") -> NDArray[np.integer[Any]]:
    """Return `labels` (Y, X) with one number per object; see `measure`.

    Raises
    ------
    DataError
        If these are no labels.
    """
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise DataError(f"{name}: {labels.dtype} of shape {labels.shape} are not labels (Y, X). Choose a Labels layer.")
    if is_mask(labels):
        from scipy import ndimage

        regions: NDArray[np.integer[Any]] = ndimage.label(labels > 0, structure=_CORNERS)[0]
        return regions
    return np.where(labels > 0, labels, 0) if labels.dtype.kind == "i" else labels


def is_mask(labels: NDArray[Any]) -> bool:
    """Tell whether `labels` only say what is object, without a number for each."""
    highest = labels.max(initial=0)
    return bool(highest <= 1) or bool(highest == _WHITE and not ((labels > 0) & (labels < _WHITE)).any())


def columns_of(rows: Iterable[MeasuredRow]) -> tuple[str, ...]:
    """Return the names of all columns of `rows`: what one row lacks goes where the others have it."""
    columns: list[str] = []
    for row in rows:
        place = 0
        for name in row:
            if name not in columns:
                columns.insert(place, name)
            place = columns.index(name) + 1
    return tuple(columns)


def to_csv(rows: Sequence[MeasuredRow]) -> str:
    """Return `rows` as CSV with a header; what does not apply is left empty."""
    return csv_text(columns_of(rows), ({name: _rounded(value) for name, value in row.items()} for row in rows))


def _objects(numbered: NDArray[np.integer[Any]], image: NDArray[Any] | None, place: Place) -> Iterable[MeasuredRow]:
    from skimage.measure import regionprops_table

    intensities = [f"intensity_{statistic}" for statistic in _STATISTICS] if image is not None else []
    outline = ["perimeter_crofton"] if place.is_square else []  # there is none of flat pixels in scikit-image
    table = regionprops_table(  # type: ignore[no-untyped-call]
        numbered,
        None if image is None else _channels_last(image),
        properties=("label", "bbox", "centroid", *_AXES, *_SHAPES, *outline, *intensities),
        spacing=(place.scale[0],) * 2 if place.is_square else place.scale,
    )
    pixels = dict(zip(*(found.tolist() for found in np.unique(numbered, return_counts=True)), strict=True))
    suffixes = _suffixes(image, place.channels)
    down, right = place.scale
    for at in range(len(table["label"])):
        area = pixels[int(table["label"][at])]
        yield {
            "image": place.image,
            "frame": place.frame,
            "label": int(table["label"][at]),
            **_sizes("area", "equivalent_diameter", area, place),
            **_lengths({name: float(table[name][at]) for name in (*outline, *_AXES)}, place),
            **_intensities(table, at, suffixes),
            "centroid_y_px": float(table["centroid-0"][at]) / down,
            "centroid_x_px": float(table["centroid-1"][at]) / right,
            **_circularity(area, float(table[outline[0]][at]) / down if outline else 0),
            **{name: float(table[name][at]) for name in _SHAPES},
            "touches_edge": int(_touches_edge([int(table[f"bbox-{i}"][at]) for i in range(4)], numbered.shape)),
        }


def _lengths(lengths: dict[str, float], place: Place) -> MeasuredRow:
    """Return lengths, which are in the unit of the image, in pixels as far as these are square, and in that unit."""
    row: MeasuredRow = {}
    for name, length in lengths.items():
        short = name.removesuffix("_crofton")
        if place.is_square:
            row[f"{short}_px"] = length / place.scale[0]
        if place.unit != "px":
            row[f"{short}_{place.unit}"] = length
    return row


def _circularity(area_px: int, perimeter_px: float) -> MeasuredRow:
    """Return how round an object is; nothing where its outline is not known, or only a matter of the pixel grid."""
    if area_px < _FEWEST_ROUND_PX or not perimeter_px:
        return {}
    return {"circularity": min(1.0, 4 * pi * area_px / perimeter_px**2)}


def _suffixes(image: NDArray[Any] | None, names: Sequence[str]) -> list[str]:
    """Return what ends the names of the columns of each channel: nothing if there is one, else its name or number."""
    if image is None or image.ndim == 2:
        return [""]
    known = names if len(names) == len(image) else [""] * len(image)
    return [
        f"_{name}" if name and known.count(name) == 1 else f"_{number}" for number, name in enumerate(known, start=1)
    ]


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    pixels = image.astype(np.uint8) if image.dtype == bool else image
    return np.moveaxis(pixels, 0, -1) if pixels.ndim == 3 else pixels


def _sizes(area: str, diameter: str, pixels: int, place: Place) -> MeasuredRow:
    """Return area and diameter of a circle of that area, in pixels and in the unit of the image."""
    sizes: MeasuredRow = {f"{area}_px": pixels}
    surface = pixels * place.scale[0] * place.scale[1]
    if place.unit != "px":
        sizes[f"{area}_{place.unit}2"] = surface
    if diameter:
        sizes[f"{diameter}_px"] = 2 * (pixels / pi) ** 0.5
        if place.unit != "px":
            sizes[f"{diameter}_{place.unit}"] = 2 * (surface / pi) ** 0.5
    return sizes


def _intensities(table: dict[str, NDArray[Any]], at: int, suffixes: Sequence[str]) -> MeasuredRow:
    """Return mean, least and largest intensity of object `at` in each channel."""
    row: MeasuredRow = {}
    for statistic in _STATISTICS:
        names = [name for name in table if name.startswith(f"intensity_{statistic}")]
        row |= {
            f"{statistic}_intensity{end}": float(table[name][at]) for end, name in zip(suffixes, names, strict=False)
        }
    return row


def _touches_edge(box: Sequence[int], shape: tuple[int, ...]) -> bool:
    top, left, bottom, right = box
    return top == 0 or left == 0 or bottom == shape[0] or right == shape[1]


def _summary(rows: Sequence[MeasuredRow], pixels: int, place: Place) -> MeasuredRow:
    area = sum(int(row["area_px"]) for row in rows)
    return {
        "image": place.image,
        "frame": place.frame,
        "objects": len(rows),
        **_sizes("total_area", "", area, place),
        "area_fraction": area / pixels,
        "mean_area_px": area / len(rows) if rows else 0.0,
    }


def _rounded(value: Value) -> Value:
    return float(f"{value:.7g}") if isinstance(value, float) else value
