"""Which weights of a training are kept: by what they bring the new images, and what they cost the old ones."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.events import StepEnd, drain
from napari_unet_finetune.training import keep
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.keep import SHARES, Kept, is_best, is_better, is_hot, worth
from napari_unet_finetune.training.state import Progress
from napari_unet_finetune.training.validation import ImageValidator

from .conftest import TINY, MemoryStore, make_squares, tiny_config
from .test_finetune import same

STEPS = 100


def setup(held_out=1, *, old=True, **settings):
    return SimpleNamespace(
        held_out=range(held_out),
        old=("old",) if old else (),
        config=FinetuneConfig(**settings),
        source=SimpleNamespace(steps=STEPS),
        can_spare_old=False,
        validator=ImageValidator.__new__(ImageValidator),
        from_scratch=False,
    )


def at(step=STEPS, best=0.90, raw=0.50, best_step=80, **old):
    return Progress(step=step, best_score=best, raw_score=raw, best_step=best_step, **old)


def test_the_first_and_every_better_validation_is_the_best():
    assert is_best(0.1, None, setup(), at(10, best=None))
    assert is_best(0.91, None, setup(), at(90)) and not is_best(0.90, None, setup(), at(90))


@pytest.mark.parametrize(
    ("score", "held_out", "kept"), [(0.892, 1, True), (0.888, 1, False), (0.899, 4, True), (0.892, 4, False)]
)
def test_the_last_weights_are_kept_if_they_are_worse_by_chance_only(score, held_out, kept):
    assert is_best(score, None, setup(held_out), at()) is kept
    assert not is_best(score, None, setup(held_out), at(STEPS - 5))


def test_without_an_old_dataset_or_a_falling_rate_the_last_weights_are_nothing_special():
    assert not is_best(0.899, None, setup(old=False), at())
    assert not is_best(0.899, None, setup(schedule="constant"), at())


def test_the_last_weights_are_not_kept_if_the_base_model_beats_them_alone():
    assert not is_best(0.899, None, setup(), at(raw=0.8995))
    assert is_best(0.899, None, setup(), at(raw=0.95))  # the base model is kept anyway


@pytest.mark.parametrize(
    ("schedule", "warmup_steps", "first_cool"),
    [("cosine", 0, 50), ("cosine", 20, 60), ("step", 0, 75), ("constant", 0, None), ("cosine", 1000, None)],
)
def test_the_hot_phase_ends_where_the_rate_falls_below_half_of_its_peak(schedule, warmup_steps, first_cool):
    one = setup(schedule=schedule, warmup_steps=warmup_steps)
    cool = [step for step in range(STEPS + 1) if not is_hot(step, one)]
    assert cool == ([] if first_cool is None else list(range(cool[0], STEPS + 1)))
    assert first_cool is None or abs(cool[0] - first_cool) <= 1


@pytest.mark.parametrize(("held_out", "kept"), [(1, True), (2, True), (3, False)])
def test_of_the_hot_phase_nothing_stays_where_few_images_are_held_out(held_out, kept):
    assert is_best(0.7, None, setup(held_out), at(70, best_step=20)) is kept
    assert not is_best(0.7, None, setup(held_out), at(30, best_step=20))


def test_a_schedule_that_never_cools_has_no_hot_phase_to_give_way():
    assert not is_best(0.7, None, setup(schedule="constant"), at(90, best_step=20))


@pytest.mark.parametrize(
    ("new", "old", "kept"),
    [
        (0.91, 0.895, True),  # a loss that is tolerated costs nothing
        (0.91, 0.88, False),  # 0.01 beyond it costs more than 0.01 gains
        (0.95, 0.88, True),  # and less than 0.05
    ],
)
def test_the_new_images_pay_for_what_the_old_ones_lose(new, old, kept):
    progress = at(90, old_glance_before=0.9, best_old=0.9)
    assert is_best(new, old, setup(), progress) is kept


def test_a_gain_is_one_over_the_base_in_the_way_of_showing_that_is_better_for_it():
    """0.93 without a loss is not much less of a gain than 0.95 with one over 0.79, but half of it over 0.90."""
    seen = {"best": 0.93, "old_glance_before": 0.9, "best_old": 0.9}
    assert not is_best(0.95, 0.84, setup(), at(90, raw=0.79, **seen))
    assert is_best(0.95, 0.84, setup(), at(90, raw=0.79, raw_as_is=0.90, **seen))


def test_what_is_tolerated_costs_nothing_and_more_costs_more():
    assert worth(0.8, -0.1, 0.01) == worth(0.8, 0.01, 0.01) == 0.8
    assert worth(0.8, 0.1, 0.01) > worth(0.8, 0.2, 0.01)


@pytest.fixture(scope="module")
def base():
    """A model that knows bright squares and carries patches of them."""
    torch.set_num_threads(1)
    return drain(train(make_squares(8), tiny_config(steps=60, learning_rate=3e-3), shape=TINY)).model


NEW = make_squares(6, bright=False, seed=1)


def forgetting(**changes):
    """Settings under which dark squares are learned and bright ones forgotten."""
    forgetful = {"steps": 30, "learning_rate": 3e-3, "replay_share": 0.0, "l2sp": 0.0, "appearance": "as they are"}
    return tiny_config(**{**forgetful, **changes})


def between(base, finetuned, kept):
    """Tell how far from `base` to `finetuned` the weights `kept` lie, which is the same for all of them."""
    shares = [
        float(((kept[name] - base[name]) / (finetuned[name] - base[name])).median())
        for name in base
        if float((finetuned[name] - base[name]).abs().max()) > 1e-3
    ]
    assert max(shares) - min(shares) < 1e-2
    return shares[0]


def test_weights_that_cost_much_are_mixed_with_the_bases_and_the_result_says_so(base, monkeypatch):
    alone = drain(finetune(base, NEW, forgetting(tolerated_drop=1, keep_raw=False)))
    assert alone.ended.share == 1 and alone.ended.forgot
    # Half of the way is worth most here, whatever the squares say.
    monkeypatch.setattr(keep, "_seen", lambda _network, weights, *_: (0.9, abs(_share(base, alone, weights) - 0.5)))
    mixed = drain(finetune(base, NEW, forgetting(keep_raw=False)))
    assert mixed.ended.share == 0.5
    assert between(base.weights, alone.model.weights, mixed.model.weights) == pytest.approx(0.5, abs=1e-3)
    assert mixed.model.card.provenance.scores["finetuned_share"] == 0.5
    assert mixed.ended.unmixed_old_dice == alone.ended.old_dice_after
    assert "50 %" in mixed.ended.summary and f"{mixed.ended.unmixed_old_dice:.3f}" in mixed.ended.summary


def _share(base, alone, weights):
    return between(base.weights, alone.model.weights, weights)


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        ((0.80, 0.00), (0.90, 0.30), True),  # three quarters of the gain from 0.5 are kept, and the old images
        ((0.79, 0.00), (0.90, 0.30), False),  # less than that is kept
        ((0.90, 0.60), (0.50, 0.00), True),  # an old dataset cannot cost all of a gain
        ((0.90, 0.02), (0.90, 0.01), False),
        ((0.45, 0.00), (0.40, 0.00), True),  # none gains
    ],
)
def test_old_images_cost_at_most_a_quarter_of_what_new_ones_gain(one, other, better):
    assert is_better(one, other, 0.5, 0.01) is better
    assert is_better(other, one, 0.5, 0.01) is (not better)


@pytest.mark.parametrize(
    ("raw", "scores", "gains"),
    [
        ((0.90, 0.79, 0.92, 0.96), (0.915, 0.95, 0.936, 0.973), False),  # one odd image, learned by heart
        ((0.95, 0.60), (0.95, 0.75), False),
        ((0.94, 0.93, 0.95, 0.98), (0.97, 0.97, 0.98, 0.97), True),  # one image on which the base was right
        ((0.95, 0.60), (0.95, 0.85), True),  # the base was no use for half of them
        ((0.50,), (0.51,), False),
        ((0.50,), (0.53,), True),
    ],
)
def test_most_images_that_were_trained_on_must_gain_more_than_in_any_training(raw, scores, gains):
    assert keep.gains_beyond_chance(raw, scores) is gains


@pytest.mark.parametrize("count", [1, 2, 3])
def test_with_nothing_held_out_a_base_that_is_right_already_is_kept(base, count):
    """Without a single image to judge by, only what no training does by itself is a gain."""
    known = drain(finetune(base, make_squares(count, seed=7), tiny_config(steps=10))).ended
    assert known.kept_raw and "nothing was held out: the base model is kept" in known.summary
    learned = drain(finetune(base, NEW[:count], forgetting(replay_share=0.5, steps=60))).ended
    assert not learned.kept_raw and learned.finetuned_dice is None


def test_images_without_objects_do_not_say_that_nothing_is_learned(base):
    empty = [replace(image, labels=np.zeros(image.shape, bool)) for image in make_squares(2, bright=False, seed=9)]
    ended = drain(finetune(base, [NEW[0], *empty], forgetting(replay_share=0.5, steps=60))).ended
    assert not ended.kept_raw


def test_what_was_stopped_with_nothing_held_out_is_not_thrown_away(base):
    steps, images, settings = [], make_squares(2, seed=7), tiny_config(steps=10, learning_rate=1e-6)
    assert drain(finetune(base, images, settings)).ended.kept_raw
    run = finetune(base, images, settings, should_stop=lambda: len(steps) >= 4)
    steps.extend(event for event in run if isinstance(event, StepEnd))
    assert run.result.ended.stopped and not run.result.ended.kept_raw


def test_the_mix_is_worth_no_less_than_the_finetuned_weights_or_the_base(base):
    ended = drain(finetune(base, NEW, forgetting())).ended
    assert ended.share in (0.0, *SHARES, 1.0)
    lost = ended.old_dice_before - ended.old_dice_after
    alone = drain(finetune(base, NEW, forgetting(tolerated_drop=1))).ended
    lost_alone = alone.old_dice_before - alone.old_dice_after
    assert worth(ended.finetuned_dice, lost, 0.01) >= worth(alone.finetuned_dice, lost_alone, 0.01) - 0.05


def test_new_images_of_which_the_base_sees_nothing_may_cost_old_ones(base):
    """A hard limit would return the base, which is of no use for the new images."""
    ended = drain(finetune(base, NEW, forgetting(replay_share=0.5, steps=60))).ended
    assert not ended.kept_raw and ended.finetuned_dice > ended.raw_dice + 0.2


def test_weights_that_cost_nothing_are_the_same_with_and_without_the_rule(base):
    settings = tiny_config(steps=20, appearance="as they are", keep_raw=False, held_out=("square 0", "square 1"))
    images = make_squares(6, seed=5)
    with_rule, without = (
        drain(finetune(base, images, settings.model_copy(update={"tolerated_drop": drop}))) for drop in (0.5, 1.0)
    )
    assert with_rule.ended.share == 1 and same(with_rule.model.weights, without.model.weights)
    assert "finetuned_share" not in with_rule.model.card.provenance.scores


def test_a_stopped_training_leaves_the_mix_that_it_tells_of(base, monkeypatch):
    half = {}

    def choose(_network, setup, progress):
        half.update({name: torch.lerp(setup.base.weights[name], value, 0.5) for name, value in progress.best.items()})
        return Kept(half, 0.5, {"old images": 0.2})

    monkeypatch.setattr("napari_unet_finetune.training.conclude.choose_weights", choose)
    store, steps = MemoryStore(), []
    run = finetune(base, NEW, forgetting(), store=store, should_stop=lambda: len(steps) >= 8)
    steps.extend(event for event in run if isinstance(event, StepEnd))
    assert run.result.ended.stopped and run.result.ended.share == 0.5
    assert same(store.best[-1].weights, half) and same(run.result.model.weights, half)


def test_a_resumed_training_mixes_the_same(base):
    store = MemoryStore()
    whole = drain(finetune(base, NEW, forgetting(), store=store))
    again = drain(finetune(base, NEW, forgetting(), store=MemoryStore(store.states[0])))
    assert same(whole.model.weights, again.model.weights) and whole.ended == again.ended


def test_a_threshold_may_not_cost_what_weights_may_not(base, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.training.conclude.THRESHOLD_COST", 1.0)
    monkeypatch.setattr("napari_unet_finetune.training.conclude.calibrate_threshold", lambda *_: 0.99999)
    config = tiny_config(steps=2, learning_rate=1e-6, keep_raw=False)
    careful, careless = (
        drain(finetune(base, make_squares(3, seed=1), config.model_copy(update={"tolerated_drop": drop})))
        for drop in (0.01, 1.0)
    )
    assert careful.model.card.threshold == base.card.threshold
    assert careless.model.card.threshold == pytest.approx(0.99999)


def test_without_old_patches_nothing_is_weighed(base):
    bare = replace(base, rehearsal=None)
    ended = drain(finetune(bare, NEW, forgetting(keep_raw=False))).ended
    assert (ended.share, ended.old_dice_after, ended.unmixed_old_dice) == (1.0, None, None)
