"""Layers are predicted frame by frame into labels that lie where the image lies, and paint is never overwritten."""

import dask.array as da
import numpy as np
import pytest

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.layers.layers import mark_of
from napari_unet_finetune._qt.predict.controller import predict_controller_of
from napari_unet_finetune._qt.session.jobs import Report
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.events import ImagePredicted
from napari_unet_finetune.progress import RunProgress
from napari_unet_finetune.project.project import Project

from ..datasets import SIZE as DATASET_SIZE
from ..datasets import write_images

SIZE = (64, 80)


@pytest.fixture(scope="module")
def tubes():
    """Return eight small frames (64, 80) of cells in a tube."""
    return np.stack([frame.image for frame in make_microtube(1, 8, shape=SIZE)])


@pytest.fixture
def predicting(session):
    session.predictor = "microtube"
    return predict_controller_of(session)


@pytest.fixture
def predict(predicting, qtbot):
    """Return a function that predicts and waits until that is over."""

    def run(*, whole=False):
        predicting.predict(whole=whole)
        qtbot.waitUntil(lambda: predicting.task is None, timeout=20_000)
        qtbot.waitUntil(lambda: not any(live.is_tidying for live in predicting.results), timeout=20_000)
        return predicting.live

    return run


def labels_layer(viewer, name):
    return viewer.layers[f"{name} prediction"]


def test_the_image_gets_a_labels_layer_of_its_name_at_its_place(viewer, predict, tubes):
    place = {"scale": (0.5, 0.25), "translate": (100, 7), "rotate": 30, "shear": [0.1], "units": ("um", "um")}
    image = viewer.add_image(tubes[0], name="tube", axis_labels=("y", "x"), **place)
    live = predict()
    layer = labels_layer(viewer, "tube")
    assert layer.data.shape == SIZE and set(np.unique(layer.data)) == {0, 1}
    np.testing.assert_allclose(layer.data_to_world((3, 4)), image.data_to_world((3, 4)))
    assert (layer.units, layer.axis_labels) == (image.units, image.axis_labels)
    assert mark_of(layer) == "prediction"
    assert 0 < live.own_threshold < 1
    assert viewer.layers.selection.active is image
    assert "Predicted tube with microtube" in live.session.message.text


def test_the_prediction_is_that_of_the_library(viewer, predict, tubes):
    from napari_unet_finetune import load_model
    from napari_unet_finetune import predict as predict_here
    from napari_unet_finetune.data.annotated_image import AnnotatedImage

    viewer.add_image(tubes[0], name="tube")
    predict()
    expected = predict_here(load_model("microtube"), AnnotatedImage("tube", tubes[0])).labels
    assert (labels_layer(viewer, "tube").data != expected).mean() < 0.005  # probabilities are stored in 8 bits


def test_only_the_frame_that_is_looked_at_is_predicted_and_the_next_one_joins_it(viewer, predict, tubes):
    viewer.add_image(tubes, name="movie", axis_labels=("t", "y", "x"))
    viewer.dims.set_current_step(0, 3)
    live = predict()
    layer = labels_layer(viewer, "movie")
    assert layer.data.shape == tubes.shape
    assert np.flatnonzero(layer.data.any(axis=(1, 2))).tolist() == [3]
    viewer.dims.set_current_step(0, 5)
    assert predict() is live
    assert np.flatnonzero(layer.data.any(axis=(1, 2))).tolist() == [3, 5]
    assert len(viewer.layers) == 2


def test_all_frames_of_time_and_depth_are_predicted_each_at_its_place(viewer, predict, tubes):
    stack = tubes[:6].reshape(2, 3, *SIZE)
    image = viewer.add_image(stack, name="4D", scale=(1, 2, 0.5, 0.5), axis_labels=("t", "z", "y", "x"))
    predict(whole=True)
    layer = labels_layer(viewer, "4D")
    assert layer.data.shape == stack.shape
    np.testing.assert_allclose(layer.scale, image.scale)
    viewer.layers.clear()
    viewer.add_image(stack[1, 2], name="alone")
    predict()
    np.testing.assert_array_equal(layer.data[1, 2], labels_layer(viewer, "alone").data)


