"""Earlier trainings are found again, finished, stopped or interrupted, and one that is put away is not lost."""

import pytest

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.events import drain
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.history import PastRun, past_trainings, seconds_per_pixel, unreadable_trainings
from napari_unet_finetune.runs.recent import KEPT, RecentModels
from napari_unet_finetune.runs.request import PredictRequest, write_request


def interrupted_at(step, request, folder):
    run = RunFolder.create(folder / "runs" / "20261121-091500-finetune", request)
    events = run_here(run)
    for event in events:
        if event.kind == "validation_end" and event.step == step:
            break
    events.close()
    return PastRun(run)


@pytest.fixture
def interrupted(request_, tmp_path):
    return interrupted_at(6, request_, tmp_path)


def test_an_interrupted_training_offers_its_best_model(interrupted):
    assert interrupted.is_interrupted
    assert interrupted.end is None
    assert interrupted.model is None
    assert interrupted.progress.step == 6
    assert interrupted.image_count == 5
    assert interrupted.when == "21 Nov 09:15"
    assert seconds_per_pixel(interrupted.progress, interrupted.request.config) > 0
    model = interrupted.use_best()
    again = PastRun(interrupted.folder)
    assert not again.is_interrupted
    assert again.model == model == interrupted.folder.best_path
    assert again.end.stopped
    assert again.end.finetuned_dice == interrupted.progress.best_dice
    assert not again.end.not_sorted_out


def test_that_an_interrupted_training_has_not_tried_to_tell_images_apart_is_told(request_, tmp_path):
    """Where it shows new images otherwise than old ones, its Dice is one of a model that is told what they are."""
    config = request_.config.model_copy(update={"appearance": "inverted"})
    run = interrupted_at(6, request_.model_copy(update={"config": config}), tmp_path)
    run.use_best()
    assert "interrupted" in PastRun(run.folder).end.not_sorted_out and PastRun(run.folder).end.shows_new_by_choice
    assert "as if the model were told which images are new" in PastRun(run.folder).end.summary


def test_an_interrupted_training_can_still_be_finished(interrupted):
    drain(run_here(interrupted.folder))
    again = PastRun(interrupted.folder)
    assert not again.is_interrupted
    assert again.model == interrupted.folder.result_path
    assert again.end.steps == 12


def test_a_training_stopped_before_its_first_step_left_no_model(request_, tmp_path):
    folder = RunFolder.create(tmp_path / "runs" / "20261121-091500-finetune", request_)
    drain(run_here(folder, should_stop=lambda: True))
    run = PastRun(folder)
    assert run.end is not None and not run.end.steps and run.model is None
    assert not run.is_interrupted and not run.is_under_way


def test_a_training_that_somebody_works_on_is_not_interrupted(interrupted):
    with interrupted.folder.locked():
        assert not interrupted.is_interrupted


def test_a_training_put_aside_keeps_all_its_files(interrupted):
    names = {path.name for path in interrupted.folder.path.iterdir()}
    aside = interrupted.put_aside()
    assert {path.name for path in aside.iterdir()} == names
    assert not interrupted.folder.path.exists()


def test_a_training_without_a_model_has_no_best(request_, tmp_path):
    run = PastRun(RunFolder.create(tmp_path / "run", request_))
    assert not run.is_interrupted
    with pytest.raises(RunError, match="had not yet saved a model"):
        run.use_best()


def test_other_jobs_and_foreign_folders_are_passed_over(interrupted, tmp_path):
    write_request(tmp_path / "runs" / "predict", PredictRequest(checkpoint="microtube", images=()))
    (tmp_path / "runs" / "mine").mkdir()
    found = list(past_trainings(sorted((tmp_path / "runs").iterdir())))
    assert [run.folder.path for run in found] == [interrupted.folder.path]


def test_recent_models_are_remembered_while_they_are_there(tmp_path):
    recent = RecentModels(tmp_path / "config" / "recent.json")
    files = [tmp_path / f"{index}.safetensors" for index in range(KEPT + 2)]
    for file in files:
        file.touch()
        recent.add(file)
    recent.add(files[-2])
    files[-1].unlink()
    assert recent.paths == (files[-2], *files[-3 : -KEPT - 1 : -1])


def test_a_damaged_list_of_recent_models_disturbs_nobody(tmp_path):
    (tmp_path / "recent.json").write_text("{")
    assert RecentModels(tmp_path / "recent.json").paths == ()
    assert RecentModels(None).paths == ()
    RecentModels(None).add(tmp_path)


def test_a_training_that_cannot_be_read_is_listed_with_the_reason(tmp_path, request_):
    for name in ("sound", "damaged", "asked only", "other"):
        folder = tmp_path / name
        write_request(folder, request_)
        if name != "asked only":
            (folder / "events.jsonl").touch()
        if name in ("damaged", "asked only"):
            (folder / "request.json").write_text('{"task": "finetune", "images": 3}')
    folders = sorted(tmp_path.iterdir())
    ((run, reason),) = unreadable_trainings(folders)
    assert run.path.name == "damaged" and "damaged" in reason and "\n" not in reason
    assert {one.folder.path.name for one in past_trainings(folders)} == {"sound", "other"}
