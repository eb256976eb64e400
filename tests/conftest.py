"""What all tests share: fixed random numbers, and a few small images."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.samples import make_microtube

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]


# A busy machine is no fault of the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, so that at the end no process waits for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
    """Escape names that are no UTF-8 in what a test process sends to the one that prints: it could not send them."""
    report: dict[str, Any] | None = _sendable((yield))
    return report


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(one) for key, one in value.items()}
    return type(value)(map(_sendable, value)) if type(value) in (list, tuple) else value


@pytest.fixture(autouse=True)
def fixed_randomness() -> None:
    """Start every test from the same seeds, on one thread of torch."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries may draw from the old generator
    if torch is not None:
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def loaded_by() -> Callable[[str], set[str]]:
    """Return a function that tells which modules are loaded once some code has run in a Python of its own."""

    def loaded(code: str) -> set[str]:
        code += "\nimport sys; print(*sys.modules)"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return set(run.stdout.splitlines()[-1].split())

    return loaded


@pytest.fixture(scope="session")
def dataset1() -> tuple[AnnotatedImage, ...]:
    """Return four small images (64, 96) of Dataset 1 of the sample data."""
    return make_microtube(1, 4, shape=(64, 96))


@pytest.fixture(scope="session")
def dataset2() -> tuple[AnnotatedImage, ...]:
    """Return four small images (64, 96) of Dataset 2 of the sample data."""
    return make_microtube(2, 4, shape=(64, 96))


@pytest.fixture(scope="session")
def write_squares() -> Callable[..., Path]:
    """Return a function that writes images (48, 48) of bright squares, and their masks, and returns their folder."""

    def write(folder: Path, count: int, *, bright: bool = True, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for index in range(count):
            labels = np.zeros((48, 48), np.uint8)
            for row, column in rng.integers(2, 34, (3, 2)):
                labels[row : row + 10, column : column + 10] = 255
            clean = labels if bright else 255 - labels
            pixels = (60 + 0.47 * clean + rng.normal(0, 12, labels.shape)).clip(0, 255).astype(np.uint8)
            for kind, array in (("images", pixels), ("masks", labels)):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                iio.imwrite(folder / kind / f"img_{index:02d}.png", array)
        return folder

    return write


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory, write_squares: Callable[..., Path]) -> Path:
    """Return a folder with five images and masks of bright squares; never change it."""
    return write_squares(tmp_path_factory.mktemp("squares"), 5)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a small untrained model."""
    from napari_unet_finetune.config import FinetuneConfig, ModelConfig
    from napari_unet_finetune.training.finetune import random_model

    path = tmp_path_factory.mktemp("model") / "base.safetensors"
    random_model(ModelConfig(width=16, levels=2), FinetuneConfig(patch_size=32)).save(path)
    return path


_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def _axis(name: str) -> dict[str, str]:
    kind = _TYPES[name]
    return {"name": name, "type": kind, **({"unit": "micrometer"} if kind == "space" else {})}


@pytest.fixture(scope="session")
def write_store() -> Callable[..., Path]:
    """Return a function that writes an OME-Zarr with two levels, and returns its folder."""

    def write(path: Path, pixels: np.ndarray, axes: str, *, version: str = "0.5", chunk: int = 16, **more: Any) -> Path:
        zarr = pytest.importorskip("zarr")
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
            "axes": [_axis(name) for name in axes],
            "datasets": [{"path": str(level), "coordinateTransformations": scale(level)} for level in range(2)],
            "name": "image",
        }
        if version == "0.5":
            group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **more}
        else:
            group.attrs.update({"multiscales": [{"version": "0.4", **multiscale}], **more})
        return path

    return write
