"""Buttons heed what is typed and not confirmed yet."""

import pytest

pytest.importorskip("qtpy")

from qtpy.QtWidgets import QInputDialog, QLineEdit

from napari_unet_finetune._qt.widgets.layout import confirm_numbers


def test_typed_numbers_are_taken_in_a_window_whose_boxes_are_not_made_from_python(qtbot):
    window = QInputDialog()
    window.setInputMode(QInputDialog.InputMode.IntInput)
    qtbot.addWidget(window)
    line = window.findChild(QLineEdit, "qt_spinbox_lineedit")
    line.selectAll()
    qtbot.keyClicks(line, "7")
    confirm_numbers(window)
    assert window.intValue() == 7
