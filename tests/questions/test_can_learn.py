"""Two images are learned by heart, and the verdict follows from that and from tests of the masks."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from napari_unet_finetune.checked_json import checked
from napari_unet_finetune.config import FinetuneConfig, ModelConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import PartStarted, RunStarted, StepEnd, drain
from napari_unet_finetune.questions.can_learn import CanLearn, TrialVerdict, can_learn
from napari_unet_finetune.training.finetune import random_model

CONFIG = FinetuneConfig(device="cpu", precision="fp32", patch_size=32)


@pytest.fixture(scope="module")
def model():
    return random_model(ModelConfig(width=16, levels=2), CONFIG)


def squares(count=4, size=48):
    rng = np.random.default_rng(0)
    images = []
    for index in range(count):
        labels = np.zeros((size, size), np.uint8)
        for row, column in rng.integers(2, size - 14, (1 + index % 3, 2)):
            labels[row : row + 12, column : column + 12] = 1
        pixels = (60 + 120 * labels + rng.normal(0, 10, labels.shape)).clip(0, 255).astype(np.uint8)
        images.append(AnnotatedImage(f"img {index}", pixels, labels))
    return images


def test_a_task_that_can_be_learned_is_called_ready(model):
    events = can_learn(model, squares(), CONFIG, steps=60)
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as stop:
            result = stop.value
            break
    assert result.verdict == "ready" and min(result.dice) > 0.9 and result.headline.startswith("Yes")
    assert len(result.images) == 2 and result.doubts == ()
    assert [event.index for event in seen if isinstance(event, PartStarted)] == [1, 2]
    (started,) = [event for event in seen if isinstance(event, RunStarted)]
    assert set(started.train_images) == set(result.images) and started.validation_images == ()
    assert sum(isinstance(event, StepEnd) for event in seen) == result.steps == len(result.losses) == 60


def test_the_two_images_with_most_of_both_are_taken(model):
    images = squares(5)
    shares = {image.name: image.target.mean() for image in images}
    expected = sorted(shares, key=lambda name: shares[name] * (shares[name] - 1))[:2]
    result = drain(can_learn(model, images, CONFIG, steps=1))
    assert set(result.images) == set(expected)


def test_what_cannot_be_learned_is_not_ready(model):
    rng = np.random.default_rng(0)
    noise = [replace(image, image=rng.integers(0, 255, image.shape).astype(np.uint8)) for image in squares()]
    result = drain(can_learn(model, noise, CONFIG, steps=20))
    assert result.verdict in ("not ready", "needs longer", "check the data") and np.mean(result.dice) < 0.9


def test_masks_that_do_not_fit_are_told_however_well_they_are_learned(model):
    moved = [replace(image, labels=np.roll(image.labels, 7, 0)) for image in squares()]
    result = drain(can_learn(model, moved, CONFIG, steps=30))
    assert result.verdict == "check the data"
    assert "moved by -7 px in Y and 0 px in X" in result.summary


def test_a_computer_that_is_too_busy_is_told_from_masks_that_cannot_be_learned(model):
    result = drain(can_learn(model, squares(), CONFIG, seconds=1e-6, steps=100_000))
    assert (result.steps, result.planned, result.verdict) == (1, 100_000, "needs longer")
    assert "busy" in result.headline and "1 of 100000 steps" in result.summary
    assert (result.headline + result.summary).lower().count("yet") == 1


def test_only_the_time_of_steps_counts_not_loading_nor_what_somebody_makes_it_wait(model, monkeypatch):
    clock = [0.0]

    def wait():
        clock[0] += 1000
        return False

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    result = drain(can_learn(model, squares(), CONFIG, steps=3, should_stop=wait))
    assert (result.steps, result.seconds) == (3, 0)


def test_each_answer_is_said_once():
    for verdict in get_args(TrialVerdict):
        result = CanLearn(verdict, ("a", "b"), (0.5, 0.6), 100, 50.0, (0.5,) * 100, (), 100)
        first = result.headline.partition(":")[0].rstrip(".")
        assert first not in result.summary


def test_an_answer_of_before_is_not_called_cut_short():
    values = CanLearn("needs longer", ("a",), (0.5,), 60, 60.0, (0.5,), ()).to_json()
    del values["planned"]
    assert not checked(values, CanLearn).was_cut_short


def test_stopping_gives_no_verdict(model):
    asked = iter([False] * 5)
    assert drain(can_learn(model, squares(), CONFIG, should_stop=lambda: next(asked, True))) is None


def test_masks_without_objects_are_refused(model):
    empty = [replace(image, labels=np.zeros_like(image.labels)) for image in squares()]
    with pytest.raises(DataError, match="nothing to learn"):
        drain(can_learn(model, empty, CONFIG))
    with pytest.raises(DataError, match="no annotated images"):
        drain(can_learn(model, [], CONFIG))
