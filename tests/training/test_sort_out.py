"""Old and new images of a training are told apart, and scored, as the finished model predicts them."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import AugmentConfig
from napari_unet_finetune.data import normalize
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import PLACES, quantiles_of
from napari_unet_finetune.data.normalize import ModelView, as_shown
from napari_unet_finetune.errors import DataError, DeviceError
from napari_unet_finetune.events import Run, RunStarted, drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.training.finetune import finetune
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.sort_out import sort_out
from napari_unet_finetune.training.state import Begun, TrainingState

from ..confused import confused
from .conftest import DULL, INVERTED, MemoryStore, make_squares, scores, tiny_config

LEARNING = {"keep_raw": False, "replay_share": 0.0, "learning_rate": 0.01, "steps": 6}
UPSIDE_DOWN = LEARNING | {"appearance": "inverted"}  # which the base does not like: mistaken images are found better


def mistake(monkeypatch, mistaken, images):
    """Have every model take these of the new images for those of its first dataset, as it takes old ones."""
    names = {image.name for image in mistaken}
    others = {quantiles_of(as_shown(image, ModelView())[0].ravel()) for image in images if image.name not in names}

    def likeliest(known, quantiles):
        return [known[-1] if quantiles in others else known[0]]

    monkeypatch.setattr(normalize, "likeliest", likeliest)


@pytest.mark.parametrize(
    "changes",
    [
        UPSIDE_DOWN,
        UPSIDE_DOWN | {"threshold": 0.4, "calibrate": False},
        UPSIDE_DOWN | {"patch_size": 48},
        UPSIDE_DOWN | {"augment": AugmentConfig(p_affine=0)},
        UPSIDE_DOWN | {"steps": 1},
        UPSIDE_DOWN | {"steps": 1, "patch_size": 48},
    ],
)
@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize("places", [(1,), (0, 1)])
def test_held_out_images_are_scored_as_they_are_predicted(trained, monkeypatch, changes, stops, places):
    """By older weights or by those of all; the first image is left out, since nothing is annotated in it."""
    gains = changes == UPSIDE_DOWN or "augment" in changes
    monkeypatch.setattr("napari_unet_finetune.training.conclude.gains_for_old", lambda *_: gains)
    unused, *images = make_squares(6, seed=9)
    held_out = [images[3], images[1]]
    mistake(monkeypatch, [held_out[place] for place in places], images)
    settings = tiny_config(held_out=tuple(image.name for image in held_out), **changes)
    asked = iter(range(100))
    given = [replace(unused, annotated=np.zeros(unused.shape, bool)), *images]
    result = drain(finetune(trained.model, given, settings, should_stop=lambda: stops and next(asked) >= 1))
    found, ended = scores(result.model, held_out), result.ended
    assert set(ended.mistaken_new) == {held_out[place].name for place in places}
    assert ended.finetuned_dice == pytest.approx(np.mean(found), abs=1e-6)
    assert max(found) > 0.01 and (len(places) == 2 or abs(found[0] - found[1]) > 1e-3)
    assert result.model.card.provenance.scores["val_dice"] == ended.finetuned_dice


# So that the size of the patches brings no gain, either.
SPOILED = {"patch_size": 48, "learning_rate": 0.01, "warmup_steps": 0}


@pytest.mark.parametrize("changes", [{}, SPOILED, {"rescale": 2.0}, {"rescale": 0.5}])
@pytest.mark.parametrize("taken", [0, 1, 2])
def test_where_the_way_in_which_images_are_shown_is_all_that_is_gained_it_is_told_as_predicted(
    trained, monkeypatch, changes, taken
):
    held_out = INVERTED[:2]
    mistake(monkeypatch, held_out[:taken], INVERTED)
    settings = tiny_config(steps=1, held_out=tuple(image.name for image in held_out), **changes)
    result = drain(finetune(trained.model, INVERTED, settings))
    ended = result.ended
    assert (ended.share, ended.kept_raw) == (0, False) and len(ended.mistaken_new) == taken
    assert ended.finetuned_dice == pytest.approx(np.mean(scores(result.model, held_out)), abs=0.005)
    assert ended.raw_dice == pytest.approx(np.mean(scores(trained.model, held_out)), abs=1e-6)
    assert result.model.card.provenance.statistics.object_width_px == pytest.approx(10, abs=0.01)
    assert ("is gained by how" in ended.summary) == (taken < 2) == (not ended.is_disappointing)


@pytest.mark.parametrize(
    "settings", [{"learning_rate": 1e-9}, {"learning_rate": 0.01}, {"learning_rate": 0.01, "patch_size": 48}]
)
@pytest.mark.parametrize("appearance", ["inverted", "as they are"])
def test_a_base_that_is_kept_is_told_and_given_back_as_its_user_has_it(trained, settings, appearance):
    """Whatever the training made of the images: they may be shown in a way that the base does not like."""
    images = make_squares(6, seed=9)
    held_out = images[:2]
    bases = [trained.model]
    if appearance == "inverted":  # as the newest images of the other base, which takes no others
        bases.append(drain(finetune(trained.model, INVERTED, tiny_config(**LEARNING))).model)
    for base in bases:
        names = tuple(image.name for image in held_out)
        result = drain(finetune(base, images, tiny_config(steps=2, held_out=names, appearance=appearance, **settings)))
        assert result.ended.kept_raw and result.model == base
        told, found = result.ended.raw_dice, np.mean(scores(base, held_out))
        assert told == result.ended.finetuned_dice == pytest.approx(found, abs=1e-6) and found > 0.9


@pytest.fixture
def noisy():
    """Return images on which the base does better in patches of 64 px than in its own of 32 px."""
    rng = np.random.default_rng(1)
    return [
        replace(image, image=(image.image + rng.normal(0, 40, image.shape)).clip(0, 255).astype(np.uint8))
        for image in make_squares(8, seed=21, size=96)
    ]


UNLEARNED = {"learning_rate": 1e-9, "steps": 3, "appearance": "as they are", "calibrate": False}


def test_patches_of_another_size_are_weighed_against_the_base_in_its_own(trained, noisy):
    """The base is what would be given back; what it would have in the other patches is what no user has."""
    held_out = noisy[:3]
    own, other = (np.mean(scores(trained.model.with_card(patch_size=size), held_out)) for size in (32, 64))
    names, store = tuple(image.name for image in held_out), MemoryStore()
    settings = tiny_config(patch_size=64, held_out=names, validate_every=1, **UNLEARNED)
    result = drain(finetune(trained.model, noisy, settings, store=store))
    assert other > own + 0.01 and not result.ended.kept_raw
    assert (result.ended.raw_dice, result.ended.finetuned_dice) == pytest.approx((own, other), abs=1e-4)
    assert np.mean(scores(result.model, held_out)) == pytest.approx(result.ended.finetuned_dice, abs=1e-6)
    progress = {**store.states[0].progress, "raw_score": other + 0.01, "raw_as_is": own}
    earlier = MemoryStore(TrainingState(progress, store.states[0].trainer))
    assert drain(finetune(trained.model, noisy, settings, store=earlier)).ended == result.ended


@pytest.mark.parametrize("count", [3, 5])
def test_worse_patches_that_teach_nothing_give_the_base_back_however_few_images_there_are(trained, noisy, count):
    base = trained.model.with_card(patch_size=64)
    result = drain(finetune(base, noisy[:count], tiny_config(patch_size=32, **UNLEARNED)))
    assert result.ended.kept_raw and result.model == base


def test_old_images_are_scored_before_as_the_base_predicts_them_whatever_patches_the_training_has(trained, noisy):
    new, old = noisy[:4], [replace(image, name=f"old {index}") for index, image in enumerate(noisy[4:])]
    base = trained.model.with_card(patch_size=64)
    settings = tiny_config(patch_size=32, keep_raw=False, tolerated_drop=1, **UNLEARNED)
    result = drain(finetune(base, new, settings, base_images=old))
    scored = {image.name for image in prepare(base, new, settings, base_images=old).old}
    held_out = [image for image in old if image.name in scored]
    before, after = (np.mean(scores(model, held_out)) for model in (base, result.model))
    assert before > after + 0.01
    assert (result.ended.old_dice_before, result.ended.old_dice_after) == pytest.approx((before, after), abs=1e-3)


@pytest.mark.parametrize(
    ("shown", "can"),
    [(Begun(inverted=()), True), (Begun(inverted=(0,)), True), (Begun((tuple(PLACES**2),), inverted=()), False)],
)
def test_a_prediction_can_be_told_to_show_images_as_new_ones_unless_these_are_on_a_curve(trained, shown, can):
    assert prepare(trained.model, DULL, tiny_config(), begun=shown).shows_new_by_choice is can


def test_a_base_that_mistakes_images_gets_to_know_them(trained):
    """Its weights are good for them if only it is told what they are."""
    base = confused(drain(finetune(trained.model, INVERTED, tiny_config(steps=1))).model)
    images = make_squares(6, seed=9)
    held_out = images[:2]
    settings = tiny_config(steps=1, held_out=tuple(image.name for image in held_out), learning_rate=1e-9)
    result = drain(finetune(base, images, settings))
    assert (
        result.ended.raw_dice == pytest.approx(np.mean(scores(base, held_out)), abs=1e-6) and not result.ended.kept_raw
    )
    assert result.ended.finetuned_dice == pytest.approx(np.mean(scores(result.model, held_out)), abs=1e-6)


@pytest.mark.parametrize("spoiled", ["gone", "other mask"])
def test_what_cannot_be_tried_any_more_is_told_and_the_rest_is_tried(trained, monkeypatch, spoiled):
    images, held_out = make_squares(6, seed=9), (1, 3)
    mistake(monkeypatch, [images[1], images[4]], images)

    class Changing(list):
        """Images of which some become others while they are learned from."""

        has_begun = False

        def __getitem__(self, place):
            if not self.has_begun or place not in (1, 2):
                return super().__getitem__(place)
            if spoiled == "gone":
                raise DataError(f"{images[place].name}: this file is gone.")
            return replace(images[place], labels=1 - images[place].labels)

    given = Changing(images)
    settings = tiny_config(held_out=tuple(images[place].name for place in held_out), **UPSIDE_DOWN)
    run = Run(finetune(trained.model, given, settings))
    for event in run:
        given.has_begun |= isinstance(event, RunStarted)
    ended = run.result.ended
    assert ended.not_sorted_out.startswith(images[1].name) and "with all of them" in ended.summary
    assert ended.mistaken_new == (images[4].name,) and images[4].name in ended.summary
    assert ended.sorted_out == 4 + len({image.name for image in make_squares(6)})


def test_a_base_of_several_datasets_is_scored_as_it_predicts_the_held_out_images(trained):
    """It may take them for those of another dataset than the training does, and predict them by older weights."""
    base = drain(finetune(trained.model, INVERTED, tiny_config(**LEARNING))).model
    assert base.older is not None
    for model, images in itertools.product((base, confused(base)), (make_squares(5, seed=9), INVERTED)):
        held_out = tuple(image.name for image in images[:2])
        settings = tiny_config(steps=1, keep_raw=False, held_out=held_out, appearance="inverted")
        ended = drain(finetune(model, images, settings)).ended
        assert ended.raw_dice == pytest.approx(np.mean(scores(model, images[:2])), abs=1e-6)


def test_held_out_images_on_a_curve_are_scored_as_they_are_predicted(trained, short, monkeypatch):
    monkeypatch.setattr(normalize, "likeliest", lambda known, _: [known[0]])
    held_out = DULL[:2]
    settings = short.model_copy(update={"held_out": tuple(image.name for image in held_out), "steps": 120})
    result = drain(finetune(trained.model, DULL, settings))
    before, new = result.model.card.knows
    assert new.curves and not before.curves and {image.name for image in held_out} <= set(result.ended.mistaken_new)
    assert result.ended.finetuned_dice == pytest.approx(np.mean(scores(result.model, held_out)), abs=1e-6)


def test_regions_are_told_apart_by_what_their_image_is_like_as_a_whole(turned, trained):
    """As when they are predicted; their own pixels may be like those of the other dataset."""
    whole = np.concatenate([INVERTED[0].image, np.full((200, 48), 60, np.uint8)])
    lazy = AnnotatedImage("slide", whole)
    regions = [replace(image, part_of=lazy) for image in INVERTED[:2]]
    model, setup = turned[1].model, prepare(trained.model, INVERTED, tiny_config())
    assert not sort_out(model, setup).new
    seen = replace(setup, new=replace(setup.new, images=[*regions, *INVERTED[2:]]))
    expected = [one for one in seen.new.images if not Predictor(model).measure(one).appearance.inverted]
    assert sort_out(model, seen).new == tuple(image.name for image in expected) != ()


def test_images_that_the_model_takes_for_those_of_the_other_dataset_are_told_and_old_ones_scored_so(turned, trained):
    """Those are tried, too, that the base was trained on; what is forgotten is only scored on those it held out."""
    _, result = turned
    ended, model = result.ended, result.model
    setup = prepare(trained.model, INVERTED, tiny_config())
    names = {parts[0].name for parts in setup.told_apart}
    assert len(names) == 6 and ended.old_images == 1 == len({image.name for image in setup.old})
    assert ended.sorted_out == len(names) + len(INVERTED)
    assert not ended.mistaken_old and not ended.mistaken_new
    found = sort_out(confused(model), setup)
    assert sorted(found.new) == sorted(image.name for image in INVERTED)
    held_out = [INVERTED[index] for index in setup.new.held_out]
    assert list(found.new_dice.values()) == pytest.approx(scores(confused(model), held_out)) and held_out
    assert set(found.old) == names and found.tried == len(names) + len(INVERTED)
    assert set(found.old_dice) == {image.name for image in setup.old}
    assert max(found.old_dice.values()) < ended.old_dice_after - 0.2
    only_scored = sort_out(confused(model), setup, scored=True)
    assert (set(only_scored.old), only_scored.old_dice) == (set(found.old_dice), found.old_dice)
    assert only_scored.new == tuple(image.name for image in held_out) and only_scored.new_dice == found.new_dice


@pytest.mark.parametrize(("least", "tried"), [(1, 2), (4, 4), (9, 6)])
def test_all_held_out_images_are_tried_and_so_many_others_that_there_are_enough(
    turned, trained, monkeypatch, least, tried
):
    monkeypatch.setattr("napari_unet_finetune.training.sort_out._NEW_TRIED", least)
    setup = prepare(trained.model, INVERTED, tiny_config(held_out=tuple(image.name for image in INVERTED[2:4])))
    assert sort_out(turned[1].model, setup).tried == len(setup.told_apart) + tried


def test_an_old_image_that_the_base_was_trained_on_is_told_where_it_is_mistaken(turned, trained):
    """By what its intensities are as a whole, whatever its windows show."""
    setup, new = prepare(trained.model, INVERTED, tiny_config()), turned[1].model.card.knows[-1]
    told = [list(parts) for parts in setup.told_apart]
    scored = {image.name for image in setup.old}
    odd = next(place for place, parts in enumerate(told) if parts[0].name not in scored)
    told[odd] = [replace(part, quantiles=new.quantiles) for part in told[odd]]
    found = sort_out(turned[1].model, replace(setup, told_apart=tuple(told)))
    assert (found.old, found.new, found.old_dice) == ((told[odd][0].name,), (), {})


@pytest.mark.parametrize("masks", [True, False])
def test_given_old_images_are_told_apart_as_wholes(turned, trained, masks):
    """Of them, too, no more are tried than of carried ones, which are tried beside those without masks."""
    old = [replace(one, labels=one.labels if masks else None) for one in make_squares(30, seed=3, size=96)]
    setup = prepare(trained.model, INVERTED, tiny_config(validation_crop_px=64), base_images=old)
    given = [parts for parts in setup.told_apart if not parts[0].name.startswith("old image")]
    assert all([one.shape for one in parts] == [(96, 96)] for parts in given)
    assert len(setup.told_apart) == 24 and (len(given) == 24) == masks and len(given) > 12
    found = sort_out(confused(turned[1].model), setup)
    assert len(found.old) == 24 and set(found.old_dice) == {image.name for image in setup.old} & set(found.old) != set()


def test_old_images_without_objects_are_scored_as_before_also_if_they_are_mistaken(turned, trained):
    setup = prepare(trained.model, INVERTED, tiny_config())
    empty = replace(
        setup.old[0], name="empty", target=torch.zeros_like(setup.old[0].target), foreground=np.empty((0, 2))
    )
    setup = replace(setup, old=(*setup.old, empty), told_apart=(*setup.told_apart, [empty]))
    found = sort_out(confused(turned[1].model), setup)
    assert "empty" in found.old and "empty" not in found.old_dice


@pytest.mark.parametrize("steps", [1, 40])
def test_a_model_is_not_lost_where_trying_to_tell_images_apart_fails_and_why_is_told(trained, monkeypatch, steps):
    """After one step the base's weights are kept, after many the finetuned ones: both are tried."""

    def fail(*_):
        raise DeviceError("square 1: the memory of 'cpu' does not hold an image of 48 x 48 pixels.")

    monkeypatch.setattr(Predictor, "measure", fail)
    settings = tiny_config(steps=steps, appearance="inverted", keep_raw=steps == 1, learning_rate=3e-3)
    ended = drain(finetune(trained.model, INVERTED, settings)).ended
    assert (ended.share == 0) == (steps == 1) and not ended.kept_raw
    assert ended.not_sorted_out.startswith("square 1: the memory") and ended.sorted_out == 6, "old images"
    assert ended.not_sorted_out in ended.summary


def test_where_all_images_are_shown_alike_none_is_mistaken(trained):
    result = drain(finetune(trained.model, make_squares(5, seed=9), tiny_config(steps=1, keep_raw=False)))
    assert (result.ended.sorted_out, result.ended.mistaken_old, result.ended.mistaken_new) == (0, (), ())
