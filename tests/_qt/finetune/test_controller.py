"""A finetuning copies its masks, shows what it sees, says how it ended, and is found again on another day."""

from dataclasses import replace

import numpy as np
import psutil
import pytest

pytest.importorskip("qtpy")

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.finetune.controller import FinetuneController
from napari_unet_finetune._qt.layers.layers import find_ours, show_image
from napari_unet_finetune._qt.layers.prediction import RUN_PREDICTION, RUN_PREVIEW, PredictionLayer
from napari_unet_finetune._qt.layers.stacks import stack_of
from napari_unet_finetune._qt.session.session import Session
from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.errors import RunError
from napari_unet_finetune.events import UNSURE, ImagePredicted, PreviewReady, StepEnd, ValidationEnd
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.folder import STATE, RunFolder
from napari_unet_finetune.runs.folders import run_folders
from napari_unet_finetune.runs.history import PastRun
from napari_unet_finetune.runs.request import read_request

from ..datasets import reopened
from ..finetuning_data import ENDED, KEPT, STARTED, TINY, Reporter, annotated_project, save_model

CONFIG = FinetuneConfig()


@pytest.fixture
def project(tmp_path, write_squares):
    return annotated_project(tmp_path, write_squares)


@pytest.fixture
def ready(waiting, project):
    session, runner = waiting
    session.model, session.project = "microtube", project
    finetuning = FinetuneController(session)
    return finetuning, session, runner


def _open(session, name):
    """Show an image as the section Annotate does."""
    show_image(session.viewer, "image", name, session.project.read_image(name))
    session.current = name


def _preview(folder, name, value=1, step=50):
    file = folder / "preview.npy"
    np.save(file, np.full((48, 48), value, np.uint8))
    return PreviewReady(step, name, file)


def test_unsaved_paint_is_saved_before_the_masks_are_copied(ready):
    finetuning, session, runner = ready
    mask = np.zeros((48, 48), np.uint16)
    mask[:9, :9] = 1
    session.about_to_read_files.connect(lambda: session.project.save_labels("img_00", mask, "painted"))
    finetuning.start(CONFIG)
    request = read_request(runner.folder)
    assert session.trainings.job.title == "Finetuning with 4 images (1 held out)"
    assert request.pairs[0].mask.path.read_bytes() == session.project.image("img_00").mask.read_bytes()
    assert request.config.held_out is not None
    assert runner.folder in run_folders(session.project.folder)
    assert "Finetuning" in session.message.text


def test_a_second_training_holds_the_same_out_and_says_if_its_score_is_of_other_images(ready):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    first = read_request(runner.folder)
    held_out = first.config.held_out
    report = Reporter(runner)
    report(replace(STARTED, validation_images=held_out))
    assert not any(image.used_as for image in reopened(session.project).images)  # no model has seen them
    report(StepEnd(1, 0.1, 1e-3, 0.2))
    assert reopened(session.project).image(held_out[0]).used_as == "validation"
    report.end(ENDED)
    assert "other images" not in finetuning.outcome.message.text
    session.project.save_labels("img_04", np.eye(48, dtype=np.uint16), "painted")
    finetuning.start(CONFIG)
    second = read_request(runner.folder)
    assert set(held_out) <= set(second.config.held_out)
    report = Reporter(runner)
    report(replace(STARTED, validation_images=(*held_out, "img_04")))
    report.end(ENDED)
    assert "other images (+ img_04 now)" in finetuning.outcome.message.text
    again = FinetuneController(session)  # on another day
    assert "other images (+ img_04 now)" in again.outcome.message.text


def test_a_training_of_a_dataset_that_was_opened_anew_is_its_own(ready):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    report = Reporter(runner)
    report(STARTED)
    session.project = reopened(session.project)  # Look for new images
    session.project.save_labels("img_00", np.eye(48, dtype=np.uint16), "painted")
    session.images_changed.emit()
    assert finetuning.changed_since == ("img_00",)
    model = report.end(ENDED)
    assert "another dataset" not in session.message.text
    assert (finetuning.outcome.model, session.predictor) == (model, str(model))
    session.project = reopened(session.project)
    assert session.predictor == str(model)


