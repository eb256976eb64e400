"""The dock "Compare models" in a real window, and what its buttons do."""

import pytest

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLabel, QMessageBox

from napari_unet_finetune._qt.compare.controller import CompareController
from napari_unet_finetune._qt.compare.curve_controller import CurveController
from napari_unet_finetune._qt.compare.export import save_canvas
from napari_unet_finetune._qt.compare.panel import ComparePanel
from napari_unet_finetune._qt.compare_dock import CompareWidget
from napari_unet_finetune._qt.layers.layers import mark_of
from napari_unet_finetune._qt.session.jobs import JobSlot
from napari_unet_finetune._qt.widgets.tick_dialog import TickDialog

from .comparison_data import project_with_tests, with_models
from .conftest import run_here
from .datasets import message


@pytest.fixture
def project(tmp_path, write_squares):
    return project_with_tests(tmp_path, write_squares)


@pytest.fixture
def panel(session, project, tmp_path, qtbot):
    """Return a panel that has compared two models."""
    files = with_models(session, tmp_path / "models")
    session.project = project
    found = ComparePanel(session, CurveController(session))
    qtbot.addWidget(found)
    found.comparing.add_file(type(tmp_path)(files[1]))
    found.compare.click()
    yield found
    found.release()


def checked(panel):
    return [mode for mode, button in panel.controls.modes.items() if button.isChecked()]


def choose_file(monkeypatch, path, kind="PNG (*.png)"):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(path), kind))


def choose(panel, text):
    """Choose what the menu Export calls `text`."""
    next(action for action in panel.menu.actions() if action.text() == text).trigger()


def test_models_are_ticked_and_images_chosen(session, project, tmp_path, qtbot):
    files = with_models(session, tmp_path / "models")
    panel = ComparePanel(session, CurveController(session))
    qtbot.addWidget(panel)
    assert not panel.compare.isEnabled() and "Open a dataset first" in panel.problem.text()
    session.project = project
    assert panel.compare.isEnabled() and panel.problem.isHidden()
    assert panel.images.currentText() == "Test images (2)"
    assert panel.models.item(0).text() == "model-0" and panel.models.value() == [files[0]]
    panel.models.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert not panel.compare.isEnabled() and panel.problem.text() == "Tick at least one model."
    panel.models.item(0).setCheckState(Qt.CheckState.Checked)
    panel.images.set_value("all")
    panel.compare.click()
    assert len(panel.comparing.cells) == 7
    panel.release()


def test_a_dock_opened_again_shows_the_comparison_that_was_begun_before(panel, session, qtbot):
    panel.comparing.compare()
    again = ComparePanel(session, CurveController(session))
    qtbot.addWidget(again)
    assert again.comparing.cells == panel.comparing.cells
    assert again.scores.table.rowCount() > 0
    again.release()


def test_images_are_ticked_one_by_one(panel, monkeypatch):
    def tick(picker):
        picker.words.setText("bare")
        shown = [item for item in picker._items.values() if not item.isHidden()]
        assert [item.text() for item in shown] == ["x_bare"]
        shown[0].setCheckState(Qt.CheckState.Checked)
        return True

    monkeypatch.setattr(TickDialog, "exec", tick)
    panel.images.set_value("choose")
    assert panel.images.currentText() == "Chosen images (3)"
    assert panel.comparing.image_set.names == ("img_04", "img_05", "x_bare")
    monkeypatch.setattr(TickDialog, "exec", lambda _picker: False)
    panel.images.set_value("choose")
    assert panel.images.currentText() == "Chosen images (3)"
    panel.compare.click()
    assert len(panel.comparing.cells) == 6


def test_a_click_on_a_cell_shows_that_image_with_that_model(panel, viewer):
    assert panel.shown.image == "img_04"
    panel.scores.cell_chosen.emit("img_05", "model-1")
    assert panel.controls.model.text() == "model-1" and panel.controls.words.text().startswith(
        "img_05 · model-1 · Dice"
    )
    assert [mark_of(layer) for layer in viewer.layers if layer.visible][1] == "compare:model:model-1"
    assert panel.scores.view.currentIndex() == panel.scores.table.place_of("img_05", "model-1")


def test_buttons_switch_modes_and_the_legend_speaks(panel, viewer):
    assert checked(panel) == ["overlay"] and panel.controls.legend.isHidden()
    panel.controls.modes["errors"].click()
    assert checked(panel) == ["errors"] and not panel.controls.legend.isHidden()
    assert "false positive" in panel.controls.legend.text() and "missed" in panel.controls.legend.text()
    panel.controls.modes["grid"].click()
    assert checked(panel) == ["grid"] and viewer.canvas.grid.enabled
    panel.controls.next.click()
    assert panel.controls.model.text() == "model-1"
    panel.controls.clear.click()
    assert len(viewer.layers) == 0 and not viewer.canvas.grid.enabled and not panel.controls.clear.isEnabled()


def test_keys_work_while_the_dock_has_the_focus(panel, qtbot):
    panel.show()
    panel.activateWindow()
    panel.scores.view.setFocus()
    qtbot.waitUntil(lambda: panel.scores.view.hasFocus())
    qtbot.keyClick(panel.scores.view, Qt.Key.Key_Period)
    assert panel.shown.label == "model-1"
    qtbot.keyClick(panel.scores.view, Qt.Key.Key_Comma)
    assert panel.shown.label == "model-0"


def test_changed_masks_are_told(panel, session):
    assert panel.stale.isHidden()
    labels = session.project.read_labels("img_04")
    labels[:9] = 1
    session.project.save_labels("img_04", labels, "corrected")
    session.images_changed.emit()
    assert "img_04" in panel.stale.text() and not panel.stale.isHidden()


