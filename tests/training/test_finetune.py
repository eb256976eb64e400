"""The loop as a whole: it learns, stops, resumes, keeps the best, and says what it did."""

import math
from dataclasses import replace
from weakref import WeakSet

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import AugmentConfig, ChannelRule, FinetuneConfig, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.split import split_at
from napari_unet_finetune.errors import DataError, DeviceError, RunError
from napari_unet_finetune.events import Notice, Run, RunEnded, RunStarted, StepEnd, ValidationEnd, drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.inference.views import knows_mirrored
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.training.finetune import finetune, random_model, train
from napari_unet_finetune.training.keep import Kept, mixed
from napari_unet_finetune.training.patches.store import PatchStore
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.replay import PULL_WITHOUT_REPLAY
from napari_unet_finetune.training.state import TrainingState
from napari_unet_finetune.training.trainer import Trainer
from napari_unet_finetune.training.validation import ImageValidator

from .conftest import TINY, MemoryStore, make_squares, tiny_config


def collect(run):
    """Return all events and the result."""
    stream = Run(run)
    return list(stream), stream.result


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_base_model_learns_the_squares_and_finetuning_learns_the_inverted_ones(trained):
    config = tiny_config(steps=60, learning_rate=3e-3, appearance="as they are", tolerated_drop=1)
    assert trained.ended.finetuned_dice > 0.9
    result = drain(finetune(trained.model, make_squares(6, bright=False, seed=1), config))
    assert result.ended.raw_dice < 0.5
    assert result.ended.finetuned_dice > 0.85
    assert result.ended.old_dice_before > 0.9
    assert not result.ended.kept_raw
    assert f"{result.ended.raw_dice:.3f} → {result.ended.finetuned_dice:.3f}" in result.ended.summary


def test_events_tell_the_whole_story_in_order(untrained):
    events, result = collect(finetune(untrained, make_squares(5), tiny_config()))
    assert isinstance(events[0], RunStarted)
    assert len(events[0].train_images) == 4 and len(events[0].validation_images) == 1
    assert [event.step for event in events if isinstance(event, StepEnd)] == list(range(1, 13))
    assert [event.step for event in events if isinstance(event, ValidationEnd)] == [6, 12]
    assert isinstance(events[-1], RunEnded) and events[-1] == result.ended
    assert all(math.isfinite(event.train_loss) for event in events if isinstance(event, StepEnd))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(untrained):
    augmented = {"augment": AugmentConfig(), "steps": 4}
    runs = [
        drain(finetune(untrained, make_squares(5), tiny_config(seed=seed, keep_raw=False, **augmented)))
        for seed in (0, 0, 1)
    ]
    assert same(runs[0].model.weights, runs[1].model.weights)
    assert not same(runs[0].model.weights, runs[2].model.weights)


def test_a_run_leaves_the_callers_random_state_alone(untrained):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    drain(finetune(untrained, make_squares(4), tiny_config(steps=2)))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("resumed_from", [0, 1])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(untrained, resumed_from):
    config = tiny_config(steps=15, validate_every=5, keep_raw=False, augment=AugmentConfig())
    store = MemoryStore()
    whole = drain(finetune(untrained, make_squares(5), config, store=store))
    again = MemoryStore(store.states[resumed_from])
    events, resumed = collect(finetune(untrained, make_squares(5), config, store=again))
    assert events[0].first_step == 5 * (resumed_from + 1)
    assert same(whole.model.weights, resumed.model.weights)
    assert whole.ended == resumed.ended