def test_lazy_stacks_are_read_one_frame_at_a_time(viewer, predict, tubes):
    most = []

    def read(block):
        most.append(block.shape)
        return block

    lazy = da.from_array(tubes[:3], chunks=(1, *SIZE)).map_blocks(read, dtype=tubes.dtype, meta=tubes[:0])
    viewer.add_image(lazy, name="lazy", contrast_limits=(0, 255))
    predict(whole=True)
    assert labels_layer(viewer, "lazy").data.any(axis=(1, 2)).all()
    assert set(most) == {(1, *SIZE)}


def test_colors_are_one_image(viewer, predict, tubes):
    viewer.add_image(np.repeat(tubes[0][..., None], 3, axis=-1), name="rgb", rgb=True)
    predict()
    viewer.add_image(tubes[0], name="gray")
    predict()
    np.testing.assert_array_equal(labels_layer(viewer, "rgb").data, labels_layer(viewer, "gray").data)


def test_channels_behind_frames_show_the_labels_at_every_channel(viewer, predict, tubes, session):
    both = np.stack([tubes[:2]] * 3, axis=1)
    viewer.add_image(both, name="tc", axis_labels=("t", "c", "y", "x"))
    predict(whole=True)
    layer = labels_layer(viewer, "tc")
    assert layer.data.shape == (2, 1, *SIZE)
    for channel in (0, 1, 2):
        viewer.dims.set_current_step(1, channel)
        assert predict_controller_of(session).live.output.shown_frame == (0,)
        place = layer.world_to_data(viewer.dims.point)
        assert round(place[1]) == 0
    viewer.layers.clear()
    viewer.add_image(np.stack([tubes[0]] * 3), name="cyx", axis_labels=("c", "y", "x"))
    predict()
    assert labels_layer(viewer, "cyx").data.shape == SIZE


def test_the_threshold_acts_at_once(viewer, predicting, predict, tubes):
    viewer.add_image(tubes[0], name="tube")
    live = predict()
    layer = labels_layer(viewer, "tube")
    areas = []
    for threshold in (0.05, 0.5, 0.95):
        predicting.set_config(threshold=threshold)
        assert labels_layer(viewer, "tube") is layer
        areas.append(int(layer.data.sum()))
        np.testing.assert_array_equal(layer.data > 0, live.probabilities > int(threshold * 255))
    assert areas[0] > areas[1] > areas[2]
    predicting.set_config(threshold=None)
    np.testing.assert_array_equal(layer.data > 0, live.probabilities > int(live.own_threshold * 255))


def test_all_frames_follow_the_threshold_the_one_looked_at_first(viewer, predicting, predict, tubes, qtbot):
    viewer.add_image(tubes[:4], name="movie")
    live = predict(whole=True)
    viewer.dims.set_current_step(0, 1)
    predicting.set_config(threshold=0.9)
    np.testing.assert_array_equal(live.output.frame((1,)) > 0, live.probabilities[1] > 229)
    assert live.is_tidying
    viewer.dims.set_current_step(0, 3)
    np.testing.assert_array_equal(live.output.frame((3,)) > 0, live.probabilities[3] > 229)
    qtbot.waitUntil(lambda: not live.is_tidying)
    np.testing.assert_array_equal(live.output.labels > 0, live.probabilities > 229)


def test_tidy_labels_are_those_of_the_library(viewer, predicting, predict, tubes, qtbot):
    from napari_unet_finetune.config import PredictConfig
    from napari_unet_finetune.inference.postprocess import to_labels

    viewer.add_image(tubes[0], name="tube")
    live = predict()
    for changes in ({"min_size_px": 30}, {"fill_holes": True}, {"instances": True}, {"threshold": 0.3}):
        predicting.set_config(**changes)
        qtbot.waitUntil(lambda: not live.is_tidying)
    config = PredictConfig(min_size_px=30, fill_holes=True, instances=True)
    np.testing.assert_array_equal(live.output.labels, to_labels(live.probabilities, 0.3 * 255, config))
    assert live.output.labels.max() > 1
    predicting.set_config(min_size_px=0, fill_holes=False, instances=False)
    assert live.output.labels.max() == 1


