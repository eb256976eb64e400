"""Buttons heed what is typed and not confirmed yet."""

import ast
from pathlib import Path

import pytest

pytest.importorskip("qtpy")

from qtpy.QtWidgets import QInputDialog, QLineEdit

import napari_unet_finetune._qt
from napari_unet_finetune._qt.widgets.layout import confirm_numbers

DOCKS = Path(napari_unet_finetune._qt.__file__).parent


def test_typed_numbers_are_taken_in_a_window_whose_boxes_are_not_made_from_python(qtbot):
    window = QInputDialog()
    window.setInputMode(QInputDialog.InputMode.IntInput)
    qtbot.addWidget(window)
    line = window.findChild(QLineEdit, "qt_spinbox_lineedit")
    line.selectAll()
    qtbot.keyClicks(line, "7")
    confirm_numbers(window)
    assert window.intValue() == 7


@pytest.mark.parametrize(
    "folder", sorted(path.name for path in DOCKS.iterdir() if path.is_dir() and path.name != "widgets")
)
def test_all_buttons_of_the_docks_are_made_by_the_one_that_heeds_what_is_typed(folder):
    made = [
        f"{path.name}:{call.lineno}"
        for path in (DOCKS / folder).glob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "QPushButton"
    ]
    assert not made
