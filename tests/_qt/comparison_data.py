"""What the tests of the comparison share: a dataset, models that know nothing, and a table that is filled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project

from .finetuning_data import save_model

SIZE = (48, 48)


def project_with_tests(folder: Path, write_squares: Any, count: int = 6, tests: int = 2) -> Project:
    """Return a dataset of `count` annotated images, the last `tests` of them with the role test, and one bare image."""
    squares = write_squares(folder / "squares", count)
    tifffile.imwrite(squares / "images" / "x_bare.tif", np.full(SIZE, 7, np.uint8))
    project = Project.open(squares / "images", folder / "project")
    import_masks(project, plan_import(project, squares / "masks").pairs)
    project.set_role(project.names[count - tests : count], "test")
    return project


def with_models(session: Any, folder: Path, count: int = 2) -> list[str]:
    """Give `session` a small base, write more models, and return all their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [str(save_model(folder / f"model-{seed}.safetensors", seed)) for seed in range(count)]
    session.model = files[0]
    return files