def test_paint_in_a_prediction_is_kept_when_the_threshold_moves(viewer, predicting, predict, tubes):
    viewer.add_image(tubes[0], name="tube")
    live = predict()
    mine = labels_layer(viewer, "tube")
    mine.data_setitem((np.array([1, 1]), np.array([1, 2])), 5)
    before = mine.data.copy()
    predicting.set_config(threshold=0.9)
    np.testing.assert_array_equal(mine.data, before)
    assert mark_of(mine) == ""
    assert live.output.layer is not mine and live.output.layer in viewer.layers
    np.testing.assert_array_equal(live.output.labels > 0, live.probabilities > 229)
    assert "It is kept" in live.session.message.text


def test_paint_in_one_frame_keeps_the_whole_stack_and_a_new_one_is_filled(viewer, predicting, predict, tubes, qtbot):
    viewer.add_image(tubes[:4], name="movie")
    live = predict(whole=True)
    mine = labels_layer(viewer, "movie")
    mine.data_setitem((np.array([2]), np.array([1]), np.array([1])), 5)
    before = mine.data.copy()
    viewer.dims.set_current_step(0, 0)
    predicting.set_config(threshold=0.9)  # what is painted is not in sight
    qtbot.waitUntil(lambda: not live.is_tidying)
    assert mark_of(mine) == ""
    np.testing.assert_array_equal(mine.data, before)
    np.testing.assert_array_equal(live.output.labels > 0, live.probabilities > 229)
    assert labels_layer(viewer, "movie") is mine and live.output.layer is not mine


def test_paint_that_was_undone_is_no_paint(viewer, predicting, predict, tubes):
    viewer.add_image(tubes[0], name="tube")
    live = predict()
    layer = labels_layer(viewer, "tube")
    layer.data_setitem((np.array([1]), np.array([1])), 5)
    layer.undo()
    predicting.set_config(threshold=0.9)
    assert live.output.layer is layer and len(viewer.layers) == 2


@pytest.mark.parametrize("model", ["microtube", "another"])
def test_paint_in_a_prediction_is_kept_when_the_image_is_predicted_again(viewer, session, predict, tubes, model):
    from napari_unet_finetune.models.zoo import find_model

    viewer.add_image(tubes[0], name="tube")
    predict()
    mine = labels_layer(viewer, "tube")
    mine.data[2, 2] = 9  # from a script, without napari noticing
    if model == "another":
        session.predictor = find_model("microtube")
    predict()
    assert mine in viewer.layers and mine.data[2, 2] == 9
    assert [layer.name for layer in viewer.layers] == ["tube", "tube prediction", "tube prediction [1]"]


def test_what_is_painted_and_what_is_predicted_have_colors_of_their_own(viewer, session, predict, tubes, tmp_path):
    viewer.add_image(tubes[0], name="tube")
    predicted = predict().output.layer
    session.project = Project.open(write_images(tmp_path / "images", 1))
    annotation = annotation_of(session)
    annotation.open("img_0")
    colors = [[tuple(layer.get_color(label)) for label in (1, 2, 3)] for layer in (predicted, annotation.layer)]
    assert colors[0][0] != colors[1][0]
    assert all(len(set(one)) == 3 for one in colors)  # numbered objects are told apart
    annotation.release()


def test_another_model_takes_the_place_of_the_first_and_its_own_threshold(viewer, session, predicting, predict, tubes):
    from napari_unet_finetune.models.zoo import find_model

    viewer.add_image(tubes, name="movie")
    first = predict()
    predicting.set_config(threshold=0.9)
    session.predictor = find_model("microtube")
    assert predicting.config_of(session.predictor).threshold is None  # of a folder that is predicted with it
    viewer.dims.set_current_step(0, 2)
    second = predict()
    assert second is not first
    assert predicting.config_of(first.model).threshold == 0.9
    assert [bool(second.probabilities[frame].any()) for frame in (0, 2)] == [False, True]
    assert second.config.threshold is None
    assert [layer.name for layer in viewer.layers] == ["movie", "movie prediction"]


def test_a_layer_that_is_deleted_comes_back_with_the_next_prediction(viewer, predicting, predict, tubes):
    viewer.add_image(tubes[0], name="tube", translate=(5, 5))
    predict()
    viewer.layers.remove("tube prediction")
    assert predicting.live is None
    predicting.set_config(threshold=0.4)
    assert len(viewer.layers) == 1
    live = predict()
    assert tuple(labels_layer(viewer, "tube").translate) == (5, 5)
    assert live.threshold == 0.4


