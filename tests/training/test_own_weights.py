"""Old images that are shown to the network otherwise than the new ones keep the weights that they had."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from napari_unet_finetune.config import ChannelRule, PredictConfig
from napari_unet_finetune.data.appearance import AS_THEY_ARE, KNOTS, Appearance
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference import predict
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.models import header
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.header import is_own_weight
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model, weights_hash
from napari_unet_finetune.models.parents import find_parent
from napari_unet_finetune.share import export
from napari_unet_finetune.training.finetune import finetune
from napari_unet_finetune.training.keep import gains_for_old, weighs_old
from napari_unet_finetune.training.prepare import prepare

from ..confused import confused
from .conftest import INVERTED, make_squares, tiny_config

OLD = make_squares(3, seed=5)
LEARNING = tiny_config(steps=6, keep_raw=False, threshold=0.4, calibrate=False, replay_share=0.0, learning_rate=0.01)


def seen(model, images, **settings):
    """Return labels and probabilities of images."""
    predictor = Predictor(model, PredictConfig(device="cpu", precision="fp32", **settings))
    found = [predictor.predict(image) for image in images]
    return np.stack([one.labels for one in found]), np.stack([one.probabilities for one in found])


@pytest.fixture(scope="module")
def spared(trained):
    """Return what comes of a training on inverted images that has learned something."""
    result = drain(finetune(trained.model, INVERTED, LEARNING))
    assert weights_hash(result.model.weights) != weights_hash(trained.model.weights)
    return result


def test_old_images_are_predicted_as_before_and_new_ones_by_what_was_learned(trained, spared):
    before, after = seen(trained.model, OLD), seen(spared.model, OLD)
    assert spared.model.card.threshold != trained.model.card.threshold
    np.testing.assert_array_equal(before[0], after[0])
    alone = replace(spared.model, older=None)
    assert np.abs(seen(alone, OLD)[1] - after[1]).max() > 0.01
    np.testing.assert_array_equal(seen(spared.model, INVERTED)[1], seen(alone, INVERTED)[1])


def test_it_is_said_and_nothing_of_old_images_is_lost(spared):
    ended = spared.ended
    assert ended.spared_old and ended.old_dice_before == ended.old_dice_after > 0.9
    assert "keep the weights" in ended.summary and "forgotten" not in ended.summary


def test_images_that_are_shown_alike_share_the_weights(trained):
    result = drain(finetune(trained.model, make_squares(5, seed=9), LEARNING))
    assert result.model.older is None and not result.ended.spared_old


def test_the_file_holds_both_and_says_that_older_versions_cannot_read_it(trained, spared, tmp_path):
    for name, model in (("base", trained.model), ("spared", spared.model)):
        model.save(tmp_path / f"{name}.safetensors")
    base, both = (load_model(tmp_path / f"{name}.safetensors") for name in ("base", "spared"))
    np.testing.assert_array_equal(seen(both, OLD)[1], seen(spared.model, OLD)[1])
    assert both.identity == spared.model.identity != replace(both, older=None).identity
    versions = [
        header.read_description(tmp_path / f"{name}.safetensors")["format_version"] for name in ("base", "spared")
    ]
    assert versions == [1, 2] and "older" not in base.card.describe()
    card = read_card(tmp_path / "spared.safetensors")
    assert card.older is not None and not card.older.provenance.images
    assert find_parent(card, [tmp_path / "base.safetensors"]) == tmp_path / "base.safetensors"


def test_weights_of_the_older_model_that_are_missing_are_told(spared, tmp_path, monkeypatch):
    whole = Model._tensors
    own_alone = lambda model, half: {name: one for name, one in whole(model, half).items() if is_own_weight(name)}  # noqa: E731
    monkeypatch.setattr(Model, "_tensors", own_alone)
    spared.model.save(tmp_path / "damaged.safetensors")
    with pytest.raises(ModelError, match=r"damaged\.safetensors: layer .* is missing"):
        load_model(tmp_path / "damaged.safetensors")


def test_half_of_the_digits_are_those_of_both(spared, tmp_path):
    spared.model.save(tmp_path / "half.safetensors", half=True)
    np.testing.assert_allclose(
        seen(load_model(tmp_path / "half.safetensors"), OLD)[1], seen(spared.model, OLD)[1], atol=0.02
    )


def test_more_images_of_the_newest_kind_leave_the_older_ones_their_weights(trained, spared):
    again = drain(finetune(spared.model, make_squares(5, bright=False, seed=7), LEARNING))
    np.testing.assert_array_equal(seen(again.model, OLD)[0], seen(trained.model, OLD)[0])
    assert again.ended.spared_old and again.ended.old_dice_before == spared.ended.old_dice_before
    assert again.model.older.older is None


def test_images_that_are_shown_as_older_ones_are_not_learned_by_weights_for_others(spared):
    with pytest.raises(ModelError, match=r"seen as they are. Start from the model that it was finetuned from"):
        drain(finetune(spared.model, make_squares(5, seed=9), LEARNING))


def test_a_model_of_an_earlier_version_that_shares_its_weights_spares_its_oldest_dataset(spared):
    """Also if the new images are shown as its newest ones."""
    earlier = replace(spared.model, older=None)
    again = drain(finetune(earlier, make_squares(5, bright=False, seed=7), LEARNING))
    np.testing.assert_array_equal(seen(again.model, OLD)[0], seen(earlier, OLD)[0])


def test_where_old_images_gain_all_share_what_was_learned(trained, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.training.conclude.gains_for_old", lambda *_: True)
    result = drain(finetune(trained.model, INVERTED, LEARNING))
    assert result.model.older is None and not result.ended.spared_old


@pytest.mark.parametrize(
    ("after", "gains"),
    [({"a": 0.92, "b": 0.81}, True), ({"a": 0.99, "b": 0.78}, True), ({"a": 0.9, "b": 0.81}, False),
     ({"a": 0.9, "b": 0.8}, False), ({"a": 0.9, "b": 0.79}, False), ({"a": 0.99, "b": 0.76}, False), ({}, False)],
)  # fmt: skip
def test_old_images_gain_by_more_than_chance_and_none_loses_clearly(after, gains):
    assert gains_for_old({"a": 0.9, "b": 0.8}, after) == gains


def test_datasets_that_share_the_weights_are_pulled_to_the_base_where_there_are_no_patches(spared):
    earlier = replace(spared.model, older=None, rehearsal=None)
    for model in (earlier, replace(spared.model, rehearsal=None)):
        setup = prepare(model, make_squares(5, bright=False, seed=7), tiny_config())
        assert setup.config.l2sp > 0 and not any("keep the base's weights" in notice for notice in setup.notices)


def test_without_old_patches_old_images_are_spared_and_nothing_is_pulled_to_the_base(trained):
    bare = replace(trained.model, rehearsal=None)
    setup = prepare(bare, INVERTED, tiny_config())
    assert setup.config.l2sp == 0 and any("keep the base's weights" in notice for notice in setup.notices)
    assert not any("cannot be measured" in notice for notice in setup.notices)
    result = drain(finetune(bare, INVERTED, LEARNING))
    np.testing.assert_array_equal(seen(result.model, OLD)[0], seen(bare, OLD)[0])
    assert "Old images keep the weights that they had" in result.ended.summary
    apart = prepare(bare, INVERTED, tiny_config(appearance="as they are"))
    assert apart.config.l2sp > 0 and any("cannot be measured" in notice for notice in apart.notices)


def test_which_way_an_image_is_seen_is_judged_with_one_network(spared, monkeypatch):
    """That older images keep theirs must not decide: it may be surer of everything."""
    known = spared.model.card.knows
    alike = tuple(one.model_copy(update={"quantiles": known[0].quantiles}) for one in known)
    unclear = spared.model.with_card(knows=alike)
    predictor, asked, seen_by = Predictor(unclear, PredictConfig(device="cpu", precision="fp32")), [], Predictor._seen

    def noted(self, image, region, sight):
        asked.append((self, sight.appearance.inverted))
        return seen_by(self, image, region, sight)

    monkeypatch.setattr(Predictor, "_seen", noted)
    predictor.measure(OLD[0])
    assert {who for who, _ in asked} == {predictor} and {way for _, way in asked} == {(), (0,)}


def test_an_appearance_that_no_dataset_has_is_for_the_own_weights(spared):
    curve = tuple(np.linspace(0, 1.2, KNOTS).tolist())
    assert spared.model.serving(Appearance(inverted=(0,), curves=(curve,))) is spared.model
    assert spared.model.serving(AS_THEY_ARE) is spared.model.older


def test_given_old_images_are_scored_with_the_weights_that_they_keep(trained, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.training.conclude.gains_for_old", lambda *_: False)
    result = drain(finetune(trained.model, INVERTED, LEARNING, base_images=make_squares(6, seed=5)))
    assert result.ended.spared_old and result.ended.old_dice_before == result.ended.old_dice_after > 0.9


def test_both_take_other_channels(spared):
    wide = spared.model.with_in_channels(3)
    np.testing.assert_allclose(seen(wide, OLD)[1], seen(spared.model, OLD)[1], atol=5e-3)
    rule = ChannelRule(method="channel", channel=0)
    assert spared.model.seeing(rule).older.card.channels == rule


def test_an_export_for_the_old_dataset_holds_the_weights_that_it_keeps(spared, tmp_path, monkeypatch):
    """And nothing is said of what was learned since."""
    written = []
    monkeypatch.setattr(export, "_written", lambda model, *_: written.append(model) or b"")
    recipes = [
        export.export_model(spared.model, tmp_path / f"{dataset}.onnx", dataset=dataset).recipe for dataset in (1, 2)
    ]
    assert written == [spared.model.older, spared.model] and not written[0].card.provenance.scores
    assert [recipe.threshold for recipe in recipes] == [model.card.threshold for model in written]
    pairs = zip(recipes, spared.model.card.knows, strict=True)
    assert all(recipe.appearance.is_shown_as(known) for recipe, known in pairs)


@pytest.mark.parametrize(("own", "common"), [(0.5, 0.4), (0.2, 0.9), (0.5, 0.5), (0.7, 0.3)])
def test_one_threshold_serves_both(own, common):
    """The pixels above it are those that lay above the own one, be they as close to it as can be."""
    at = np.float32(own)
    near = np.array([0, np.nextafter(at, np.float32(0)), at, np.nextafter(at, np.float32(1)), 1], np.float32)
    found = np.concatenate([near, np.random.default_rng(0).random(1000, np.float32)])
    moved = predict._on_scale(found, own, common)
    assert moved.dtype == np.float32 and moved[0] == 0 and moved[4] == 1
    np.testing.assert_array_equal(moved > common, found > own)
    order = np.argsort(found, kind="stable")
    assert (np.diff(moved[order]) >= 0).all()


def test_old_images_are_predicted_at_the_threshold_that_they_had(trained, spared):
    """Also where they are not as plain as squares, and tiles overlap."""
    rng = np.random.default_rng(0)
    noisy = [replace(image, image=rng.normal(image.image, 60).clip(0, 255).astype(np.uint8)) for image in OLD]
    model = spared.model.with_card(threshold=0.2)
    before, after = seen(trained.model, noisy)[0], seen(model, noisy)[0]
    alone = replace(trained.model, card=trained.model.card.model_copy(update={"threshold": 0.2}))
    assert (seen(alone, noisy)[0] != before).any()  # so it matters
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("chosen", [0.05, 0.3, 0.9])
def test_a_threshold_that_is_chosen_moves_that_of_old_images_by_as_much(trained, spared, chosen):
    """So a slider in a dock, which moves over probabilities that are there, shows what the terminal gives."""
    rng = np.random.default_rng(0)
    noisy = [replace(image, image=rng.normal(image.image, 60).clip(0, 255).astype(np.uint8)) for image in OLD]
    model = spared.model.with_card(threshold=0.2)
    labels, probabilities = seen(model, noisy, threshold=chosen)
    np.testing.assert_array_equal(probabilities, seen(model, noisy)[1])
    moved = float(expit(logit(trained.model.card.threshold) + logit(chosen) - logit(0.2)))
    alone = seen(trained.model, noisy, threshold=moved)[0]
    assert (labels != alone).mean() < 1e-3 < (labels != seen(model, noisy)[0]).mean()


def test_a_mistaken_old_image_is_predicted_as_a_new_one(spared):
    assert seen(confused(spared.model), OLD)[0].mean() != pytest.approx(seen(spared.model, OLD)[0].mean(), abs=0.02)


def test_the_older_model_has_nothing_that_prediction_does_not_need(trained, spared):
    older = spared.model.older
    assert older.rehearsal is None and spared.model.rehearsal is not None
    assert older.card.provenance.images == () and older.card.threshold == trained.model.card.threshold
    assert weights_hash(older.weights) == weights_hash(trained.model.weights)


def test_other_sizes_or_tiles_leave_old_images_as_they_were(trained, monkeypatch):
    """Nothing was measured of what old images would be at the size of the new ones."""
    monkeypatch.setattr("napari_unet_finetune.training.conclude.gains_for_old", lambda *_: True)
    for changes in ({"rescale": 2.0}, {"patch_size": 48}):
        result = drain(finetune(trained.model, INVERTED, LEARNING.model_copy(update=changes)))
        np.testing.assert_array_equal(seen(result.model, OLD)[0], seen(trained.model, OLD)[0])


def test_old_images_have_no_say_in_what_is_kept(trained):
    setup = prepare(trained.model, INVERTED, LEARNING)
    assert setup.older is not None and setup.can_spare_old and setup.old and not weighs_old(setup)
    shared = prepare(trained.model, INVERTED, tiny_config(appearance="as they are"))
    assert shared.older is None and not shared.can_spare_old and weighs_old(shared)
