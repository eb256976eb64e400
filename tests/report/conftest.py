"""A small run to report about: a base model, and its finetuning on images with names that are out for harm."""

import shutil
import weakref
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig
from napari_unet_finetune.events import drain
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import FinetuneRequest

# No slash, which no file name can hold.
HOSTILE = "<script>alert('x') & $a_b$ {{ page }}"


class Reread(Sequence):
    """Images that are made anew at each access, as from files; `most` is how many were there at once."""

    def __init__(self, images):
        self.images, self.there, self.most = list(images), [], 0

    def __getitem__(self, index):
        image = replace(self.images[index])
        self.there = [one for one in self.there if one() is not None] + [weakref.ref(image)]
        self.most = max(self.most, len(self.there))
        return image

    def __len__(self):
        return len(self.images)


def tiny(**changes):
    """Settings that train in about a second."""
    small = {
        "steps": 4, "batch_size": 2, "patch_size": 32, "validate_every": 2, "warmup_steps": 1,
        "rehearsal_patches": 8, "weight_average": 0.5, "augment": AugmentConfig.none(), "device": "cpu",
    }  # fmt: skip
    return FinetuneConfig(**{**small, **changes})


def start(path, folder, **fields):
    """Carry out a run on the images and masks in `folder`."""
    config = fields.pop("config", tiny())
    request = FinetuneRequest(images=folder / "images", masks=folder / "masks", config=config, **fields)
    run = RunFolder.create(path, request)
    drain(run_here(run))
    return run


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory, write_squares):
    """Return folders of a base run, of its finetuning on five images, and of four test images; never change them."""
    root = tmp_path_factory.mktemp("report")
    old, new = write_squares(root / "old", 4), write_squares(root / "new", 5, bright=False, seed=1)
    for kind in ("images", "masks"):
        (new / kind / "img_04.png").rename(new / kind / f"{HOSTILE}.png")
    scratch = tiny(preset="from scratch", validation_share=0.25)
    base = start(root / "base", old, task="train", model=ModelConfig(width=16, levels=2), config=scratch)
    run = start(
        root / "run",
        new,
        task="finetune",
        checkpoint=str(base.result_path),
        config=tiny(keep_raw=False, patch_size=None),
    )
    return SimpleNamespace(
        root=root, base=base.path, run=run.path, new=new, test=write_squares(root / "test", 4, bright=False, seed=2)
    )


@pytest.fixture
def own_copy(finetuned, tmp_path):
    """Return the finetuning run and its images as a copy that a test may change."""
    shutil.copytree(finetuned.run, tmp_path / "run")
    shutil.copytree(finetuned.new, tmp_path / "new")
    request = RunFolder(tmp_path / "run").request
    moved = request.model_copy(update={"images": tmp_path / "new" / "images", "masks": tmp_path / "new" / "masks"})
    (tmp_path / "run" / "request.json").write_text(moved.model_dump_json())
    return SimpleNamespace(run=tmp_path / "run", new=tmp_path / "new", test=finetuned.test)
