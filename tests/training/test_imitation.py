"""Old images without masks are replayed with the labels that the base model gives them."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.config import AugmentConfig, PredictConfig
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.replay import MOST_IMAGES, imitated, imitation_notice
from napari_unet_finetune.training.settle import settle_orientation

from .conftest import TINY, MemoryStore, make_squares, tiny_config


@pytest.fixture(scope="module")
def base():
    config = tiny_config(steps=40, learning_rate=3e-3, rehearsal_patches=0)
    return drain(train(make_squares(6), config, shape=TINY)).model


def without_labels(images):
    return [replace(image, labels=None) for image in images]


def test_labels_are_the_models_own_where_it_is_sure(base):
    image = make_squares(1, seed=3)[0]
    (taught,) = imitated(base, without_labels([image]), tiny_config())
    probabilities = (
        Predictor(base, PredictConfig(augment=False, overlap=0.25, precision="fp32")).predict(image).probabilities
    )
    assert np.array_equal(taught.labels, probabilities > base.card.threshold)
    assert 0.5 < taught.annotated.mean() < 1
    assert (
        np.abs(probabilities - base.card.threshold)[taught.annotated].min()
        > np.abs(probabilities - base.card.threshold).min()
    )
    assert (taught.labels == image.target)[taught.annotated].mean() > 0.98


def test_a_model_as_sure_as_numbers_allow_is_imitated_too(base):
    certain = {name: value * 1e4 if name.startswith("final") else value for name, value in base.weights.items()}
    (taught,) = imitated(replace(base, weights=certain), without_labels(make_squares(1)), tiny_config())
    assert taught.annotated.mean() > 0.9


def test_of_many_images_some_are_taken_evenly(base, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.training.replay.MOST_IMAGES", 3)
    images = without_labels(make_squares(5))
    assert [image.name for image in imitated(base, images, tiny_config())] == ["square 0", "square 2", "square 4"]
    assert "(3 of them, spread evenly)" in imitation_notice(5, 3, measured=False)
    assert MOST_IMAGES > 3


def test_of_large_images_fewer_are_taken(base, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.training.replay.MOST_PIXELS", 2 * 48 * 48)
    assert len(list(imitated(base, without_labels(make_squares(5)), tiny_config()))) == 2


def test_stopping_does_not_wait_for_the_old_images(base):
    asked = iter([False, False])
    images, old = make_squares(5, bright=False), without_labels(make_squares(5))
    result = drain(finetune(base, images, tiny_config(), base_images=old, should_stop=lambda: next(asked, True)))
    assert result.ended.stopped and result.ended.steps == 0


def test_a_resumed_run_can_be_stopped_while_the_old_images_are_looked_at(base):
    images, old = make_squares(5, bright=False), without_labels(make_squares(3))
    store = MemoryStore()
    drain(finetune(base, images, tiny_config(), base_images=old, store=store))
    again = finetune(
        base, images, tiny_config(), base_images=old, should_stop=lambda: True, store=MemoryStore(store.states[0])
    )
    assert drain(again).ended.stopped


def test_what_the_old_images_taught_is_not_forgotten(base):
    new, old, others = make_squares(5, bright=False, seed=1), make_squares(5, seed=2), make_squares(4, seed=7)
    config = tiny_config(
        steps=40, learning_rate=3e-3, replay_share=0.5, l2sp=0.0, keep_raw=False, appearance="as they are"
    )
    careful = drain(finetune(base, new, config, base_images=without_labels(old))).model
    forgetful = drain(finetune(base, new, config)).model
    kept, lost = (np.mean([score.dice for score in evaluate(model, others)]) for model in (careful, forgetful))
    assert kept > lost + 0.1


def test_what_is_forgotten_is_not_measured_by_the_models_own_labels(base):
    setup = prepare(base, make_squares(5, bright=False), tiny_config(), base_images=without_labels(make_squares(3)))
    assert setup.old == ()
    assert setup.config.l2sp == 0  # something is replayed
    assert any("cannot be measured" in notice for notice in setup.notices)


def test_patches_with_true_masks_that_a_model_carries_still_measure():
    carrying = drain(train(make_squares(6), tiny_config(), shape=TINY)).model
    old = without_labels(make_squares(3))
    setup = prepare(carrying, make_squares(5, bright=False), tiny_config(), base_images=old)
    assert len(setup.old) == carrying.rehearsal.held_out.sum()
    assert any("measured on the patches" in notice for notice in setup.notices)


@pytest.mark.parametrize("first", [0, 1])
def test_old_images_of_which_only_some_have_labels_are_refused(base, first):
    old = [make_squares(2), without_labels(make_squares(1))]
    with pytest.raises(DataError, match="labels"):
        prepare(base, make_squares(5, bright=False), tiny_config(), base_images=[*old[first], *old[1 - first]])


def test_another_device_that_predicts_a_little_else_changes_no_image(base):
    old, new = without_labels(make_squares(3)), make_squares(5, bright=False)
    one, other = (
        prepare(model, new, tiny_config(), base_images=old) for model in (base, base.with_card(threshold=0.9))
    )
    assert one.old_records == other.old_records


def test_old_images_of_layers_are_not_turned(base, monkeypatch):
    layers = np.zeros((48, 48), bool)
    layers[20:30] = True
    monkeypatch.setattr(
        "napari_unet_finetune.training.datasets.imitated",
        lambda _, images, *__, **___: (replace(one, labels=layers, annotated=np.eye(48) == 0) for one in images),
    )
    seen = []
    settle = settle_orientation
    monkeypatch.setattr(
        "napari_unet_finetune.training.prepare.settle_orientation",
        lambda config, images: seen.append(settle(config, images)[0].augment.orientation) or settle(config, images),
    )
    config = tiny_config(augment=AugmentConfig())
    prepare(base, make_squares(5), config, base_images=without_labels(make_squares(3)))
    assert seen == ["any", "upright"]
