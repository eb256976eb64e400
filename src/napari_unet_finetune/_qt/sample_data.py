"""The microtube sample as napari layers, for File > Open Sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.samples import DatasetNumber, make_microtube

LayerData = tuple[np.ndarray[Any, Any], dict[str, Any], str]


def microtube_dataset1() -> list[LayerData]:
    """Return Dataset 1 of the microtube sample and its true labels, both (T, Y, X)."""
    return _layers(1)


def microtube_dataset2() -> list[LayerData]:
    """Return Dataset 2 of the microtube sample and its true labels, both (T, Y, X)."""
    return _layers(2)


def _layers(dataset: DatasetNumber) -> list[LayerData]:
    frames = make_microtube(dataset)
    pixels = np.stack([frame.image for frame in frames])
    labels = np.stack([frame.labels for frame in frames if frame.labels is not None])
    name = f"Microtube Dataset {dataset}"
    return [
        (pixels, {**_placement(frames[0].scale, frames[0].unit), "name": name}, "image"),
        (labels, {**_placement(frames[0].scale, frames[0].unit), "name": f"{name} truth"}, "labels"),
    ]


def _placement(scale: tuple[float, float], unit: str) -> dict[str, Any]:
    """Return where a stack of frames lies in the viewer; frames are counted, not measured."""
    return {"scale": (1.0, *scale), "units": ("pixel", unit, unit), "axis_labels": ("t", "y", "x")}
