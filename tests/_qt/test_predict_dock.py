"""The dock "Predict": what is offered, what is shown, and what stays when it is closed."""

import itertools

import numpy as np
import pytest
import tifffile

pytest.importorskip("qtpy")

from napari_unet_finetune._qt.layers.layers import selection_kept
from napari_unet_finetune._qt.predict.controller import predict_controller_of
from napari_unet_finetune._qt.predict.measure_panel import MeasurePanel
from napari_unet_finetune._qt.predict.objects_panel import ObjectsPanel
from napari_unet_finetune._qt.predict.panel import PredictPanel
from napari_unet_finetune._qt.session.jobs import Report
from napari_unet_finetune._qt.session.run_footer import RunFooter
from napari_unet_finetune.data.appearance import AS_THEY_ARE, Appearance
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.events import ImagePredicted
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.progress import RunProgress
from napari_unet_finetune.project.project import Project

from .datasets import write_images
from .finetuning_data import save_model

TUBES = np.stack([frame.image for frame in make_microtube(1, 2, shape=(64, 80))])


@pytest.fixture
def predicting(session):
    session.predictor = "microtube"
    return predict_controller_of(session)


@pytest.fixture
def panel(session, predicting, qtbot):
    widget = PredictPanel(session, predicting)
    qtbot.addWidget(widget)
    yield widget
    widget.release()


@pytest.fixture
def objects(session, predicting, qtbot):
    widget = ObjectsPanel(session, predicting)
    qtbot.addWidget(widget)
    yield widget
    widget.release()


@pytest.fixture
def measure(session, predicting, qtbot):
    widget = MeasurePanel(session, predicting.measuring)
    qtbot.addWidget(widget)
    yield widget
    widget.release()


def test_the_panel_says_what_would_be_predicted_or_what_is_missing(viewer, session, panel, tmp_path):
    assert (panel.about.text(), panel.button.isEnabled()) == ("Open an image first.", False)
    viewer.add_image(TUBES, name="movie")
    viewer.dims.set_current_step(0, 1)
    assert (panel.about.text(), panel.button.isEnabled()) == ("movie[001] · 64 × 80 px", True)
    panel.source.set_value("stack")
    assert panel.about.text() == "movie · 2 frames of 64 × 80 px"
    panel.source.set_value("dataset")
    assert "Open a dataset" in panel.about.text() and not panel.button.isEnabled()
    tifffile.imwrite(tmp_path / "a.tif", TUBES[0], photometric="minisblack")
    session.project = Project.open(tmp_path)
    session.predictor = "microtube"
    assert (panel.about.text(), panel.button.isEnabled()) == (
        f"1 image in '{tmp_path.parent.name}/{tmp_path.name}'",
        True,
    )
    assert panel.folders() == (tmp_path, tmp_path / "unet-finetune" / "predictions" / "microtube")


def test_a_folder_and_where_its_labels_go(panel, tmp_path):
    panel.source.set_value("folder")
    assert panel.folders() == (None, None) and not panel.button.isEnabled()
    panel.images.set_value(tmp_path / "gone")
    assert "does not exist" in panel.about.text() and not panel.button.isEnabled()
    panel.images.set_value(tmp_path)
    assert panel.folders() == (tmp_path, tmp_path) and panel.button.isEnabled()
    panel.out.set_value(tmp_path / "out")
    assert panel.folders() == (tmp_path, tmp_path / "out")


def test_the_dataset_is_predicted_into_its_own_folder(session, predicting, panel, tmp_path):
    for name, pixels in zip("ab", TUBES, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="minisblack")
    session.project = Project.open(tmp_path)
    session.predictor = "microtube"
    panel.source.set_value("dataset")
    panel.button.click()
    written = sorted(path.name for path in (tmp_path / "unet-finetune" / "predictions" / "microtube").iterdir())
    assert written == ["a_labels.tif", "b_labels.tif"]
    assert len(predicting.files.ends) == 2