def test_an_interruption_before_the_first_validation_changes_nothing(untrained):
    """The look out of turn finds weights that are better by chance than all later ones; they must not win."""
    config = tiny_config(keep_raw=False, learning_rate=0.5, warmup_steps=0, weight_average=0, calibrate=False)
    whole = drain(finetune(untrained, make_squares(5), config))
    steps, store = [], MemoryStore()
    run = Run(finetune(untrained, make_squares(5), config, store=store, should_stop=lambda: bool(steps)))
    steps.extend(event for event in run if isinstance(event, StepEnd))
    assert run.result.ended.steps == 1 and store.best
    events, resumed = collect(finetune(untrained, make_squares(5), config, store=store))
    assert (events[0].first_step, events[0].best_dice) == (1, None)
    assert same(whole.model.weights, resumed.model.weights)


def test_a_run_that_was_stopped_before_it_began_says_so(untrained):
    result = drain(finetune(untrained, make_squares(5), tiny_config(), should_stop=lambda: True))
    assert result.ended.raw_dice is not None
    assert result.ended.summary.startswith("Stopped before the first step")


def test_state_is_kept_before_the_event_that_announces_it(untrained):
    store = MemoryStore()
    for event in finetune(untrained, make_squares(5), tiny_config(), store=store):
        if isinstance(event, ValidationEnd):
            assert store.states[-1].progress["step"] == event.step
            if event.best:
                assert store.best


def test_stop_returns_the_best_weights_so_far(untrained):
    store, steps = MemoryStore(), []

    def should_stop():
        return len(steps) >= 8

    run = finetune(untrained, make_squares(5), tiny_config(keep_raw=False), store=store, should_stop=should_stop)
    run = Run(run)
    steps.extend(event for event in run if isinstance(event, StepEnd))
    result = run.result
    assert result.ended.stopped and result.ended.steps == 8
    assert same(result.model.weights, store.best[-1].weights)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_stopped_training_that_goes_on_keeps_its_best_finetuned_weights_again(untrained, monkeypatch, share):
    """A stop ends with what is worth most, be it a mix or the base; the weights to go on from are others."""

    def choose(_network, setup, progress):
        return Kept(mixed(setup.base.weights, progress.best, share), share)

    monkeypatch.setattr("napari_unet_finetune.training.conclude.choose_weights", choose)
    store, steps = MemoryStore(), []
    run = Run(finetune(untrained, make_squares(5), tiny_config(), store=store, should_stop=lambda: len(steps) >= 8))
    steps.extend(event for event in run if isinstance(event, StepEnd))
    best = store.states[-1].progress["best"]
    assert same(store.best[-1].weights, run.result.model.weights) and not same(store.best[-1].weights, best)
    next(finetune(untrained, make_squares(5), tiny_config(), store=store))
    assert same(store.best[-1].weights, best)


@pytest.mark.parametrize(("asked", "written"), [(None, 0.5), (0.3, 0.3)])
def test_the_best_weights_so_far_predict_at_the_threshold_at_which_they_were_scored(untrained, asked, written):
    store = MemoryStore()
    drain(finetune(untrained, make_squares(5), tiny_config(threshold=asked), store=store))
    assert store.best and {model.card.threshold for model in store.best} == {written}


@pytest.mark.parametrize("steps", [0, 4])
def test_a_stop_before_the_first_validation_is_never_below_the_base(trained, steps):
    done = []
    harmful = tiny_config(learning_rate=0.5, warmup_steps=0)
    run = finetune(trained.model, make_squares(5, seed=3), harmful, should_stop=lambda: len(done) >= steps)
    run = Run(run)
    done.extend(event for event in run if isinstance(event, StepEnd))
    result = run.result
    assert result.ended.stopped and result.ended.steps == steps
    assert result.ended.kept_raw and same(result.model.weights, trained.model.weights)


def test_the_result_is_kept_before_the_run_is_said_to_have_ended(untrained):
    store = MemoryStore()
    for event in finetune(untrained, make_squares(5), tiny_config(), store=store):
        if isinstance(event, RunEnded):
            assert store.result.card.threshold == event.threshold


