"""A run goes on after any interruption as if there had been none, and is never carried out twice."""

import json
import logging
import os
import subprocess
import sys
from functools import reduce

import pytest
import torch

from napari_unet_finetune.errors import DataError, RunError
from napari_unet_finetune.events import Notice, RunEnded, RunStarted, StepEnd, ValidationEnd, drain
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.progress import RunProgress, advance
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import LOG, RunFolder
from napari_unet_finetune.runs.request import FinetuneRequest

from .conftest import TINY

# One process forks all attempts, since importing torch takes longer than they do; each is killed after it has
# written a random number of bytes, and a random moment later.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
import imageio.v3, scipy.ndimage, torch._dynamo  # what a run imports late
import napari_unet_finetune.runs.execute
from napari_unet_finetune.cli import main
from napari_unet_finetune.models.load import load_model

run, kills, start = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
rng, deaths = random.Random(0), []

def written():
    events = run / "events.jsonl"
    return events.stat().st_size if events.is_file() else 0

def attempt(arguments, may_write):
    before, pid = written(), os.fork()
    if pid == 0:
        sys.argv[1:] = arguments
        sys.exit(main())
    while True:
        time.sleep(rng.uniform(0, 0.02))
        if may_write is not None and written() > before + may_write:
            os.kill(pid, signal.SIGKILL)
            may_write = None
            if (run / "best.safetensors").exists():
                load_model(run / "best.safetensors")  # readable at any moment
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)

while not deaths or deaths[-1] == -signal.SIGKILL:
    arguments = ["resume", str(run)] if (run / "request.json").exists() else start
    deaths.append(attempt(arguments, rng.randrange(700) if len(deaths) < kills else None))
