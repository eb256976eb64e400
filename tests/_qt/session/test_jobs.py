"""A slot holds one job, tells how it gets on, and is free again afterwards, however it ends."""

import pytest

from napari_unet_finetune._qt.session.jobs import Job, JobSlot, Report, report
from napari_unet_finetune.errors import DataError, RunError
from napari_unet_finetune.events import Alive, JobEnded, Notice, RunStarted, StepEnd, ValidationEnd
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.progress import RunProgress
from napari_unet_finetune.runs.request import PredictRequest, read_request

from ..conftest import WaitingRunner, run_here

STARTED = RunStarted("cpu", "fp32", 100, 0, ("a",), ("b",), 0.5)


@pytest.fixture
def slot():
    runner, errors = WaitingRunner(), []
    slot = JobSlot(runner, errors.append)
    return slot, runner, errors


def test_what_comes_often_is_thinned_out_but_nothing_is_lost_from_the_progress(tmp_path):
    steps = [StepEnd(step, 1 / step, 1e-3, 0.1) for step in range(1, 51)]
    events = [STARTED, *steps, ValidationEnd(50, 0.75, None, best=True), JobEnded(tmp_path / "model")]
    reports, results = [], []

    def watch():
        results.append((yield from report(iter(events))))

    reports.extend(watch())
    assert results == [tmp_path / "model"]
    assert len(reports) < 10
    assert len(reports[-1].progress.losses) == 50
    assert reports[-1].progress.best_dice == 0.75


def test_a_slot_keeps_the_request_tells_of_progress_and_is_free_afterwards(slot, tmp_path):
    slot, runner, errors = slot
    seen, ends, changes = [], [], []
    slot.changed.connect(lambda: changes.append(slot.is_running))
    request = PredictRequest(checkpoint="microtube", images=())
    job = Job(tmp_path / "job", "Predicting", request)
    job.event.connect(seen.append)
    job.ended.connect(ends.append)
    slot.start(job)
    assert read_request(runner.folder) == request
    assert slot.is_running
    runner.listener.on_report(Report(Notice("So it is."), RunProgress(message="So it is.")))
    assert (seen, job.progress.message) == ([Notice("So it is.")], "So it is.")
    runner.listener.on_end(tmp_path / "model")
    assert (ends, slot.is_running, errors) == ([tmp_path / "model"], False, [])
    assert changes == [True, True, False]


def test_a_second_job_is_refused_while_the_first_one_runs(slot, tmp_path):
    slot, _, _ = slot
    slot.start(Job(tmp_path, "Finetuning with 5 images"))
    with pytest.raises(RunError, match="Finetuning with 5 images is still"):
        slot.start(Job(tmp_path, "Finetuning again"))
    assert slot.job is not None and slot.job.title == "Finetuning with 5 images"


def test_what_nobody_asked_for_gives_way_to_what_somebody_asks_for(slot, tmp_path):
    slot, runner, errors = slot
    ends, ahead = [], Job(tmp_path / "ahead", "Predicting 002 with the new model", gives_way=True)
    ahead.ended.connect(ends.append)
    slot.start(ahead)
    assert slot.is_running and not slot.busy
    late = runner.listener
    slot.start(asked := Job(tmp_path / "asked", "Comparing"))
    late.on_end(tmp_path / "late")
    assert (slot.job, ends, errors) == (asked, [None], [])
    assert ahead.is_running is False and "Comparing" in slot.busy


def test_an_error_frees_the_slot_and_is_told(slot, tmp_path):
    slot, runner, errors = slot
    job, heard = Job(tmp_path, "Finetuning"), []
    job.failed.connect(lambda error: heard.append((error, slot.is_running, len(errors))))
    slot.start(job)
    error = DataError("img3: there are no labels.")
    runner.listener.on_error(error)
    assert (errors, heard) == ([error], [(error, False, 1)])
    assert not slot.is_running


def test_a_job_that_cannot_be_started_leaves_the_slot_free(tmp_path):
    def refuse(*_):
        raise RunError("no such computer")

    slot = JobSlot(refuse, print)
    with pytest.raises(RunError, match="no such computer"):
        slot.start(Job(tmp_path, "Finetuning"))
    assert not slot.is_running


def test_a_job_is_paused_resumed_stopped_and_closed(slot, tmp_path):
    slot, runner, _ = slot
    job = Job(tmp_path, "Finetuning")
    job.toggle_pause()  # nothing to pause yet
    slot.start(job)
    job.toggle_pause()
    assert job.is_paused
    job.toggle_pause()
    job.stop()
    assert job.is_stopping
    slot.close()
    assert runner.job.said == ["pause", "resume", "stop", "close"]


def test_a_prediction_in_this_process_yields_its_arrays(tmp_path, write_squares):
    images = list_images(write_squares(tmp_path / "squares", 2) / "images")
    events, slot = [], JobSlot(run_here, pytest.fail)
    request = PredictRequest(checkpoint="microtube", images=tuple(images))
    job = Job(tmp_path / "job", "Predicting", request)
    job.event.connect(events.append)
    slot.start(job)
    assert [event.image for event in events if event.kind == "image_predicted"] == ["img_00", "img_01"]
    assert job.progress.fraction == 1
    assert not any(isinstance(event, Alive) for event in events)


def test_nobody_is_told_how_a_job_ended_that_was_closed(slot, tmp_path):
    slot, runner, errors = slot
    ends = []
    for end in (lambda: runner.listener.on_error(RunError("killed")), lambda: runner.listener.on_end(None)):
        slot.start(_predicting(tmp_path, ends))
        slot.close()
        end()
        assert (slot.is_running, errors, ends) == (False, [], [])
    slot.start(_predicting(tmp_path, ends))
    runner.listener.on_end(tmp_path / "result")
    assert ends == [tmp_path / "result"]


def test_the_folder_of_a_temporary_job_is_there_until_all_have_heard_of_its_end(slot, tmp_path):
    slot, runner, _ = slot
    seen = []
    for number, end in enumerate(("on_end", "on_error")):
        folder = tmp_path / str(number)
        folder.mkdir()
        job = Job(folder, "Predicting", is_temporary=True)
        for signal in (job.ended, job.failed):
            signal.connect(lambda _value, folder=folder: seen.append(folder.exists()))
        slot.start(job)
        getattr(runner.listener, end)(RunError("killed"))
        assert not folder.exists()
    assert seen == [True, True]


def _predicting(folder, ends):
    job = Job(folder, "Predicting")
    job.ended.connect(ends.append)
    return job