def test_one_easy_held_out_image_does_not_keep_a_base_model_that_fails_on_the_others(trained):
    """The base sees bright squares only; the one held-out image is bright, the training images are dark."""
    config = tiny_config(steps=60, learning_rate=3e-3)
    dark, bright = make_squares(4, bright=False, seed=1), make_squares(1, seed=2)
    for seed in range(20):
        images = [*dark, *bright]
        run = finetune(trained.model, images, config.model_copy(update={"seed": seed, "replay_share": 0.5}))
        started = next(run)
        if started.validation_images == ("square 0",) and started.raw_dice > 0.9:
            break
    result = drain(run)
    assert result.ended.finetuned_dice > result.ended.raw_dice - 0.01
    assert not result.ended.kept_raw


def held_out_by(monkeypatch, *places):
    """Hold out these images, as another version might."""
    monkeypatch.setattr(
        "napari_unet_finetune.training.datasets.split_images",
        lambda fractions, *_args, **_more: split_at(places, len(fractions)),
    )


def test_a_training_that_goes_on_holds_out_what_it_held_out_before(untrained, monkeypatch):
    config, store, images = tiny_config(keep_raw=False), MemoryStore(), make_squares(6)
    held_out_by(monkeypatch, 1, 4)
    whole = drain(finetune(untrained, images, config, store=store))
    held_out_by(monkeypatch, 2)
    events, resumed = collect(finetune(untrained, images, config, store=MemoryStore(store.states[0])))
    assert events[0].validation_images == ("square 1", "square 4")
    assert whole.ended == resumed.ended and same(whole.model.weights, resumed.model.weights)


def test_a_training_that_cannot_hold_out_what_it_did_before_is_refused(untrained, monkeypatch):
    store, images = MemoryStore(), [replace(image, name="square") for image in make_squares(6)]
    held_out_by(monkeypatch, 1, 4)
    drain(finetune(untrained, images, tiny_config(), store=store))
    next(finetune(untrained, images, tiny_config(), store=MemoryStore(store.states[0])))
    held_out_by(monkeypatch, 2)
    with pytest.raises(RunError, match="Other images would be held out"):
        next(finetune(untrained, images, tiny_config(), store=MemoryStore(store.states[0])))


def test_changed_images_are_noticed_on_resuming(untrained):
    store = MemoryStore()
    drain(finetune(untrained, make_squares(5), tiny_config(), store=store))
    with pytest.raises(RunError, match="changed since this run began"):
        next(finetune(untrained, make_squares(5, seed=9), tiny_config(), store=MemoryStore(store.states[0])))


def test_changed_old_images_are_noticed_on_resuming(untrained):
    store, images = MemoryStore(), make_squares(5, bright=False)
    old = {"base_images": make_squares(5)}
    drain(finetune(untrained, images, tiny_config(), **old, store=store))
    again = MemoryStore(store.states[0])
    with pytest.raises(RunError, match="changed since this run began"):
        next(finetune(untrained, images, tiny_config(), base_images=make_squares(5, seed=9), store=again))
    next(finetune(untrained, images, tiny_config(), **old, store=again))


def test_a_state_of_another_model_is_refused_in_a_sentence(untrained):
    store = MemoryStore(TrainingState({"unknown": 1}, {}))
    with pytest.raises(RunError, match="Start a new run"):
        next(finetune(untrained, make_squares(5), tiny_config(), store=store))


def test_the_patch_size_is_the_base_models_unless_asked_otherwise(untrained):
    kept = drain(finetune(untrained, make_squares(4), tiny_config(steps=2, patch_size=None, keep_raw=False)))
    assert kept.model.card.patch_size == untrained.card.patch_size == 32
    events, changed = collect(finetune(untrained, make_squares(4), tiny_config(steps=2, patch_size=40, keep_raw=False)))
    assert changed.model.card.patch_size == 40
    assert any("patches of 32 px" in event.message for event in events if isinstance(event, Notice))


class Lent:
    """Images that are made anew whenever they are asked for, as from files, and known as long as someone has them."""

    def __init__(self, images):
        self._images, self.alive = images, WeakSet()

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        lent = replace(self._images[index])
        self.alive.add(lent)
        return lent