def test_only_the_first_of_many_changed_masks_are_named(panel, monkeypatch):
    monkeypatch.setattr(CompareController, "stale", ("a", "b", "c", "d"))
    panel.comparing.changed.emit()
    assert panel.stale.text().startswith("Masks have changed since: a, b, c, ….")


def test_table_and_figures_are_saved_where_the_dialog_says(panel, tmp_path, monkeypatch):
    choose_file(monkeypatch, tmp_path / "table", "CSV (*.csv)")
    choose(panel, "Table as CSV…")
    assert (tmp_path / "table.csv").read_text().startswith("count,")
    choose_file(monkeypatch, tmp_path / "one.svg", "SVG (*.svg)")
    choose(panel, "Figure of this image…")
    assert "img_04" in (tmp_path / "one.svg").read_text()


def test_a_file_is_not_replaced_without_asking(panel, tmp_path, monkeypatch):
    (tmp_path / "table.csv").write_text("precious")
    choose_file(monkeypatch, tmp_path / "table", "CSV (*.csv)")
    answers = iter([QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes])
    monkeypatch.setattr(QMessageBox, "question", lambda *_args: next(answers))
    choose(panel, "Table as CSV…")
    assert (tmp_path / "table.csv").read_text() == "precious"
    choose(panel, "Table as CSV…")
    assert (tmp_path / "table.csv").read_text().startswith("count,")


def test_what_cannot_be_saved_is_told(panel, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    choose_file(monkeypatch, tmp_path / "file" / "figure.png")
    with message("cannot be written"):
        choose(panel, "Figure of this image…")
    panel.shown.clear()
    with message("No image is shown"):
        choose(panel, "Figure of this image…")


def test_the_dock_needs_neither_torch_nor_matplotlib(loaded_by):
    assert not {"torch", "matplotlib", "pandas"} & loaded_by("import napari_unet_finetune._qt.compare_dock")


@pytest.mark.gui
def test_in_a_window_models_are_flicked_set_side_by_side_and_given_back(make_napari_viewer, project, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    theirs = viewer.add_points([[1, 1]], name="theirs")
    dock = CompareWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Compare models")
    session = dock.session
    session.trainings, session.jobs = JobSlot(run_here, session.fail), JobSlot(run_here, session.fail)
    files = with_models(session, tmp_path / "models", 3)
    session.project = project
    for file in files[1:]:
        dock.compare.comparing.add_file(type(tmp_path)(file))
    dock.compare.compare.click()
    shown = dock.compare.shown
    assert (shown.image, shown.label) == ("img_04", "model-0")

    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    one = viewer.screenshot(flash=False)
    qtbot.keyClick(canvas, Qt.Key.Key_Period)
    assert shown.label == "model-1"
    assert (viewer.screenshot(flash=False) != one).any()
    qtbot.keyClick(canvas, Qt.Key.Key_Comma)
    assert shown.label == "model-0"

    dock.compare.controls.modes["grid"].click()
    assert viewer.canvas.grid.enabled and not theirs.visible
    visible = [layer for layer in viewer.layers if layer.visible]
    assert len(visible) == 8
    grid = viewer.screenshot(flash=False)
    assert (grid[..., :3] > 0).any()
    dock.compare.controls.modes["overlay"].click()
    assert not viewer.canvas.grid.enabled and theirs.visible

    save_canvas(dock.compare.comparing, tmp_path / "canvas.png")
    assert (tmp_path / "canvas.png").stat().st_size > 1000

    dock.compare.controls.modes["grid"].click()
    viewer.window.remove_dock_widget(dock)
    assert not viewer.canvas.grid.enabled and list(viewer.layers) == [theirs] and theirs.visible
    assert "." not in {str(key) for key in viewer.keymap}
    assert viewer.layers[0].name == "theirs"
    dock.close()
    dock.deleteLater()


@pytest.mark.gui
def test_a_dock_that_is_closed_takes_its_layers_with_it_and_brings_them_back(make_napari_viewer, project, tmp_path):
    viewer = make_napari_viewer(show=True)
    theirs = viewer.add_points([[1, 1]], name="theirs")
    other = viewer.window.add_dock_widget(QLabel("another"), name="another")
    dock = CompareWidget(viewer)
    frame = viewer.window.add_dock_widget(dock, name="Compare models", tabify=True)
    session = dock.session
    session.jobs = JobSlot(run_here, session.fail)
    with_models(session, tmp_path / "models", 1)
    session.project = project
    dock.compare.comparing.compare()
    dock.compare.shown.set_mode("grid")
    other.raise_()
    assert viewer.canvas.grid.enabled and len(viewer.layers) > 1
    frame.close()
    assert not viewer.canvas.grid.enabled and list(viewer.layers) == [theirs] and theirs.visible
    frame.show()
    assert viewer.canvas.grid.enabled and len(viewer.layers) > 1
    viewer.window.remove_dock_widget(dock)
    assert list(viewer.layers) == [theirs]
    dock.close()
    dock.deleteLater()


@pytest.mark.gui
def test_a_window_can_be_closed_in_the_grid(make_napari_viewer, project, tmp_path):
    viewer = make_napari_viewer()
    dock = CompareWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Compare models")
    session = dock.session
    session.jobs = JobSlot(run_here, session.fail)
    with_models(session, tmp_path / "models", 1)
    session.project = project
    dock.compare.comparing.compare()
    dock.compare.shown.set_mode("grid")
    assert viewer.canvas.grid.enabled
    viewer.close()
