"""Start from a prediction: what the model finds becomes paint, and what was painted stays."""

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from napari_unet_finetune._qt.annotate.annotation import annotation_of, image_keys
from napari_unet_finetune._qt.annotate.first_guess import start_from_prediction
from napari_unet_finetune._qt.session.jobs import Job, Report
from napari_unet_finetune.data.masks import BACKGROUND
from napari_unet_finetune.errors import ModelError, RunError
from napari_unet_finetune.events import ImagePredicted
from napari_unet_finetune.progress import RunProgress
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.request import read_request

from ..datasets import BLOB, SIZE, message, reopened, write_images


@pytest.fixture
def predicting(waiting, tmp_path, qapp):  # noqa: ARG001 - timers need an application
    session, runner = waiting
    session.project = Project.open(write_images(tmp_path / "images"))
    annotation = annotation_of(session)
    annotation.open("img_0")
    yield annotation, runner
    annotation.release()


def answer(runner, labels, shown=""):
    """Let the job find `labels`, at a threshold of 0.4, in an image that was `shown` to the model so."""
    file = runner.folder / "0.npy"
    np.save(file, np.where(labels > 0, 103, 102).astype(np.uint8))
    event = ImagePredicted(0, 1, "img_0", file, 0.4, shown)
    runner.listener.on_report(Report(event, RunProgress()))
    runner.listener.on_end(None)


