"""What meets the eye in a window of 1280 × 800: few controls, names that fit, advice, and where the keyboard is."""

import shutil

import numpy as np
import pytest
import tifffile

pytest.importorskip("qtpy")

from qtpy.QtCore import QPoint
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QScrollBar,
    QWidget,
)

from napari_unet_finetune._qt.session.dock import MIN_WIDTH_PX
from napari_unet_finetune.project.project import Project

from .finetuning_data import annotated_project, save_model
from .test_annotate_dock import open_dock, window  # noqa: F401 - a fixture

pytestmark = pytest.mark.gui

TITLES = ("Annotate and finetune", "Compare models", "Predict")
MOST_CONTROLS = {"Annotate and finetune": 7, "Compare models": 6, "Predict": 7}
NAME = "x" * 120
CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider, QLineEdit, QAbstractItemView)
INNER = (QComboBox, QAbstractSpinBox, QAbstractItemView)


@pytest.fixture
def docks(window):  # noqa: F811
    window.window.resize(1280, 800)
    found = {title: open_dock(window, title) for title in TITLES}
    QApplication.processEvents()
    return found


def is_in_a_control(widget, dock):
    parent = widget.parentWidget()
    while parent is not dock and not isinstance(parent, INNER):
        parent = parent.parentWidget()
    return parent is not dock


def controls(dock):
    """Return what can be used of `dock`."""
    return [
        one for one in dock.findChildren(QWidget)
        if isinstance(one, CONTROLS) and not isinstance(one, QScrollBar) and one.isVisibleTo(dock) and one.isEnabled()
        and not is_in_a_control(one, dock)
    ]  # fmt: skip


def test_few_controls_meet_the_eye(docks):
    counts = {title: len(controls(dock)) for title, dock in docks.items()}
    assert all(count <= MOST_CONTROLS[title] for title, count in counts.items()), counts


def test_long_names_widen_no_dock(docks, tmp_path, write_squares):
    project = annotated_project(tmp_path / "a", write_squares)
    folder = tmp_path / NAME
    shutil.copytree(project.source, folder)
    tifffile.imwrite(folder / f"{NAME}.tif", np.zeros((40, 40), np.uint8))
    dock = docks["Annotate and finetune"]
    session = dock.session
    session.project = Project.open(folder)
    session.model = save_model(tmp_path / "m" / f"{NAME}.safetensors")
    session.predictor = session.model
    dock.annotate._annotation.open(NAME)
    session.viewer.add_image(np.zeros((40, 40)), name=NAME)
    session.viewer.add_labels(np.zeros((40, 40), np.uint8), name=NAME)
    session.tell(f"{NAME} is in {folder}.")
    for section in range(5):
        dock.accordion.open(section)
        QApplication.processEvents()
        assert dock.minimumSizeHint().width() <= MIN_WIDTH_PX, section
    docks["Predict"].predict.source.set_value("dataset")
    QApplication.processEvents()
    for title, one in docks.items():
        assert one.minimumSizeHint().width() <= MIN_WIDTH_PX, title
        wide = [part for part in one.findChildren(QWidget) if part.isVisible() and part.width() > one.width()]
        assert wide == [], title


def test_advice_stands_above_the_button_and_both_are_in_sight(docks, tmp_path, write_squares, qtbot):
    dock = docks["Annotate and finetune"]
    dock.parent().raise_()  # all docks are tabs
    dock.session.project = annotated_project(tmp_path, write_squares)
    dock.session.model = save_model(tmp_path / "base.safetensors")
    dock.accordion.open(3)
    panel = dock.finetune
    qtbot.waitUntil(lambda: panel.words.text() != "" and not panel.check.is_looking, timeout=20_000)
    QApplication.processEvents()
    words, button = (part.mapTo(dock, QPoint(0, 0)).y() for part in (panel.words, panel.button))
    assert words < button
    assert not panel.button.visibleRegion().isEmpty()
    assert not panel.words.visibleRegion().isEmpty()
    assert [type(one).__name__ for one in controls(panel)][:3] == ["ChoiceBox", "_SpinBox", "QPushButton"]
    assert len(controls(panel)) == 4  # and the fold


def test_the_focus_of_the_keyboard_can_be_seen(docks, window, qtbot):  # noqa: F811
    dock = docks["Annotate and finetune"]
    dock.activateWindow()
    for theme in ("dark", "light"):
        window.theme = theme
        for part in (dock.images.folder_button, dock.images.more_button):
            other = dock.images.folder_button if part is dock.images.more_button else dock.images.more_button
            other.setFocus()
            QApplication.processEvents()
            before, size = part.grab().toImage(), part.size()
            part.setFocus()
            qtbot.waitUntil(part.hasFocus)
            after = part.grab().toImage()
            assert before != after
            assert part.size() == size