def test_what_is_prepared_takes_the_place_of_what_was_read(untrained, monkeypatch):
    images, at_once = Lent(make_squares(9)), []
    add = PatchStore.add

    def counted(store, *what):
        at_once.append(len(images.alive) + len(store))
        add(store, *what)

    monkeypatch.setattr(PatchStore, "add", counted)
    setup = prepare(untrained, images, tiny_config(appearance="as they are"))
    assert max(at_once) <= 9 and len(setup.train) + len(setup.held_out) == 9
    assert not images.alive


def strokes(image, *, background=True):
    """The image with a stroke through objects and background, or through an object alone."""
    annotated = np.zeros(image.shape, bool)
    annotated[np.nonzero(image.labels)[0][0], :] = True
    return AnnotatedImage(image.name, image.image, image.labels, annotated if background else image.labels > 0)


def test_sparse_strokes_train_and_are_validated_on_objects_and_background():
    config = tiny_config(steps=60, learning_rate=3e-3)
    result = drain(train([strokes(image) for image in make_squares(6)], config, shape=TINY))
    assert 0.8 < result.ended.finetuned_dice <= 1
    assert result.model.rehearsal is None


def test_strokes_without_background_are_refused_and_images_without_strokes_left_out(untrained):
    only_objects = [strokes(image, background=False) for image in make_squares(4)]
    with pytest.raises(DataError, match="next to no background"):
        next(finetune(untrained, only_objects, tiny_config()))
    bare = make_squares(1)[0]
    nothing = AnnotatedImage("bare", bare.image, bare.labels, np.zeros(bare.shape, bool))
    events, _ = collect(finetune(untrained, [*make_squares(4), nothing], tiny_config(steps=2)))
    assert any("bare: nothing is annotated" in event.message for event in events if isinstance(event, Notice))
    assert "bare" not in events[0].train_images + events[0].validation_images


def test_a_gradient_that_is_not_a_number_never_reaches_the_weights(untrained, monkeypatch):
    whole = Trainer._loss

    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, value):
            return value.clone()

        @staticmethod
        def backward(_ctx, gradient):
            return gradient * float("nan")

    monkeypatch.setattr(Trainer, "_loss", lambda self, batch: Poison.apply(whole(self, batch)))
    with pytest.raises(RunError, match="not a number"):
        drain(finetune(untrained, make_squares(4), tiny_config()))


def test_a_useless_finetuning_returns_the_raw_model_and_says_so(trained):
    harmful = tiny_config(steps=6, learning_rate=0.5, warmup_steps=0)
    result = drain(finetune(trained.model, make_squares(5, seed=3), harmful))
    assert result.ended.kept_raw
    assert same(result.model.weights, trained.model.weights)
    assert "base model is kept" in result.ended.summary


@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_images_to_hold_one_out_still_train_and_the_notice_says_what_is_missing(untrained, count):
    events, result = collect(finetune(untrained, make_squares(count), tiny_config()))
    assert result.ended.finetuned_dice is None and result.ended.raw_dice is None
    notices = " ".join(event.message for event in events if isinstance(event, Notice))
    assert "too few" in notices
    assert "Nothing was held out" in result.ended.summary


def test_early_stopping_waits_for_its_patience(untrained):
    frozen = tiny_config(steps=50, validate_every=2, patience=3, learning_rate=1e-12)
    events, result = collect(finetune(untrained, make_squares(5), frozen))
    assert result.ended.steps == 8
    assert any("ended early" in event.message for event in events if isinstance(event, Notice))


def test_frozen_layers_stay_as_they_are(untrained):
    result = drain(finetune(untrained, make_squares(4), tiny_config(layers="last", keep_raw=False)))
    changed = {name for name, value in result.model.weights.items() if not torch.equal(value, untrained.weights[name])}
    assert changed and all(name.startswith(("conv1_1.", "final.")) for name in changed)


