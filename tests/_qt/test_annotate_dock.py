"""The dock as a whole in a real window, with trainings in real child processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.session.dock import open_dock as show_dock
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.folders import run_folders

from ..models.packages_of_others import RANGE, described, described_of_old, write_package
from .finetuning_data import TINY, annotated_project, save_model

pytestmark = pytest.mark.gui

PLUGIN = "napari-unet-finetune"
CHILD_MS = 240_000  # a busy machine takes a minute for what takes seconds
ENDLESS = 100_000
IMPORTED = """
import sys, napari
from pathlib import Path
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=False)
for title in ("Annotate and finetune", "Compare models", "Predict"):
    dock = viewer.window.add_plugin_dock_widget("napari-unet-finetune", title)[1]
    for path in map(Path, sys.argv[1:]) if hasattr(dock, "model") else ():
        dock.model.load(path)
        assert dock.session.predictor == str(path), dock.session.message.text
        dock.session.model = str(path)
        assert path.stem in dock.model.card.label.text()
QApplication.processEvents()
slow = ("torch", "matplotlib", "safetensors.torch", "monai", "bioimageio", "bioimageio.spec", "onnx", "onnxruntime")
print(*(name for name in slow if name in sys.modules))
viewer.close()
"""


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a viewer in which this plugin alone is installed."""
    with request.getfixturevalue("npe2pm").tmp_plugin(package=PLUGIN):
        yield make_napari_viewer(show=True)


def open_dock(window: Any, title: str = "Annotate and finetune") -> Any:
    return window.window.add_plugin_dock_widget(PLUGIN, title)[1]


@pytest.fixture
def workbench(window: Any, tmp_path: Path, write_squares: Any) -> Any:
    """Return the dock with a dataset, tiny settings and a tiny base model."""
    dock = open_dock(window)
    dock.session.project = annotated_project(tmp_path, write_squares)
    dock.session.model = save_model(tmp_path / "base.safetensors")
    dock.finetune.settings.set_value(TINY)
    return dock


def run_without_end(dock: Any) -> None:
    dock.finetune.settings.set_value(TINY.model_copy(update={"steps": ENDLESS}))
    dock.finetune.start()


def layer_names(window: Any) -> list[str]:
    return [layer.name for layer in window.layers]


def test_an_image_is_opened_a_model_finetuned_and_its_labels_appear(window: Any, workbench: Any, qtbot: Any) -> None:
    session = workbench.session
    workbench.images.view.open_requested.emit("img_05")
    assert workbench.accordion.opened == 1
    workbench.accordion.open(3)
    assert workbench.finetune.button.isEnabled(), workbench.finetune.problem
    workbench.finetune.button.click()
    assert session.trainings.is_running
    qtbot.waitUntil(lambda: not session.trainings.is_running, timeout=CHILD_MS)
    qtbot.waitUntil(lambda: not session.jobs.is_running, timeout=CHILD_MS)
    assert any(name.startswith("prediction") for name in layer_names(window))
    assert "held-out image" in session.message.text
    assert Path(session.predictor).is_file()
    assert session.model != session.predictor  # the next finetuning starts from the base again
    (run,) = run_folders(session.project.folder)
    assert RunFolder(run).is_finished


def test_predict_all_begins_at_once_with_the_dataset_as_its_source(window: Any, workbench: Any) -> None:
    workbench.finetune.predict_requested.emit()
    assert workbench.session.jobs.is_running
    dock = show_dock(window, "Predict")
    assert dock.predict.source.value() == "dataset"
    assert "6 images" in dock.predict.about.text()


def test_what_an_answer_advises_is_written_into_the_settings(workbench: Any) -> None:
    workbench.accordion.open(4)
    workbench.questions.rescale_requested.emit(0.5)
    workbench.questions.penalty_requested.emit(0.7)
    assert workbench.accordion.opened == 3
    assert workbench.finetune.config.rescale == 0.5
    assert workbench.finetune.config.false_positive_weight == 0.7
    assert workbench.finetune.config.steps == TINY.steps
    assert "Penalty on false positives is now 0.7" in workbench.session.message.text


def test_a_stopped_training_keeps_its_best_and_a_second_one_is_refused_until_then(workbench: Any, qtbot: Any) -> None:
    session = workbench.session
    run_without_end(workbench)
    qtbot.waitUntil(lambda: session.trainings.job.progress.best_dice is not None, timeout=CHILD_MS)
    workbench.finetune.finetuning.start(TINY)
    assert "still running" in session.message.text
    assert len(run_folders(session.project.folder)) == 1
    assert not workbench.finetune.button.isEnabled()
    session.trainings.job.stop()
    qtbot.waitUntil(lambda: not session.trainings.is_running, timeout=CHILD_MS)
    assert RunFolder(run_folders(session.project.folder)[0]).best_path.is_file()


