"""Small datasets that the tests of the docks open."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import tifffile

from napari_unet_finetune.project.project import Project

SIZE = (40, 60)
BLOB = np.zeros(SIZE, np.uint16)
BLOB[5:15, 5:15] = 1


def write_images(folder: Path, count: int = 8) -> Path:
    """Write images img_0, img_1, … of noise and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        tifffile.imwrite(folder / f"img_{number}.tif", rng.integers(0, 200, SIZE, dtype=np.uint8))
    return folder


def reopened(project: Project) -> Project:
    """Return the dataset as it is on disk."""
    return Project.open(project.source, project.folder)


def with_mask_of_namesake(project: Project, name: str) -> Project:
    """Return the dataset with a PNG of the same stem as `name`, for which the record shows the mask of `name`."""
    file = project.image(name).ref.path
    iio.imwrite(file.with_suffix(".png"), np.zeros(SIZE, np.uint8))
    record_file = project.folder / "project.json"
    record = json.loads(record_file.read_text())
    known = next(one for one in record["images"] if one["file"] == file.name)
    record["images"].append(known | {"file": f"{file.stem}.png"})
    record_file.write_text(json.dumps(record))
    return reopened(project)


@contextmanager
def message(pattern: str) -> Iterator[None]:
    """Expect napari to show a message to the user."""
    from napari.utils.notifications import notification_manager

    before = len(notification_manager.records)
    yield
    assert any(re.search(pattern, one.message) for one in list(notification_manager.records)[before:])