def test_a_folder_is_predicted_with_the_settings_that_are_shown(
    viewer, predicting, panel, objects, qtbot, tmp_path, monkeypatch
):
    for number, pixels in enumerate(TUBES):
        viewer.add_image(pixels, name=f"tube {number}")
        panel.button.click()
        qtbot.waitUntil(lambda: predicting.task is None, timeout=20_000)
    objects.instances.click()
    viewer.layers.selection.active = viewer.layers["tube 0"]
    objects.min_size.value = 40
    viewer.layers.selection.active = viewer.layers["tube 1"]
    assert (objects.min_size.value, objects.instances.isChecked()) == (0, True)
    asked = []
    monkeypatch.setattr(predicting.files, "predict", lambda _source, _out, config, **_: asked.append(config))
    panel.source.set_value("folder")
    panel.images.set_value(tmp_path)
    panel.button.click()
    assert (asked[0].min_size_px, asked[0].instances) == (0, True)


def test_another_model_goes_on_with_the_settings_of_the_image(viewer, session, predicting, panel, objects, qtbot):
    from napari_unet_finetune.models.zoo import find_model

    for number, pixels in enumerate(TUBES):
        viewer.add_image(pixels, name=f"tube {number}")
        panel.button.click()
        qtbot.waitUntil(lambda: predicting.task is None, timeout=20_000)
    objects.fill_holes.click()
    viewer.layers.selection.active = viewer.layers["tube 0"]
    objects.min_size.value = 40
    viewer.layers.selection.active = viewer.layers["tube 1"]
    session.predictor = find_model("microtube")
    panel.button.click()
    qtbot.waitUntil(lambda: predicting.task is None, timeout=20_000)
    assert (predicting.live.config.min_size_px, predicting.live.config.fill_holes) == (0, True)


def test_the_model_of_the_session_is_the_one_shown_and_the_other_way_round(session, panel, tmp_path):
    assert panel.model.value() == "microtube"
    panel.model.set_value(session.model)
    assert session.predictor == session.model
    session.predictor = "microtube"
    assert panel.model.value() == "microtube"
    (tmp_path / "no model.pth").write_bytes(b"\x89PNG")
    panel.use_model(tmp_path / "no model.pth")
    assert "is an image, not a model" in session.message.text and session.predictor == "microtube"


def test_the_settings_act_on_the_prediction_and_show_those_of_the_selected_one(
    viewer, predicting, panel, objects, qtbot
):
    viewer.add_image(TUBES[0], name="tube", scale=(0.5, 0.5), units=("um", "um"))
    panel.button.click()
    qtbot.waitUntil(lambda: predicting.task is None, timeout=20_000)
    live = predicting.live
    objects.threshold.slider.setValue(90)
    np.testing.assert_array_equal(live.output.labels > 0, live.probabilities > 229)
    objects.min_size.value = 40
    assert objects.area.text() == "= 10 µm²"
    objects.instances.click()
    objects.fill_holes.click()
    qtbot.waitUntil(lambda: not live.is_tidying)
    assert (live.config.min_size_px, live.config.instances, live.config.fill_holes) == (40, True, True)
    objects.probability.click()
    assert live.is_probability_shown
    viewer.layers.remove(live.probability_layer)
    assert not objects.probability.isChecked()
    objects.threshold.restore.click()
    assert live.config.threshold is None


def test_two_models_of_one_name_do_not_share_a_folder_of_labels(session, panel, tmp_path):
    session.project = Project.open(write_images(tmp_path / "images", 1))
    panel.source.set_value("dataset")
    folders = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        session.predictor = save_model(tmp_path / place / "mine.safetensors")
        folders.append(panel.folders()[1])
    assert folders[0] != folders[1]
    assert all(folder.name.startswith("mine-") for folder in folders)