def test_layers_deleted_while_a_training_runs_come_back_with_its_result(
    window: Any, workbench: Any, qtbot: Any
) -> None:
    session = workbench.session
    workbench.images.view.open_requested.emit("img_00")
    workbench.finetune.start()
    other = window.add_points([[1, 1]])
    for layer in list(window.layers):
        if layer is not other:
            window.layers.remove(layer)
    qtbot.waitUntil(lambda: not session.trainings.is_running, timeout=CHILD_MS)
    qtbot.waitUntil(lambda: not session.jobs.is_running, timeout=CHILD_MS)
    assert other in window.layers
    assert any(name.startswith("prediction") for name in layer_names(window))


def test_a_window_closed_in_mid_training_ends_the_child_and_leaves_a_run_to_resume(
    window: Any, workbench: Any, qtbot: Any, tmp_path: Path
) -> None:
    session = workbench.session
    run_without_end(workbench)
    qtbot.waitUntil(lambda: session.trainings.job.progress.best_dice is not None, timeout=CHILD_MS)
    child = session.trainings.job.pid
    folder = RunFolder(session.trainings.job.folder)
    window.window.remove_dock_widget(workbench)
    assert not psutil.pid_exists(child)
    assert not folder.is_finished
    assert folder.load_state() is not None
    again = open_dock(window)
    again.session.project = Project.open(tmp_path / "squares" / "images", tmp_path / "project")
    assert again.finetune.finetuning.interrupted[0].folder.path == folder.path
    assert again.finetune.interrupted.isVisibleTo(again.footer)
    assert again.session is not session


@pytest.mark.parametrize("is_floating", [False, True])
def test_what_is_unsaved_is_saved_when_the_window_is_about_to_close(
    window: Any, qtbot: Any, tmp_path: Path, write_squares: Any, is_floating: bool
) -> None:
    dock, workbench = window.window.add_plugin_dock_widget(PLUGIN, "Annotate and finetune")
    qtbot.waitUntil(workbench.isVisible)
    dock.setFloating(is_floating)
    session = workbench.session
    session.project = annotated_project(tmp_path, write_squares)
    annotation = annotation_of(session)
    annotation.open("img_05")
    annotation.layer.paint((10, 10), 1)
    assert annotation.unsaved == "img_05"
    QApplication.sendEvent(window.window._qt_window, QCloseEvent())
    assert annotation.unsaved is None
    assert session.project.image("img_05").is_annotated


def test_the_docks_of_a_viewer_share_one_session_which_ends_with_the_last_of_them(window: Any) -> None:
    docks = [open_dock(window, title) for title in ("Annotate and finetune", "Compare models", "Predict")]
    session = docks[0].session
    assert all(dock.session is session for dock in docks)
    saved: list[str] = []
    session.about_to_read_files.connect(lambda: saved.append("saved"))
    window.window.remove_dock_widget(docks[0])
    assert saved == ["saved"]
    again = open_dock(window)
    assert again.session is session
    for dock in (again, *docks[1:]):
        window.window.remove_dock_widget(dock)
    assert open_dock(window).session is not session


def test_a_button_finds_the_dock_of_the_menu_and_the_menu_that_of_a_button(window: Any) -> None:
    assert show_dock(window, "Predict") is show_dock(window, "Predict")
    assert "Predict (U-Net Finetune)" in window.window.dock_widgets  # the name that the menu looks for
    assert show_dock(window, "Compare models") is window.window.dock_widgets["Compare models (U-Net Finetune)"]


def choose_in_the_menu(window: Any, qtbot: Any, *texts: str) -> None:
    """Click through the menus of a window."""
    menu: Any = window.window._qt_window.menuBar()
    for text in texts:
        action = next(one for one in menu.actions() if one.text().replace("&", "").startswith(text))
        qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
        menu = action.menu()
        if menu is not None:
            qtbot.waitUntil(menu.isVisible)
            qtbot.wait(100)  # for a menu that opens under the mouse ignores what comes at once


