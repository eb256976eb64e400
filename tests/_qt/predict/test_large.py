"""A large layer is predicted in pieces: what is looked at first, into a file, and piece by piece into its layer."""

import dask.array as da
import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from napari.layers._source import layer_source
from psygnal import EmitLoopError
from qtpy.QtCore import QTimer

from napari_unet_finetune._qt.layers.layers import mark_of
from napari_unet_finetune._qt.predict import large
from napari_unet_finetune._qt.predict.controller import predict_controller_of
from napari_unet_finetune._qt.predict.panel import PredictPanel
from napari_unet_finetune._qt.session.jobs import Report
from napari_unet_finetune._qt.session.session import Session
from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.events import Alive, PieceEnd
from napari_unet_finetune.inference.predict import predict
from napari_unet_finetune.io.images import list_images, read_image
from napari_unet_finetune.io.regions import region
from napari_unet_finetune.io.regions.region import InView
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs.serve import Control

from ..conftest import WaitingRunner, run_here

SIZE = (230, 150)


@pytest.fixture(scope="module")
def slide():
    """Return an image (230, 150) of cells in a tube."""
    return make_microtube(1, 1, shape=SIZE)[0].image


@pytest.fixture(scope="module")
def expected(slide):
    """Return what is predicted of it in one piece."""
    return predict(load_model("microtube"), slide).labels


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(large, "_LARGEST_PX", 200 * 150)
    monkeypatch.setattr(large, "_LARGEST_OF_LEVELS_PX", 200 * 150)
    monkeypatch.setattr(large, "PIECE_PX", 80)
    monkeypatch.setattr(region, "_SMALLEST_LEVEL_PX", 64)


class Runner:
    """Carries out jobs in this process, remembers what they tell, and stops them after so many pieces."""

    def __init__(self):
        self.told, self.most = [], None

    def __call__(self, job):
        control, pieces = Control(), 0

        def hear(event):
            nonlocal pieces
            self.told.append(event)
            pieces += isinstance(event, PieceEnd)
            if pieces == self.most:
                control.obey('{"do": "stop"}')

        job.event.connect(hear)
        return run_here(job, control)

    @property
    def pieces(self):
        return [event for event in self.told if isinstance(event, PieceEnd)]


@pytest.fixture
def runner():
    return Runner()


@pytest.fixture
def predicting(viewer, runner):
    session = Session(viewer, runner)
    session.predictor = "microtube"
    return predict_controller_of(session)


@pytest.fixture
def run(predicting, viewer, qtbot):
    """Return a function that predicts a layer and waits until all of it is shown."""

    def run(layer, out, *, whole=False, overwrite=False):
        viewer.layers.selection.active = layer
        predicting.predict(whole=whole, out=out, overwrite=overwrite)
        qtbot.waitUntil(lambda: predicting.large.task is None, timeout=30_000)
        qtbot.waitUntil(lambda: not predicting.large.is_showing, timeout=30_000)
        return predicting.session.message.text

    return run


def opened(viewer, path, data, **options):
    """Add what a reader has read from a file."""
    with layer_source(path=str(path)):
        return viewer.add_image(data, **options)


def levels_of(store, *channel):
    return [da.from_zarr(store / level)[channel] for level in "01"]


def shown(viewer, name):
    layer = viewer.layers[f"{name} prediction"]
    return layer, np.asarray(layer.data[0]) if layer.multiscale else np.asarray(layer.data)


def test_a_store_is_predicted_where_it_lies_what_is_looked_at_first(
    tmp_path, viewer, run, runner, slide, expected, write_store
):
    store = write_store(tmp_path / "slide.ome.zarr", slide, "yx")
    image = opened(viewer, store, levels_of(store), name="slide", scale=(0.5, 0.25), contrast_limits=(0, 255))
    image.corner_pixels = np.array([[85, 45], [99, 69]])  # of the level that is shown, half the size
    text = run(image, tmp_path / "out")
    assert [(event.top, event.left) for event in runner.pieces[:2]] == [(160, 80), (80, 80)]
    assert len(runner.pieces) == 6 and runner.pieces[-1].top == 0
    layer, labels = shown(viewer, image.name)
    np.testing.assert_array_equal(labels, expected)
    assert tuple(layer.scale) == (0.5, 0.25) and mark_of(layer) == "prediction"
    target = tmp_path / "out" / "slide_labels.ome.zarr"
    np.testing.assert_array_equal(read_image(list_images(target)[0], as_labels=True).array, expected)
    assert text == f"Predicted {image.name}. Its labels are in {target}."