def test_it_can_be_chosen_which_way_round_a_model_sees_an_image(viewer, session, predicting, panel, tmp_path, qtbot):
    def probabilities():
        panel.button.click()
        qtbot.waitUntil(lambda: predicting.task is None, timeout=20_000)
        return predicting.live.probabilities[:].astype(int)

    model = load_model("microtube")
    model.with_card(knows=(AS_THEY_ARE, Appearance(inverted=(0,)))).save(tmp_path / "both.safetensors")
    panel.use_model(tmp_path / "both.safetensors")
    viewer.add_image(TUBES[0], name="tube")
    as_it_is = probabilities()
    assert session.message.text == "Predicted tube with both."
    panel.appearance.set_value("inverted")
    assert np.abs(probabilities() - as_it_is).max() > 5
    seen = "The model saw 1 image with dark and bright exchanged: tube."
    assert session.message.text == f"Predicted tube with both. {seen}"


def test_layers_to_measure_follow_the_viewer_and_the_table_opens(viewer, measure, qtbot):
    assert not measure.button.isEnabled()
    image = viewer.add_image(TUBES[0], name="tube")
    first = viewer.add_labels(np.ones((64, 80), int), name="first")
    viewer.add_labels(np.zeros((64, 80), int), name="second")
    assert measure.labels.currentText() == "second" and measure.image.currentText() == "tube"
    viewer.layers.selection.active = first
    assert measure.labels.currentText() == "first"
    viewer.layers.selection.active = image
    assert measure.labels.currentText() == "first"
    new = viewer.add_labels(np.zeros((64, 80), int), name="seen", metadata={"napari-unet-finetune": "prediction"})
    viewer.layers.remove(new)
    viewer.layers.selection.active = first
    viewer.layers.append(new)
    assert measure.labels.currentText() == "seen"
    viewer.layers.selection.active = first
    measure.button.click()
    qtbot.waitUntil(lambda: measure.dialog is not None)
    assert measure.dialog.objects.row(0)["area_px"] == 64 * 80
    assert measure.dialog.objects.row(0)["mean_intensity"] == pytest.approx(TUBES[0].mean())
    measure.dialog.close()
    qtbot.waitUntil(lambda: measure.dialog is None)


def test_the_footer_shows_how_far_it_is_and_stops(viewer, waiting, qtbot, tmp_path):
    session, runner = waiting
    session.predictor = "microtube"
    predicting = predict_controller_of(session)
    footer = RunFooter(session, has_curve=False)
    qtbot.addWidget(footer)
    view = footer.other
    assert view.isHidden()
    viewer.add_image(TUBES, name="movie")
    done = []
    session.jobs.changed.connect(lambda: done.append(session.jobs.job.doing if session.jobs.job else ""))
    predicting.predict(whole=True)
    assert not view.isHidden()
    qtbot.waitUntil(lambda: runner.folder is not None)
    assert "Reading frame 2 of 2" in done
    np.save(tmp_path / "p.npy", np.zeros((64, 80), np.uint8))
    event = ImagePredicted(0, 2, "000000", tmp_path / "p.npy", 0.5)
    runner.listener.on_report(Report(event, RunProgress(images=(1, 2))))
    view.redraw()
    assert view.bar.value() == 500 and view.bar.format() == "Image 2 of 2"
    assert view.title.text() == "Predicting 2 frames of movie"
    view.stop.click()
    view.redraw()
    assert runner.job.said == ["stop"] and view.bar.format() == "Stopping…"
    runner.listener.on_end(None)
    assert view.isHidden() and "Stopped after 1 of 2 frames" in footer.message.text
    footer.release()


def test_a_prediction_that_is_stopped_while_its_frames_are_read_begins_no_job(viewer, waiting, qtbot):
    session, runner = waiting
    session.predictor = "microtube"
    predicting = predict_controller_of(session)
    viewer.add_image(TUBES, name="movie")
    predicting.predict(whole=True)
    session.jobs.stop()
    qtbot.waitUntil(lambda: not session.jobs.is_running)
    assert runner.folder is None and predicting.task is None
    assert "Stopped after 0 of 2 frames" in session.message.text


