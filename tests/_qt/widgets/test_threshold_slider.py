"""The threshold is a number, or the model's own."""

import pytest

pytest.importorskip("qtpy")

from napari_unet_finetune._qt.widgets.threshold_slider import ThresholdSlider


@pytest.fixture
def slider(qtbot):
    widget = ThresholdSlider()
    qtbot.addWidget(widget)
    return widget


def test_the_own_threshold_of_a_model_is_shown_and_can_be_gone_back_to(slider, qtbot):
    slider.set_value(None, 0.37)
    assert slider.value() is None and slider.slider.value() == 37 and not slider.restore.isEnabled()
    with qtbot.waitSignal(slider.changed):
        slider.slider.setValue(60)
    assert slider.value() == 0.6 and slider.box.value() == 0.6 and slider.restore.isEnabled()
    with qtbot.waitSignal(slider.changed):
        slider.restore.click()
    assert slider.value() is None and slider.slider.value() == 37


def test_showing_a_value_tells_nobody(slider, qtbot):
    with qtbot.assertNotEmitted(slider.changed):
        slider.set_value(0.8, 0.5)
    assert slider.value() == 0.8


def test_the_mark_is_drawn_where_the_own_threshold_is(slider):
    slider.resize(400, 60)
    pictures = []
    for own in (0.2, 0.7):
        slider.set_value(0.5, own)
        pictures.append(slider.slider.grab().toImage())
    assert pictures[0] != pictures[1]
