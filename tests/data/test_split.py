"""The split: whole images, reproducible, alike on both sides, honest about its worth."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.data.split import (
    FEWEST_WHOLES,
    MIN_IMAGES,
    keep_holding_out,
    split_at,
    split_by_name,
    split_images,
    units_of,
)

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


def plain_choice(fractions, share, seed, trained, held_out, wholes):
    """Return what is to be held out, found by sorting all images anew for each number of them."""
    units = units_of(wholes, len(fractions))
    known = {place for place, unit in enumerate(units) if trained & set(unit)}
    chosen = {place for place, unit in enumerate(units) if held_out & set(unit)} - known
    largest = {place for place, unit in enumerate(units) if len(unit) > max(1, len(fractions) / 2)}
    means = [sum(fractions[i] for i in unit) / len(unit) for unit in units]
    for count in range(MIN_IMAGES if len(units) == len(fractions) else FEWEST_WHOLES, len(units) + 1):
        while pool := plain_pool(means, count, share, chosen, known | largest):
            chosen.add(np.random.default_rng([seed, count, len(chosen)]).choice(pool))
    return tuple(sorted({*(i for place in chosen for i in units[place]), *held_out}))


def plain_pool(means, count, share, chosen, kept):
    wanted, has_objects = min(count - 1, max(1, round(share * count))), any(means[i] > 0 for i in chosen)
    order = sorted(range(count), key=lambda i: means[i])
    full = [i for i in order if means[i] > 0 and i not in chosen]
    free = [i for i in order if i not in chosen | kept and full != [i]]
    if not has_objects and set(full) & set(free):
        free = [i for i in free if i in full]
    elif len(chosen) >= wanted:
        return []
    groups = [[i for i in group if i in free] for group in np.array_split(order, wanted) if not {*group} & chosen]
    pool = next(filter(None, groups), free)
    return pool[len(pool) // 4 : len(pool) - len(pool) // 4]


@settings(max_examples=300)
@given(FRACTIONS, st.floats(0.01, 0.99), st.integers(0, 9), st.data())
def test_what_is_held_out_is_what_sorting_anew_for_each_number_of_images_finds(fractions, share, seed, data):
    places = st.sets(st.integers(0, len(fractions) - 1))
    trained, held_out = data.draw(places), data.draw(places)
    kind = st.lists(st.sampled_from([None, None, "a", "b", "c"]), min_size=len(fractions), max_size=len(fractions))
    wholes = data.draw(st.just(()) | kind)
    found = keep_holding_out(fractions, share, seed, trained=trained, held_out=held_out, wholes=wholes)
    assert found == plain_choice(fractions, share, seed, trained, held_out, wholes)


@pytest.mark.parametrize("kind", ["trained", "empty", "new"])
def test_of_thousands_of_images_some_are_held_out_at_once(kind):
    count = 6000
    fractions = [0.0 if kind == "empty" else 0.1 + i % 7 for i in range(count)]
    start = time.process_time()
    keep_holding_out(fractions, 0.2, 0, trained=set(range(count)) if kind == "trained" else set())
    held_out = split_images(fractions, 0.2, 0).validation
    names = list(map(str, range(count)))
    split_by_name(names, [names[i] for i in held_out])
    assert time.process_time() - start < 2


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


SLIDES = st.lists(st.sampled_from([None, "a", "b", "c", "d", "e"]), min_size=4, max_size=30)


def sides(held_out, wholes):
    """Return of which slides regions are held out, and of which regions are trained on."""
    held_out = set(held_out)
    return [{whole for i, whole in enumerate(wholes) if whole and (i in held_out) == is_held} for is_held in (1, 0)]


def units(wholes):
    return len({whole or i for i, whole in enumerate(wholes)})


@given(SLIDES, st.data(), st.floats(0.01, 0.99), st.integers(0, 9))
def test_regions_of_a_slide_are_on_one_side_where_there_are_three_images(wholes, data, share, seed):
    fractions = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.5]), min_size=len(wholes), max_size=len(wholes)))
    split = split_images(fractions, share, seed, wholes=wholes)
    assert sorted(split.train + split.validation) == list(range(len(wholes)))
    assert split.train and split.validation
    assert any(fractions[i] for i in split.train) == any(fractions)
    held_out, trained = sides(split.validation, wholes)
    if units(wholes) >= FEWEST_WHOLES:
        assert not held_out & trained
        assert not any(wholes.count(whole) > len(wholes) / 2 for whole in held_out)
    is_told = "their Dice says little" in split.note
    assert is_told == bool(held_out & trained) or "without any object" in split.note


@settings(max_examples=60)
@given(SLIDES, st.integers(0, 9), st.data())
def test_slides_that_were_trained_on_are_not_held_out_and_held_out_ones_stay_so(wholes, seed, data):
    fractions = [0.1] * len(wholes)
    held_out, trained = set(), set()
    for count in range(1, len(wholes) + 1):
        now = set(
            keep_holding_out(fractions[:count], 0.2, seed, trained=trained, held_out=held_out, wholes=wholes[:count])
        )
        assert held_out <= now and not now & trained
        if units(wholes[:count]) >= FEWEST_WHOLES:
            new, known = sides(now - held_out, wholes[:count])[0], {wholes[i] for i in trained} - {None}
            assert not new & known
        if data.draw(st.booleans()):
            held_out, trained = now, set(range(count)) - now


def test_a_slide_with_most_of_the_regions_is_trained_on():
    wholes = ["large"] * 20 + ["small"] * 2 + [None] * 2
    for seed in range(20):
        assert "large" not in {wholes[i] for i in split_images([0.1] * 24, 0.5, seed, wholes=wholes).validation}


@pytest.mark.parametrize(
    ("wholes", "held_out", "words"),
    [
        ("aabbcc", [0, 1], "Only 1 held-out image: its Dice is a weak number. 2 held-out regions lie in 1 image of wh"),
        ("aabbcc", [0, 2], "Only 2 held-out regions: their Dice is a rough number. Held-out regions lie in images o"),
        ([None, None, "a", "a", "b"], [0, 2, 3], "Only 2 held-out images: their Dice is a rough number. 2 held-out"),
        ([None, None, "a", "a", "b"], [0], "Only 1 held-out image: its Dice is a weak number."),
        ([None, "a", "a", "b", "b"], [0, 1], "Only 2 held-out images and regions: their Dice"),
        (["a"] * 9, [0, 1, 2, 3, 4], "5 held-out regions. Held-out regions lie in images of which"),
        (["a"] * 4, [0], "Only 1 held-out region: its Dice is a weak number."),
        ("aabb", [], "Nothing is held out"),
    ],
)
def test_the_note_says_whether_slides_are_held_out_whole(wholes, held_out, words):
    assert split_at(held_out, len(wholes), wholes).note.startswith(words)


def test_regions_without_objects_are_called_regions():
    split = split_images([0.0] * 4, 0.2, 0, wholes=["a"] * 4)
    assert split.note.startswith("1 held-out region without any object:")


def test_held_out_images_without_objects_are_pointed_out():
    assert "without any object" in split_images([0.0] * 8, 0.2, 0).note
