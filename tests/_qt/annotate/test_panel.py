"""The section "Annotate": what its buttons do, what it asks before, and what it says."""

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.annotate.panel import AnnotatePanel
from napari_unet_finetune.data.masks import BACKGROUND
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.project.project import Project

from ..datasets import BLOB, message, reopened, write_images


@pytest.fixture
def panel(waiting, qtbot, tmp_path):
    session, _ = waiting
    session.project = Project.open(write_images(tmp_path / "images"))
    panel = AnnotatePanel(session)
    qtbot.addWidget(panel)
    panel.show()
    panel.asked = []
    panel.answer = True
    panel.confirm = lambda question, _yes: bool(panel.asked.append(question)) or panel.answer
    yield panel
    panel.release()


@pytest.fixture
def annotation(panel):
    return annotation_of(panel._session)


def test_without_an_image_it_says_what_to_do(panel):
    assert "Double-click" in panel.title.text()
    assert not panel.empty_button.isEnabled()
    assert panel.next_button.isEnabled()


def test_it_says_which_image_is_shown_and_how_its_mask_stands(panel, annotation):
    annotation.open("img_2")
    assert (panel.title.text(), panel.state.text()) == ("img_2", "○ none")
    annotation.layer.paint((10, 10), 1)
    assert panel.state.text() == "◐ painting"
    annotation.save()
    assert panel.state.text() == "● 1 object, painted · 0.9 %"


def test_buttons_go_through_the_images(panel):
    session = panel._session
    panel.next_button.click()
    assert session.current == "img_0"
    panel.next_button.click()
    panel.previous_button.click()
    assert session.current == "img_0"
    session.project.set_suggested({"img_6": "odd"})
    panel.jump_button.click()
    assert session.current == "img_6"


def test_no_object_here_asks_only_where_something_is_painted(panel, annotation):
    annotation.open("img_0")
    panel.empty_button.click()
    assert panel.asked == []
    assert annotation.session.project.image("img_0").objects == 0
    annotation.open("img_1")
    annotation.layer.paint((10, 10), 1)
    panel.answer = False
    panel.empty_button.click()
    assert "img_1 is painted" in panel.asked[0]
    assert annotation.layer.data.any()
    panel.answer = True
    panel.empty_button.click()
    assert not annotation.layer.data.any()


def test_a_removed_mask_can_be_brought_back_with_a_click(panel, annotation):
    annotation.open("img_0")
    annotation.layer.paint((10, 10), 1)
    panel.remove_button.click()
    assert panel.removed.text() == "The mask of img_0 is removed."
    assert panel.undo_button.isVisible()
    assert not panel.remove_button.isEnabled()
    panel.undo_button.click()
    assert not panel.undo_button.isVisible()
    assert reopened(annotation.session.project).image("img_0").is_annotated


def test_no_undo_is_offered_of_a_mask_whose_file_was_gone(panel, annotation):
    project = annotation.session.project
    project.save_labels("img_0", BLOB, "painted")
    annotation.open("img_0")
    project.image("img_0").mask.unlink()
    panel.remove_button.click()
    assert panel.removed.text() == "The mask of img_0 is removed."
    assert not panel.undo_button.isVisible()


def test_strokes_are_explained_and_have_a_button_each(panel, annotation):
    annotation.session.project.save_labels("img_0", BLOB, "painted")
    annotation.open("img_0")
    assert not panel.object_button.isVisible()
    panel.dense_box.click()
    assert panel.asked == []
    assert annotation.session.project.sparse and not panel.dense_box.isChecked()
    assert "unknown" in panel.hint.text()
    panel.background_button.click()
    assert (annotation.layer.selected_label, annotation.layer.mode) == (BACKGROUND, "paint")
    panel.object_button.click()
    assert annotation.layer.selected_label == 1
    panel.dense_box.click()
    assert not annotation.session.project.sparse and not panel.background_button.isVisible()


def test_a_prediction_on_paint_is_asked_for(panel, annotation, waiting):
    _, runner = waiting
    annotation.open("img_0")
    annotation.layer.paint((10, 10), 1)
    panel.answer = False
    panel.guess_button.click()
    assert runner.folder is None
    panel.answer = True
    panel.guess_button.click()
    assert "img_0 is painted already" in panel.asked[-1]
    assert runner.folder is not None
    assert not panel.guess_button.isEnabled()
    runner.listener.on_end(None)
    assert panel.guess_button.isEnabled()


def test_a_failed_save_stands_in_the_panel(panel, annotation, monkeypatch):
    def refuse(*_):
        raise DataError("The disk is full.")

    annotation.open("img_0")
    monkeypatch.setattr(Project, "write_labels", refuse)
    annotation.layer.paint((10, 10), 1)
    with message("The disk is full"):
        panel.next_button.click()
    assert panel.problem.isVisible()
    assert "The disk is full" in panel.problem.text()
    monkeypatch.undo()
    panel.next_button.click()
    assert not panel.problem.isVisible()


def test_what_is_painted_after_the_dock_was_closed_and_opened_again_is_saved(panel, annotation, qtbot):
    session = panel._session
    annotation.open("img_0")
    layer = annotation.layer
    panel.release()
    again = AnnotatePanel(session)
    qtbot.addWidget(again)
    layer.paint((10, 10), 1)
    assert again.state.text() == "◐ painting"
    again.next_button.click()
    assert session.project.image("img_0").is_annotated
    again.release()
    session.close()


def test_keys_on_the_canvas_are_bound_and_given_back(panel, viewer):
    bound = {str(key) for key in viewer.keymap}
    assert {"N", "Shift+N", "PageUp", "PageDown"} <= bound
    panel.release()
    panel._session.close()
    assert not {"N", "Shift+N", "PageUp", "PageDown"} & {str(key) for key in viewer.keymap}


def test_a_released_panel_hears_nothing(panel, annotation):
    session = panel._session
    annotation.open("img_0")
    panel.release()
    session.close()
    signals = (session.project_changed, session.images_changed, session.current_changed, session.about_to_read_files)
    assert [len(signal) for signal in (*signals, session.jobs.changed)] == [0] * 5
    np.testing.assert_array_equal(session.viewer.layers[1].data, 0)
