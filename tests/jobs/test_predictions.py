"""What a process keeps between predictions saves work, and is never the answer to another question."""

import os
import shutil

import numpy as np
import pytest

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.errors import DataError, ModelError
from napari_unet_finetune.events import ImagePredicted, TileEnd
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.jobs import predictions as module
from napari_unet_finetune.jobs.predictions import Predictions
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs.request import FigureRequest, PredictRequest, write_request
from napari_unet_finetune.runs.serve import Control

CONFIG = PredictConfig(device="cpu", precision="fp32", augment=False)


@pytest.fixture
def images(squares, tmp_path):
    shutil.copytree(squares / "images", tmp_path / "images")
    return list_images(tmp_path / "images").images


@pytest.fixture
def base(model, tmp_path):
    return shutil.copy(model, tmp_path / "base.safetensors")


class Asking:
    """Asks, and tells what was seen and whether it was looked at anew."""

    def __init__(self, folder, model):
        self.folder, self.model, self.predictions = folder, model, Predictions()

    def __call__(self, *images, ahead=(), config=CONFIG):
        request = PredictRequest(checkpoint=str(self.model), images=images, ahead=ahead, config=config)
        events = list(self.predictions.predict(self.folder, request, Control()))
        seen = [np.load(event.file) for event in events if isinstance(event, ImagePredicted)]
        return seen[0], any(isinstance(event, TileEnd) for event in events)

    def expected(self, image, config=CONFIG):
        pixels = module.read_unannotated(image)
        return np.rint(Predictor(load_model(self.model), config).predict(pixels).probabilities * 255).astype(np.uint8)


@pytest.fixture
def ask(tmp_path, base):
    return Asking(tmp_path / "job", base)


def test_where_the_model_is_not_sure_it_says_so(ask, images, monkeypatch):
    monkeypatch.setattr(Predictor, "how_told", lambda *_: "not sure")
    request = PredictRequest(checkpoint=str(ask.model), images=images[:1], config=CONFIG)
    events = ask.predictions.predict(ask.folder, request, Control())
    assert [event.shown for event in events if isinstance(event, ImagePredicted)] == ["not sure"]


def test_what_was_looked_at_ahead_is_answered_at_once(ask, images):
    _, anew = ask(images[0], ahead=images[1:2])
    assert anew
    ask.predictions.look_ahead(lambda: None)
    seen, anew = ask(images[1])
    assert not anew
    np.testing.assert_array_equal(seen, ask.expected(images[1]))


@pytest.mark.parametrize("asked", [1, 2, None])
def test_looking_ahead_ends_for_another_job_but_not_for_the_one_that_it_is_about(ask, images, tmp_path, asked):
    other = FigureRequest()
    if asked is not None:
        other = PredictRequest(checkpoint=str(ask.model), images=images[asked : asked + 1], config=CONFIG)
    write_request(tmp_path / "next", other)
    ask(images[0], ahead=images[1:2])
    ask.predictions.look_ahead(lambda: tmp_path / "next")
    assert ask(images[1])[1] == (asked != 1)


def test_nothing_is_looked_at_ahead_of_a_job_that_was_stopped(ask, images):
    request = PredictRequest(checkpoint=str(ask.model), images=images[:1], ahead=images[1:2], config=CONFIG)
    control = Control()
    control.obey('{"do": "stop"}')
    assert not any(isinstance(event, ImagePredicted) for event in ask.predictions.predict(ask.folder, request, control))
    ask.predictions.look_ahead(lambda: None)
    assert ask(images[1])[1]


def test_what_goes_wrong_ahead_is_told_to_who_asks_for_it(ask, images):
    images[1].path.write_bytes(b"no image")
    ask(images[0], ahead=images[1:2])
    ask.predictions.look_ahead(lambda: None)
    with pytest.raises(DataError):
        ask(images[1])


def test_a_model_that_was_written_anew_is_loaded_anew(ask, images, base):
    before, _ = ask(images[0], ahead=images[1:2])
    ask.predictions.look_ahead(lambda: None)
    stat = base.stat()
    other = load_model(base)
    for name, tensor in other.weights.items():
        if tensor.is_floating_point() and name.endswith("bias"):
            other.weights[name] = tensor + 0.5
    other.save(base)
    os.utime(base, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # by a copy that keeps times, or a clock set back
    for image in images[:2]:
        seen, anew = ask(image)
        assert anew
        np.testing.assert_array_equal(seen, ask.expected(image))
    assert (ask.expected(images[0]) != before).any()
    base.unlink()
    with pytest.raises(ModelError):
        ask(images[0])


def test_an_image_or_setting_that_changed_is_looked_at_anew(ask, images):
    ask(images[0], ahead=images[1:2])
    ask.predictions.look_ahead(lambda: None)
    shutil.copy(images[2].path, images[1].path)
    seen, anew = ask(images[1])
    assert anew
    np.testing.assert_array_equal(seen, ask.expected(images[2]))
    views = CONFIG.model_copy(update={"augment": True})
    seen, anew = ask(images[1], config=views)
    assert anew
    np.testing.assert_array_equal(seen, ask.expected(images[1], views))


def test_no_more_is_kept_than_there_is_room_for(ask, images, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 1)
    ask(images[0])
    assert not ask(images[0])[1]  # the last one always
    ask(images[1])
    assert ask(images[0])[1]
