"""The section "Questions": asked with a click, answered in words, kept for the next time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QUrl

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.finetune.controller import FinetuneController
from napari_unet_finetune._qt.layers.layers import find_ours
from napari_unet_finetune._qt.predict.controller import predict_controller_of
from napari_unet_finetune._qt.questions import panel as panel_module
from napari_unet_finetune._qt.questions.panel import QuestionsPanel
from napari_unet_finetune._qt.session.jobs import Report
from napari_unet_finetune._qt.widgets import file_dialogs
from napari_unet_finetune.evaluation.rows import Row
from napari_unet_finetune.events import JobEnded
from napari_unet_finetune.jobs.answers import keep_answer
from napari_unet_finetune.progress import RunProgress
from napari_unet_finetune.project.question_plan import QUESTIONS, Asked
from napari_unet_finetune.result import Offer
from napari_unet_finetune.runs.folders import run_folders
from napari_unet_finetune.runs.request import read_request
from napari_unet_finetune.suggest.suggestion import Suggestion, Suggestions

from ..datasets import message, reopened
from ..finetuning_data import TINY, annotated_project, save_model

pytestmark = pytest.mark.usefixtures("qapp")


def panel_of(session: Any, tmp_path: Path, write_squares: Any, masks: int = 4) -> QuestionsPanel:
    """Return the section for a dataset of 6 images, with tiny trainings."""
    session.project = annotated_project(tmp_path, write_squares, masks=masks)
    session.model = save_model(tmp_path / "base.safetensors")
    panel = QuestionsPanel(session)
    panel.asking.settings = lambda _preset: TINY
    panel.asking.trial_steps = 3
    return panel


@pytest.fixture
def panel(session: Any, tmp_path: Path, write_squares: Any, qtbot: Any) -> Any:
    panel = panel_of(session, tmp_path, write_squares)
    qtbot.addWidget(panel)
    yield panel
    panel.release()


def cells(panel: QuestionsPanel) -> list[list[str]]:
    table = panel.view.table
    return [[table.item(row, place).text() for place in range(table.columnCount())] for row in range(table.rowCount())]


def test_without_a_dataset_every_question_says_so(session: Any, qtbot: Any) -> None:
    panel = QuestionsPanel(session)
    qtbot.addWidget(panel)
    for row in panel.rows.values():
        assert not row.button.isEnabled() and "Open a dataset" in row.cost.text()


def test_what_cannot_be_asked_says_why_and_the_rest_what_it_takes(panel: QuestionsPanel) -> None:
    assert [question for question in QUESTIONS if not panel.rows[question].button.isEnabled()] == ["forecast", "report"]
    assert panel.rows["forecast"].cost.text() == "Run a learning curve in Compare models first."
    assert panel.rows["report"].cost.text() == "Finetune a model first."
    assert panel.rows["suggest"].cost.text() == "6 images, 4 annotated: about 10 s."
    assert panel.rows["cross_validate"].cost.text() == "4 short trainings, each without one of the images."
    assert panel.rows["estimate"].cost.text() == "base on 4 annotated images."
    panel.session.project.remove_labels("img_00")
    panel.session.images_changed.emit()
    assert panel.rows["estimate"].cost.text() == "base on 3 annotated images."


def test_a_missing_model_is_named(panel: QuestionsPanel) -> None:
    panel.session.model = "gone.safetensors"
    assert not panel.rows["suggest"].button.isEnabled()
    assert "gone" in panel.rows["suggest"].cost.text()


def test_suggested_images_are_marked_listed_and_opened(panel: QuestionsPanel) -> None:
    panel.rows["suggest"].button.click()
    marked = {image.name: image.suggested for image in panel.session.project.images if image.suggested}
    assert set(marked) == {"img_04", "img_05"}
    assert {name: reason for name, _, reason in cells(panel)} == marked
    assert "2 images" in panel.view.headline.text and "★" in panel.view.hint.text()
    panel.view.table.cellClicked.emit(1, 0)
    assert panel.session.current == cells(panel)[1][0]


@pytest.mark.parametrize("mark", ["", "[y0 x0]", "[y448 x1024]"])
def test_a_row_about_a_region_leads_to_its_image(panel: QuestionsPanel, mark: str) -> None:
    name = panel.session.project.names[1]
    table = SimpleNamespace(of_images=True, rows=((f"{name}{mark}", "0.9"), (f"gone{mark}", "0.8")))
    kept: Any = SimpleNamespace(result=SimpleNamespace(table=table))
    assert [panel.asking.image_of(kept, row) for row in range(3)] == [name, "", ""]


def test_a_check_up_shows_numbers_and_its_factor_goes_to_the_settings(panel: QuestionsPanel, qtbot: Any) -> None:
    panel.rows["check"].button.click()
    assert ["with a mask", "4", "–"] in cells(panel)
    with qtbot.waitSignal(panel.rescale_requested) as asked:
        panel.view.offer_taken.emit(Offer("rescale", "Use factor 0.5", 0.5))
    assert asked.args == [0.5]


def test_a_model_trained_here_is_asked_about_the_images_that_were_held_out(panel: QuestionsPanel) -> None:
    training = FinetuneController(panel.session)
    training.start(TINY)
    assert panel.rows["estimate"].cost.text().endswith("on 1 image held out of its training.")
    panel.rows["estimate"].button.click()
    assert len(cells(panel)) == 1
    panel.session.model = panel.session.predictor
    assert "trained on some of these" in panel.rows["cross_validate"].cost.text()


def test_a_trial_ends_with_a_verdict(panel: QuestionsPanel) -> None:
    panel.rows["can_learn"].button.click()
    assert panel.view.headline.text
    assert len(cells(panel)) == 2
    assert panel.view.source.text().endswith("base · 4 annotated images")


def test_errors_are_shown_on_an_image_until_another_one_is_opened(panel: QuestionsPanel) -> None:
    session = panel.session
    panel.rows["estimate"].button.click()
    assert [row[0] for row in cells(panel)] == ["img_00", "img_01", "img_02", "img_03"]
    panel.view.table.cellClicked.emit(2, 0)
    layer = find_ours(session.viewer, "error")
    assert session.current == "img_02" and layer.name == "errors on img_02"
    labels = session.project.read_labels("img_02") > 0
    assert np.array_equal(np.isin(layer.data, (1, 3)), labels)  # found or missed
    assert session.viewer.layers.selection.active is annotation_of(session).layer
    annotation_of(session).open("img_03")
    assert find_ours(session.viewer, "error") is None
    panel.view.table.cellClicked.emit(2, 0)
    panel.show_answer(None)
    assert find_ours(session.viewer, "error") is None
    panel.show_answer("estimate")
    panel.view.table.cellClicked.emit(2, 0)
    session.project = reopened(session.project)
    assert find_ours(session.viewer, "error") is None


def test_an_image_that_has_changed_its_size_shows_no_errors(panel: QuestionsPanel) -> None:
    panel.rows["estimate"].button.click()
    folder = panel.asking.answers["estimate"].folder
    tifffile.imwrite(next(folder.glob("maps/003_*")), np.zeros((8, 9), np.uint8))
    with message("has changed"):
        panel.view.table.cellClicked.emit(2, 0)
    assert find_ours(panel.session.viewer, "error") is None


def test_a_threshold_is_used_only_for_the_model_it_was_found_for(panel: QuestionsPanel, tmp_path: Path) -> None:
    session, predicting = panel.session, predict_controller_of(panel.session)
    panel.rows["estimate"].button.click()
    asked = session.predictor
    session.predictor = save_model(tmp_path / "other.safetensors", seed=1)
    panel.view.offer_taken.emit(Offer("threshold", "Use threshold 0.60", 0.6))
    assert "use the threshold 0.60" in session.message.text
    assert predicting.config.threshold is None
    session.predictor = asked
    assert predicting.config.threshold == 0.6


def test_each_image_is_scored_by_a_model_that_was_trained_without_it(panel: QuestionsPanel) -> None:
    panel.session.project.set_role(["img_02", "img_03"], "unused")
    panel.rows["cross_validate"].button.click()
    assert [row[0] for row in cells(panel)] == ["img_00", "img_01"]
    assert panel.view.headline.text.startswith("Dice 0.")


def test_a_training_under_way_keeps_only_another_training_from_starting(
    waiting: Any, tmp_path: Path, write_squares: Any, qtbot: Any
) -> None:
    session, runner = waiting
    panel = panel_of(session, tmp_path, write_squares)
    qtbot.addWidget(panel)
    panel.rows["cross_validate"].button.click()
    assert session.trainings.is_running and not session.jobs.is_running
    assert not panel.rows["cross_validate"].button.isEnabled()
    assert "still running" in panel.rows["cross_validate"].cost.text()
    assert panel.rows["estimate"].button.isEnabled()
    runner.listener.on_report(Report(JobEnded(), RunProgress()))
    runner.listener.on_end(None)
    assert "there is no answer" in session.message.text
    assert panel.rows["cross_validate"].button.isEnabled() and panel.shown is None
    assert not panel.asking.answers
    panel.release()


def test_unsaved_paint_is_saved_before_a_question(panel: QuestionsPanel) -> None:
    saved: list[int] = []
    panel.session.about_to_read_files.connect(lambda: saved.append(len(run_folders(panel.session.project.folder))))
    panel.rows["check"].button.click()
    assert saved == [0]


def test_answers_are_there_again_when_the_dataset_is_reopened(panel: QuestionsPanel) -> None:
    session = panel.session
    panel.rows["check"].button.click()
    panel.rows["suggest"].button.click()
    assert panel.shown == "suggest"
    first, words = session.project, panel.view.headline.text
    session.project = None
    assert panel.shown is None and panel.view.isHidden()
    session.project = reopened(first)
    row = panel.rows["suggest"]
    assert not row.answer.isHidden() and panel.rows["estimate"].answer.isHidden()
    row.answer.click()
    assert panel.view.headline.text == words and not panel.view.isHidden()
    panel.rows["check"].answer.click()
    assert panel.shown == "check" and not row.answer.isChecked()
    panel.rows["check"].answer.click()
    assert panel.shown is None


def test_an_answer_for_a_dataset_that_was_closed_marks_nothing_in_another_one(
    waiting: Any, tmp_path: Path, write_squares: Any, qtbot: Any
) -> None:
    session, runner = waiting
    panel = panel_of(session, tmp_path / "a", write_squares)
    qtbot.addWidget(panel)
    panel.ask("suggest")
    assert read_request(runner.folder).count == 5
    result = Suggestions((Suggestion("img_05", 1, "Dark.", {}),))
    keep_answer(runner.folder, Asked(question="suggest"), result)
    first = session.project
    session.project = annotated_project(tmp_path / "b", write_squares)
    runner.listener.on_end(runner.folder / "result.json")
    assert "in another dataset" in session.message.text and panel.shown is None
    assert not any(image.suggested for image in session.project.images)
    session.project = first
    assert list(panel.asking.answers) == ["suggest"]
    panel.release()


def test_a_learning_curve_is_carried_on_without_a_job(panel: QuestionsPanel, qtbot: Any, tmp_path: Path) -> None:
    rows = tuple(
        Row(count, seed, "default", 2, f"t{image}", 0.9 - 0.3 / count, 0.8, 0.8, 1.0)
        for count in (2, 4, 8) for seed in (0, 1) for image in range(3)
    )  # fmt: skip
    study: Any = SimpleNamespace(path=tmp_path / "20260102-120000-learning-curve", rows=rows)
    panel.session.history.study = study
    panel.refresh()
    with qtbot.waitSignal(panel.asking.answered):
        panel.rows["forecast"].button.click()
    assert cells(panel)[0] == ["2", "0.750", "2"]
    assert panel.view.source.text().endswith("learning curve of 02 Jan 12:00")


def test_a_report_is_written_where_it_was_asked_for_and_opened(
    panel: QuestionsPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = FinetuneController(panel.session)
    training.start(TINY)
    assert panel.rows["report"].cost.text().startswith("A page about the training of")
    monkeypatch.setattr(
        file_dialogs.QFileDialog, "getSaveFileName", lambda *_args: (str(tmp_path / "mine"), "")
    )  # fmt: skip
    panel.rows["report"].button.click()
    assert (tmp_path / "mine.html").is_file()
    opened: list[QUrl] = []
    monkeypatch.setattr(panel_module.QDesktopServices, "openUrl", lambda url: opened.append(url) or True)
    (button,) = panel.view.buttons
    button.click()
    assert [url.toLocalFile() for url in opened] == [str(tmp_path / "mine.html")]
    (tmp_path / "mine.html").unlink()
    with message("no longer there"):
        button.click()


def test_a_report_is_not_written_without_a_place_for_it(panel: QuestionsPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_dialogs.QFileDialog, "getSaveFileName", lambda *_args: ("", ""))
    panel.ask("report")
    assert not run_folders(panel.session.project.folder)


def test_a_released_section_hears_nothing_any_more(
    session: Any, tmp_path: Path, write_squares: Any, qtbot: Any
) -> None:
    panel = panel_of(session, tmp_path, write_squares)
    qtbot.addWidget(panel)
    panel.release()
    before = panel.rows["suggest"].cost.text()
    session.project = None
    session.images_changed.emit()
    assert panel.rows["suggest"].cost.text() == before
