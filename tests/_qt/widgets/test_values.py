"""Every box gives back what it was given, tells of what somebody changes in it, and can be changed by a hand."""

from pathlib import Path

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt

from napari_unet_finetune._qt.widgets.config_form import ConfigForm
from napari_unet_finetune._qt.widgets.editors import ChoiceBox, NumberEdit
from napari_unet_finetune._qt.widgets.path_box import PathBox
from napari_unet_finetune._qt.widgets.threshold_slider import ThresholdSlider
from napari_unet_finetune.config import AugmentConfig, ChannelRule


class Magic:
    """A box of magicgui's, seen as one of ours."""

    def __init__(self, edit):
        self.edit, self.changed = edit, edit.box.valueChanged

    def value(self):
        return self.edit.value

    def set_value(self, value):
        self.edit.value = value


def number(kind, **options):
    return Magic(NumberEdit(annotation=kind, **options))


BOXES = {
    "choice": (lambda: ChoiceBox([("one", 1), ("none", None), ("words", "w")]), [None, "w", 1]),
    "path": (lambda: PathBox("Choose"), [Path("some/folder"), None]),
    "whole number": (lambda: number(int, min=0, max=9, step=1), [3, 9, 0]),
    "number": (lambda: number(float, min=0, max=1, step=0.05), [1e-5, 0.3, 1.0, 1e-10]),
    "whole number or nothing": (
        lambda: number(int | None, min=32, max=64, step=8, nullable=True),
        [40, None, 64],
    ),
    "number or nothing": (lambda: number(float | None, min=1e-8, max=1, step=0.05, nullable=True), [0.5, None, 1e-8]),
    "form": (lambda: ConfigForm(ChannelRule), [ChannelRule(method="channel", channel=2), ChannelRule()]),
    "long form": (lambda: ConfigForm(AugmentConfig), [AugmentConfig.none(), AugmentConfig(p_blur=0.7)]),
}


@pytest.fixture
def make(qtbot):
    def made(name):
        box = BOXES[name][0]()
        qtbot.addWidget(box.edit.native if isinstance(box, Magic) else box)
        return box

    return made


@pytest.mark.parametrize("name", BOXES)
def test_a_box_gives_back_what_it_was_given_and_tells_of_it(make, qtbot, name):
    box, given = make(name), BOXES[name][1]
    for value in given:
        with qtbot.waitSignal(box.changed):
            box.set_value(value)
        assert box.value() == value
        assert type(box.value()) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize("low", [0.2, 0.95])
def test_a_threshold_is_given_back_and_nobody_told(qtbot, low):
    slider = ThresholdSlider()
    qtbot.addWidget(slider)
    for value in (low, None):
        with qtbot.assertNotEmitted(slider.changed):
            slider.set_value(value, 0.4)
        assert slider.value() == value


@pytest.mark.parametrize(
    ("start", "key", "end"), [(5, "Up", 6), (5, "Down", 4), (5, "PageUp", 9), (0, "Down", None), (None, "Up", 0)]
)
def test_a_number_follows_the_keys_of_the_keyboard(qtbot, start, key, end):
    edit = NumberEdit(annotation=int | None, min=0, max=9, step=1, nullable=True, value=start)
    qtbot.addWidget(edit.native)
    told = []
    edit.changed.connect(told.append)
    qtbot.keyClick(edit.box, Qt.Key[f"Key_{key}"])
    assert edit.value == end
    assert told == [end]
