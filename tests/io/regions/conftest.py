"""OME-Zarr images as several programs write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

zarr = pytest.importorskip("zarr")

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def axis(name: str) -> dict[str, str]:
    kind = TYPES[name]
    return {"name": name, "type": kind, **({"unit": "micrometer"} if kind == "space" else {})}


@pytest.fixture(scope="session")
def write_store() -> Callable[..., Path]:
    """Return a function that writes an OME-Zarr with two levels, and returns its folder."""

    def write(path: Path, pixels: np.ndarray, axes: str, *, version: str = "0.5", chunk: int = 16, **more: Any) -> Path:
        group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
        for level in range(2):
            step = 2**level
            data = pixels[..., ::step, ::step]
            array = group.create_array(
                str(level), shape=data.shape, dtype=data.dtype, chunks=(1,) * (data.ndim - 2) + (chunk, chunk)
            )
            array[...] = data

        def scale(level: int) -> list[dict[str, Any]]:
            size = {"y": 0.5 * 2**level, "x": 0.25 * 2**level}
            return [{"type": "scale", "scale": [size.get(name, 1.0) for name in axes]}]

        multiscale = {
            "axes": [axis(name) for name in axes],
            "datasets": [{"path": str(level), "coordinateTransformations": scale(level)} for level in range(2)],
            "name": "image",
        }
        if version == "0.5":
            group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **more}
        else:
            group.attrs.update({"multiscales": [{"version": "0.4", **multiscale}], **more})
        return path

    return write