def test_docks_opened_from_the_menu_are_tabs_of_one_another(window: Any, qtbot: Any) -> None:
    frame = window.window._qt_window
    own = [dock for dock in frame.findChildren(QDockWidget) if dock.isVisible()]
    frame.resize(1280, 800)
    qtbot.wait(100)  # until napari has laid out its own
    before = [dock.geometry() for dock in own]
    titles = ("Predict", "Annotate and finetune", "Compare models")
    for title in titles:
        choose_in_the_menu(window, qtbot, "Plugins", "U-Net Finetune", title)
        name = f"{title} (U-Net Finetune)"
        qtbot.waitUntil(lambda name=name: name in window.window.dock_widgets)
        qtbot.waitUntil(lambda name=name: not window.window.dock_widgets[name].visibleRegion().isEmpty())
    docks = [window.window.dock_widgets[f"{title} (U-Net Finetune)"].parent() for title in titles]
    assert set(frame.tabifiedDockWidgets(docks[0])) == set(docks[1:])
    assert (frame.width(), frame.height()) == (1280, 800)
    assert [dock.geometry() for dock in own] == before


def test_a_window_stays_on_the_screen_when_docks_are_opened_that_do_not_fit_on_top_of_one_another(
    window: Any, qtbot: Any
) -> None:
    frame = window.window._qt_window
    frame.resize(1280, 800)
    first = open_dock(window)
    first.setMinimumHeight(650)  # as while it shows how a training gets on
    qtbot.wait(100)
    assert frame.height() == 800
    second = open_dock(window, "Compare models")
    qtbot.waitUntil(lambda: frame.tabifiedDockWidgets(first.parent()) == [second.parent()])
    qtbot.wait(200)
    qtbot.waitUntil(lambda: frame.height() == 800)


@pytest.mark.parametrize("least_px", [1, 650], ids=["a window that keeps its size", "one that grows"])
@pytest.mark.parametrize("height", [900, 1500])
def test_a_window_that_is_enlarged_just_after_a_dock_was_opened_stays_enlarged(
    window: Any, qtbot: Any, least_px: int, height: int
) -> None:
    frame = window.window._qt_window
    frame.resize(1280, 800)
    first = open_dock(window)
    first.setMinimumHeight(least_px)
    qtbot.wait(100)
    second = open_dock(window, "Compare models")
    qtbot.waitUntil(lambda: frame.tabifiedDockWidgets(first.parent()) == [second.parent()])
    first.setMinimumHeight(1)
    qtbot.waitUntil(lambda: frame.minimumHeight() <= 800)
    frame.resize(1280, height)
    for _ in range(3):
        QApplication.postEvent(frame, QEvent(QEvent.Type.LayoutRequest))
        qtbot.wait(50)
        assert frame.height() == height


def test_a_dock_stays_where_the_user_has_put_it(window: Any, qtbot: Any) -> None:
    frame = window.window._qt_window
    first, second = (open_dock(window, title).parent() for title in ("Annotate and finetune", "Predict"))
    qtbot.waitUntil(lambda: frame.tabifiedDockWidgets(first) == [second])
    frame.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, second)
    for is_shown in (False, True):
        second.setVisible(is_shown)
    qtbot.waitUntil(second.isVisible)
    assert not frame.tabifiedDockWidgets(first)
    first.setFloating(True)
    third = open_dock(window, "Compare models").parent()
    qtbot.waitUntil(third.isVisible)
    assert frame.tabifiedDockWidgets(third) == [second] and first.isFloating()


def test_docks_and_samples_are_where_the_menus_say(window: Any) -> None:
    bar = window.window._qt_window.menuBar()
    texts = {}
    for top in bar.actions():
        top.menu().aboutToShow.emit()
        texts[top.text().replace("&", "")] = list(_texts(top.menu()))
    for title in ("Annotate and finetune", "Compare models", "Predict"):
        assert any(title in text for text in texts["Plugins"])
    assert any("Annotate and finetune" in text for text in texts["Layers"])
    assert any("Cells in a microtube, Dataset 2" in text for text in texts["File"])


def _texts(menu: Any) -> Iterator[str]:
    for action in menu.actions():
        yield action.text()
        if action.menu() is not None:
            action.menu().aboutToShow.emit()
            yield from _texts(action.menu())


def test_opening_the_docks_and_models_of_all_kinds_imports_nothing_slow(tmp_path: Path) -> None:
    models = [save_model(tmp_path / "mine.safetensors")]
    if find_spec("ruyaml") and find_spec("onnx"):
        models += [
            write_package(tmp_path / "new.zip", described(before=[RANGE])),
            write_package(tmp_path / "old.zip", described_of_old()),
        ]
    outcome = subprocess.run([sys.executable, "-c", IMPORTED, *models], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.split() == []