def test_a_training_of_another_window_is_told_of(ready):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    assert "Another window" not in session.message.text
    folder = RunFolder(runner.folder)
    folder.append(STARTED)
    session.trainings.close()
    with folder.locked():  # as the other window has it
        finetuning.start(CONFIG)
        assert "Another window trains" in session.message.text


def test_a_second_training_is_refused_in_a_sentence(ready):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    first = runner.folder
    finetuning.start(CONFIG)
    assert session.message.tone == "error"
    assert "Finetuning with 4 images (1 held out) is still" in session.message.text
    assert runner.folder == first
    assert session.trainings.is_running


def test_a_preview_is_drawn_over_the_current_image_and_refreshed_in_place(ready, tmp_path):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    assert runner.job.said[-1].name == "img_04"
    report = Reporter(runner)
    report(STARTED, _preview(tmp_path, "img_04", step=0))
    layer = find_ours(session.viewer, RUN_PREVIEW)
    assert layer.name == "preview · base model"
    array = layer.data
    assert array.dtype == np.uint8 and array.all() and not layer.editable
    assert tuple(layer.scale) == tuple(find_ours(session.viewer, "image").scale)
    report(_preview(tmp_path, "img_04", 0, 100))
    assert find_ours(session.viewer, RUN_PREVIEW) is layer
    assert layer.data is array and not array.any()
    assert layer.name == "preview · step 100"
    session.viewer.layers.remove(layer)
    report(_preview(tmp_path, "img_04"))
    assert find_ours(session.viewer, RUN_PREVIEW) is not None


def test_the_layer_that_is_painted_in_stays_selected_and_on_top(ready, tmp_path):
    finetuning, session, runner = ready
    _open(session, "img_04")
    painting = session.viewer.add_labels(
        np.zeros((48, 48), np.uint16), metadata={"napari-unet-finetune": "painting"}
    )  # fmt: skip
    finetuning.start(CONFIG)
    Reporter(runner)(STARTED, _preview(tmp_path, "img_04"))
    names = [layer.name for layer in session.viewer.layers]
    assert session.viewer.layers.selection.active is painting
    assert names.index("preview · step 50") == names.index(painting.name) - 1


def test_the_preview_is_empty_until_there_is_one_of_the_next_image(ready, tmp_path):
    finetuning, session, runner = ready
    _open(session, "img_04")
    session.viewer.add_labels(np.zeros((30, 40), np.uint16), metadata={"napari-unet-finetune": "painting"})
    finetuning.start(CONFIG)
    report = Reporter(runner)
    report(STARTED, _preview(tmp_path, "img_04"))
    layer = find_ours(session.viewer, RUN_PREVIEW)
    _open(session, "img_05")
    assert find_ours(session.viewer, RUN_PREVIEW) is layer
    assert (layer.name, layer.data.shape, layer.data.any()) == ("preview · soon", (30, 40), False)
    report(_preview(tmp_path, "img_05"))
    assert find_ours(session.viewer, RUN_PREVIEW) is layer
    assert layer.data.shape == (48, 48) and layer.data.all()


def test_another_image_gets_a_preview_of_its_own(ready, tmp_path):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    report = Reporter(runner)
    report(STARTED, _preview(tmp_path, "img_04"))
    _open(session, "img_05")
    assert runner.job.said[-1].name == "img_05"
    assert find_ours(session.viewer, RUN_PREVIEW) is None
    report(_preview(tmp_path, "img_04"))
    assert find_ours(session.viewer, RUN_PREVIEW) is None


