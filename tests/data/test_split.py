"""The split: whole images, reproducible, alike on both sides, honest about its worth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.data.split import keep_holding_out, split_images

FRACTIONS = st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.3, 0.9]), min_size=4, max_size=40)


@given(FRACTIONS, st.floats(0.01, 0.99), st.integers(0, 9))
def test_every_image_is_on_exactly_one_side_and_objects_stay_for_training(fractions, share, seed):
    split = split_images(fractions, share, seed)
    assert sorted(split.train + split.validation) == list(range(len(fractions)))
    assert split.train
    assert len(split.validation) == min(len(fractions) - 1, max(1, round(share * len(fractions))))
    assert any(fractions[i] for i in split.train) == any(fractions)


@given(FRACTIONS, st.integers(0, 9))
def test_an_empty_image_is_not_held_out_alone_if_two_have_objects(fractions, seed):
    split = split_images(fractions, 0.2, seed)
    if sum(fraction > 0 for fraction in fractions) > 1:
        assert any(fractions[i] > 0 for i in split.validation)


@settings(max_examples=30)
@given(FRACTIONS, st.floats(0.01, 0.6), st.integers(0, 9), st.data())
def test_what_is_held_out_stays_so_however_the_dataset_grows(fractions, share, seed, data):
    """Trainings may take place at any moment: they fix what they used."""
    held_out, trained = set(), set()
    for count in range(1, len(fractions) + 1):
        now = set(keep_holding_out(fractions[:count], share, seed, trained=trained, held_out=held_out))
        assert held_out <= now and not now & trained and len(now) < max(count, 2)
        assert any(fractions[i] for i in range(count) if i not in now) == any(fractions[:count])
        if count < len(fractions):
            assert now <= set(keep_holding_out(fractions, share, seed, trained=trained, held_out=held_out))
        if data.draw(st.booleans()):
            held_out, trained = now, set(range(count)) - now
    if not trained:
        assert abs(len(now) - max(1, round(share * count))) <= 1
        assert sum(fraction > 0 for fraction in fractions) < 2 or any(fractions[i] for i in now)


def test_a_higher_share_holds_more_out_but_gives_nothing_back():
    few = keep_holding_out([0.1] * 10, 0.2, 0)
    trained = set(range(10)) - set(few)
    assert keep_holding_out([0.1] * 10, 0.5, 0, trained=trained, held_out=set(few)) == few
    assert keep_holding_out([0.1] * 10, 0.01, 3, trained=trained, held_out=set(few)) == few
    assert set(few) < set(keep_holding_out([0.1] * 16, 0.5, 0, trained=trained, held_out=set(few)))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_below_four_images_nothing_is_held_out(count):
    split = split_images([0.1] * count, 0.5, 0)
    assert split.validation == ()
    assert split.train == tuple(range(count))
    assert "no held-out Dice" in split.note


def test_the_seed_decides_and_nothing_else():
    fractions = np.linspace(0, 0.9, 30).tolist()
    assert split_images(fractions, 0.2, 1) == split_images(fractions, 0.2, 1)
    assert len({split_images(fractions, 0.2, seed).validation for seed in range(10)}) > 5


@pytest.mark.parametrize("seed", range(5))
def test_held_out_images_span_the_range_of_foreground(seed):
    fractions = np.random.default_rng(seed).permutation(np.linspace(0.01, 0.8, 20))
    held_out = fractions[list(split_images(fractions.tolist(), 0.2, seed).validation)]
    assert held_out.min() < 0.25
    assert held_out.max() > 0.55
    assert abs(held_out.mean() - fractions.mean()) < 0.12


@pytest.mark.parametrize(("count", "words"), [(5, "Only 1 held-out image"), (15, "Only 3"), (30, "6 held-out images.")])
def test_the_note_says_how_weak_the_number_is(count, words):
    assert split_images([0.1] * count, 0.2, 0).note.startswith(words)


def test_held_out_images_without_objects_are_pointed_out():
    assert "without any object" in split_images([0.0] * 8, 0.2, 0).note
