"""Any Labels layer is measured with any image, and each row leads to its object."""

import csv

import numpy as np
import pytest

from napari_unet_finetune._qt.annotate.paint import PAINTING
from napari_unet_finetune._qt.layers.layers import OURS
from napari_unet_finetune._qt.predict.measure_controller import MeasureController
from napari_unet_finetune.data.masks import BACKGROUND


@pytest.fixture
def measuring(session):
    return MeasureController(session)


@pytest.fixture
def measure(measuring, qtbot):
    def run(labels, *images):
        measuring.measure(labels, images)
        qtbot.waitUntil(lambda: not measuring.is_busy)
        return measuring.measured

    return run


def numbered():
    array = np.zeros((2, 20, 30), np.uint16)
    array[0, 2:4, 4:8], array[1, 10:14, 20:22] = 1, 5
    return array


def test_a_stack_is_measured_frame_by_frame_with_the_intensities_of_the_image(viewer, measure):
    pixels = np.zeros((2, 20, 30), np.float32)
    pixels[0], pixels[1] = 3, 4
    place = {"scale": (1, 0.5, 0.5), "units": ("pixel", "um", "um")}
    image = viewer.add_image(pixels, name="movie", **place)
    labels = viewer.add_labels(numbered(), name="cells", **place)
    rows = measure(labels, image).objects
    assert [(row["image"], row["frame"], row["label"], row["area_px"]) for row in rows] == [
        ("movie", "0", 1, 8), ("movie", "1", 5, 8),
    ]  # fmt: skip
    assert [row["mean_intensity"] for row in rows] == [3, 4]
    assert rows[0]["area_um2"] == 2
    assert viewer.layers["cells"].features.empty  # numbers of two frames would be mixed up


def test_units_other_than_micrometers_are_converted_or_kept(viewer, measure):
    rows = measure(viewer.add_labels(numbered()[0], scale=(2, 2), units=("nm", "nm"))).objects
    assert rows[0]["area_nm2"] == 32
    rows = measure(viewer.add_labels(numbered()[0], scale=(2e-6, 2e-6), units=("m", "m"))).objects
    assert rows[0]["area_um2"] == pytest.approx(32)


def test_numbered_objects_become_features_of_their_layer_and_a_mask_gets_none(viewer, measure):
    labels = viewer.add_labels(numbered().max(axis=0), name="cells")
    measure(labels)
    assert labels.features["index"].tolist() == [1, 5]
    assert labels.features["area_px"].tolist() == [8, 8]
    mask = viewer.add_labels((numbered().max(axis=0) > 0).astype(np.uint8))
    assert len(measure(mask).objects) == 2
    assert mask.features.empty


@pytest.mark.parametrize(
    ("shape", "options", "value"),
    [
        ((20, 30, 3), {"rgb": True}, "mean_intensity_red"),
        ((2, 20, 30), {"axis_labels": ("c", "y", "x")}, "mean_intensity_2"),
        ((20, 30), {}, "mean_intensity"),
    ],
)
def test_channels_are_columns(viewer, measure, shape, options, value):
    image = viewer.add_image(np.full(shape, 7, np.uint8), **options)
    assert measure(viewer.add_labels(numbered()[0]), image).objects[0][value] == 7


def test_images_side_by_side_are_channels_by_their_names(viewer, measure, measuring):
    stain = viewer.add_image(np.full((20, 30), 7, np.uint8), name="DAPI")
    other = viewer.add_image(np.full((20, 30), 700, np.uint16), name="GFP 488")
    color = viewer.add_image(np.full((20, 30, 3), 9, np.uint8), rgb=True, name="H&E")
    cells = viewer.add_labels(numbered()[0], name="cells")
    row = measure(cells, stain, other, color).objects[0]
    assert (row["mean_intensity_DAPI"], row["mean_intensity_GFP 488"], row["max_intensity_H&E_blue"]) == (7, 700, 9)
    assert row["image"] == "cells"
    measure(cells, stain, viewer.add_image(np.zeros((6, 6)), name="small"))
    assert "not of one size" in measuring.session.message.text


def test_channels_between_frames_and_rows_belong_to_the_frame(viewer, measure):
    pixels = np.arange(4, dtype=np.uint8).reshape(2, 2, 1, 1) * np.ones((1, 1, 20, 30), np.uint8)
    image = viewer.add_image(pixels, axis_labels=("t", "c", "y", "x"))
    rows = measure(viewer.add_labels(numbered()[:, None]), image).objects
    assert [(row["mean_intensity_1"], row["mean_intensity_2"]) for row in rows] == [(0, 1), (2, 3)]


def test_flat_labels_on_a_stack_take_the_frame_that_is_looked_at(viewer, measure):
    image = viewer.add_image(np.arange(3).reshape(3, 1, 1) * np.ones((1, 20, 30)))
    labels = viewer.add_labels(numbered()[0])
    viewer.dims.set_current_step(0, 2)
    assert measure(labels, image).objects[0]["mean_intensity"] == 2


def test_layers_that_do_not_go_together_are_refused(viewer, measuring, measure):
    image = viewer.add_image(np.zeros((3, 20, 30)), name="movie")
    measure(viewer.add_labels(numbered(), name="cells"), image)
    assert "Choose two layers of the same stack" in measuring.session.message.text
    measure(viewer.add_labels(np.ones((5, 5), int), name="small"), viewer.add_image(np.zeros((6, 6)), name="large"))
    assert "the image is (6, 6) but its labels are (5, 5)" in measuring.session.message.text
    assert measuring.measured.objects == ()


def test_a_row_leads_to_its_object(viewer, measuring, measure):
    labels = viewer.add_labels(numbered(), scale=(1, 0.5, 0.5), translate=(0, 100, 0))
    viewer.add_image(np.zeros((2, 20, 30)))
    viewer.dims.set_current_step(0, 0)
    rows = measure(labels).objects
    measuring.show_object(rows[1])
    assert viewer.dims.current_step[0] == 1
    assert viewer.layers.selection.active is labels and labels.selected_label == 5
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (105.75, 10.25))
    measuring.show_object(measuring.measured.images[0])
    assert viewer.dims.current_step[0] == 0
    viewer.layers.remove(labels)
    measuring.show_object(rows[0])
    assert "no longer in the viewer" in measuring.session.message.text


def test_tables_are_saved_as_csv_and_a_full_disk_is_told(viewer, measuring, measure, tmp_path):
    rows = measure(viewer.add_labels(numbered())).objects
    measuring.save(rows, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        assert [row["area_px"] for row in csv.DictReader(file)] == ["8", "8"]
    (tmp_path / "file").touch()
    measuring.save(rows, tmp_path / "file" / "t.csv")
    assert "cannot be written" in measuring.session.message.text


def test_stop_ends_after_the_frame_in_work_without_a_result(viewer, measuring, qtbot):
    labels = viewer.add_labels(numbered())
    measuring.changed.connect(measuring.stop)
    measuring.measure(labels)
    qtbot.waitUntil(lambda: not measuring.is_busy)
    assert measuring.measured.images == () and "Stopped" in measuring.session.message.text


def test_strokes_of_background_are_no_objects_where_they_are_painted(viewer, measure):
    painted = numbered()[0]
    painted[10:] = BACKGROUND
    layer = viewer.add_labels(painted, metadata={OURS: PAINTING})
    assert [row["label"] for row in measure(layer).objects] == [1]
