"""What the tests of sections Model and Finetune share: a dataset with masks, tiny settings, a run as it is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_unet_finetune._qt.session.jobs import Report
from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig
from napari_unet_finetune.events import Event, RunEnded, RunStarted, StepEnd, ValidationEnd
from napari_unet_finetune.outcome import summarized
from napari_unet_finetune.progress import RunProgress, advance
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.training.finetune import random_model

TINY = FinetuneConfig(
    steps=6, batch_size=2, patch_size=32, validate_every=3, warmup_steps=2, weight_average=0.5, keep_raw=False,
    augment=AugmentConfig(p_affine=0), device="cpu", precision="fp32", rehearsal_patches=0,
)  # fmt: skip
STARTED = RunStarted("cpu", "fp32", 400, 0, ("img_00", "img_01", "img_02"), ("img_03",), 0.41)
ENDED = summarized(RunEnded(400, False, False, 0.41, 0.88, 0.95, 0.94, 0.5, ""), TINY, 1)
KEPT = summarized(replace(ENDED, kept_raw=True), TINY, 1)


def annotated_project(folder: Path, write_squares: Any, count: int = 6, masks: int = 4) -> Project:
    """Return a dataset of `count` images, the first `masks` of them annotated."""
    squares = write_squares(folder / "squares", count)
    project = Project.open(squares / "images", folder / "project")
    import_masks(project, plan_import(project, squares / "masks").pairs[:masks])
    return project


def save_model(path: Path, seed: int = 0) -> Path:
    """Write a small untrained model."""
    config = TINY.model_copy(update={"seed": seed})
    random_model(ModelConfig(width=16, levels=2), config).save(path)
    return path


class Reporter:
    """Reports the events of a training as its child would, on disk too."""

    def __init__(self, runner: Any) -> None:
        self.runner, self.progress = runner, RunProgress()

    def __call__(self, *events: Event) -> None:
        for event in events:
            self.progress = advance(self.progress, event)
            if isinstance(event, RunStarted | StepEnd | ValidationEnd | RunEnded):
                RunFolder(self.runner.folder).append(event)
            self.runner.listener.on_report(Report(event, self.progress))

    def end(self, *events: Event) -> Path:
        """Report the last events, leave a model and end."""
        self(*events)
        model = save_model(RunFolder(self.runner.folder).result_path)
        self.runner.listener.on_end(model)
        return model