def test_a_prediction_goes_on_when_its_dock_is_closed_beside_another(viewer, waiting, qtbot, tmp_path):
    session, runner = waiting
    predicting = predict_controller_of(session)
    panels = (PredictPanel(session, predicting), ObjectsPanel(session, predicting), RunFooter(session))
    for panel in panels:
        qtbot.addWidget(panel)
    viewer.add_image(TUBES[0], name="tube")
    panels[0].button.click()
    qtbot.waitUntil(lambda: runner.folder is not None)
    for panel in panels:
        panel.release()
    np.save(tmp_path / "p.npy", np.full((64, 80), 200, np.uint8))
    runner.listener.on_report(Report(ImagePredicted(0, 1, "000000", tmp_path / "p.npy", 0.5), RunProgress()))
    runner.listener.on_end(None)
    assert viewer.layers["tube prediction"].data.all()
    assert predict_controller_of(session) is predicting and predicting.live is not None


@pytest.mark.gui
def test_a_prediction_in_a_child_is_shown_in_a_real_viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-unet-finetune", "Predict")
    widget.session.predictor = "microtube"
    viewer.add_image(TUBES, name="movie")
    widget.predict.source.set_value("stack")
    widget.predict.button.click()
    qtbot.waitUntil(lambda: widget.session.jobs.is_running, timeout=20_000)
    qtbot.waitUntil(lambda: "movie prediction" in viewer.layers, timeout=240_000)
    qtbot.waitUntil(lambda: predict_controller_of(widget.session).task is None, timeout=240_000)
    assert viewer.layers["movie prediction"].data.any(axis=(1, 2)).all()
    widget.objects.threshold.slider.setValue(95)
    viewer.window.remove_dock_widget(dock)


def add_marked(viewer, mark, name, value=0):
    labels = np.full((64, 80), value, int)
    return viewer.add_labels(labels, name=name, metadata={"napari-unet-finetune": mark})


