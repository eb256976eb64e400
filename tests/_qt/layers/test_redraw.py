"""A canvas rests while layers change, and draws again by itself."""

import pytest

pytest.importorskip("napari")

from qtpy.QtOpenGLWidgets import QOpenGLWidget

from napari_unet_finetune._qt.layers.redraw import drawn_later

pytestmark = pytest.mark.gui


def test_a_canvas_rests_until_the_next_turn_of_the_event_loop(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    (canvas,) = viewer.window._qt_viewer.window().findChildren(QOpenGLWidget)
    with drawn_later():
        assert not canvas.updatesEnabled()
    assert not canvas.updatesEnabled()
    qtbot.waitUntil(canvas.updatesEnabled)