def test_a_large_layer_that_the_model_saw_exchanged_is_told(tmp_path, viewer, run, predicting, slide, write_store):
    store = write_store(tmp_path / "slide.ome.zarr", slide, "yx")
    image = opened(viewer, store, levels_of(store), name="slide")
    predicting.session.show_as(predicting.session.predictor, "inverted")
    told = run(image, tmp_path / "out")
    assert told.endswith("The model saw 1 image with dark and bright exchanged: slide.")


@pytest.fixture
def waiting(tmp_path, viewer, slide, qtbot):
    """Return a layer whose prediction has begun, and the runner that tells what happens."""
    runner = WaitingRunner()
    predicting = predict_controller_of(Session(viewer, runner))
    predicting.session.predictor = "microtube"
    image = viewer.add_image([slide, slide[::2, ::2]], name="slide")
    viewer.layers.selection.active = image
    predicting.predict(whole=False, out=tmp_path, overwrite=False)
    qtbot.waitUntil(lambda: runner.folder is not None, timeout=10_000)
    return image, runner


def test_what_is_looked_at_meanwhile_is_told_once(viewer, waiting):
    image, runner = waiting
    job = runner.listener
    for corners in (((10, 10), (20, 30)), ((10, 10), (20, 30)), ((60, 20), (70, 40))):
        image.corner_pixels = np.array(corners)
        job.on_report(Report(Alive(), job.progress))
    step = image.downsample_factors[image.data_level][-1]
    views = [said for said in runner.job.said if isinstance(said, InView)]
    assert [view.region.top for view in views] == [10 * step, 60 * step]
    viewer.layers.remove(image)
    job.on_report(Report(Alive(), job.progress))
    assert [said for said in runner.job.said if isinstance(said, InView)] == views


@pytest.mark.parametrize("fails", ["current_frame", "in_view"])
def test_a_view_that_cannot_be_told_at_one_moment_is_told_at_the_next(monkeypatch, waiting, fails):
    image, runner = waiting
    job, heard = runner.listener, []
    job.event.connect(heard.append)
    image.corner_pixels = np.array(((10, 10), (20, 30)))
    with monkeypatch.context() as patched:
        patched.setattr(large, fails, lambda *_: [][0])  # as while the axes of the viewer change
        with pytest.raises(EmitLoopError, match="IndexError"):
            job.on_report(Report(Alive(), job.progress))
    for _ in range(2):
        job.on_report(Report(Alive(), job.progress))
    assert len(heard) == 2
    assert [said.region.top for said in runner.job.said] == [10 * image.downsample_factors[image.data_level][-2]]


def test_channels_that_are_layers_of_their_own_are_known_in_the_file(
    tmp_path, viewer, run, slide, expected, write_store
):
    store = write_store(tmp_path / "both.ome.zarr", np.stack([slide[::-1], slide]), "cyx")
    for channel in (0, 1):
        image = opened(viewer, store, levels_of(store, channel), name=f"c{channel}", contrast_limits=(0, 255))
    run(image, tmp_path / "out")
    np.testing.assert_array_equal(shown(viewer, "c1")[1], expected)
    assert (tmp_path / "out" / "both_labels.ome.zarr").is_dir()


def test_a_layer_that_differs_from_its_file_is_predicted_as_it_is_shown(tmp_path, viewer, run, slide, expected):
    tifffile.imwrite(tmp_path / "slide.tif", slide[::-1], photometric="minisblack")
    image = opened(viewer, tmp_path / "slide.tif", slide, name="slide")
    run(image, tmp_path / "out")
    np.testing.assert_array_equal(shown(viewer, "slide")[1], expected)


def test_a_lazy_array_is_predicted_too_and_what_is_there_is_shown(tmp_path, viewer, run, runner, slide, expected):
    lazy = da.from_array(slide, chunks=(50, 150))
    image = viewer.add_image([lazy, lazy[::2, ::2]], name="lazy", scale=(2, 2), contrast_limits=(0, 255))
    assert "Its labels are in" in run(image, tmp_path)
    viewer.layers.remove("lazy prediction")
    assert "existed already and is shown" in run(image, tmp_path)
    np.testing.assert_array_equal(shown(viewer, "lazy")[1], expected)
    assert len(runner.pieces) == 6
    run(image, tmp_path, overwrite=True)
    assert len(runner.pieces) == 12
    assert [layer.name for layer in viewer.layers] == ["lazy", "lazy prediction"]
    assert (tmp_path / "lazy_labels.tif").is_file()


