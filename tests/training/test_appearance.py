"""Images with dark and bright exchanged are shown so that the base finds them, before anything is learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import ChannelRule, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import KNOTS, Appearance
from napari_unet_finetune.data.normalize import sights_of_normalized
from napari_unet_finetune.events import UNSURE, Notice, drain, how_seen
from napari_unet_finetune.inference.predict import ALL_EDGES, Predictor
from napari_unet_finetune.inference.views import knows_mirrored
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.training import settle
from napari_unet_finetune.training.finetune import finetune

from .conftest import DULL, INVERTED, MemoryStore, dulled, make_squares, scores, tiny_config
from .test_finetune import collect


def test_without_learning_anything_the_model_finds_inverted_objects_and_the_old_ones(trained, turned):
    _, result = turned
    assert np.mean(scores(trained.model, INVERTED)) < 0.5
    assert np.mean(scores(result.model, INVERTED)) > 0.9
    assert np.mean(scores(result.model, make_squares(4, seed=5))) > 0.9


def test_it_is_told_and_stands_in_the_model(turned, tmp_path):
    events, result = turned
    assert any("dark and bright exchanged" in event.message for event in events if isinstance(event, Notice))
    result.model.save(tmp_path / "model.safetensors")
    before, new = load_model(tmp_path / "model.safetensors").card.knows
    assert (before.inverted, new.inverted) == ((), (0,))
    assert len(before.quantiles) == len(new.quantiles) == 51


def test_where_the_appearance_alone_is_as_good_it_alone_is_the_result_and_said(trained, turned):
    _, result = turned
    ended, weights = result.ended, result.model.weights
    assert ended.share == 0 and not ended.kept_raw and not ended.is_disappointing
    assert all(torch.equal(weights[name], value) for name, value in trained.model.weights.items())
    assert ended.raw_dice < 0.5 and ended.finetuned_dice > 0.9
    assert f"{ended.raw_dice:.3f} → {ended.finetuned_dice:.3f}" in ended.summary and "the base's" in ended.summary
    assert result.model.card.is_finetuned and knows_mirrored(result.model) == knows_mirrored(trained.model)


def test_a_finetuned_model_is_compared_with_the_base_as_its_user_has_it(trained):
    settings = tiny_config(steps=1, keep_raw=False, held_out=(INVERTED[0].name,))
    events, result = collect(finetune(trained.model, INVERTED, settings))
    assert result.ended.raw_dice == events[0].raw_dice == pytest.approx(scores(trained.model, INVERTED[:1])[0])


@pytest.mark.parametrize(("inverted", "shown"), [(0, ()), (2, ()), (3, (0,)), (5, (0,))])
def test_the_mean_over_images_decides_how_a_dataset_is_shown_whatever_single_ones_lose(trained, inverted, shown):
    images = [*INVERTED[:inverted], *make_squares(5 - inverted, seed=7)]
    config = tiny_config(patch_size=trained.model.card.patch_size)
    appearance, about = settle.settle_appearance(trained.model, images, config, torch.device("cpu"))
    assert appearance.inverted == shown
    assert bool(about) == bool(shown)


@pytest.mark.parametrize(
    ("gain", "bright", "shown"),
    [(0.04, False, (0,)), (-0.04, False, (0,)), (-0.06, False, ()), (0.04, True, ()), (0.06, True, (0,))],
)
def test_where_the_base_sees_both_ways_alike_objects_decide(trained, monkeypatch, gain, bright, shown):
    def scores(_network, _base, images, appearance, *_others):
        return np.full(len(images), 0.5 + gain * bool(appearance.inverted))

    monkeypatch.setattr(settle, "_scores_shown", scores)
    images, config = make_squares(2, bright=bright, seed=7), tiny_config(patch_size=trained.model.card.patch_size)

    def inverted(base):
        return settle.settle_appearance(base, images, config, torch.device("cpu"))[0].inverted

    assert inverted(trained.model) == shown
    for of in ({"statistics": None}, {"parent_sha256": "0" * 64}):  # nothing is known of it, or only of its newest data
        provenance = trained.model.card.provenance.model_copy(update=of)
        assert bool(inverted(trained.model.with_card(provenance=provenance))) == (gain > 0.05)


def test_images_that_the_base_knows_are_shown_as_they_are(trained):
    _, result = collect(finetune(trained.model, make_squares(5, seed=9), tiny_config(steps=1, keep_raw=False)))
    assert [one.inverted for one in result.model.card.knows] == [(), ()]


def test_what_is_chosen_by_hand_is_done(trained, turned):
    settings = tiny_config(steps=1, keep_raw=False, appearance="as they are")
    result = drain(finetune(trained.model, INVERTED, settings))
    assert not any(one.inverted for one in result.model.card.knows)
    assert np.mean(scores(turned[1].model, INVERTED, appearance="as they are")) < 0.5


@pytest.mark.parametrize(
    ("images", "is_known", "is_told"),
    [(INVERTED, False, True), (INVERTED, True, False), (make_squares(5, seed=9), False, False)],
)
def test_that_nothing_is_known_of_the_intensities_of_the_old_images_is_told(trained, images, is_known, is_told):
    provenance = trained.model.card.provenance
    unknown = trained.model.with_card(knows=(), provenance=provenance.model_copy(update={"statistics": None}))
    base = trained.model if is_known else unknown
    events, _ = collect(finetune(base, images, tiny_config(steps=1, keep_raw=False)))
    told = [
        event.message for event in events if isinstance(event, Notice) and "does not tell how bright" in event.message
    ]
    assert len(told) == is_told


def test_a_second_dataset_keeps_what_the_model_knows_of_the_first(turned):
    _, result = turned
    third = drain(finetune(result.model, make_squares(5, seed=9), tiny_config(steps=1, keep_raw=False)))
    assert [one.inverted for one in third.model.card.knows] == [(), (0,), ()]


def test_what_is_shown_as_the_model_learned_to_see_costs_the_old_images_nothing(trained):
    """Without replay: the same training forgets where the network itself has to learn what is inverted."""
    settings = tiny_config(steps=40, learning_rate=3e-3, replay_share=0.0, keep_raw=False)
    turned = drain(finetune(trained.model, INVERTED, settings)).ended
    learned = drain(finetune(trained.model, INVERTED, settings.model_copy(update={"appearance": "as they are"}))).ended
    assert turned.old_dice_after > learned.old_dice_after + 0.05


@pytest.fixture(scope="module")
def curved(trained, short):
    """Return the events and the result of a training that fits a curve and learns nothing."""
    return collect(finetune(trained.model, DULL, short))


def test_a_curve_finds_dull_objects_with_the_network_as_it_is(trained, curved):
    events, result = curved
    before, new = result.model.card.knows
    assert not before.changes and len(new.curves) == 1 and not new.inverted
    raw, shown = np.mean(scores(trained.model, DULL)), np.mean(scores(result.model, DULL))
    assert raw < 0.6 and shown > raw + 0.2
    unseen = dulled(make_squares(4, seed=7))
    assert np.mean(scores(result.model, unseen)) > np.mean(scores(trained.model, unseen)) + 0.2
    old = make_squares(4, seed=5)
    assert scores(result.model, old) == pytest.approx(scores(trained.model, old), abs=1e-3)
    assert any("A curve over the intensities" in event.message for event in events if isinstance(event, Notice))


def test_a_curve_stands_in_the_file_and_comes_out_the_same_each_time(trained, curved, short, tmp_path):
    _, result = curved
    result.model.save(tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").card.knows == result.model.card.knows
    again = drain(finetune(trained.model, DULL, short))
    assert again.model.card.knows == result.model.card.knows


def test_no_curve_where_the_base_finds_the_objects_or_it_is_not_wanted(trained, short):
    kept = short.model_copy(update={"keep_raw": False})
    fine = drain(finetune(trained.model, make_squares(5, seed=9), kept))
    assert not fine.model.card.knows[-1].changes
    for appearance in ("auto", "as they are"):
        unwanted = drain(finetune(trained.model, DULL, kept.model_copy(update={"appearance": appearance})))
        assert not unwanted.model.card.knows[-1].changes


def test_a_training_that_is_stopped_while_its_curve_is_fitted_makes_no_step(trained, short):
    asked = iter(range(100))
    result = drain(finetune(trained.model, DULL, short, should_stop=lambda: next(asked) > 3))
    assert result.ended.stopped and result.ended.steps == 0 and result.ended.kept_raw


def test_a_training_that_goes_on_keeps_its_curve_also_if_it_is_stopped_at_once(trained, short):
    config, store = short.model_copy(update={"learning_rate": 1e-3, "validate_every": 10}), MemoryStore()
    whole = drain(finetune(trained.model, DULL, config, store=store))
    stopped = drain(finetune(trained.model, DULL, config, store=MemoryStore(store.states[0]), should_stop=lambda: True))
    assert stopped.ended.stopped and whole.model.card.knows[-1].curves
    assert stopped.model.card.knows[-1].curves == whole.model.card.knows[-1].curves


def test_a_training_that_goes_on_shows_images_the_way_round_in_which_it_began(trained, monkeypatch):
    config, store = tiny_config(steps=10, keep_raw=False), MemoryStore()
    whole = drain(finetune(trained.model, INVERTED, config, store=store))
    monkeypatch.setattr(settle, "CLEAR_GAIN", 2.0)  # of another version, which would show them as they are
    resumed = drain(finetune(trained.model, INVERTED, config, store=MemoryStore(store.states[0])))
    assert resumed.model.card.knows == whole.model.card.knows and resumed.model.card.knows[-1].inverted == (0,)
    assert resumed.ended == whole.ended


@pytest.mark.parametrize("known", [1, 3])
def test_a_model_that_gets_other_channels_takes_what_it_knows_along(trained, known):
    curve, new = tuple(np.linspace(0.1, 0.9, KNOTS).tolist()), 4 - known
    knows = Appearance(inverted=tuple(range(known)), curves=(curve,) * known)
    base = trained.model.with_in_channels(known).with_card(knows=(knows,))
    images = [replace(one, image=np.stack([one.image] * new)) for one in make_squares(4, seed=3)]
    settings = tiny_config(steps=1, keep_raw=False, in_channels=new, channels=ChannelRule(method="mean"))
    before, _ = drain(finetune(base, images, settings)).model.card.knows
    assert before.fits(new) and len(before.inverted) == new


@pytest.fixture(scope="module")
def undecided(turned):
    """Return the model that knows bright and inverted images, as if both had the same intensities."""
    model = turned[1].model
    before, new = model.card.knows
    return model.with_card(knows=(before, new.model_copy(update={"quantiles": before.quantiles})))


def test_where_intensities_do_not_tell_the_network_does(undecided):
    for images, inverted in ((make_squares(4, seed=5), ()), (INVERTED, (0,))):
        assert {Predictor(undecided).predict(image).appearance.inverted for image in images} == {inverted}
        assert np.mean(scores(undecided, images)) > 0.9


@pytest.mark.parametrize("share", [0.25, 0.5, 0.7])
def test_what_surrounds_is_ground_also_where_objects_cover_more(undecided, monkeypatch, share):
    """As if the network were as sure of the ground, seen the wrong way round, as it is of the objects."""
    side = 40
    radius = round(side * share**0.5 / 2)
    truth = np.zeros((side, side), np.float32)
    middle = slice(side // 2 - radius, side // 2 + radius)
    truth[middle, middle] = 1

    def seen(_predictor, _image, _region, sight, **_settings):
        yield from ()
        return 0.05 + 0.9 * (truth if sight.appearance.inverted else 1 - truth)

    monkeypatch.setattr(Predictor, "_seen", seen)
    image = AnnotatedImage("one", np.random.default_rng(0).integers(0, 255, (side, side)).astype(np.uint8))
    shown = [one.model_copy(update={"object_share": 0.33}) for one in undecided.card.knows]
    assert Predictor(undecided.with_card(knows=tuple(shown))).measure(image).appearance.inverted == (0,)


def test_only_sides_along_the_border_of_an_image_tell_of_its_border(undecided, monkeypatch):
    """Two windows side by side, with objects where they meet, or, seen the other way, with twice as many inside."""
    meeting, inside = (np.full((40, 20), 0.05, np.float32) for _ in range(2))
    meeting[:, -1] = inside[:, 10:12] = 0.95

    def seen(_predictor, image, _region, sight, **_settings):
        yield from ()
        found = meeting if sight.appearance.inverted else inside
        return found if image.name == "left" else found[:, ::-1]

    monkeypatch.setattr(Predictor, "_seen", seen)
    usual = {"object_share": 1 / 20}
    predictor = Predictor(
        undecided.with_card(knows=tuple(one.model_copy(update=usual) for one in undecided.card.knows))
    )
    parts = [AnnotatedImage(name, inside) for name in ("left", "right")]
    sights = sights_of_normalized(undecided.card.knows[0].quantiles, predictor.model.card.view)
    outer = [(True, True, True, False), (True, True, False, True)]
    assert predictor.likeliest(parts, outer, sights).appearance.inverted
    assert not predictor.likeliest(parts, [ALL_EDGES] * 2, sights).appearance.inverted
    assert predictor.likeliest(parts, [(False,) * 4] * 2, sights).appearance.inverted  # nothing is known of it


UNCLEAR_BRIGHT = f"unchanged, {UNSURE}"
UNCLEAR_DARK = f"with dark and bright exchanged, {UNSURE}"
CLEAR_DARK = "with dark and bright exchanged, as other images of its training"
SHARE = 0.2


@pytest.mark.parametrize(
    ("as_it_is", "exchanged", "shares", "words"),
    [
        ((1, 0), (1.5, 0), (SHARE, SHARE), UNCLEAR_BRIGHT),
        ((1, 0), (1, 9), (SHARE, SHARE), ""),
        ((1, 0.5), (1, 0), (SHARE, SHARE), UNCLEAR_DARK),
        ((9, 0), (1, 0), (SHARE, SHARE), CLEAR_DARK),
        ((1, 0), (1, 9), (None, SHARE), UNCLEAR_BRIGHT),  # of old images it is not known what is usual
        ((9, 0), (1, 9), (SHARE, None), UNCLEAR_BRIGHT),
        ((1, 0), (9, 9), (None, SHARE), ""),
        ((np.nan, 0), (1, 0), (SHARE, SHARE), UNCLEAR_BRIGHT),
    ],
)
def test_of_an_image_that_may_as_well_be_of_the_other_dataset_one_is_told_so(
    undecided, monkeypatch, as_it_is, exchanged, shares, words
):
    knows = zip(undecided.card.knows, shares, strict=True)
    model = undecided.with_card(knows=tuple(one.model_copy(update={"object_share": share}) for one, share in knows))

    def implausibility(_predictor, _parts, _edges, sight):
        return exchanged if sight.appearance.inverted else as_it_is

    monkeypatch.setattr(Predictor, "_implausibility", implausibility)
    image = make_squares(1, seed=5)[0]
    seen = Predictor(model).predict(image)
    assert (seen.told, seen.appearance.changes) == (words, "exchanged" in words)
    assert seen.shown == (CLEAR_DARK if seen.appearance.changes else ""), "how it was shown is the same"
    for chosen, told in (("as they are", ""), ("inverted", "with dark and bright exchanged")):
        assert Predictor(model, PredictConfig(appearance=chosen)).predict(image).told == told


CURVED = {"curves": (tuple(np.linspace(0.1, 0.9, KNOTS).tolist()),)}


@pytest.mark.parametrize(
    ("known", "is_seen_so", "can_be_chosen"),
    [
        ({"inverted": (0,)}, False, True),
        ({"inverted": (0,)}, True, True),
        (CURVED, False, False),  # no setting shows an image on a curve
        (CURVED, True, True),
    ],
)
def test_a_setting_is_advised_where_it_shows_an_image_the_other_way(
    undecided, monkeypatch, known, is_seen_so, can_be_chosen
):
    old, new = undecided.card.knows
    model = undecided.with_card(knows=(old, new.model_copy(update={"inverted": (), **known})))

    def implausibility(_predictor, _parts, _edges, sight):
        return (float(sight.appearance.changes != is_seen_so), 0)

    monkeypatch.setattr(Predictor, "_implausibility", implausibility)
    seen = Predictor(model).predict(make_squares(1, seed=5)[0])
    assert UNSURE in seen.told and seen.appearance.changes == is_seen_so
    assert ("--set" in " ".join(how_seen([("one", seen.told)]))) == can_be_chosen


def test_where_intensities_tell_the_network_is_not_asked(turned, monkeypatch):
    monkeypatch.setattr(Predictor, "_implausibility", lambda *_: pytest.fail("asked"))
    assert np.mean(scores(turned[1].model, INVERTED)) > 0.9


def test_the_share_of_objects_is_known_of_masks_but_not_of_strokes(turned, trained):
    before, new = turned[1].model.card.knows
    truth = np.mean([image.target.mean() for image in INVERTED])
    assert new.object_share == pytest.approx(truth, abs=1e-4) and 0 < before.object_share < 1
    strokes = [
        replace(image, annotated=np.arange(image.target.size).reshape(image.shape) % 3 > 0) for image in INVERTED
    ]
    assert drain(finetune(trained.model, strokes, tiny_config(steps=1))).model.card.knows[-1].object_share is None
