"""A folder is predicted to its end, failures are listed, results can be opened and measured."""

import csv

import numpy as np
import pytest
import tifffile

from napari_unet_finetune._qt.layers.frames import channel_axis
from napari_unet_finetune._qt.predict.folder import FolderController
from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.channels import one_channel
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.io.images import ImageRef, read_image
from napari_unet_finetune.io.writing import write_labels


@pytest.fixture
def files(session):
    session.predictor = "microtube"
    return FolderController(session)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two small images, of which one is broken, and a stack of two frames."""
    images = tmp_path / "images"
    images.mkdir()
    frames = [frame.image for frame in make_microtube(1, 3, shape=(64, 80))]
    write_labels(images / "a.tif", frames[0], scale=(0.5, 0.5), unit="um")
    tifffile.imwrite(images / "s.tif", np.stack(frames[1:]), photometric="minisblack", metadata={"axes": "TYX"})
    (images / "broken.tif").write_bytes(b"II*\0 no image")
    return images


def states(files):
    return {end.path.name: "failed" if end.error else "skipped" if end.skipped else "written" for end in files.ends}


def test_every_file_is_predicted_and_a_broken_one_listed(files, folder, tmp_path):
    files.predict(folder, tmp_path / "out", PredictConfig())
    assert states(files) == {"broken.tif": "failed", "a.tif": "written", "s.tif": "written"}
    assert tifffile.imread(tmp_path / "out" / "s_labels.tif").shape == (2, 64, 80)
    written = read_image(ImageRef(tmp_path / "out" / "a_labels.tif"))
    assert (written.scale, written.unit) == (pytest.approx((0.5, 0.5)), "um")
    message = files.session.message
    assert "2 labels files written" in message.text and "broken.tif" in message.text and message.tone == "warning"
    assert not files.is_busy


def test_files_that_the_model_saw_exchanged_are_told(files, folder, tmp_path):
    files.predict(folder, tmp_path / "out", PredictConfig(appearance="inverted"))
    assert "The model saw 2 files with dark and bright exchanged: a, s." in files.session.message.text


def test_what_is_there_is_skipped_unless_it_is_to_be_overwritten(files, folder, tmp_path):
    out = tmp_path / "out"
    files.predict(folder, out, PredictConfig())
    files.predict(folder, out, PredictConfig(threshold=0.9))
    assert states(files)["a.tif"] == "skipped" and "2 existed already" in files.session.message.text
    before = tifffile.imread(out / "a_labels.tif").sum()
    files.predict(folder, out, PredictConfig(threshold=0.9), overwrite=True)
    assert states(files)["a.tif"] == "written"
    assert tifffile.imread(out / "a_labels.tif").sum() < before


def test_the_settings_of_the_dock_hold_for_files(files, folder, tmp_path):
    files.predict(folder, tmp_path / "out", PredictConfig(instances=True, min_size_px=20))
    labels = tifffile.imread(tmp_path / "out" / "a_labels.tif")
    assert labels.max() > 1
    assert np.bincount(labels.ravel())[1:].min() >= 20


def test_labels_may_lie_beside_the_images(files, folder):
    before = (folder / "a.tif").read_bytes()
    files.predict(folder, folder, PredictConfig(), overwrite=True)
    assert states(files)["a.tif"] == "written"
    assert (folder / "a_labels.tif").exists() and (folder / "a.tif").read_bytes() == before


def test_a_result_opens_at_its_pixel_size_and_only_once(files, folder, tmp_path, viewer, qtbot):
    files.predict(folder, tmp_path / "out", PredictConfig())
    end = next(end for end in files.ends if end.path.name == "a.tif")
    files.show(end)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    image, labels = viewer.layers
    assert (image.name, labels.name) == ("a", "a prediction")
    assert tuple(labels.scale) == pytest.approx((0.5, 0.5)) and labels.data.any()
    stack = next(end for end in files.ends if end.path.name == "s.tif")
    files.show(stack)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4)
    assert viewer.layers["s"].data.shape == viewer.layers["s prediction"].data.shape == (2, 64, 80)
    assert not image.visible and not labels.visible
    labels.data[0, 0] = 9
    files.show(end)
    assert len(viewer.layers) == 4 and image.visible and labels.data[0, 0] == 9


def test_channels_of_a_result_are_called_so_and_each_has_its_contrast(files, tmp_path, viewer, qtbot):
    dim, bright = (make_microtube(1, 1, shape=(64, 80))[0].image.astype(np.uint16) * scale for scale in (1, 100))
    tifffile.imwrite(tmp_path / "two.tif", np.stack([dim, bright]), photometric="minisblack", metadata={"axes": "CYX"})
    files.predict(tmp_path, tmp_path / "out", PredictConfig(channels=one_channel(("", ""), 0)))
    files.show(files.ends[0])
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    image, limits = viewer.layers["two"], []
    for channel, pixels in enumerate((dim, bright)):
        viewer.dims.set_current_step(0, channel)
        limits.append(image.contrast_limits == [pixels.min(), pixels.max()])
    assert (channel_axis(image), limits) == (0, [True, True])


def test_labels_that_were_overwritten_are_read_anew(files, folder, tmp_path, viewer, qtbot):
    def end(files):
        return next(end for end in files.ends if end.path.name == "a.tif")

    files.predict(folder, tmp_path / "out", PredictConfig())
    files.show(end(files))
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    first = viewer.layers["a prediction"]
    files.predict(folder, tmp_path / "out", PredictConfig(threshold=0.95), overwrite=True)
    files.show(end(files))
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    assert not first.visible
    np.testing.assert_array_equal(viewer.layers[-1].data, tifffile.imread(tmp_path / "out" / "a_labels.tif"))
    assert [layer.name for layer in viewer.layers if layer.visible] == ["a", "a prediction [1]"]


def test_a_failed_file_says_why_instead_of_opening(files, folder, tmp_path, viewer):
    files.predict(folder, tmp_path / "out", PredictConfig())
    files.show(next(end for end in files.ends if end.error))
    assert "broken.tif has no labels" in files.session.message.text
    assert len(viewer.layers) == 0


def test_all_labels_files_are_measured_into_one_table(files, folder, tmp_path):
    files.measure(tmp_path / "t.csv")
    assert "no labels files to measure" in files.session.message.text
    files.predict(folder, tmp_path / "out", PredictConfig())
    files.measure(tmp_path / "t.csv")
    with (tmp_path / "t-images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["frame"]) for row in rows] == [("a", ""), ("s", "0"), ("s", "1")]
    assert "Objects measured into" in files.session.message.text
    assert len(files.ends) == 3
    files.measure(tmp_path / "t.csv")
    assert "exists already" in files.session.message.text


def test_colors_open_as_colors(files, tmp_path, viewer, qtbot):
    images = tmp_path / "images"
    images.mkdir()
    color = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    tifffile.imwrite(images / "rgb.tif", color, photometric="rgb")
    files.predict(images, tmp_path / "out", PredictConfig())
    files.show(files.ends[0])
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    assert viewer.layers["rgb"].rgb and viewer.layers["rgb prediction"].data.shape == (64, 80)


def test_errors_leave_it_ready_for_the_next_try(files, folder, tmp_path):
    files.predict(tmp_path / "nowhere", tmp_path / "out", PredictConfig())
    assert "there is no such folder" in files.session.message.text and not files.is_busy
    files.predict(folder, tmp_path / "out", PredictConfig())
    assert len(files.ends) == 3


def test_a_second_job_is_refused(waiting, folder, tmp_path):
    session, runner = waiting
    files = FolderController(session)
    files.predict(folder, tmp_path / "out", PredictConfig())
    assert files.is_predicting and runner.folder.exists()
    files.predict(folder, tmp_path / "out", PredictConfig())
    assert "still running" in session.message.text and files.is_predicting
    runner.listener.on_end(None)
    assert not files.is_busy and not runner.folder.exists()