def test_at_the_end_raw_and_finetuned_are_said_and_the_new_model_predicts(ready, tmp_path):
    finetuning, session, runner = ready
    new_models = []
    session.models_changed.connect(lambda: new_models.append(True))
    _open(session, "img_04")
    finetuning.start(CONFIG)
    report = Reporter(runner)
    model = report.end(STARTED, _preview(tmp_path, "img_04"), StepEnd(400, 0.1, 1e-3, 0.2), ENDED)
    assert session.message.text == ENDED.summary
    assert (session.model, session.predictor) == ("microtube", str(model))
    assert new_models == [True]
    assert finetuning.outcome.model == model
    assert finetuning.outcome.progress.losses == ((400, 0.1),)
    assert finetuning.pace > 0
    request = read_request(runner.folder)  # the prediction that follows
    assert (request.task, request.checkpoint) == ("predict", str(model))
    assert [image.name for image in request.images] == ["img_04", "img_05"]


def test_the_predictions_of_the_new_model_appear_on_their_images(ready, tmp_path):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    Reporter(runner).end(STARTED, _preview(tmp_path, "img_04"), ENDED)
    report, preview = Reporter(runner), find_ours(session.viewer, RUN_PREVIEW)
    for index, name in enumerate(("img_04", "img_05")):
        file = tmp_path / f"{name}.npy"
        np.save(file, np.full((48, 48), 200 - 150 * index, np.uint8))
        report(ImagePredicted(index, 2, name, file, 0.5))
    assert find_ours(session.viewer, RUN_PREDICTION) is preview  # a layer that is removed holds napari up
    assert find_ours(session.viewer, RUN_PREVIEW) is None
    assert preview.data.all() and preview.name == "prediction · img_04"
    _open(session, "img_05")
    layer = find_ours(session.viewer, RUN_PREDICTION)
    assert layer.name == "prediction · img_05" and not layer.data.any()
    _open(session, "img_00")
    assert find_ours(session.viewer, RUN_PREDICTION) is None


def test_a_warning_about_a_new_model_stays_while_it_predicts_its_first_images(ready):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    mistaken = replace(ENDED, mistaken_old=("old image 3",))
    Reporter(runner).end(STARTED, mistaken)
    assert session.jobs.is_running
    assert (session.message.tone, session.message.text) == ("warning", mistaken.summary)
    Reporter(runner).end()
    assert session.message.text == mistaken.summary


@pytest.mark.parametrize(("is_cut_off", "is_told_else"), [(False, False), (True, False), (False, True)])
def test_where_the_new_model_is_not_sure_of_its_first_images_it_is_added_to_what_came_of_the_training(
    ready, tmp_path, is_cut_off, is_told_else
):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    Reporter(runner).end(STARTED, ENDED)
    report = Reporter(runner)
    seen = [("img_04", f"unchanged, {UNSURE}"), ("img_05", "with dark and bright exchanged")]
    for index, (name, shown) in enumerate(seen[: 1 if is_cut_off else 2]):
        np.save(tmp_path / "seen.npy", np.zeros((48, 48), np.uint8))
        report(ImagePredicted(index, 2, name, tmp_path / "seen.npy", 0.5, shown))
    assert session.message.text == ENDED.summary
    if is_told_else:
        session.tell("The mask was not saved.", "error")
    report.end()
    doubt = "The model saw 1 image unchanged, but is not sure of the dataset: img_04. Look at the objects"
    assert (doubt in session.message.text) == (not is_told_else)
    assert "exchanged: img_05" not in session.message.text
    assert session.message.text.startswith("The mask was" if is_told_else else f"{ENDED.summary} The model saw")


