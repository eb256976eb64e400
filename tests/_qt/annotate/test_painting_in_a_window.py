"""A real window: strokes of the mouse on the canvas end up on disk, keys go on, and closing leaves nothing behind."""

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")

from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QVBoxLayout

from napari_unet_finetune._qt.annotate import autosave, helping
from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.annotate.first_guess import Found, use_prediction
from napari_unet_finetune._qt.annotate.panel import AnnotatePanel
from napari_unet_finetune._qt.images.panel import ImagesPanel
from napari_unet_finetune._qt.session.dock import Dock

from ..datasets import SIZE, reopened, write_images

pytestmark = pytest.mark.gui
BETWEEN_MOVES_MS = 20  # napari and vispy drop moves that follow faster


class PaintingDock(Dock):
    """The two sections for annotating, alone in a dock."""

    def __init__(self, viewer):
        super().__init__(viewer)
        self.images, self.annotate = ImagesPanel(self.session), AnnotatePanel(self.session)
        layout = QVBoxLayout(self)
        layout.addWidget(self.images)
        layout.addWidget(self.annotate)
        self.keep(self.images, self.annotate)


@pytest.fixture
def window(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(autosave, "PAUSE_MS", 50)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1000, 700)
    dock = PaintingDock(viewer)
    viewer.window.add_dock_widget(dock, name="painting", area="right")
    dock.images.open(write_images(tmp_path / "images", 3))
    qtbot.waitUntil(lambda: dock.session.project is not None)
    qtbot.waitUntil(lambda: not dock.images._opener.is_busy)
    return viewer, dock


def canvas(viewer):
    return viewer.window._qt_viewer.canvas.native


def place_of(viewer, row, column):
    """Return where a pixel of the image lies on the canvas."""
    view = viewer.window._qt_viewer.canvas.view
    x, y = (view.transform * view.scene.transform).map([column, row, 0, 1])[:2]
    return QPoint(round(x), round(y))


def settle(viewer, qtbot):
    """Wait until the canvas has its size and shows the image at one place."""
    places, before = [], None
    while places != before:
        qtbot.wait(200)
        places, before = [place_of(viewer, *corner) for corner in ((0, 0), SIZE)], places


def move(viewer, place, button=Qt.MouseButton.NoButton, key=Qt.KeyboardModifier.NoModifier):
    """Send one move; QTest would move the real pointer, which tells of it some time later, in the midst of a drag."""
    widget = canvas(viewer)
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(place),
        QPointF(widget.mapToGlobal(place)),
        Qt.MouseButton.NoButton,
        button,
        key,
    )
    QApplication.sendEvent(widget, event)
    QTest.qWait(BETWEEN_MOVES_MS)


def stroke(viewer, *pixels, button=Qt.MouseButton.LeftButton, key=Qt.KeyboardModifier.NoModifier):
    """Drag the mouse over the canvas with a button, and perhaps a key, pressed."""
    widget, places = canvas(viewer), [place_of(viewer, *pixel) for pixel in pixels]
    move(viewer, places[0])
    QTest.mousePress(widget, button, key, places[0])
    for place in places[1:]:
        move(viewer, place, button, key)
    QTest.mouseRelease(widget, button, key, places[-1])


