"""A package of another program in the docks: it predicts and is compared, and nothing else is offered for it."""

import numpy as np
import pytest

pytest.importorskip("qtpy")
pytest.importorskip("onnxruntime")
pytest.importorskip("ruyaml")

from napari_unet_finetune._qt.compare.curve_controller import CurveController
from napari_unet_finetune._qt.finetune.panel import FinetunePanel
from napari_unet_finetune._qt.layers.layers import find_ours, show_image
from napari_unet_finetune._qt.model.card import card_details, card_rows
from napari_unet_finetune._qt.model.panel import ModelPanel
from napari_unet_finetune._qt.questions.controller import QuestionsController
from napari_unet_finetune.models.card import read_card

from ...models.packages_of_others import RANGE, TILE, described, network, write_package
from ..finetuning_data import annotated_project

INVERTED = {"id": "scale_linear", "kwargs": {"gain": -1.0, "offset": 1.0}}


@pytest.fixture
def package(tmp_path):
    return write_package(tmp_path / "cells.zip", described(before=[RANGE, INVERTED]))


@pytest.fixture
def panel(session, qtbot, tmp_path, write_squares):
    session.project = annotated_project(tmp_path, write_squares, 4, 3)
    session.model = "microtube"
    panel = ModelPanel(session)
    qtbot.addWidget(panel)
    yield panel
    panel.release()


def _texts(box):
    return [box.itemText(index) for index in range(box.count())]


def test_loaded_to_start_from_it_is_chosen_to_predict_with_instead(panel, session, package):
    panel.load(package)
    assert (session.model, session.predictor) == ("microtube", str(package))
    assert "not be finetuned" in session.message.text and "still start from microtube" in session.message.text
    assert "cells" in _texts(panel.predictor) and "cells" not in _texts(panel.base)
    assert panel.predictor.currentText() == "cells" and panel.base.currentText() == "microtube"


def test_its_card_says_what_it_is_for(package):
    rows, details = (dict(of(read_card(package))) for of in (card_rows, card_details))
    assert rows["About"] == "finds cells" and "cannot be finetuned" in rows["For"]
    assert details["Sees"].startswith(f"1 channel in patches of {TILE} px; percentiles 1 and 99")
    assert "multiplied by -1" in details["Notes"] and "finds cells" not in details["Notes"]


def test_it_is_not_exported_and_the_button_says_why(panel, package):
    panel.load(package)
    assert not panel.export_button.isEnabled()
    assert "package of another program already" in panel.export_button.toolTip()
    panel.predictor.set_value(None)
    assert panel.export_button.isEnabled() and "Fiji" in panel.export_button.toolTip()


def test_what_it_sees_is_shown_with_all_that_is_done_to_values(panel, session, package, qtbot):
    show_image(session.viewer, "image", "img_00", session.project.read_image("img_00"))
    session.current = "img_00"
    panel.load(package)
    panel.seen.setChecked(True)
    qtbot.waitUntil(lambda: find_ours(session.viewer, "model sight") is not None)
    seen, image = find_ours(session.viewer, "model sight").data, session.project.read_image("img_00").array
    assert np.corrcoef(seen.ravel(), image.ravel())[0, 1] < -0.9


@pytest.mark.usefixtures("panel")
def test_no_training_starts_from_it_and_each_place_says_so_before_the_click(session, package, qtbot):
    session.model = package  # as it was chosen in an earlier version
    finetune, questions, curve = FinetunePanel(session), QuestionsController(session), CurveController(session)
    qtbot.addWidget(finetune)
    reasons = [finetune.reason.text, curve.plan((1, 2), 1).problem]
    reasons += [questions.problem(question) for question in ("can_learn", "cross_validate", "suggest")]
    assert all("cells is a network of another program" in reason for reason in reasons)
    assert all("section Model" in reason for reason in reasons[:-1]) and not finetune.button.isEnabled()
    finetune.finetuning.start(finetune.config)
    assert session.message.tone == "error" and "not be finetuned" in session.message.text
    session.model = "microtube"
    assert finetune.reason.text == "" and finetune.button.isEnabled()
    finetune.release()


def test_it_predicts_and_what_it_gets_wrong_is_estimated(panel, session, tmp_path):
    panel.load(write_package(tmp_path / "gray.zip", weights=network()))
    questions = QuestionsController(session)
    for question in ("check", "estimate"):
        assert questions.problem(question) == ""
        questions.ask(question)
        assert question in questions.answers, session.message.text
    assert "gray" in questions.cost("estimate")
