"""Jobs that docks ask for, carried out in this process."""

import pytest

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.events import JobEnded, Notice, PreviewReady, StepEnd, ValidationEnd
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.jobs.table import events_of
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import FinetuneRequest
from napari_unet_finetune.runs.serve import Control

CONFIG = FinetuneConfig(
    steps=2, batch_size=2, patch_size=32, validate_every=1, keep_raw=False, rehearsal_patches=0, replay_share=0,
    augment=AugmentConfig.none(), device="cpu", precision="fp32",
)  # fmt: skip


@pytest.fixture
def run(tmp_path, squares, model):
    request = FinetuneRequest(
        task="finetune", images=squares / "images", masks=squares / "masks", checkpoint=str(model), config=CONFIG
    )
    return RunFolder.create(tmp_path / "run", request)


def events_with_preview_of(run, path):
    control = Control()
    control._preview = ImageRef(path)
    return list(events_of(run.path, control))


def test_the_image_that_is_looked_at_is_predicted_while_the_model_learns(run):
    events = events_with_preview_of(run, run.request.images / "img_00.png")
    previews = [event for event in events if isinstance(event, PreviewReady)]
    better = [event.step for event in events if isinstance(event, ValidationEnd) and event.best]
    assert [preview.step for preview in previews] == [0, *better] and better
    assert events.index(previews[0]) < next(place for place, one in enumerate(events) if isinstance(one, StepEnd))


def test_a_large_image_does_not_hold_up_the_beginning(run, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.jobs.table._QUICK_PX", 100)
    events = events_with_preview_of(run, run.request.images / "img_00.png")
    previews = [event.step for event in events if isinstance(event, PreviewReady)]
    assert previews and 0 not in previews


def test_a_preview_that_fails_is_told_and_the_training_goes_on(run):
    events = events_with_preview_of(run, run.request.images / "gone.png")
    notices = [event.message for event in events if isinstance(event, Notice)]
    assert any(text.startswith("No preview of gone: ") and "there is no such file" in text for text in notices)
    assert events[-1] == JobEnded(run.result_path)


def test_a_preview_that_does_not_fit_in_memory_is_told_and_the_training_goes_on(run, monkeypatch):
    def full(*_arguments):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB.")

    monkeypatch.setattr("napari_unet_finetune.jobs.table._preview", full)
    events = events_with_preview_of(run, run.request.images / "img_00.png")
    assert any("does not fit in memory" in event.message for event in events if isinstance(event, Notice))
    assert events[-1] == JobEnded(run.result_path)
