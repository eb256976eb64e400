"""Layers and arrays: placed where they belong, made anew if they are gone, and never taken from others."""

from itertools import pairwise

import numpy as np
import pytest

from napari_unet_finetune._qt.layers.layers import (
    change,
    find_ours,
    mark_of,
    placement_of,
    remove_ours,
    selection_kept,
    show_image,
    show_labels,
)
from napari_unet_finetune.io.pixels import ImagePixels

RNG = np.random.default_rng(0)


def gray(shape=(20, 30), dtype=np.uint8):
    return RNG.integers(0, 200, shape).astype(dtype)


def test_an_image_lies_where_its_pixel_size_puts_it(viewer):
    layer = show_image(viewer, "image", "a", ImagePixels(gray(), (0.5, 0.25), "um"))
    assert tuple(layer.scale) == (0.5, 0.25)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert mark_of(layer) == "image"


def test_the_next_image_takes_the_layer_of_the_last_one_with_its_contrast(viewer):
    first = show_image(viewer, "image", "a", ImagePixels(gray()))
    first.contrast_limits = (10, 90)
    second = show_image(viewer, "image", "b", ImagePixels(gray((40, 50))))
    assert second is first
    assert (second.name, second.data.shape, tuple(second.contrast_limits)) == ("b", (40, 50), (10, 90))
    third = show_image(viewer, "image", "c", ImagePixels(gray(dtype=np.uint16) + 1000))
    assert third.contrast_limits[1] > 900


@pytest.mark.parametrize(
    ("pixels", "rgb", "shape"),
    [
        (gray((3, 20, 30)), True, (20, 30, 3)),
        (gray((3, 20, 30), np.uint16), True, (20, 30, 3)),
        (gray((2, 20, 30)), False, (2, 20, 30)),
        (gray() > 100, False, (20, 30)),
    ],
)
def test_channels_are_shown_as_colors_or_behind_a_slider(viewer, pixels, rgb, shape):
    layer = show_image(viewer, "image", "a", ImagePixels(pixels))
    assert (layer.rgb, layer.data.shape) == (rgb, shape)


def test_colors_after_grey_get_a_layer_of_their_own(viewer):
    show_image(viewer, "image", "a", ImagePixels(gray()))
    show_image(viewer, "image", "b", ImagePixels(gray((3, 20, 30))))
    assert [layer.name for layer in viewer.layers] == ["b"]


def test_layers_of_others_are_left_alone(viewer):
    other = viewer.add_labels(np.ones((20, 30), np.uint8), name="image")
    show_labels(viewer, "mask", "mask", np.zeros((20, 30), np.uint16))
    remove_ours(viewer, "image")
    remove_ours(viewer, "mask")
    remove_ours(viewer, "mask")
    assert list(viewer.layers) == [other]
    assert other.data.all()


def test_a_deleted_layer_is_made_anew(viewer):
    placement = {"scale": (2.0, 3.0), "translate": (5.0, 7.0)}
    viewer.layers.remove(show_labels(viewer, "mask", "mask", np.zeros((20, 30), np.uint16), placement=placement))
    again = show_labels(viewer, "mask", "mask", np.ones((20, 30), np.uint16), placement=placement)
    assert find_ours(viewer, "mask") is again
    assert (tuple(again.scale), tuple(again.translate)) == ((2, 3), (5, 7))


def test_labels_of_a_frame_lie_on_the_frame_of_a_turned_and_moved_stack(viewer):
    stack = viewer.add_image(
        np.zeros((4, 20, 30)), scale=(1, 0.5, 0.25), translate=(0, 10, 20), units=("pixel", "um", "um"),
        affine=[[1, 0, 0, 0], [0, 0.8, -0.6, 3], [0, 0.6, 0.8, 4], [0, 0, 0, 1]],
    )  # fmt: skip
    labels = show_labels(viewer, "prediction", "p", np.zeros((20, 30), np.uint8), placement=placement_of(stack, 2))
    corners = [(0, 0), (19, 0), (0, 29), (19, 29)]
    for corner in corners:
        assert labels.data_to_world(corner) == pytest.approx(stack.data_to_world((2, *corner))[1:])