def test_a_stroke_of_the_mouse_is_on_disk_soon_and_one_undo_takes_it_back(window, qtbot):
    viewer, dock = window
    dock.images.view.open_requested.emit("img_1")
    settle(viewer, qtbot)
    stroke(viewer, *((10 + step, 10 + 2 * step) for step in range(20)))
    annotation = annotation_of(dock.session)
    qtbot.waitUntil(lambda: annotation.unsaved is None)
    mask = reopened(dock.session.project).read_labels("img_1")
    assert mask[10, 10] == 1 and mask[29, 48] == 1
    assert mask[35, 5] == 0
    np.testing.assert_array_equal(mask, annotation.layer.data)
    assert reopened(dock.session.project).image("img_1").origin == "painted"
    canvas(viewer).setFocus()
    QTest.keyClick(canvas(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not reopened(dock.session.project).image("img_1").is_annotated)


@pytest.fixture
def helped(window, qtbot, monkeypatch):
    """Return a window in which the model finds two blobs in every image, and how often it was asked."""
    viewer, dock = window
    asked = []

    def predict(annotation, then):
        asked.append(annotation.session.current)
        then(Found(annotation.session.current, TWO_BLOBS))

    monkeypatch.setattr(helping, "predict_current", predict)
    dock.images.view.open_requested.emit("img_1")
    settle(viewer, qtbot)
    return viewer, annotation_of(dock.session), asked


SHIFT = Qt.KeyboardModifier.ShiftModifier
TWO_BLOBS = np.zeros(SIZE, np.uint16)
TWO_BLOBS[5:12, 5:12] = TWO_BLOBS[20:30, 35:50] = 1


def undo(viewer):
    canvas(viewer).setFocus()
    QTest.keyClick(canvas(viewer), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)


def test_a_click_with_shift_adds_the_object_there_and_another_removes_it(helped):
    viewer, annotation, asked = helped
    layer = annotation.layer
    layer.selected_label = 3
    center = viewer.scene.camera.center
    stroke(viewer, (8, 8), key=SHIFT)
    np.testing.assert_array_equal(layer.data > 0, TWO_BLOBS * (np.arange(SIZE[1]) < 20) > 0)
    assert layer.data[8, 8] == 3 and layer.mode == "paint" and viewer.scene.camera.center == center
    stroke(viewer, (25, 40), key=SHIFT)
    np.testing.assert_array_equal(layer.data > 0, TWO_BLOBS > 0)
    stroke(viewer, (8, 8), key=SHIFT)
    assert not layer.data[:15].any() and layer.data[25, 40] == 3
    assert asked == ["img_1"]
    undo(viewer)
    np.testing.assert_array_equal(layer.data > 0, TWO_BLOBS > 0)
    before = layer.data.copy()
    stroke(viewer, (15, 25), key=SHIFT)
    np.testing.assert_array_equal(layer.data, before)
    assert "no object" in annotation.session.message.text
    stroke(viewer, (15, 25))
    assert layer.data[15, 25] == 3  # the brush is there as before


def test_a_drag_with_shift_keeps_the_prediction_inside_its_rectangle(helped, qtbot):
    viewer, annotation, _ = helped
    layer, layers = annotation.layer, list(viewer.layers)
    stroke(viewer, (30, 20), (20, 10), (2, 2), key=SHIFT)
    np.testing.assert_array_equal(layer.data > 0, TWO_BLOBS * (np.arange(SIZE[1]) < 20) > 0)
    assert list(viewer.layers) == layers and viewer.layers.selection.active is layer and layer.mode == "paint"
    undo(viewer)
    assert not layer.data.any()
    use_prediction(annotation, Found("img_1", TWO_BLOBS))
    assert annotation.session.project.image("img_1").is_predicted
    stroke(viewer, (18, 30), (25, 40), (32, 52), key=SHIFT)
    np.testing.assert_array_equal(layer.data > 0, TWO_BLOBS * (np.arange(SIZE[1]) > 20) > 0)
    qtbot.waitUntil(lambda: reopened(annotation.session.project).image("img_1").origin == "corrected")


def test_what_is_circled_after_a_click_of_the_right_button_is_filled(helped):
    viewer, annotation, _ = helped
    annotation.layer.brush_size = 2
    turn = np.linspace(0, 2 * np.pi, 24)
    circle = list(zip(20 + 10 * np.sin(turn), 30 + 10 * np.cos(turn), strict=True))
    stroke(viewer, circle[0], button=Qt.MouseButton.RightButton)
    for place in circle[1:]:
        move(viewer, place_of(viewer, *place))
    assert annotation.layer.data[20, 30] == 1 and annotation.layer.data[5, 5] == 0
    undo(viewer)
    assert not annotation.layer.data.any()


def test_the_bucket_does_not_travel_to_the_next_image_but_the_brush_does(helped):
    _, annotation, _ = helped
    for mode, then in (("fill", "paint"), ("paint", "paint"), ("erase", "erase"), ("pan_zoom", "pan_zoom")):
        annotation.layer.mode, annotation.layer.brush_size = mode, 7
        annotation.next()
        assert (annotation.layer.mode, annotation.layer.brush_size) == (then, 7)


def test_keys_on_the_canvas_go_on_and_the_paint_is_saved_before(window, qtbot):
    viewer, dock = window
    dock.images.view.open_requested.emit("img_0")
    settle(viewer, qtbot)
    stroke(viewer, (20, 20), (20, 30), (20, 40))
    for key, modifier, name in (
        (Qt.Key.Key_N, Qt.KeyboardModifier.NoModifier, "img_1"),
        (Qt.Key.Key_PageDown, Qt.KeyboardModifier.NoModifier, "img_2"),
        (Qt.Key.Key_PageUp, Qt.KeyboardModifier.NoModifier, "img_1"),
        (Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier, "img_0"),
    ):
        QTest.keyClick(canvas(viewer), key, modifier)
        qtbot.waitUntil(lambda name=name: dock.session.current == name)
        assert [layer.name for layer in viewer.layers] == [name, f"mask · {name}"]
    assert reopened(dock.session.project).read_labels("img_0")[20, 30] == 1
    layer = annotation_of(dock.session).layer
    assert layer.data[20, 30] == 1
    stroke(viewer, (5, 20), (5, 30))
    layer.undo()
    layer.undo()
    assert not layer.data.any()


def test_a_layer_that_was_put_away_and_shown_again_can_be_painted(window, qtbot):
    viewer, dock = window
    annotation = annotation_of(dock.session)
    for name in ("img_0", "img_1", "img_0"):
        annotation.open(name)
        qtbot.wait(100)
    settle(viewer, qtbot)
    stroke(viewer, (20, 20), (20, 30), (20, 40))
    assert annotation.layer.data[20, 30] == 1
    picture = viewer.screenshot(flash=False)
    assert picture.std() > 10


def test_taking_the_dock_out_saves_and_leaves_nothing_behind(window, qtbot):
    viewer, dock = window
    project, session, thumbnails = dock.session.project, dock.session, dock.images._thumbnails
    annotation_of(session).open("img_2")
    settle(viewer, qtbot)
    layer = annotation_of(session).layer
    stroke(viewer, (20, 20), (20, 30))
    viewer.window.remove_dock_widget(dock)
    assert reopened(project).read_labels("img_2")[20, 25] == 1
    assert not any(str(key) in ("N", "Shift+N", "PageUp", "PageDown") for key in viewer.keymap)
    qtbot.waitUntil(lambda: not thumbnails.is_running)
    layer.paint((5, 5), 1)
    qtbot.wait(150)
    assert reopened(project).read_labels("img_2")[5, 5] == 0
    assert layer.data.shape == SIZE
