"""Questions and reports as jobs: what a dock asks for is what the folder of the job holds at the end."""

import json
from types import SimpleNamespace

import pytest

from napari_unet_finetune.checked_json import checked
from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.data.pairing import pair_images
from napari_unet_finetune.events import JobEnded, PartStarted, drain, from_json, to_json
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.jobs.answers import RESULTS
from napari_unet_finetune.jobs.table import events_of
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import FinetuneRequest, QuestionRequest, ReportRequest, write_request

CONFIG = FinetuneConfig(
    steps=2, patch_size=32, batch_size=2, validate_every=1, precision="fp32", device="cpu", augment=AugmentConfig.none()
)


@pytest.fixture
def pairs(squares):
    return pair_images(list_images(squares / "images").images, list_images(squares / "masks").images).pairs


def carried_out(folder, request, stop=False):
    write_request(folder, request)
    events = list(events_of(folder, SimpleNamespace(should_stop=lambda: stop, preview=None)))
    assert [from_json(to_json(event)) for event in events] == events
    assert isinstance(events[-1], JobEnded)
    return events, events[-1].file and json.loads(events[-1].file.read_text())


@pytest.mark.parametrize(
    ("task", "key", "parts"),
    [("estimate", "area_ratio", 5), ("can_learn", "verdict", 2), ("cross_validate", "gain", 5)],
)
def test_a_question_is_answered(pairs, model, tmp_path, task, key, parts):
    request = QuestionRequest(task=task, checkpoint=str(model), pairs=pairs, config=CONFIG, seconds=1)
    events, answer = carried_out(tmp_path / "job", request)
    assert key in answer and checked(answer, RESULTS[task]).summary
    assert [event.index for event in events if isinstance(event, PartStarted)] == list(range(1, parts + 1))


def test_a_stopped_question_has_no_answer(pairs, model, tmp_path):
    request = QuestionRequest(task="estimate", checkpoint=str(model), pairs=pairs, config=CONFIG)
    assert carried_out(tmp_path / "job", request, stop=True)[1] is None


def test_a_report_is_written_where_it_was_asked_for(squares, pairs, model, tmp_path):
    training = FinetuneRequest(
        task="finetune", images=squares / "images", masks=squares / "masks", checkpoint=str(model), config=CONFIG
    )
    drain(run_here(RunFolder.create(tmp_path / "run", training)))
    request = ReportRequest(run=tmp_path / "run", out=tmp_path / "page.html", tests=pairs[:1], device="cpu")
    _, files = carried_out(tmp_path / "job", request)
    assert files["page"] == str(tmp_path / "page.html") and (tmp_path / "page.html").is_file()
    assert not files["stopped"]
