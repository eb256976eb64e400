"""What other programs are told to do is what this program does."""

import numpy as np
import pytest

from napari_unet_finetune.config import ChannelRule, ModelConfig, Normalization
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.data.normalize import as_shown
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models.card import ModelCard
from napari_unet_finetune.share.recipe import recipe_of

RULES = [
    Normalization(),
    Normalization(per_channel=True),
    Normalization(low=2, high=99),
    Normalization(low=2, high=99, per_channel=True),
    Normalization(method="zscore"),
    Normalization(method="zscore", per_channel=True),
    Normalization(method="none"),
]


def card_of(in_channels=1, **fields):
    return ModelCard(shape=ModelConfig(in_channels=in_channels), **fields)


@pytest.mark.parametrize("inverted", [(), (0,), (1,), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method}-{rule.low:g}-{rule.per_channel}")
def test_the_steps_make_what_the_network_sees(applied, rule, inverted):
    pixels = np.random.default_rng(0).gamma(2, 25, (3, 40, 50)).clip(0, 255).astype(np.uint8)
    pixels[1] //= 3
    card = card_of(3, normalization=rule, knows=(Appearance(inverted=inverted),))
    ours, _ = as_shown(AnnotatedImage("image", pixels), card.view)
    steps = recipe_of(card).to_json()["before"]
    np.testing.assert_allclose(applied(steps, pixels), ours, atol=2e-5)


def test_a_result_is_a_probability_or_a_mask():
    assert [step.id for step in recipe_of(card_of()).after] == ["sigmoid"]
    mask = recipe_of(card_of(threshold=0.3), mask=True).after
    assert [(step.id, step.kwargs) for step in mask] == [("sigmoid", {}), ("binarize", {"threshold": 0.3})]


def test_of_several_datasets_the_newest_is_taken_and_another_can_be_chosen():
    card = card_of(knows=(Appearance(), Appearance(inverted=(0,))))
    newest, oldest = recipe_of(card), recipe_of(card, dataset=1)
    assert (newest.inverted, oldest.inverted) == ((0,), ())
    assert "dataset 2, the newest" in newest.remarks[0] and "dataset 1:" in oldest.remarks[0]
    assert "1: as they are; 2: with dark and bright exchanged" in newest.remarks[0]
    with pytest.raises(ModelError, match="no dataset 3; the model knows the datasets 1 to 2"):
        recipe_of(card, dataset=3)


def test_datasets_on_different_curves_are_told_apart():
    one, other = (Appearance(curves=(tuple((np.linspace(0, 1, 8) ** power).tolist()),)) for power in (1, 2))
    assert any("knows 2 datasets" in remark for remark in recipe_of(card_of(knows=(one, other))).remarks)
    assert not any("knows 2 datasets" in remark for remark in recipe_of(card_of(knows=(one, one))).remarks)


@pytest.mark.parametrize("knows", [(), (Appearance(),), (Appearance(inverted=(0,)),) * 2], ids=len)
def test_nothing_is_said_of_datasets_that_are_seen_alike(knows):
    assert not any("datasets" in remark for remark in recipe_of(card_of(knows=knows)).remarks)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (card_of(), "0.299 red + 0.587 green + 0.114 blue"),
        (card_of(channels=ChannelRule(method="channel", name="DAPI")), "only DAPI"),
        (card_of(channels=ChannelRule(method="mean")), "the mean of all channels"),
        (card_of(channels=ChannelRule(method="none")), "gray images only"),
        (card_of(rescale=0.5), "resampled by 0.5"),
        (card_of(patch_size=96), "96 × 96 px"),
        (card_of(normalization=Normalization(method="none")), "8 bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_steps_cannot_say_is_said_in_words(card, words):
    assert words in " ".join(recipe_of(card).remarks)


@pytest.mark.parametrize(
    ("inverted", "rule", "said"),
    [
        ((0, 1, 2), Normalization(low=2), False),
        ((1,), Normalization(), True),
        ((1,), Normalization(per_channel=True), False),
        ((1,), Normalization(low=2, per_channel=True), True),
        ((), Normalization(low=2), False),
    ],
)
def test_the_type_of_the_images_is_told_only_where_a_step_depends_on_it(inverted, rule, said):
    card = card_of(3, normalization=rule, knows=(Appearance(inverted=inverted),))
    assert any("8 bits" in remark for remark in recipe_of(card).remarks) is said


@pytest.mark.parametrize("patch_size", [32, 64, 96, 128, 1000])
def test_a_halo_leaves_half_of_a_tile(patch_size):
    recipe = recipe_of(card_of(patch_size=patch_size))
    assert recipe.tile == patch_size and 2 * recipe.halo == patch_size // 2