def test_results_of_a_layer_that_is_deleted_while_it_is_predicted_lie_where_it_lay(
    viewer, waiting, tubes, tmp_path, qtbot
):
    from napari_unet_finetune._qt.session.jobs import Report
    from napari_unet_finetune.events import ImagePredicted
    from napari_unet_finetune.progress import RunProgress

    session, runner = waiting
    session.predictor = "microtube"
    predicting = predict_controller_of(session)
    image = viewer.add_image(tubes[0], name="tube", translate=(5, 5))
    predicting.predict(whole=False)
    qtbot.waitUntil(lambda: runner.folder is not None)
    viewer.layers.remove(image)
    np.save(tmp_path / "p.npy", np.full(SIZE, 200, np.uint8))
    event = ImagePredicted(0, 1, "000000", tmp_path / "p.npy", 0.6)
    runner.listener.on_report(Report(event, RunProgress()))
    runner.listener.on_end(None)
    assert tuple(labels_layer(viewer, "tube").translate) == (5, 5)
    assert labels_layer(viewer, "tube").data.all()
    assert predicting.task is None and not (tmp_path / "p.npy").exists()


def test_stop_asks_the_child_and_says_how_far_it_came(viewer, waiting, tubes, qtbot):
    session, runner = waiting
    session.predictor = "microtube"
    predicting = predict_controller_of(session)
    viewer.add_image(tubes, name="movie")
    predicting.predict(whole=True)
    qtbot.waitUntil(lambda: runner.folder is not None)
    assert len(list((runner.folder / "images").iterdir())) == 8
    session.jobs.stop()
    assert runner.job.said == ["stop"]
    runner.listener.on_end(None)
    assert session.message.text == "Stopped after 0 of 8 frames."
    assert predicting.task is None and not runner.folder.exists()


def test_a_second_prediction_is_refused_while_one_runs(viewer, waiting, tubes, qtbot):
    session, _ = waiting
    predicting = predict_controller_of(session)
    viewer.add_image(tubes[0], name="tube")
    predicting.predict(whole=False)
    qtbot.waitUntil(lambda: session.jobs.is_running)
    predicting.predict(whole=False)
    assert "Predicting tube is still" in session.message.text


def test_what_goes_wrong_is_one_sentence_and_the_next_prediction_works(viewer, session, predicting, predict, tubes):
    predicting.predict(whole=False)
    assert "There is no image" in session.message.text
    layer = viewer.add_image(np.full(SIZE, np.nan), name="empty", contrast_limits=(0, 1))
    predict()
    assert "NaN or infinite" in session.message.text and session.message.tone == "error"
    viewer.layers.remove(layer)
    viewer.add_image(tubes[0], name="tube")
    session.predictor = "no-such-model"
    predict()
    assert "no-such-model" in session.message.text
    session.predictor = "microtube"
    assert predict().output.is_shown


def test_probabilities_are_shown_on_demand_and_follow(viewer, predict, tubes):
    viewer.add_image(tubes[:2], name="movie", scale=(1, 0.5, 0.5))
    live = predict()
    live.set_probability_shown(True)
    layer = live.probability_layer
    assert layer.data.shape == (2, *SIZE) and tuple(layer.scale) == (1, 0.5, 0.5)
    assert layer.data[0].max() > 200 and layer.data[1].max() == 0
    assert [one.name for one in viewer.layers] == ["movie", layer.name, "movie prediction"]
    viewer.dims.set_current_step(0, 1)
    predict()
    assert layer.data[1].max() > 200
    live.set_probability_shown(False)
    assert layer not in viewer.layers


def test_the_image_to_predict_is_the_selected_one_or_that_of_the_selected_prediction(
    viewer, predicting, predict, tubes
):
    first = viewer.add_image(tubes[0], name="first")
    predict()
    second = viewer.add_image(tubes[1], name="second")
    assert predicting.source() is second
    viewer.layers.selection.active = labels_layer(viewer, "first")
    assert predicting.source() is first
    other = viewer.add_labels(np.zeros(SIZE, int), name="other")
    assert viewer.layers.selection.active is other
    assert predicting.source() is second
    second.visible = False
    assert predicting.source() is first


