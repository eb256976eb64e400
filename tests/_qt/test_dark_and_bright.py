"""Dark and bright, chosen once for a model: wherever the user has it predict, it is shown images that way round."""

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from napari_unet_finetune._qt.annotate import helping
from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.annotate.first_guess import Found, start_from_prediction
from napari_unet_finetune._qt.compare.controller import CompareController, job_folder
from napari_unet_finetune._qt.layers.layers import find_ours
from napari_unet_finetune._qt.layers.prediction import SIGHT
from napari_unet_finetune._qt.model.panel import ModelPanel
from napari_unet_finetune._qt.predict.controller import predict_controller_of
from napari_unet_finetune._qt.predict.panel import PredictPanel
from napari_unet_finetune._qt.predict.what_to_measure import images_in
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.models.card import find_model_file
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.request import read_request

from .datasets import SIZE, reopened, write_images
from .finetuning_data import save_model


@pytest.fixture
def docks(waiting, tmp_path, qtbot):
    """Return the session, what was asked of it last, and its box, the first image of a dataset being shown."""
    session, runner = waiting
    session.model = "microtube"
    session.project = Project.open(write_images(tmp_path / "images"))
    annotation = annotation_of(session)
    annotation.open("img_0")
    panel = PredictPanel(session, predict_controller_of(session))
    qtbot.addWidget(panel)

    def asked(begin):
        before = runner.folder
        begin()
        qtbot.waitUntil(lambda: runner.folder != before)  # files are listed in a thread
        request = read_request(runner.folder)
        runner.listener.on_end(None)
        return request

    yield session, asked, panel
    panel.release()
    annotation.release()


def predict(source):
    def begin(_session, panel):
        panel.source.set_value(source)
        panel.start()

    return begin


def click(session, _panel):
    clicking = helping.Helping(annotation_of(session))
    clicking.toggle((5.0, 5.0))
    clicking.release()


def compare(session, _panel):
    comparing = CompareController(session)
    comparing.choose_models([session.predictor])
    comparing.compare()


PREDICTIONS = {
    "Predict, the image": predict("image"),
    "Predict, the dataset": predict("dataset"),
    "Start from prediction": lambda session, _: start_from_prediction(annotation_of(session)),
    "Shift and a click": click,
}


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_chosen_for_a_model_holds_for_each_of_its_predictions(docks, prediction):
    session, asked, panel = docks
    panel.appearance.set_value("inverted")
    assert asked(lambda: PREDICTIONS[prediction](session, panel)).config.appearance == "inverted"


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_another_model_knows_by_itself(docks, prediction, tmp_path):
    session, asked, panel = docks
    panel.appearance.set_value("inverted")
    session.predictor = save_model(tmp_path / "finetuned.safetensors")
    assert panel.appearance.value() == "auto"
    assert asked(lambda: PREDICTIONS[prediction](session, panel)).config.appearance == "auto"
    session.predictor = None
    assert panel.appearance.value() == "inverted"


def test_a_comparison_leaves_it_to_each_model(docks):
    session, asked, panel = docks
    panel.appearance.set_value("inverted")
    assert asked(lambda: compare(session, panel)).config.appearance == "auto"
    assert job_folder(session.project).is_dir()


def test_a_click_asks_anew_when_it_is_chosen_otherwise(docks, monkeypatch):
    session, _, panel = docks
    asked = []

    def find(annotation, then):
        asked.append(panel.appearance.value())
        then(Found(annotation.session.current, np.zeros(SIZE, np.uint16), "Exchanged."))

    monkeypatch.setattr(helping, "predict_current", find)
    clicking = helping.Helping(annotation_of(session))
    for way in ("auto", "auto", "inverted", "inverted"):
        panel.appearance.set_value(way)
        clicking.toggle((5.0, 5.0))
        assert session.message.text == "The model finds no object there. Paint it by hand. Exchanged."
    clicking.release()
    assert asked == ["auto", "inverted"]


def is_named(session, title):
    found = find_ours(session.viewer, SIGHT)
    return found is not None and found.name == title


def test_where_only_the_network_can_tell_what_it_sees_is_what_it_probably_sees(docks, qtbot, tmp_path):
    session, _, _ = docks
    alike = tuple(np.linspace(0, 1, 51).tolist())
    known = Appearance(quantiles=alike), Appearance(inverted=(0,), quantiles=alike)
    load_model(save_model(tmp_path / "two.safetensors")).with_card(knows=known).save(tmp_path / "two.safetensors")
    session.model = str(tmp_path / "two.safetensors")
    model = ModelPanel(session)
    qtbot.addWidget(model)
    model.seen.setChecked(True)
    qtbot.waitUntil(lambda: is_named(session, "img_0 as two sees it, probably unchanged"))
    model.release()


@pytest.mark.parametrize("is_selected", [False, True])
def test_what_the_model_sees_is_neither_predicted_nor_measured_instead_of_the_image(docks, qtbot, is_selected):
    session, _, panel = docks
    model, viewer = ModelPanel(session), session.viewer
    qtbot.addWidget(model)
    model.seen.setChecked(True)
    qtbot.waitUntil(lambda: is_named(session, "img_0 as microtube sees it"))
    other = viewer.add_image(np.zeros(SIZE), name="other")
    viewer.layers.selection = {find_ours(viewer, SIGHT)} if is_selected else set()
    assert panel.predicting.source().name == ("img_0" if is_selected else "other")
    assert [image.name for image in images_in(viewer.layers)] == ["img_0", "other"]
    other.visible = False
    assert panel.predicting.source().name == "img_0"
    model.release()


def test_what_the_model_sees_is_exchanged_as_chosen_and_its_title_says_so(docks, qtbot):
    session, _, panel = docks
    model = ModelPanel(session)
    qtbot.addWidget(model)
    model.seen.setChecked(True)

    qtbot.waitUntil(lambda: is_named(session, "img_0 as microtube sees it"))
    as_it_is = find_ours(session.viewer, SIGHT).data.copy()
    panel.appearance.set_value("inverted")
    qtbot.waitUntil(lambda: is_named(session, "img_0 as microtube sees it, with dark and bright exchanged"))
    np.testing.assert_allclose(find_ours(session.viewer, SIGHT).data, 1 - as_it_is, atol=1e-2)
    panel.appearance.set_value("as they are")
    qtbot.waitUntil(lambda: is_named(session, "img_0 as microtube sees it"))
    model.release()


def test_it_is_remembered_with_the_dataset_and_is_not_that_of_another_one(docks, tmp_path):
    session, _, panel = docks
    panel.appearance.set_value("inverted")
    first = session.project
    session.project = Project.open(write_images(tmp_path / "others"))
    assert panel.appearance.value() == "auto"
    session.project = reopened(first)
    assert panel.appearance.value() == "inverted"
    panel.appearance.set_value("auto")
    session.project = reopened(first)
    assert panel.appearance.value() == "auto"


def test_a_model_that_ships_is_the_same_by_its_name_and_by_its_file(session):
    session.show_as("microtube", "inverted")
    assert session.appearance_of(find_model_file("microtube")) == "inverted"
    assert session.appearance_of("nuclei-fluorescence") == "auto"