def test_labels_of_a_whole_stack_lie_on_the_stack(viewer):
    stack = viewer.add_image(np.zeros((4, 20, 30)), scale=(3, 0.5, 0.25), rotate=30, translate=(1, 2, 3))
    labels = show_labels(viewer, "prediction", "p", np.zeros((4, 20, 30), np.uint8), placement=placement_of(stack, 3))
    assert labels.data_to_world((3, 10, 20)) == pytest.approx(stack.data_to_world((3, 10, 20)))


def test_marks_tell_layers_apart(viewer):
    for mark in ("image", "mask"):
        show_labels(viewer, mark, mark, np.zeros((4, 4), np.uint8))
    assert all(one is not other for one, other in pairwise(viewer.layers))
    assert find_ours(viewer, "preview") is None


def test_a_new_layer_goes_below_the_one_it_belongs_to(viewer):
    show_image(viewer, "image", "a", ImagePixels(gray()))
    painting = show_labels(viewer, "painting", "mask", np.zeros((20, 30), np.uint16))
    preview = show_labels(viewer, "preview", "p", np.zeros((20, 30), np.uint8), below="painting", editable=False)
    sight = show_image(viewer, "sight", "s", ImagePixels(gray()), below="painting")
    assert [layer.name for layer in viewer.layers] == ["a", "p", "s", "mask"]
    assert (painting.editable, preview.editable, sight.editable) == (True, False, True)


def test_nobody_hears_of_a_selection_that_comes_back(viewer):
    painting = viewer.add_labels(np.zeros((20, 30), np.uint16))
    heard = []
    viewer.layers.selection.events.connect(heard.append)
    with selection_kept(viewer):
        added = viewer.add_labels(np.zeros((20, 30), np.uint16))
        assert viewer.layers.selection.active is added
    assert viewer.layers.selection.active is painting
    assert not heard


def test_several_selected_layers_stay_so(viewer):
    layers = {viewer.add_labels(np.zeros((20, 30), np.uint16)) for _ in range(2)}
    viewer.layers.selection = layers
    with selection_kept(viewer):
        viewer.add_labels(np.zeros((20, 30), np.uint16))
    assert viewer.layers.selection == layers
    assert viewer.layers.selection.active is None


def test_a_selected_layer_that_goes_is_made_known(viewer):
    kept, lost = (viewer.add_labels(np.zeros((20, 30), np.uint16)) for _ in range(2))
    viewer.layers.selection = {kept, lost}
    heard, active = [], []
    viewer.layers.selection.events.changed.connect(lambda event: heard.append(event.removed))
    viewer.layers.selection.events.active.connect(lambda event: active.append(event.value))
    with selection_kept(viewer):
        viewer.layers.remove(lost)
    assert (heard, active) == ([{lost}], [kept])
    assert viewer.layers.selection == {kept}


@pytest.mark.gui
def test_a_layer_added_aside_leaves_the_controls_of_the_painted_one(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    painting = show_labels(viewer, "painting", "mask", np.zeros((20, 30), np.uint16))
    with selection_kept(viewer):
        preview = show_labels(viewer, "preview", "p", np.eye(20, 30, dtype=np.uint8), below="painting", editable=False)
    window = viewer.window._qt_viewer
    qtbot.wait(50)
    assert window.controls.currentWidget() is window.controls.widgets[painting]
    assert window.layers.selectedIndexes()[0].data() == "mask"
    viewer.layers.selection.active = preview
    assert window.controls.currentWidget() is window.controls.widgets[preview]
    assert viewer.screenshot(flash=False).any()


def test_only_what_differs_is_set(viewer):
    layer = viewer.add_labels(np.zeros((4, 4), np.uint8), scale=(0.5, 0.5), units=("um", "um"), axis_labels=("y", "x"))
    heard = []
    layer.events.connect(lambda event: heard.append(event.type))
    same = {"scale": (0.5, 0.5), "units": ("um", "um"), "axis_labels": ("y", "x"), "visible": True, "mode": "pan_zoom"}
    change(layer, affine=np.eye(3), **same)
    assert not heard
    change(layer, **{**same, "units": ("nm", "nm"), "mode": "paint"})
    assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"] and layer.mode == "paint"
    assert "scale" not in heard