print("deaths", json.dumps(deaths))
"""


def collect(folder, **options):
    events, run = [], run_here(folder, **options)
    while True:
        try:
            events.append(next(run))
        except StopIteration as stop:
            return events, stop.value


def fold(folder):
    progress = RunProgress()
    for event in folder.events():
        progress = advance(progress, event)
    return progress


def assert_same_model(folder, other):
    first, second = (load_model(one.result_path) for one in (folder, other))
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in second.weights)
    assert first.card.threshold == second.card.threshold
    assert first.card.provenance.scores == second.card.provenance.scores


@pytest.fixture(scope="session")
def whole(tmp_path_factory, request_):
    """Return the folder of a run without interruption."""
    folder = RunFolder.create(tmp_path_factory.mktemp("whole") / "run", request_)
    drain(run_here(folder))
    return folder


@pytest.fixture
def folder(tmp_path, request_):
    return RunFolder.create(tmp_path / "run", request_)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_a_run_killed_again_and_again_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, whole):
    request, run = whole.request, tmp_path / "run"
    arguments = ["--images", request.images, "--masks", request.masks, "--model", request.checkpoint, "--out", run]
    changed = request.config.model_dump(exclude_defaults=True)
    settings = [f"--set={name}={json.dumps(value)}" for name, value in changed.items()]
    command = [sys.executable, "-c", KILLER, run, "8", "finetune", *arguments, *settings]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killer = subprocess.run(
        [*map(str, command), "--json"], capture_output=True, text=True, env=environment, check=False
    )
    assert killer.returncode == 0, killer.stderr
    (deaths,) = (json.loads(line.split(maxsplit=1)[1]) for line in killer.stdout.splitlines() if "deaths" in line)
    assert deaths[:2] == [-9, -9] and deaths[-1] == 0  # on a busy computer a kill may come too late
    folder = RunFolder(run)
    assert folder.request.config == request.config
    assert_same_model(folder, whole)
    killed, expected = fold(folder), fold(whole)
    assert killed.losses == expected.losses
    assert set(killed.val_dices) <= set(expected.val_dices)  # a kill may come between a state and its event
    assert killed.end == expected.end is not None
    assert (killed.best_dice, killed.best_step) == (expected.best_dice, expected.best_step)
    assert not list(run.glob(".*.partial"))


def test_events_are_on_disk_before_they_are_seen(folder):
    seen = []
    for event in run_here(folder):
        seen.append(event)
        assert list(folder.events()) == seen
        if isinstance(event, ValidationEnd):
            assert folder.best_path.is_file()
            assert folder.load_state().progress["step"] == event.step
    assert isinstance(seen[0], RunStarted) and isinstance(seen[-1], RunEnded)
    assert folder.is_finished


@pytest.mark.parametrize("steps", [0, 2, 7])
def test_a_stopped_run_leaves_a_model_and_goes_on_to_the_same_end(folder, whole, steps):
    done = []
    run = run_here(folder, should_stop=lambda: len(done) >= steps)
    result = None
    while result is None:
        try:
            event = next(run)
        except StopIteration as stop:
            result = stop.value
        else:
            done += [event] if isinstance(event, StepEnd) else []
    assert result.ended.stopped and result.ended.steps == steps
    assert not folder.is_finished
    best = load_model(folder.best_path)
    assert best.card.threshold == result.model.card.threshold
    assert len(best.card.provenance.images) == (5 if steps else 0)  # before the first step it is the base model
    again = list(folder.learned())
    events, _ = collect(folder)
    assert events[0].first_step == steps
    assert_same_model(folder, whole)
    assert fold(folder).losses == fold(whole).losses
    assert (
        reduce(advance, [*again, *events], RunProgress()).losses == fold(whole).losses
    )  # whoever watches from now on sees all of it


def test_a_finished_run_is_not_done_again(whole):
    before = list(whole.events())
    with pytest.raises(RunError, match=r"this run is finished; its model is model\.safetensors"):
        drain(run_here(whole))
    assert list(whole.events()) == before


def test_a_run_is_not_carried_out_twice_at_a_time(folder):
    run = run_here(folder)
    next(run)
    with pytest.raises(RunError, match="being worked on already"):
        next(run_here(folder))
    run.close()
    next(run_here(folder))


def test_what_is_no_run_is_refused_and_stays_untouched(tmp_path):
    with pytest.raises(RunError, match="not the folder of a run"):
        next(run_here(RunFolder(tmp_path / "nowhere")))
    assert not (tmp_path / "nowhere").exists()


def test_files_that_are_left_out_are_named(tmp_path, request_, write_squares):
    data = write_squares(tmp_path / "data", 5)
    (data / "masks" / "img_03.png").unlink()
    (data / "images" / "broken.png").write_bytes(b"no image")
    values = {"images": data / "images", "masks": data / "masks"}
    folder = RunFolder.create(tmp_path / "run", request_.model_copy(update=values))
    events, result = collect(folder)
    notices = " ".join(event.message for event in events if isinstance(event, Notice))
    assert "2 files are left out" in notices
    assert "img_03 (no mask has a matching name)" in notices
    assert "broken.png" in notices
    assert len(result.model.card.provenance.images) == 4


def test_only_the_named_images_are_trained_on(tmp_path, request_):
    only = ("img_03", "img_01")
    folder = RunFolder.create(tmp_path / "run", request_.model_copy(update={"only": only}))
    result = drain(run_here(folder))
    assert tuple(record.name for record in result.model.card.provenance.images) == only


def test_a_base_model_is_trained_and_then_finetuned_with_old_images(tmp_path, request_, tiny_config):
    config = tiny_config.model_copy(update={"steps": 2, "rehearsal_patches": 4})
    paths = {"images": request_.images, "masks": request_.masks, "config": config}
    base = RunFolder.create(tmp_path / "base", FinetuneRequest(task="train", model=TINY, **paths))
    assert drain(run_here(base)).model.card.provenance.parent_sha256 is None
    assert len(load_model(base.result_path).rehearsal) == 4
    old = {"base_images": request_.images, "base_masks": request_.masks, "checkpoint": str(base.result_path)}
    tuned = RunFolder.create(tmp_path / "tuned", FinetuneRequest(task="finetune", **paths, **old))
    result = drain(run_here(tuned))
    assert result.ended.old_dice_after is not None
    assert result.model.card.provenance.parent_sha256


def test_old_images_without_masks_are_replayed_as_the_base_model_sees_them(tmp_path, request_):
    folder = RunFolder.create(tmp_path / "run", request_.model_copy(update={"base_images": request_.images}))
    result = drain(run_here(folder))
    assert any("what the base model predicts there is replayed" in note for note in result.model.card.provenance.notes)


def test_a_finetuning_without_a_model_is_refused(tmp_path, request_):
    folder = RunFolder.create(tmp_path / "run", request_.model_copy(update={"checkpoint": None}))
    with pytest.raises(RunError, match="names no base model"):
        next(run_here(folder))


def test_errors_are_in_the_runs_log_and_leave_it_free(tmp_path, request_):
    missing = request_.model_copy(update={"images": tmp_path / "nowhere"})
    folder = RunFolder.create(tmp_path / "run", missing)
    with pytest.raises(DataError, match="nowhere"):
        next(run_here(folder))
    assert "nowhere: there is no such folder" in (folder.path / LOG).read_text()
    assert not logging.getLogger("napari_unet_finetune").handlers
    RunFolder.create(folder.path, request_)
    next(run_here(folder))


def test_a_training_put_into_the_same_folder_in_the_same_moment_is_not_carried_out_in_its_name(request_, tmp_path):
    first = RunFolder.create(tmp_path / "run", request_)
    other = request_.model_copy(update={"config": request_.config.model_copy(update={"seed": 5})})
    second = RunFolder.create(tmp_path / "run", other)
    with pytest.raises(RunError, match="holds a run already"):
        next(run_here(first, asked=request_))
    assert not first.has_begun
    next(run_here(second, asked=other))