def test_a_prediction_that_was_asked_for_is_left_to_the_user(ready, tmp_path, project):
    finetuning, session, runner = ready
    asked = PredictionLayer(session.viewer, stack_of(session.viewer.add_image(np.zeros((48, 48)))), tmp_path)
    asked.write((), np.ones((48, 48), np.uint16))
    asked.show()
    asked.layer.data_setitem((np.array([5]), np.array([5])), 7)  # corrected by painting
    _open(session, "img_04")
    finetuning.start(CONFIG)
    Reporter(runner).end(STARTED, _preview(tmp_path, "img_04"), ENDED)
    np.save(tmp_path / "seen.npy", np.full((48, 48), 200, np.uint8))
    Reporter(runner)(ImagePredicted(0, 1, "img_04", tmp_path / "seen.npy", 0.5))
    assert find_ours(session.viewer, RUN_PREDICTION) is not asked.layer
    session.project = Project.open(project.source, tmp_path / "another")
    assert asked.layer in session.viewer.layers
    assert asked.layer.data[5, 5] == 7


def test_the_image_that_is_predicted_next_is_the_next_of_the_table(ready, tmp_path):
    finetuning, session, runner = ready
    annotation = annotation_of(session)
    annotation.order = lambda: ("img_05", "img_00", "img_04")
    assert annotation.open("img_00")
    finetuning.start(CONFIG)
    Reporter(runner).end(STARTED, _preview(tmp_path, "img_00"), ENDED)
    assert [image.name for image in read_request(runner.folder).images] == ["img_00", "img_04"]
    annotation.release()


def test_a_base_that_was_kept_goes_on_predicting(ready, tmp_path):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    Reporter(runner).end(STARTED, _preview(tmp_path, "img_04"), KEPT)
    assert find_ours(session.viewer, RUN_PREVIEW) is None
    assert session.message.tone == "warning"
    assert "base model is kept" in session.message.text
    assert session.predictor == "microtube"
    assert not session.jobs.is_running


def test_a_prediction_that_fails_takes_the_preview_away(ready, tmp_path):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    Reporter(runner).end(STARTED, _preview(tmp_path, "img_04"), ENDED)
    runner.listener.on_error(RunError("The computation was ended from outside."))
    assert find_ours(session.viewer, RUN_PREVIEW) is None
    assert session.message.tone == "error"


def test_a_training_stopped_before_its_first_step_says_so(ready):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    Reporter(runner)(STARTED)
    runner.listener.on_end(None)
    assert session.message.text == "Stopped before the first step: nothing has changed."
    assert session.predictor == "microtube"


def test_masks_that_change_meanwhile_are_named(ready):
    finetuning, session, _ = ready
    finetuning.start(CONFIG)
    session.images_changed.emit()
    assert finetuning.changed_since == ()
    session.project.save_labels("img_01", np.ones((48, 48), np.uint16), "painted")
    session.images_changed.emit()
    assert finetuning.changed_since == ("img_01",)


def test_an_error_is_said_and_stays_readable(ready):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    runner.listener.on_error(RunError("The loss is not a number. Lower the learning rate."))
    assert finetuning.outcome.message == session.message
    assert session.message.text.startswith("The loss is not a number")
    assert not session.trainings.is_running


def test_a_fault_of_the_program_keeps_its_traceback(ready):
    finetuning, _, runner = ready
    finetuning.start(CONFIG)
    with pytest.raises(ZeroDivisionError):
        runner.listener.on_error(ZeroDivisionError("1/0"))
    assert finetuning.outcome.message.tone == "error"


@pytest.fixture
def interrupted(ready):
    """Return a training that was killed at step 120."""
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    Reporter(runner)(STARTED, StepEnd(120, 0.1, 1e-3, 0.2), ValidationEnd(100, 0.7, None, best=True))
    folder = RunFolder(runner.folder)
    save_model(folder.best_path)
    (folder.path / STATE).touch()
    runner.listener.on_error(RunError("The computation was ended from outside."))
    return finetuning, session, runner, folder


def test_an_interrupted_training_is_offered_when_the_dataset_is_opened_again(interrupted, waiting, project):
    _, _, _, folder = interrupted
    session, _ = waiting
    again = FinetuneController(session)
    session.project = project
    assert [run.folder for run in again.interrupted] == [folder]
    assert again.interrupted[0].progress.step == 120