class TestTheLayerToMeasure:
    """What is meant while nobody has chosen: a mask is painted in, and stays selected."""

    @pytest.fixture(autouse=True)
    def shown(self, viewer):
        viewer.add_image(TUBES[0], name="tube", metadata={"napari-unet-finetune": "image"})
        return add_marked(viewer, "painting", "mask · tube")

    @pytest.mark.parametrize("others", list(itertools.permutations(["error", "compare:model:base", "run preview"])))
    def test_is_the_mask_while_there_is_no_prediction(self, viewer, measure, others):
        with selection_kept(viewer):
            for mark in others:
                add_marked(viewer, mark, mark)
        assert measure.labels.currentText() == "mask · tube"

    @pytest.mark.parametrize("mark", ["prediction", "run prediction", "file:tube_labels.tif"])
    @pytest.mark.parametrize("place", [1, 2])
    def test_is_the_prediction_wherever_it_lies(self, viewer, session, mark, place, qtbot):
        with selection_kept(viewer):
            viewer.layers.move(viewer.layers.index(add_marked(viewer, mark, "seen")), place)
            add_marked(viewer, "error", "errors of base", 3)
        widget = MeasurePanel(session, predict_controller_of(session).measuring)
        qtbot.addWidget(widget)
        assert widget.labels.currentText() == "seen"
        widget.release()

    def test_becomes_a_prediction_that_is_new_and_the_users_choice_holds_until_then(self, viewer, measure, shown):
        with selection_kept(viewer):
            add_marked(viewer, "prediction", "first")
            assert measure.labels.currentText() == "first"
            measure.labels.set_value(id(shown))
            add_marked(viewer, "error", "errors of base", 3)
            assert measure.labels.currentText() == "mask · tube"
            new = add_marked(viewer, "run prediction", "second")
            viewer.layers.move(viewer.layers.index(new), 1)
        assert measure.labels.currentText() == "second"
        viewer.layers.remove(new)
        assert measure.labels.currentText() == "first"

    def test_is_never_one_of_errors(self, viewer, measure, shown):
        errors = add_marked(viewer, "error", "errors of base", 3)
        viewer.layers.selection.active = errors
        viewer.layers.remove(shown)
        assert not measure.can_measure and not measure.button.isEnabled()

    def test_is_measured_with_its_own_image_though_one_of_a_comparison_is_selected(self, viewer, session, qtbot):
        add_marked(viewer, "run prediction", "prediction · tube")
        viewer.add_image(TUBES[1], name="other", metadata={"napari-unet-finetune": "compare:image"})
        widget = MeasurePanel(session, predict_controller_of(session).measuring)
        qtbot.addWidget(widget)
        assert (widget.labels.currentText(), widget.image.currentText()) == ("prediction · tube", "tube")
        widget.release()

    def test_is_measured_with_the_image_it_lies_on(self, viewer, measure, shown):
        for mark in ("compare:image", "compare:image:1"):
            viewer.add_image(TUBES[1], name="other", metadata={"napari-unet-finetune": mark})
        model = add_marked(viewer, "compare:model:base", "base")
        assert [measure.image.itemText(row) for row in range(measure.image.count())] == [
            "other", "tube", "all 2 images", "no intensities",
        ]  # fmt: skip
        for layer, image in ((shown, "tube"), (model, "other"), (shown, "tube")):
            measure.labels.set_value(id(layer))
            assert measure.image.currentText() == image
        measure.image.set_value(None)
        add_marked(viewer, "prediction", "tube prediction")
        assert (measure.labels.currentText(), measure.image.currentText()) == ("tube prediction", "no intensities")

    @pytest.mark.parametrize("mark", ["compare:image", ""])
    @pytest.mark.parametrize("is_chosen", [True, False])
    def test_is_measured_in_the_image_that_was_predicted(self, viewer, predicting, measure, qtbot, mark, is_chosen):
        if is_chosen:
            measure.image.set_value(id(viewer.layers["tube"]))
        other = viewer.add_image(TUBES[1], name="other", metadata={"napari-unet-finetune": mark})
        third = viewer.add_image(TUBES[0], name="third")
        for layer, image in ((other, "other"), (third, "third"), (other, "other")):
            viewer.layers.selection.active = layer
            predicting.predict(whole=False)
            qtbot.waitUntil(lambda: predicting.task is None, timeout=20_000)
            viewer.layers.selection.active = viewer.layers["mask · tube"]
            assert (measure.labels.currentText(), measure.image.currentText()) == (f"{image} prediction", image)


@pytest.mark.gui
def test_closing_the_last_dock_ends_the_prediction_without_complaint(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-unet-finetune", "Predict")
    session = widget.session
    session.predictor = "microtube"
    viewer.add_image(TUBES[0], name="tube")
    widget.predict.button.click()
    qtbot.waitUntil(lambda: session.jobs.is_running, timeout=20_000)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not session.jobs.is_running, timeout=20_000)
    assert session.message.tone != "error"
    assert [layer.name for layer in viewer.layers] == ["tube"]


def test_what_is_asked_for_while_a_job_runs_begins_when_that_has_ended(waiting, qtbot, tmp_path):
    session, runner = waiting
    session.project = Project.open(write_images(tmp_path / "images", 2))
    session.predictor = "microtube"
    panel = PredictPanel(session, predict_controller_of(session))
    qtbot.addWidget(panel)
    panel.source.set_value("dataset")
    panel.start_when_free()
    first = runner.listener
    panel.start_when_free()
    assert runner.listener is first
    first.on_end(None)
    qtbot.waitUntil(lambda: runner.listener is not first)
    panel.release()
