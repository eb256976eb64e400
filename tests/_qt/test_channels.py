"""Images of two channels in the docks: a box where one is chosen, remembered, and seen by all that looks at images."""

import numpy as np
import pytest
import tifffile

pytest.importorskip("qtpy")

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.images.panel import ImagesPanel
from napari_unet_finetune._qt.predict.controller import predict_controller_of
from napari_unet_finetune._qt.predict.panel import PredictPanel
from napari_unet_finetune.config import FinetuneConfig, PredictConfig
from napari_unet_finetune.data.channels import ALL, one_channel
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.io.axes import COLORS
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.question_plan import Asked, make_question

STAINS = ("DAPI", "GFP")
TUBE = make_microtube(1, 1, shape=(64, 80))[0].image


@pytest.fixture
def stained(tmp_path):
    """Return a folder of two images of which only the second channel shows anything."""
    for name in "ab":
        tifffile.imwrite(
            tmp_path / f"{name}.ome.tif", np.stack([np.zeros_like(TUBE), TUBE]),
            metadata={"axes": "CYX", "Channel": {"Name": list(STAINS)}},
        )  # fmt: skip
    return tmp_path


@pytest.fixture
def panels(session, qtbot):
    session.model = "microtube"
    shown = ImagesPanel(session), PredictPanel(session, predict_controller_of(session))
    for panel in shown:
        qtbot.addWidget(panel)
    yield shown
    for panel in shown:
        panel.release()


def texts(box):
    return [box.itemText(place) for place in range(box.count())]


def test_the_first_channel_is_seen_until_another_one_is_chosen_and_that_is_remembered(session, panels, stained):
    images, predict = panels
    session.project = Project.open(stained)
    predict.source.set_value("dataset")
    for box in (images.channel, predict.channel):
        assert not box.isHidden()
        assert texts(box) == ["DAPI", "GFP", "all channels"]
        assert box.currentText() == "DAPI"
    images.channel.setCurrentIndex(1)
    assert predict.channel.currentText() == "GFP"
    predict.channel.setCurrentIndex(2)
    assert images.channel.currentText() == "all channels"
    assert Project.open(stained).channels == session.channels == ALL


def test_a_channel_that_is_chosen_in_another_window_is_shown_here(session, panels, stained, viewer):
    images, predict = panels
    session.project = Project.open(stained)
    predict.source.set_value("dataset")
    annotation = annotation_of(session)
    annotation.open("a")
    other = Project.open(stained)
    other.channels = one_channel(STAINS, 1)
    annotation.catch_up()
    assert session.channels == one_channel(STAINS, 1) and viewer.dims.current_step[0] == 1
    assert images.channel.currentText() == predict.channel.currentText() == "GFP"
    assert "Another window" in session.message.text
    told = []
    session.message_changed.connect(lambda: told.append(session.message.text))
    annotation.catch_up()
    assert not told


def test_two_channels_are_predicted_from_the_first_click(session, panels, stained, viewer):
    images, predict = panels
    session.project = Project.open(stained)
    assert annotation_of(session).open("a")
    predict.start()
    empty = predict.predicting.live.output.layer.data.copy()
    images.channel.setCurrentIndex(1)
    assert viewer.dims.current_step[0] == 1
    predict.start()
    assert (predict.predicting.live.output.layer.data != empty).any()


def test_all_that_looks_at_images_is_told_the_channel(session, stained):
    project = session.project = Project.open(stained)
    session.channels = chosen = one_channel(STAINS, 1)
    assert session.seeing(PredictConfig()).channels == session.seeing(FinetuneConfig()).channels == chosen
    for question in ("check", "suggest", "can_learn"):
        asked = Asked(question=question, model="microtube", images=project.names)
        request = make_question(asked, project, session.seeing(FinetuneConfig()), stained / "job")
        assert chosen in (getattr(request, "channels", None), getattr(request, "config", PredictConfig()).channels)


def test_a_model_trained_on_one_channel_goes_on_with_it(session, stained, tmp_path):
    from napari_unet_finetune.models.load import load_model

    file = tmp_path / "model" / "on-gfp.safetensors"
    file.parent.mkdir()
    load_model("microtube").seeing(one_channel(STAINS, 1)).save(file)
    session.project = Project.open(stained)
    session.predictor = file
    assert session.channels.title == "GFP"


def test_gray_images_have_no_box_and_colors_stay_together(session, panels, tmp_path):
    images, predict = panels
    tifffile.imwrite(tmp_path / "gray.tif", TUBE)
    session.project = Project.open(tmp_path)
    assert images.channel.parentWidget().isHidden()
    folder = tmp_path / "color"
    folder.mkdir()
    tifffile.imwrite(folder / "c.tif", np.stack([TUBE, TUBE, TUBE // 2], axis=-1))
    session.project = Project.open(folder)
    assert texts(images.channel) == ["all colors", *COLORS]
    assert session.channels is None
    predict.source.set_value("folder")
    predict.images.set_value(tmp_path)
    assert predict.channel.count() == 0


def test_the_channel_of_other_images_is_chosen_apart_from_the_dataset(session, panels, stained, viewer, qtbot):
    _, predict = panels
    layer = viewer.add_image(np.stack([np.zeros_like(TUBE), TUBE]), axis_labels=("c", "y", "x"))
    viewer.layers.selection.active = layer
    assert texts(predict.channel) == ["channel 0", "channel 1", "all channels"]
    predict.channel.setCurrentIndex(1)
    predict.start()
    qtbot.waitUntil(lambda: predict.predicting.live is not None)  # the frame is written in a thread
    assert predict.predicting.live.output.layer.data.any()
    session.project = Project.open(stained)
    assert session.channels.title == "DAPI"
