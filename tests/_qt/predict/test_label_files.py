"""Labels are saved with their pixel size, and never over an image."""

import numpy as np
import pytest
import tifffile

from napari_unet_finetune._qt.predict.label_files import labels_to_save, save_labels, suggested_file
from napari_unet_finetune.io.images import ImageRef, read_image


@pytest.fixture
def save(session, qtbot):
    def run(layer, path):
        session.tell("")
        save_labels(session, layer, path)
        qtbot.waitUntil(lambda: bool(session.message.text))
        return session.message.text

    return run


def test_labels_keep_their_pixel_size(viewer, save, tmp_path):
    layer = viewer.add_labels(np.eye(20, dtype=int) * 3, name="a", scale=(0.5, 0.25), units=("um", "um"))
    assert save(layer, tmp_path / "a.tif") == f"a saved as {tmp_path / 'a.tif'}."
    written = read_image(ImageRef(tmp_path / "a.tif"))
    assert (written.scale, written.unit) == (pytest.approx((0.5, 0.25)), "um")
    np.testing.assert_array_equal(written.array, layer.data)


def test_time_and_depth_are_written_one_after_the_other(viewer, save, tmp_path):
    data = np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9) % 7
    assert "6 frames" in save(viewer.add_labels(data, name="tz"), tmp_path / "tz.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "tz.tif"), data.reshape(6, 8, 9))


def test_an_image_is_never_overwritten(viewer, save, tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((8, 9), np.uint8), photometric="minisblack")
    before = (tmp_path / "image.tif").read_bytes()
    viewer.open(tmp_path / "image.tif", plugin="napari")
    assert "is one of the images" in save(viewer.add_labels(np.ones((8, 9), int)), tmp_path / "image.tif")
    assert (tmp_path / "image.tif").read_bytes() == before


def test_the_selected_labels_are_saved(viewer, session):
    assert labels_to_save(session, None) is None
    layer = viewer.add_labels(np.ones((8, 9), int), name="x[1,2]: a/b")
    assert labels_to_save(session, None) is layer
    assert suggested_file(layer).name == "x[1,2]_ a_b.tif"
