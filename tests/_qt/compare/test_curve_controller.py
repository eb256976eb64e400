"""A learning curve: planned from the roles, trained in the background, resumed, drawn, and its models compared."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from qtpy.QtGui import QColor, QImage

from napari_unet_finetune._qt.compare.curve_controller import CurveController
from napari_unet_finetune._qt.compare.curve_panel import CurvePanel
from napari_unet_finetune._qt.compare.models import list_models_to_compare
from napari_unet_finetune._qt.compare.panel import ComparePanel
from napari_unet_finetune._qt.widgets.curves import LearningCurve
from napari_unet_finetune.evaluation.rows import Row, score_by_count
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.folders import run_folders
from napari_unet_finetune.runs.request import read_request

from ..comparison_data import project_with_tests, with_models
from ..datasets import message
from ..finetuning_data import TINY

CONFIG = TINY.model_copy(update={"steps": 2, "validate_every": 1})


@pytest.fixture
def project(tmp_path, write_squares):
    return project_with_tests(tmp_path, write_squares)


@pytest.fixture
def curve(session, project, tmp_path):
    with_models(session, tmp_path / "models", 1)
    session.project = project
    return CurveController(session)


def test_trainings_leave_a_study_with_rows_and_models(curve, session):
    ended = []
    curve.ended.connect(ended.append)
    curve.start((1, 3, 9), 1, CONFIG)
    assert [study.path for study in ended] == [curve.study.path]
    assert curve.study.is_finished and not curve.is_running and not curve.is_interrupted
    assert list(score_by_count(curve.study.rows_and_patches, 2)) == [0, 1, 3]
    assert not score_by_count(curve.study.rows_and_patches, 1)
    assert session.message.text.startswith("Dice on 2 test images: ") and "cannot be measured" in session.message.text
    labels = [entry.label.partition(",")[0] for entry in list_models_to_compare(session)]
    assert labels[:3] == ["model-0", "1 image", "3 images"]
    uses = {image.name: image.used_as for image in session.project.images if image.used_as}
    assert sorted(uses.values()) == ["test", "test", "train", "train", "train"]
    assert not any("other images" in sentence for sentence in curve.sentences)


def test_what_was_painted_is_saved_first_and_masks_are_copied(curve, session):
    called = []
    session.about_to_read_files.connect(lambda: called.append(True))
    curve.start((1,), 1, CONFIG)
    request = read_request(curve.study.path)
    assert called
    assert all(curve.study.path in pair.mask.path.parents for pair in (*request.train, *request.test))
    assert request.checkpoint == session.model and request.counts == (0, 1)


def test_a_folder_of_the_old_dataset_is_tested_too(curve, session, tmp_path, write_squares):
    curve.start((1,), 1, CONFIG, write_squares(tmp_path / "old", 2))
    assert [list(score_by_count(curve.study.rows_and_patches, dataset)) for dataset in (1, 2)] == [[0, 1], [0, 1]]
    assert "old images are" in session.message.text and "cannot be measured" not in session.message.text


def test_what_keeps_it_from_starting_is_said(session, tmp_path, write_squares):
    curve = CurveController(session)
    assert "Open a dataset first" in curve.plan((1,), 1).problem
    session.project = Project.open(write_squares(tmp_path / "few", 2) / "images", tmp_path / "project")
    with message("Annotate at least 4 images"):
        curve.start((1,), 1, CONFIG)
    assert run_folders(session.project.folder) == ()


def test_one_that_is_under_way_is_shown_and_keeps_another_from_starting(waiting, project, tmp_path):
    session, runner = waiting
    with_models(session, tmp_path / "models", 1)
    session.project = project
    curve = CurveController(session)
    curve.start((1, 2), 2, CONFIG)
    assert curve.is_running and not curve.is_interrupted and curve.sentences == ()
    assert "Learning curve is still" in curve.plan((1,), 1).problem
    runner.listener.on_end(None)
    assert "Resume" in session.message.text and curve.is_interrupted


def test_an_interrupted_one_is_found_on_another_day_and_resumed(curve, session, project, monkeypatch):
    steps = []

    def stop(_control):
        steps.append(None)
        return len(steps) > 4

    monkeypatch.setattr("napari_unet_finetune.runs.serve.Control.should_stop", stop)
    curve.start((1, 3), 1, CONFIG)
    assert curve.is_interrupted
    monkeypatch.undo()
    again = CurveController(session)
    session.project = Project.open(project.source, project.folder)
    assert again.study.path == curve.study.path and again.is_interrupted
    seen = []
    slot = session.trainings
    slot.changed.connect(lambda: seen.append(slot.job.progress.step if slot.job else 0))
    again.resume()
    assert again.study.is_finished and len(again.study.models) == 2
    assert len(run_folders(session.project.folder)) == 1


def test_models_of_a_curve_are_compared_as_soon_as_it_ends(curve, session, qtbot):
    panel = ComparePanel(session, curve)
    qtbot.addWidget(panel)
    curve.start((1, 3), 2, CONFIG)
    assert [column.label.partition(",")[0] for column in panel.comparing.columns] == ["model-0", "1 image", "3 images"]
    assert [column.tag for column in panel.comparing.columns] == ["base", "", ""]
    assert len(panel.comparing.cells) == 6
    colors = curve.colors(panel.comparing.colors)
    assert colors == {0: panel.comparing.columns[0].color, 1: panel.comparing.columns[1].color,
                      3: panel.comparing.columns[2].color}  # fmt: skip
    panel.release()


def test_the_panel_plans_starts_and_says_what_came_of_it(curve, session, qtbot, monkeypatch):
    compare = ComparePanel(session, curve)
    panel = CurvePanel(session, curve, compare.comparing)
    for widget in (compare, panel):
        qtbot.addWidget(widget)
    panel.show()
    assert "Give a count of at most 4" in panel.plan.text() and not panel.start.isEnabled()
    panel.counts.setText("1, 2")
    assert panel.start.isEnabled() and "2 trainings, with the first 1, 2 of those to train on." in panel.plan.text()
    panel.seeds.setValue(2)
    assert "4 to train on" in panel.plan.text().partition("\n")[0] and "\n4 trainings" in panel.plan.text()
    panel.counts.setText("one")
    assert "is not a list of numbers" in panel.plan.text() and not panel.start.isEnabled()
    panel.counts.setText("1")
    panel.old.set_value(session.project.folder / "nowhere")
    assert "there is no such folder" in panel.plan.text()
    panel.old.set_value(None)
    panel.seeds.setValue(1)
    assert panel.config.preset == "default"
    monkeypatch.setattr(type(panel), "config", CONFIG)
    panel.start.click()
    assert panel.chart.isVisible() and "test images" in panel.words.text() and panel.resume.isHidden()
    panel.release()
    compare.release()


def test_how_long_it_will_take_is_known_from_the_last_training(curve, session, qtbot):
    panel = CurvePanel(session, curve, ComparePanel(session, curve).comparing)
    qtbot.addWidget(panel)
    panel.counts.setText("1, 2")
    assert "steps each" not in panel.plan.text()
    session.history.pace = 1e-6
    session.project_changed.emit()
    assert "2,000 steps each, about 4 min in all" in panel.plan.text()
    panel.preset.set_value("fast")
    assert "300 steps each, about 40 s in all" in panel.plan.text()
    panel.preset.set_value("seed recipe")
    assert "steps each" not in panel.plan.text()
    panel.release()


def test_masks_that_are_added_change_the_plan(curve, session, qtbot):
    compare = ComparePanel(session, curve)
    panel = CurvePanel(session, curve, compare.comparing)
    for widget in (compare, panel):
        qtbot.addWidget(widget)
    panel.counts.setText("5")
    before = panel.plan.text()
    blob = np.zeros((48, 48), np.uint16)
    blob[4:9, 4:9] = 1
    session.project.save_labels("x_bare", blob, "painted")
    session.images_changed.emit()
    assert before != panel.plan.text() and panel.start.isEnabled()
    panel.release()
    compare.release()


def drawn(chart, qtbot):
    qtbot.addWidget(chart)
    chart.resize(320, 220)
    image = QImage(320, 220, QImage.Format.Format_RGB32)  # a screen may have fewer colors
    chart.render(image)
    return [image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height())]


def of_model(dataset, count, dice, seed=0):
    return Row(count, seed, "default", dataset, "a", dice, 0, 0, None)


ROWS = [of_model(2, count, dice + seed / 50, seed) for count, dice in ((0, 0.4), (5, 0.8)) for seed in (0, 1)]


def test_the_chart_draws_each_model_in_its_color(qtbot):
    chart = LearningCurve()
    chart.set_rows(ROWS, {0: "#56B4E9", 5: "#D55E00"})
    found = drawn(chart, qtbot)
    assert found.count("#56b4e9") > 20 and found.count("#d55e00") > 20


def test_the_old_dataset_is_a_second_line(qtbot):
    one, two = LearningCurve(), LearningCurve()
    one.set_rows(ROWS, {})
    two.set_rows([*ROWS, of_model(1, 0, 0.95), of_model(1, 5, 0.94)], {})
    assert drawn(one, qtbot) != drawn(two, qtbot)


def test_objects_are_a_line_of_their_own_where_they_were_scored(qtbot):
    one, two = LearningCurve(), LearningCurve()
    one.set_rows(ROWS, {})
    two.set_rows([replace(row, predicted_objects=4, true_objects=4, matches=(2,) * 10) for row in ROWS], {})
    assert drawn(one, qtbot) != drawn(two, qtbot)


def test_the_chart_follows_the_theme(qtbot):
    chart = LearningCurve()
    palette = chart.palette()
    palette.setColor(palette.ColorRole.WindowText, QColor("#123456"))
    chart.setPalette(palette)
    chart.set_rows(ROWS, {})
    assert "#123456" in drawn(chart, qtbot)


@pytest.mark.parametrize("rows", [[], [of_model(2, 0, 1.0)], [of_model(2, 0, 0.0), of_model(2, 1, 1.0)]])
def test_any_scores_can_be_drawn(rows, qtbot):
    chart = LearningCurve()
    chart.set_rows(rows, {})
    assert drawn(chart, qtbot)