def test_an_interrupted_training_is_resumed_where_it_was(interrupted):
    finetuning, session, runner, folder = interrupted
    finetuning.resume(finetuning.interrupted[0])
    assert (session.trainings.is_running, runner.folder) == (True, folder.path)
    assert session.trainings.job.title == "Finetuning with 4 images (1 held out)"
    assert finetuning.interrupted == ()


def test_the_best_of_an_interrupted_training_becomes_its_model(interrupted):
    finetuning, session, _, folder = interrupted
    finetuning.use_best(finetuning.interrupted[0])
    assert session.predictor == str(folder.best_path)
    assert finetuning.interrupted == ()
    for fact in ("Stopped at step 120", "0.410 → 0.700 on 1 held-out image", "Old images: not measured"):
        assert fact in session.message.text


def test_a_discarded_training_is_moved_and_not_deleted(interrupted):
    finetuning, session, _, folder = interrupted
    finetuning.discard(finetuning.interrupted[0])
    assert finetuning.interrupted == ()
    assert not folder.path.exists()
    assert (session.project.folder / "discarded-runs" / folder.path.name / "best.safetensors").is_file()


def test_the_last_training_is_read_again_when_the_dataset_is_opened(ready, project):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    model = Reporter(runner).end(STARTED, ENDED)
    session.project = None
    session.project = project
    assert finetuning.outcome.message.text == ENDED.summary
    assert finetuning.outcome.when
    assert session.predictor == str(model)


def test_a_training_of_another_dataset_that_ends_is_told_and_changes_nothing(ready, tmp_path, write_squares):
    finetuning, session, runner = ready
    finetuning.start(CONFIG)
    report = Reporter(runner)
    session.project = annotated_project(tmp_path / "other", write_squares, 2, 1)
    report.end(STARTED, ENDED)
    assert (
        session.message.text == f"Finetuning with 4 images (1 held out) in another dataset has ended. {ENDED.summary}"
    )
    assert session.predictor == "microtube"


def test_what_was_shown_of_a_dataset_goes_with_it(ready, tmp_path, write_squares):
    finetuning, session, runner = ready
    _open(session, "img_04")
    finetuning.start(CONFIG)
    Reporter(runner)(STARTED, _preview(tmp_path, "img_04"))
    assert find_ours(session.viewer, RUN_PREVIEW) is not None
    session.project = annotated_project(tmp_path / "other", write_squares, 2, 1)
    assert find_ours(session.viewer, RUN_PREVIEW) is None


def test_the_whole_of_it_in_this_process(session, project, tmp_path):
    session.project = project
    session.model = save_model(tmp_path / "base.safetensors")
    finetuning = FinetuneController(session)
    _open(session, "img_04")
    finetuning.start(TINY)
    assert finetuning.outcome is not None and finetuning.outcome.model is not None
    assert PastRun(RunFolder(run_folders(project.folder)[0])).end.finetuned_dice == pytest.approx(
        finetuning.outcome.progress.best_dice, abs=0.2
    )
    assert find_ours(session.viewer, RUN_PREDICTION).data.shape == (48, 48)
    assert str(session.model).endswith("base.safetensors")


def test_the_whole_of_it_in_a_child(viewer, project, tmp_path, qtbot):
    session = Session(viewer)
    session.project = project
    session.model = save_model(tmp_path / "base.safetensors")
    finetuning = FinetuneController(session)
    _open(session, "img_04")
    finetuning.start(TINY.model_copy(update={"steps": 9}))
    assert session.trainings.is_running
    qtbot.waitUntil(lambda: not session.trainings.is_running, timeout=240_000)
    assert finetuning.outcome.model is not None, session.message
    qtbot.waitUntil(lambda: find_ours(viewer, RUN_PREDICTION) is not None, timeout=240_000)
    qtbot.waitUntil(lambda: not session.jobs.is_running, timeout=240_000)
    pid = session._processes.warm.pid  # which has looked at the images with the new model
    assert psutil.pid_exists(pid)
    session.close()
    assert not psutil.pid_exists(pid)
