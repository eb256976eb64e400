"""The library as a script uses it: folders and arrays in, models, labels and scores out; model first, data second."""

from inspect import getdoc, signature

import numpy as np
import pytest

import napari_unet_finetune as nuf
from napari_unet_finetune.events import RunEnded, RunStarted
from napari_unet_finetune.measure.files import measure_files

SMALL = {"batch_size": 2, "patch_size": 32, "device": "cpu", "validate_every": 2, "keep_raw": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sample")
    nuf.write_microtube(folder, 5, shape=(64, 64))
    return folder / "dataset2"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    run = nuf.train(
        nuf.make_microtube(1, 2, shape=(64, 64)), shape=nuf.ModelConfig(width=16, levels=2), steps=1, **SMALL
    )
    path = str(tmp_path_factory.mktemp("model") / "base.safetensors")
    run.result.model.save(path)
    return nuf.load_model(path)


def test_a_run_is_looped_over_and_then_has_a_result(model, data):
    pairs = nuf.open_folder(str(data / "images"), str(data / "masks"))
    run = nuf.finetune(model, pairs, preset="fast", steps=4, seed=3, **SMALL)
    events = list(run)
    assert isinstance(events[0], RunStarted) and events[0].steps == 4
    assert isinstance(events[-1], RunEnded) and events[-1] == run.result.ended
    config = run.result.model.card.provenance.config
    assert (config["preset"], config["seed"]) == ("fast", 3)


def test_the_result_carries_out_what_is_left_and_is_the_same(model, data):
    pairs = nuf.open_folder(data / "images", data / "masks")
    config = nuf.FinetuneConfig(steps=4, **SMALL)
    begun, whole = (nuf.finetune(model, pairs, config) for _ in range(2))
    for event in begun:
        if event.kind == "step_end":
            break
    assert begun.result.ended == whole.result.ended


def test_settings_are_given_as_a_config_or_by_name(model, data):
    pairs = nuf.open_folder(data / "images", data / "masks")
    with pytest.raises(TypeError, match="not both"):
        nuf.finetune(model, pairs, nuf.FinetuneConfig(), steps=4)
    with pytest.raises(ValueError, match="stepz"):
        nuf.finetune(model, pairs, stepz=4)


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3), (3, 40, 50)])
def test_a_plain_array_is_predicted_as_it_is(model, shape):
    array = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    found = nuf.predict(model, array, device="cpu", threshold=0.4)
    assert found.labels.shape == found.probabilities.shape == (40, 50)
    assert found.threshold == 0.4
    channels_first = np.moveaxis(array, -1, 0) if array.shape[-1] == 3 else array
    again = nuf.predict(model, nuf.AnnotatedImage("mine", channels_first), nuf.PredictConfig(device="cpu"))
    np.testing.assert_array_equal(found.probabilities, again.probabilities)


def test_images_without_masks_are_opened_alone(data):
    images = nuf.open_folder(data / "images")
    assert len(images) == 5 and images[0].labels is None


def test_all_that_can_be_asked_of_a_model_and_data(model, data, tmp_path):
    pairs = nuf.open_folder(data / "images", data / "masks")
    assert len(nuf.evaluate(model, pairs, device="cpu")) == 5
    assert nuf.estimate(model, pairs, nuf.PredictConfig(device="cpu"), maps=str(tmp_path)).result.summary
    assert len(nuf.suggest(model, nuf.open_folder(data / "images"), 2, device="cpu").result) == 2
    assert not nuf.check(str(data / "images"), str(data / "masks"), model=model.card.facts).result.problems
    assert len(nuf.measure(pairs[0].labels, pairs[0].image).objects) > 0


def test_a_room_that_is_imported_does_not_hide_the_function_of_its_name():
    assert measure_files.__module__.startswith("napari_unet_finetune.measure")
    assert callable(nuf.measure) and callable(nuf.report) and callable(nuf.suggest)


@pytest.mark.parametrize(
    "name", ["can_learn", "cross_validate", "estimate", "evaluate", "finetune", "predict", "suggest"]
)
def test_the_model_comes_first_and_the_data_second(name):
    first, second = list(signature(getattr(nuf, name)).parameters)[:2]
    assert (first, second) in {("model", "images"), ("model", "image")}


@pytest.mark.parametrize("name", nuf.__all__)
def test_docstrings_describe_parameters_that_there_are_one_by_one(name):
    described = getdoc(getattr(nuf, name)).partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    names = [line.strip("* ") for line in described.splitlines() if not line.startswith(" ")]
    assert [one for one in names if one not in signature(getattr(nuf, name)).parameters] == []
