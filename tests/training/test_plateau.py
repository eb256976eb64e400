"""A training without a fixed length: it goes on while old and new images gain, then its rate falls and it ends."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.config import LONG_STEPS, FinetuneConfig
from napari_unet_finetune.events import Notice, StepEnd
from napari_unet_finetune.progress import fold
from napari_unet_finetune.training import optim
from napari_unet_finetune.training.finetune import finetune
from napari_unet_finetune.training.optim import WINDOW, fall_from, has_settled, latest_fall
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.settle import settle_schedule

from .conftest import MemoryStore, make_squares, tiny_config
from .test_finetune import collect, same


def _settled_at(worths):
    return next((n for n in range(1, len(worths) + 1) if has_settled(worths[:n])), None)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.004))
def test_what_rises_has_not_settled_and_what_does_not_has_whatever_the_noise(seed, noise):
    chance = np.random.default_rng(seed).normal(0, noise, 40).clip(-2 * noise, 2 * noise)
    steep = 0.5 + 0.02 * np.arange(40) / WINDOW + chance
    assert _settled_at(list(steep[:20])) is None
    level = np.minimum(0.9, 0.5 + 0.05 * np.arange(40)) + chance
    settled = _settled_at(list(level))
    assert settled is not None and 8 <= settled <= 40


def test_a_model_that_has_not_begun_to_learn_has_not_settled(untrained):
    config = tiny_config(schedule="plateau", validate_every=1, learning_rate=1e-12)
    _, result = collect(finetune(untrained, make_squares(5), config))
    assert result.ended.steps == config.steps


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 100))
def test_a_fall_lies_inside_the_training_and_ends_with_a_validation_or_with_the_last_step(validations, more, every):
    step, steps = validations * every, (validations + more) * every
    first, last = fall_from(step, steps, every)
    assert 0 <= first <= step < last <= steps and last % every == 0
    assert first <= latest_fall(steps)[0]


@pytest.fixture
def never_gains(monkeypatch):
    monkeypatch.setattr(optim, "GAIN", 2.0)
    monkeypatch.setattr(optim, "SHORTEST_FALL", 4)


@pytest.mark.usefixtures("never_gains")
def test_a_training_ends_early_where_nothing_is_gained_and_says_so(untrained):
    config = tiny_config(schedule="plateau", steps=100, validate_every=2)
    events, result = collect(finetune(untrained, make_squares(5), config))
    settled = 2 * WINDOW * config.validate_every
    assert result.ended.steps == settled + 2 * (-(-round(optim.FALL_SHARE * settled) // 2))
    assert fold(events).steps == result.ended.steps == fold(events[:-1]).steps < config.steps
    assert any(f"ends at step {result.ended.steps}" in one.message for one in events if isinstance(one, Notice))
    rates = [one.learning_rate for one in events if isinstance(one, StepEnd)]
    assert all(before >= after for before, after in itertools.pairwise(rates[config.warmup_steps :]))
    assert rates[settled - 1] == max(rates) > 2 * rates[-1]


@pytest.mark.usefixtures("never_gains")
@pytest.mark.parametrize("left", [1, 3, 7])
def test_a_training_that_is_interrupted_before_or_in_its_fall_ends_the_same(untrained, left):
    config, store = tiny_config(schedule="plateau", steps=100, validate_every=2), MemoryStore()
    _, whole = collect(finetune(untrained, make_squares(5), config, store=store))
    _, resumed = collect(finetune(untrained, make_squares(5), config, store=MemoryStore(store.states[-left])))
    assert whole.ended == resumed.ended and same(whole.model.weights, resumed.model.weights)


@pytest.mark.usefixtures("never_gains")
def test_without_held_out_images_all_steps_are_made(untrained):
    config = tiny_config(schedule="plateau", validate_every=1)
    _, result = collect(finetune(untrained, make_squares(3), config))
    assert result.ended.steps == config.steps


@pytest.mark.parametrize(
    ("settings", "held_out", "schedule"),
    [
        ({}, 0, "cosine"),
        ({}, 1, "plateau"),
        ({}, 2, "plateau"),
        ({}, 3, "cosine"),
        ({"steps": LONG_STEPS}, 2, "plateau"),
        ({"steps": LONG_STEPS - 1}, 2, "cosine"),
        ({"preset": "fast"}, 2, "cosine"),
        ({"preset": "from scratch"}, 2, "cosine"),
        ({"preset": "plateau"}, 3, "plateau"),
        ({"preset": "seed recipe"}, 1, "constant"),
        ({"schedule": "step"}, 1, "step"),
    ],
)
def test_a_long_training_with_one_or_two_held_out_images_may_end_early(settings, held_out, schedule):
    assert settle_schedule(FinetuneConfig(**settings), held_out, 10).schedule == schedule


@pytest.mark.parametrize(
    ("annotated", "from_scratch", "schedule"),
    [(12, False, "plateau"), (13, False, "cosine"), (10, True, "cosine")],
)
def test_one_image_held_out_of_many_or_a_network_from_scratch_makes_all_steps(annotated, from_scratch, schedule):
    assert settle_schedule(FinetuneConfig(), 1, annotated, from_scratch=from_scratch).schedule == schedule


@pytest.mark.parametrize(("images", "schedule"), [(3, "cosine"), (5, "plateau"), (15, "cosine")])
def test_the_number_of_images_decides_whether_a_default_training_may_end_early(untrained, images, schedule):
    config = tiny_config(steps=LONG_STEPS)
    assert config.may_end_early
    assert prepare(untrained, make_squares(images), config).config.schedule == schedule