def test_l2sp_keeps_the_weights_closer_to_the_base(untrained):
    def distance(strength):
        result = drain(finetune(untrained, make_squares(4), tiny_config(l2sp=strength, keep_raw=False)))
        return sum(
            float((value - untrained.weights[name]).pow(2).sum()) for name, value in result.model.weights.items()
        )

    assert distance(1.0) < 0.8 * distance(0.0)


def test_replay_uses_the_patches_that_the_base_model_carries():
    base = drain(train(make_squares(6), tiny_config(steps=40, learning_rate=3e-3), shape=TINY)).model
    assert len(base.rehearsal) == 8 and base.rehearsal.held_out.sum() == 2
    new = make_squares(5, bright=False, seed=1)
    config = tiny_config(steps=40, learning_rate=3e-3, appearance="as they are", tolerated_drop=1)
    forgetful = drain(finetune(base, new, config.model_copy(update={"replay_share": 0.0})))
    careful = drain(finetune(base, new, config.model_copy(update={"replay_share": 0.5})))
    assert forgetful.ended.old_dice_before == careful.ended.old_dice_before
    assert careful.ended.old_dice_after > forgetful.ended.old_dice_after + 0.05


def test_old_images_from_a_folder_are_replayed_too(untrained):
    result = drain(finetune(untrained, make_squares(5, bright=False), tiny_config(), base_images=make_squares(5)))
    assert result.ended.old_dice_before is not None and result.ended.old_dice_after is not None


def test_a_base_without_old_patches_says_that_forgetting_cannot_be_measured(untrained):
    events, result = collect(finetune(untrained, make_squares(5), tiny_config()))
    assert result.ended.old_dice_after is None
    assert any("cannot be measured" in event.message for event in events if isinstance(event, Notice))


@pytest.mark.parametrize("kept", [True, False])
def test_the_rule_for_the_best_weights_decides_what_is_returned(untrained, monkeypatch, kept):
    monkeypatch.setattr("napari_unet_finetune.training.finetune.is_best", lambda *seen: seen[-1].best is None or kept)
    config = tiny_config(steps=4, validate_every=2, keep_raw=False)
    store = MemoryStore()
    events, result = collect(finetune(untrained, make_squares(5), config, store=store))
    assert [event.best for event in events if isinstance(event, ValidationEnd)] == [True, kept]
    assert same(result.model.weights, store.best[-1].weights) and len(store.best) == 1 + kept


def test_dropout_is_the_trainings_choice_and_the_models_own_if_left_empty(untrained):
    def weights(dropout):
        config = tiny_config(steps=2, dropout=dropout)
        return drain(finetune(untrained, make_squares(3), config)).model.weights

    assert FinetuneConfig().dropout is None and untrained.card.shape.dropout == 0.2
    assert same(weights(None), weights(0.2)) and not same(weights(None), weights(0.0))


def test_the_seed_recipe_runs_the_grid_of_the_study(untrained):
    recipe = FinetuneConfig(preset="seed recipe", epochs=2, patch_size=32, patch_stride=16, device="cpu")
    events, result = collect(finetune(untrained, make_squares(4), recipe))
    # 4 images x 2 x 2 patches, 20 % held out: 13 patches are 4 batches an epoch
    assert [event.step for event in events if isinstance(event, StepEnd)] == list(range(1, 9))
    losses = [event.val_loss for event in events if isinstance(event, ValidationEnd)]
    assert len(losses) == 2 and all(math.isfinite(loss) for loss in losses)
    assert {event.learning_rate for event in events if isinstance(event, StepEnd)} == {1e-5}
    assert result.model.card.threshold == 0.6225


def test_no_images_and_no_objects_are_refused_in_a_sentence(untrained):
    empty = [AnnotatedImage("a", np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8))]
    for images, word in (([], "no annotated images"), (empty, "None of the training images shows an object")):
        with pytest.raises(DataError, match=word):
            next(finetune(untrained, images, tiny_config()))


