"""A fold is closed at first, and what is inside may grow while it is open."""

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_unet_finetune._qt.widgets.fold import Fold
from napari_unet_finetune._qt.widgets.wrapped_label import WrappedLabel


def test_what_is_inside_may_grow(qtbot):
    inside = QWidget()
    rows = QVBoxLayout(inside)
    rows.addWidget(QLabel("first"))
    fold, scroll = Fold("Settings", inside), QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setWidget(fold)
    qtbot.addWidget(scroll)
    scroll.resize(300, 600)
    scroll.show()
    assert not fold.isExpanded()
    qtbot.mouseClick(fold.toggleButton(), Qt.MouseButton.LeftButton)
    assert fold.isExpanded()
    added = QLabel("grown")
    added.setFixedHeight(200)
    rows.addWidget(added)
    qtbot.waitUntil(lambda: fold.height() > 250)
    qtbot.mouseClick(fold.toggleButton(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: fold.height() < 100)


def test_a_wrapped_label_is_as_high_as_its_text_at_its_width(qtbot):
    label = WrappedLabel()
    qtbot.addWidget(label)
    label.setText("a few words that take several lines in a narrow dock " * 3)
    heights = []
    for width in (120, 600):
        label.resize(width, 100)
        heights.append(label.sizeHint().height())
    assert heights[0] > 2 * heights[1] > 0
    assert label.minimumSizeHint().width() == 0
