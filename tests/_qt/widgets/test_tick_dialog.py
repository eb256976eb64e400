"""What is ticked is taken, in the order given, also what the filter hides."""

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt

from napari_unet_finetune._qt.widgets.tick_dialog import TickDialog


def test_what_is_ticked_is_taken_also_what_the_filter_hides(qtbot):
    dialog = TickDialog("Which?", {1: "one", 2: "two", 3: "another one"}, {3, 1}, None, hint="Take some.")
    qtbot.addWidget(dialog)
    assert dialog.value() == (1, 3)
    qtbot.keyClicks(dialog.words, "TWO")
    assert [dialog.list.item(row).isHidden() for row in range(3)] == [True, False, True]
    dialog.list.item(1).setCheckState(Qt.CheckState.Checked)
    dialog.list.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert dialog.value() == (2, 3)