def test_background_only_images_are_valid_among_others(untrained):
    blank = AnnotatedImage("blank", np.zeros((48, 48), np.uint8), np.zeros((48, 48), np.uint8))
    result = drain(finetune(untrained, [*make_squares(4), blank], tiny_config(steps=3)))
    assert result.ended.steps == 3


def test_images_of_any_size_type_and_channels_train_together(untrained):
    rng = np.random.default_rng(0)
    images = [
        AnnotatedImage("small", rng.integers(0, 255, (20, 70), np.uint8), rng.integers(0, 2, (20, 70), np.uint8)),
        AnnotatedImage("16 bit", rng.integers(0, 4000, (48, 33)).astype(np.uint16), rng.integers(0, 2, (48, 33))),
        AnnotatedImage("color", rng.random((3, 50, 50), np.float32), rng.integers(0, 2, (50, 50)) > 0),
    ]
    result = drain(finetune(untrained, images, tiny_config(steps=3)))
    assert all(torch.isfinite(value).all() for value in result.model.weights.values())


def test_color_images_for_a_grey_model_are_never_reduced_silently(untrained):
    color = [AnnotatedImage(image.name, np.stack([image.image] * 3), image.labels) for image in make_squares(4)]
    events, _ = collect(finetune(untrained, color, tiny_config(steps=2, in_channels=1)))
    assert any("gray value" in event.message for event in events if isinstance(event, Notice))
    with pytest.raises(DataError, match="3 channels"):
        next(finetune(untrained, color, tiny_config(channels=ChannelRule(method="none"))))
    events, result = collect(finetune(untrained, color, tiny_config(steps=2, in_channels=3)))
    assert result.model.card.shape.in_channels == 3


def test_a_loss_that_is_not_a_number_is_explained(untrained, monkeypatch):
    monkeypatch.setattr(Trainer, "_loss", lambda self, batch: self.network(batch.images).sum() * float("nan"))
    with pytest.raises(RunError, match=r"not a number at step 1.*lower learning rate"):
        drain(finetune(untrained, make_squares(4), tiny_config()))


def test_out_of_memory_halves_the_batch_and_goes_on_with_the_same_effective_one(untrained, monkeypatch):
    sizes, whole = [], Trainer._loss

    def limited(self, batch):
        sizes.append(len(batch.images))
        if len(batch.images) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return whole(self, batch)

    monkeypatch.setattr(Trainer, "_loss", limited)
    events, _ = collect(finetune(untrained, make_squares(4), tiny_config(steps=2)))
    assert sizes == [4, 2, 2, 2, 2]
    assert any("ran out: going on with 2 patches" in event.message for event in events if isinstance(event, Notice))


@pytest.mark.parametrize("where", ["_loss", "optimizer"])
def test_no_memory_for_a_single_patch_is_explained(untrained, monkeypatch, where):
    def full(*_arguments, **_options):
        raise torch.OutOfMemoryError("out of memory")

    if where == "_loss":
        monkeypatch.setattr(Trainer, where, full)
    else:
        monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(DeviceError, match="ran out with a single patch"):
        drain(finetune(untrained, make_squares(4), tiny_config(steps=2)))


def test_the_model_file_says_where_it_comes_from(untrained):
    result = drain(finetune(untrained, make_squares(5), tiny_config()))
    origin = result.model.card.provenance
    assert [record.name for record in origin.images] == [f"square {index}" for index in range(5)]
    assert len({record.sha256 for record in origin.images}) == 5
    assert origin.parent_sha256 and origin.seed == 0
    # Untrained carries no patches to replay, and so few steps are all made.
    settled = tiny_config(l2sp=PULL_WITHOUT_REPLAY, schedule="cosine")
    assert FinetuneConfig.model_validate(origin.config) == settled
    assert origin.scores["val_dice"] == result.ended.finetuned_dice