def test_what_was_stopped_is_shown_and_goes_on(tmp_path, viewer, run, runner, slide, expected):
    image = viewer.add_image([slide, slide[::2, ::2]], name="slide")
    runner.most = 2
    text = run(image, tmp_path)
    assert text == "Stopped: 2 of 6 pieces are finished and kept. Predict goes on with them."
    labels = shown(viewer, "slide")[1]
    for event in runner.pieces:
        part = slice(event.top, event.bottom), slice(event.left, event.right)
        np.testing.assert_array_equal(labels[part], expected[part])
    assert (labels > 0).sum() < (expected > 0).sum()
    layer, runner.most = shown(viewer, "slide")[0], None
    before, runner.told[:] = runner.pieces, []
    run(image, tmp_path)
    assert {event.file for event in before} == {event.file for event in runner.pieces[:2]}
    assert [event.done for event in runner.pieces] == [1, 2, 3, 4, 5, 6]
    assert shown(viewer, "slide")[0] is layer
    np.testing.assert_array_equal(shown(viewer, "slide")[1], expected)


def test_of_a_movie_the_frame_that_is_looked_at_is_predicted_alone_or_first(
    tmp_path, viewer, run, runner, slide, expected
):
    movie = np.stack([slide[::-1], slide, slide[:, ::-1]])
    tifffile.imwrite(tmp_path / "movie.tif", movie, photometric="minisblack", metadata={"axes": "TYX"})
    image = opened(viewer, tmp_path / "movie.tif", movie, name="movie")
    viewer.dims.set_current_step(0, 1)
    run(image, tmp_path / "out")
    labels = shown(viewer, "movie")[1]
    np.testing.assert_array_equal(labels[1], expected)
    assert not labels[[0, 2]].any()
    runner.told.clear()
    run(image, tmp_path / "out", whole=True)
    assert [event.frame for event in runner.pieces] == [1] * 6 + [0] * 6 + [2] * 6
    labels = shown(viewer, "movie")[1]
    assert labels[[0, 2]].any(axis=(1, 2)).all()
    np.testing.assert_array_equal(labels[1], expected)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"movie[001]_labels.tif", "movie_labels.tif"}


def test_tidy_labels_are_shown_once_they_are_made(tmp_path, viewer, predicting, run, slide):
    image = viewer.add_image(slide, name="slide")
    predicting.set_config(instances=True, min_size_px=20)
    run(image, tmp_path)
    _, labels = shown(viewer, "slide")
    whole = predict(load_model("microtube"), slide, PredictConfig(instances=True, min_size_px=20)).labels
    np.testing.assert_array_equal(labels, whole)
    assert labels.max() > 1


def test_the_dock_says_where_labels_go(tmp_path, viewer, predicting, slide, qtbot):
    session = predicting.session
    panel = PredictPanel(session, predicting)
    qtbot.addWidget(panel)
    viewer.add_image(slide[:100], name="small")
    assert panel.out.isHidden() and "pieces" not in panel.about.text()
    viewer.add_image(slide, name="array")
    assert not panel.out.isHidden() and "in pieces" in panel.about.text()
    panel.start()
    assert "Choose a folder for its labels" in session.message.text
    tifffile.imwrite(tmp_path / "slide.tif", slide)
    opened(viewer, tmp_path / "slide.tif", slide, name="slide")
    assert panel.folders() == (tmp_path / "slide.tif", tmp_path)
    panel.release()


def test_a_layer_that_was_deleted_stays_so(tmp_path, viewer, run, slide, qtbot):
    image = viewer.add_image(slide, name="slide")

    def delete(layer):
        if isinstance(layer, Labels):
            QTimer.singleShot(0, lambda: viewer.layers.remove(layer))

    viewer.layers.events.inserted.connect(lambda event: delete(event.value))
    run(image, tmp_path)
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == ["slide"])
    assert (tmp_path / "slide_labels.tif").is_file()