def test_what_the_model_finds_is_paint_that_is_saved_as_predicted(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    request = read_request(runner.folder)
    assert (request.checkpoint, request.images[0].path.name) == (annotation.session.predictor, "img_0.tif")
    assert [image.name for image in request.ahead] == ["img_1"]  # while this one is corrected
    answer(runner, BLOB)
    np.testing.assert_array_equal(annotation.layer.data, BLOB)
    image = reopened(annotation.session.project).image("img_0")
    assert (image.origin, image.objects) == ("predicted", 1)
    assert not runner.folder.exists()


def test_one_key_accepts_it_and_undo_and_redo_change_nothing_of_that(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    answer(runner, BLOB)
    origins = []
    for act in (annotation.layer.undo, annotation.layer.redo, image_keys(annotation)["A"], annotation.layer.undo,
                annotation.layer.redo):  # fmt: skip
        act()
        annotation.save()
        origins.append(reopened(annotation.session.project).image("img_0").origin)
    assert origins == ["none", "predicted", "accepted", "none", "accepted"]
    assert reopened(annotation.session.project).image("img_0").made_by == "nuclei-fluorescence"
    annotation.layer.paint((30, 30), 1)
    annotation.save()
    assert reopened(annotation.session.project).image("img_0").made_by == ""


def test_a_prediction_of_an_earlier_session_is_still_not_looked_at_until_somebody_paints(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    answer(runner, BLOB)
    session = annotation.session
    session.project = reopened(session.project)
    annotation.open("img_0")
    annotation.next()
    annotation.previous()
    assert session.project.image("img_0").is_predicted
    annotation.layer.paint((30, 30), 1)
    annotation.save()
    assert reopened(session.project).image("img_0").origin == "corrected"


def test_the_key_means_nothing_elsewhere(predicting):
    annotation, _ = predicting
    annotation.layer.paint((30, 30), 1)
    annotation.accept()
    assert reopened(annotation.session.project).image("img_0").origin == "painted"
    annotation.next()
    annotation.accept()
    assert not annotation.session.project.image("img_1").is_annotated


ENDINGS = {
    "painting": lambda annotation: annotation.layer.paint((30, 30), 1),
    "accepting": lambda annotation: annotation.accept(),
    "undoing": lambda annotation: annotation.layer.undo(),
    "removing": lambda annotation: annotation.remove_masks(["img_0"]),
    "going on": lambda annotation: annotation.next(),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_is_to_be_done_about_a_prediction_is_said_until_it_is_done(predicting, ending):
    annotation, runner = predicting
    start_from_prediction(annotation)
    answer(runner, BLOB)
    annotation.save()
    assert "It is used once you correct it" in annotation.session.message.text
    ENDINGS[ending](annotation)
    annotation.save()
    assert "It is used once" not in annotation.session.message.text


def test_that_the_model_is_looking_is_said_while_it_looks(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    assert annotation.session.message.text == "The model is looking at img_0 …"
    runner.listener.on_end(None)  # stopped
    assert annotation.session.message.text == ""


def test_that_no_image_is_left_is_said_until_there_is_one(predicting):
    annotation, _ = predicting
    session = annotation.session
    for name in session.project.names:
        session.project.save_labels(name, BLOB, "painted")
    annotation.next_to_annotate()
    assert session.message.text == "All images are annotated."
    annotation.remove_masks(["img_1"])
    assert session.message.text == ""


def test_that_the_viewer_shows_space_is_said_while_it_does(predicting):
    annotation, _ = predicting
    annotation.session.viewer.dims.ndisplay = 3
    annotation.open("img_1")
    assert "three dimensions" in annotation.session.message.text
    annotation.session.viewer.dims.ndisplay = 2
    assert annotation.session.message.text == ""


def test_whoever_counts_annotated_images_hears_of_it(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    project, heard = annotation.session.project, []
    annotation.session.images_changed.connect(lambda: heard.append(project.image("img_0").origin))
    answer(runner, BLOB)
    annotation.accept()
    assert heard[0] == "predicted" and heard[-1] == "accepted"


def test_correcting_it_keeps_it_corrected_and_undo_takes_it_back(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    answer(runner, BLOB)
    annotation.layer.paint((30, 30), 1)
    annotation.save()
    assert reopened(annotation.session.project).image("img_0").origin == "corrected"
    annotation.layer.undo()
    annotation.layer.undo()
    annotation.save()
    assert not reopened(annotation.session.project).image("img_0").is_annotated


def test_paint_is_never_overwritten_only_added_to(predicting):
    annotation, runner = predicting
    annotation.layer.paint((10, 10), 7)
    painted = annotation.layer.data.copy()
    start_from_prediction(annotation)
    answer(runner, BLOB)
    np.testing.assert_array_equal(annotation.layer.data[painted > 0], painted[painted > 0])
    np.testing.assert_array_equal(annotation.layer.data > 0, (painted > 0) | (BLOB > 0))
    assert annotation.session.project.image("img_0").origin == "predicted"  # who looked at what was added?
    annotation.layer.undo()
    annotation.save()
    assert annotation.session.project.image("img_0").origin == "painted"


def test_with_strokes_it_covers_the_image_in_both_labels(predicting):
    annotation, runner = predicting
    annotation.set_sparse(True)
    start_from_prediction(annotation)
    answer(runner, BLOB)
    np.testing.assert_array_equal(annotation.layer.data, np.where(BLOB > 0, 1, BACKGROUND))


def test_nothing_found_is_said_and_no_mask(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    with message("finds nothing in img_0"):
        answer(runner, np.zeros(SIZE))
    assert not annotation.session.project.image("img_0").is_annotated


@pytest.mark.parametrize("found", [BLOB, np.zeros(SIZE)], ids=["objects", "nothing"])
def test_how_the_model_saw_the_image_is_told_whatever_it_found(predicting, found):
    annotation, runner = predicting
    start_from_prediction(annotation)
    answer(runner, found, "with dark and bright exchanged")
    seen = "The model saw 1 image with dark and bright exchanged: img_0."
    assert annotation.session.message.text.endswith(seen)
    start_from_prediction(annotation)
    answer(runner, found, "with dark and bright exchanged")  # nothing new
    assert annotation.session.message.text.endswith(seen)


def test_an_image_that_was_left_meanwhile_is_not_painted(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    annotation.next()
    answer(runner, BLOB)
    assert "before its prediction" in annotation.session.message.text
    assert not annotation.layer.data.any()
    annotation.previous()
    assert not annotation.layer.data.any()


def test_a_deleted_layer_is_no_error(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    annotation.session.viewer.layers.clear()
    answer(runner, BLOB)
    assert "before its prediction" in annotation.session.message.text


def test_a_model_that_cannot_be_read_is_one_sentence_and_leaves_no_file(predicting):
    annotation, runner = predicting
    start_from_prediction(annotation)
    with message("no such model"):
        runner.listener.on_error(ModelError("no such model"))
    assert not runner.folder.exists()


def test_a_second_prediction_has_to_wait(predicting):
    annotation, _ = predicting
    annotation.session.jobs.start(Job(annotation.session.project.folder / "job", "Predicting others"))
    with pytest.raises(RunError, match="still running"):
        start_from_prediction(annotation)


@pytest.mark.slow
def test_the_model_that_ships_paints_an_image(session, tmp_path, qapp):  # noqa: ARG001 - timers need an application
    session.project = Project.open(write_images(tmp_path / "images", 1))
    annotation = annotation_of(session)
    annotation.open("img_0")
    start_from_prediction(annotation)
    assert "Added the prediction" in session.message.text or "finds nothing" in session.message.text
    annotation.release()