def test_the_license_of_the_base_is_kept_as_that_of_the_base(untrained):
    about = untrained.card.provenance.model_copy(update={"licence": "MIT", "citation": "Somebody 2020"})
    model = untrained.with_card(provenance=about)
    for _ in range(2):  # that of a grandparent stays
        model = drain(finetune(model, make_squares(4), tiny_config(steps=2))).model
        origin = model.card.provenance
        assert (origin.licence, origin.citation) == ("", "")
        assert (origin.base_license, origin.base_citation) == ("MIT", "Somebody 2020")


def test_an_image_without_any_structure_is_named(untrained):
    flat = replace(make_squares(1)[0], name="flat", image=np.full((48, 48), 7, np.uint8))
    run = finetune(untrained, [*make_squares(4), flat], tiny_config(steps=2))
    assert any(event.message.startswith("flat: all pixels are alike") for event in run if isinstance(event, Notice))


def test_images_that_the_base_was_trained_on_are_pointed_out(untrained):
    first = drain(finetune(untrained, make_squares(5), tiny_config(steps=2, keep_raw=False))).model
    again = [*make_squares(5)[:2], *make_squares(5, seed=9)[2:]]
    notices = [event.message for event in finetune(first, again, tiny_config(steps=2)) if isinstance(event, Notice)]
    assert any("trained on 2 of these 5 images before (square 0, square 1)" in text for text in notices)
    others = finetune(first, make_squares(5, seed=9), tiny_config(steps=2))
    assert not any("before (" in event.message for event in others if isinstance(event, Notice))


def test_the_threshold_is_calibrated_on_annotated_images_only_if_asked(untrained):
    fixed = drain(finetune(untrained, make_squares(4), tiny_config(calibrate=False, threshold=0.3, keep_raw=False)))
    assert fixed.model.card.threshold == 0.3


def test_an_untrained_model_follows_from_the_seed():
    first, again, other = (random_model(TINY, tiny_config(seed=seed)).weights for seed in (1, 1, 2))
    assert same(first, again) and not same(first, other)


