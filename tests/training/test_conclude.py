"""Which weights of a training are kept."""

from types import SimpleNamespace

import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.training.conclude import is_best
from napari_unet_finetune.training.state import Progress
from napari_unet_finetune.training.validation import ImageValidator

STEPS = 100


def setup(held_out=1, *, old=True, schedule="cosine"):
    return SimpleNamespace(
        held_out=range(held_out),
        old=("old",) if old else (),
        config=FinetuneConfig(schedule=schedule),
        source=SimpleNamespace(steps=STEPS),
        validator=ImageValidator.__new__(ImageValidator),
    )


def at(step=STEPS, best=0.90, raw=0.50):
    return Progress(step=step, best_score=best, raw_score=raw)


def test_the_first_and_every_better_validation_is_the_best():
    assert is_best(0.1, setup(), at(10, best=None))
    assert is_best(0.91, setup(), at(10)) and not is_best(0.90, setup(), at(10))


@pytest.mark.parametrize(
    ("score", "held_out", "kept"), [(0.892, 1, True), (0.888, 1, False), (0.899, 4, True), (0.892, 4, False)]
)
def test_the_last_weights_are_kept_if_they_are_worse_by_chance_only(score, held_out, kept):
    assert is_best(score, setup(held_out), at()) is kept
    assert not is_best(score, setup(held_out), at(STEPS - 50))


def test_without_an_old_dataset_or_a_falling_rate_the_last_weights_are_nothing_special():
    assert not is_best(0.899, setup(old=False), at())
    assert not is_best(0.899, setup(schedule="constant"), at())


def test_the_last_weights_are_not_kept_if_the_base_model_beats_them_alone():
    assert not is_best(0.899, setup(), at(raw=0.8995))
    assert is_best(0.899, setup(), at(raw=0.95))  # the base model is kept anyway