def test_the_settings_belong_to_the_prediction_of_the_selected_layer(viewer, predicting, predict, tubes):
    first = viewer.add_image(tubes[0], name="first")
    one = predict()
    predicting.set_config(threshold=0.2)
    viewer.add_image(tubes[1], name="second")
    two = predict()
    predicting.set_config(threshold=0.7)
    assert (one.threshold, two.threshold) == (0.2, 0.7)
    viewer.layers.selection.active = first
    assert predicting.live is one and predicting.config.threshold == 0.2


def test_a_threshold_for_a_model_reaches_all_its_predictions_and_outlives_other_settings(
    viewer, session, predicting, predict, tubes
):
    first = viewer.add_image(tubes[0], name="first")
    one = predict()
    viewer.add_image(tubes[1], name="second")
    two = predict()
    viewer.layers.selection.active = first
    predicting.set_threshold(session.predictor, 0.7)
    assert (one.threshold, two.threshold) == (0.7, 0.7)
    np.testing.assert_array_equal(two.output.labels > 0, two.probabilities > 178)
    predicting.set_config(threshold=0.2)  # of the selected prediction and those to come
    viewer.layers.selection.active = viewer.layers["second"]
    predicting.set_config(fill_holes=True)
    assert (two.threshold, predicting.config_of(session.predictor).threshold) == (0.7, 0.2)


def test_the_image_being_annotated_is_read_from_its_file(viewer, session, predict, tubes, tmp_path):
    import tifffile

    from napari_unet_finetune._qt.layers.layers import show_image

    for name, pixels in zip("ab", tubes, strict=False):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="minisblack")
    session.project = Project.open(tmp_path)
    session.current = "a"
    show_image(viewer, "image", "a", session.project.read_image("a"))
    predict()
    assert labels_layer(viewer, "a").data.any()
    session.current = "b"
    assert [layer.name for layer in viewer.layers] == ["a"]


def test_a_large_stack_lies_in_a_file(viewer, predict, tubes, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune._qt.layers.prediction.LARGEST_IN_MEMORY", 1000)
    viewer.add_image(tubes[:2], name="movie")
    live = predict(whole=True)
    assert isinstance(live.output.labels, np.memmap) and isinstance(live.probabilities, np.memmap)
    assert labels_layer(viewer, "movie").data.any(axis=(1, 2)).all()


def test_what_is_annotated_next_is_looked_at_ahead_but_nothing_beside_the_dataset(
    viewer, waiting, tubes, tmp_path, qtbot
):
    session, runner = waiting
    session.project = Project.open(write_images(tmp_path / "images"))
    annotation_of(session).open("img_0")
    predicting, seen = predict_controller_of(session), []
    predicting.predict(whole=False)
    seen.append([image.name for image in runner.listener.request.ahead])
    runner.listener.on_end(None)
    session.project = None
    viewer.add_image(tubes[0], name="tube")
    predicting.predict(whole=False)
    qtbot.waitUntil(lambda: runner.listener is session.jobs.job)  # its frame is written first
    assert seen == [["img_1"]]
    assert runner.listener.request.ahead == ()


@pytest.mark.parametrize("leave", ["the dataset", "for another dataset", "for the next image", "by deleting the layer"])
def test_a_prediction_of_an_image_that_was_left_is_not_laid_over_another(viewer, waiting, tmp_path, leave):
    session, runner = waiting
    session.project = Project.open(write_images(tmp_path / "images"))
    annotation = annotation_of(session)
    annotation.open("img_0")
    predict_controller_of(session).predict(whole=False)
    match leave:
        case "the dataset":
            session.project = None
        case "for another dataset":
            session.project = Project.open(write_images(tmp_path / "others"))
        case "for the next image":
            annotation.next()
        case "by deleting the layer":
            viewer.layers.clear()
    layers = list(viewer.layers)
    file = runner.folder / "0.npy"
    np.save(file, np.full(DATASET_SIZE, 200, np.uint8))
    runner.listener.on_report(Report(ImagePredicted(0, 1, "img_0", file, 0.5), RunProgress()))
    runner.listener.on_end(None)
    assert list(viewer.layers) == layers
    assert "before its prediction arrived" in session.message.text
    annotation.release()
