"""A job in a process of its own: it reports, obeys, and never outlives whoever asked for it."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
import typer

from napari_unet_finetune.cli import run_job
from napari_unet_finetune.errors import ModelError, RunError
from napari_unet_finetune.events import Alive, ImagePredicted, JobEnded, PreviewReady, RunEnded, StepEnd, ValidationEnd
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.io.regions.region import InView, Region
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs import serve
from napari_unet_finetune.runs.child import ChildJob
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import VIEW, PredictRequest, write_request

ENDLESS = 100_000
PARENT = """
import sys
from pathlib import Path
from napari_unet_finetune.runs.child import ChildJob
job = ChildJob(Path(sys.argv[1]))
for event in job.events():
    if event.kind == "step_end":
        print(job.pid, "torch" in sys.modules, flush=True)
"""


@pytest.fixture
def long_run(tmp_path, request_):
    config = request_.config.model_copy(update={"steps": ENDLESS})
    return RunFolder.create(tmp_path / "run", request_.model_copy(update={"config": config}))


def first(events, kind):
    return next(event for event in events if isinstance(event, kind))


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_a_training_in_a_child_shows_what_it_learns_and_leaves_its_model(tmp_path, request_, squares):
    folder = RunFolder.create(tmp_path / "run", request_)
    job = ChildJob(folder.path)
    job.preview(list_images(squares / "images")[0])
    events = list(job.events())
    assert [event.step for event in events if isinstance(event, StepEnd)] == list(range(1, 13))
    assert first(events, RunEnded).steps == 12
    preview = first(events, PreviewReady)
    assert np.load(preview.file).shape == (48, 48)
    assert events[-1] == JobEnded(folder.result_path)
    assert load_model(folder.result_path).card.provenance.scores
    assert not job.is_alive


def test_what_is_looked_at_reaches_the_job():
    control, view = serve.Control(), InView(2, Region(5, 6, 70, 80))
    assert control.looked_at is None
    control.obey(json.dumps({"do": "look", "view": VIEW.dump_python(view, mode="json")}))
    assert control.looked_at == view
    assert not control.should_stop()


def test_a_stopped_child_keeps_its_best_and_can_be_resumed(long_run):
    job = ChildJob(long_run.path)
    events = job.events()
    first(events, ValidationEnd)
    job.stop()
    rest = list(events)
    assert first(rest, RunEnded).stopped
    assert rest[-1] == JobEnded(long_run.best_path)
    assert not long_run.is_finished
    assert long_run.load_state() is not None


def test_a_paused_child_only_gives_signs_of_life_until_it_goes_on(long_run):
    job = ChildJob(long_run.path)
    events = job.events()
    first(events, StepEnd)
    job.pause()
    quiet = 0
    while quiet < 2:  # what was on its way still comes
        quiet = quiet + 1 if isinstance(next(events), Alive) else 0
    job.resume()
    assert first(events, StepEnd)
    job.close()
    assert not job.is_alive


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_a_killed_child_is_reported_in_a_sentence(long_run):
    job = ChildJob(long_run.path)
    events = job.events()
    first(events, StepEnd)
    os.kill(job.pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"ended from outside, by signal SIGKILL.*can be resumed"):
        list(events)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks into /proc")  # noqa: PTH112
def test_the_child_of_a_killed_process_ends_and_its_parent_needs_no_torch(long_run):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(long_run.path)], stdout=subprocess.PIPE, text=True)
    pid, has_torch = parent.stdout.readline().split()
    assert has_torch == "False"
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        if not is_running(int(pid)):
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert not is_running(int(pid))


def test_an_error_of_the_child_is_raised_as_what_it_was(tmp_path, squares):
    image = list_images(squares / "images")[0]
    write_request(tmp_path / "job", PredictRequest(checkpoint=str(tmp_path / "absent.safetensors"), images=(image,)))
    with pytest.raises(ModelError, match="does not exist"):
        list(ChildJob(tmp_path / "job").events())


def test_a_folder_without_request_is_refused(tmp_path):
    with pytest.raises(RunError, match="not the folder of a run"):
        list(ChildJob(tmp_path).events())


def test_predictions_arrive_as_arrays(tmp_path, squares, model):
    images = list_images(squares / "images")[:2]
    write_request(tmp_path / "job", PredictRequest(checkpoint=str(model), images=images))
    events = list(ChildJob(tmp_path / "job").events())
    predicted = [event for event in events if isinstance(event, ImagePredicted)]
    assert [event.image for event in predicted] == ["img_00", "img_01"]
    assert all(np.load(event.file).dtype == np.uint8 for event in predicted)
    assert json.loads((tmp_path / "job" / "request.json").read_text())["task"] == "predict"


@pytest.mark.parametrize("system", ["posix", "windows"])
def test_a_job_steps_back_behind_whoever_looks_at_the_screen(monkeypatch, system):
    asked = []
    monkeypatch.setattr(os, "nice", asked.append, raising=False)
    if system == "windows":
        monkeypatch.delattr(os, "nice")
        monkeypatch.setattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", 16384, raising=False)
        monkeypatch.setattr(psutil.Process, "nice", lambda _process, priority: asked.append(priority))
    monkeypatch.setattr(serve, "serve", lambda *_, **__: 0)
    with pytest.raises(typer.Exit):
        run_job.run("folder")
    assert asked == ([10] if system == "posix" else [16384])