def test_the_raw_score_on_color_images_is_that_of_the_unchanged_base(trained):
    # green squares on magenta: the luminance shows what the mean of the channels hides
    color = [
        AnnotatedImage(
            image.name, np.stack([200 - image.image // 2, image.image, 200 - image.image // 2]), image.labels
        )
        for image in make_squares(5, seed=2)
    ]
    config = tiny_config(steps=2)
    gray = drain(finetune(trained.model, color, config.model_copy(update={"in_channels": 1})))
    assert gray.ended.raw_dice > 0.8
    assert drain(finetune(trained.model, color, config)).ended.raw_dice == pytest.approx(gray.ended.raw_dice)


def test_a_threshold_that_spoils_the_old_dataset_is_not_taken(monkeypatch):
    base = drain(train(make_squares(8), tiny_config(steps=60, learning_rate=3e-3), shape=TINY)).model
    monkeypatch.setattr("napari_unet_finetune.training.conclude.calibrate_threshold", lambda *_: 0.99999)
    config = tiny_config(steps=2, learning_rate=1e-6, keep_raw=False)
    with_old = drain(finetune(base, make_squares(3, seed=1), config)).model
    without = drain(finetune(replace(base, rehearsal=None), make_squares(3, seed=1), config)).model
    assert with_old.card.threshold == base.card.threshold
    assert without.card.threshold == pytest.approx(0.99999)


@pytest.mark.parametrize("channels", [2, 4])
def test_a_grey_model_learns_from_images_of_several_channels_that_it_could_not_take(untrained, channels):
    images = [replace(image, image=np.stack([image.image] * channels)) for image in make_squares(4)]
    result = drain(finetune(untrained, images, tiny_config()))
    assert result.ended.raw_dice is None and result.ended.finetuned_dice is not None
    assert result.model.card.shape.in_channels == channels


def test_raw_and_finetuned_are_scored_on_the_same_held_out_images_whatever_their_names(untrained):
    color = [replace(image, name="img", image=np.stack([image.image] * 3)) for image in make_squares(5)]
    setup = prepare(untrained, color, tiny_config())
    assert len(setup.held_out) == len(setup.raw_held_out) == 1
    assert torch.equal(setup.held_out.images[0].target, setup.raw_held_out.images[0].target)


def test_raw_and_finetuned_are_scored_on_the_same_part_of_an_image_whatever_its_size(untrained, monkeypatch):
    sides = []
    seen = ImageValidator.dice_of_each
    monkeypatch.setattr(
        ImageValidator, "dice_of_each", lambda self, model: sides.append(self.images[0].shape[0]) or seen(self, model)
    )
    settings = tiny_config(steps=1, rescale=0.5, validation_crop_px=64, validate_every=50)
    drain(finetune(untrained, make_squares(4, size=192), settings))
    assert sides == [128, 64]


def renamed(images, mark):
    return [replace(image, name=f"{mark}{image.name}") for image in images]


def test_what_a_base_was_trained_on_is_never_held_out_and_what_it_held_out_stays_so(untrained):
    images, seen = make_squares(5), {}
    config = tiny_config(steps=1)
    base = drain(finetune(untrained, images, config)).model
    for count in (5, 8, 12):
        # Whatever the masks are by now, and wherever new images stand among the old ones.
        corrected = [replace(image, labels=np.roll(image.labels, 1, axis=0)) for image in images]
        setup = prepare(base, [*renamed(make_squares(count - 5, seed=8), "new"), *corrected], config)
        seen[count] = {image.name for image in setup.held_out.images}
        assert not any("too good" in note for note in setup.notices)
    kept = set(base.card.provenance.held_out)
    assert kept == seen[5] and kept < seen[12] and len(seen[12]) == 2
    assert seen[12] - kept <= {image.name for image in renamed(make_squares(7, seed=8), "new")}


def test_who_holds_out_what_a_base_was_trained_on_is_told(untrained):
    images = make_squares(5)
    base = drain(finetune(untrained, images, tiny_config(steps=1, held_out=(images[0].name,)))).model
    setup = prepare(base, images, tiny_config(held_out=(images[0].name, images[3].name)))
    assert any(f"held-out images ({images[3].name}) will be too good" in note for note in setup.notices)


def test_a_base_model_has_no_raw_score_and_is_never_untrained():
    config = FinetuneConfig(preset="fast", **tiny_config(steps=1).model_dump(exclude={"preset", "version"}))
    result = drain(train(make_squares(5), config, shape=TINY))
    assert result.ended.raw_dice is None and not result.ended.kept_raw
    assert result.model.card.provenance.images


MIRRORING = AugmentConfig.none().model_copy(update={"orientation": "any", "flips": True})


@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_the_base_model_is_scored_as_its_user_has_it(untrained, threshold):
    """A model that never saw mirrored views is not asked about them, whatever the training shows."""
    images, base = make_squares(5), untrained.with_card(threshold=threshold)
    settings = tiny_config(steps=1, held_out=(images[0].name,), augment=MIRRORING)
    result = drain(finetune(base, images, settings))
    assert result.ended.raw_dice == pytest.approx(dice_of(base, images[0]))


def test_the_finetuned_model_is_scored_as_it_will_predict(untrained):
    images = make_squares(5)
    settings = tiny_config(held_out=(images[0].name,), keep_raw=False, augment=MIRRORING)
    result = drain(finetune(untrained, images, settings))
    assert knows_mirrored(result.model)
    assert result.ended.finetuned_dice == pytest.approx(dice_of(result.model, images[0]))


def dice_of(model, image):
    predictor = Predictor(model, PredictConfig(device="cpu", precision="fp32"))
    return dice(predictor.predict(image).labels > 0, image.target)
