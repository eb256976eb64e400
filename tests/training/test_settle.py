"""Which channels a finetuned model gets, and what is said of it."""

import numpy as np
import pytest

from napari_unet_finetune.config import ChannelRule
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.settle import fit_channels

from .conftest import make_squares, tiny_config


def colored(count):
    """Return squares that only the third channel shows."""
    flat = np.full((48, 48), 100, np.uint8)
    return [
        AnnotatedImage(image.name, np.stack([flat, flat, image.image]), image.labels) for image in make_squares(count)
    ]


def test_a_grey_model_gets_the_channels_of_color_images_and_says_how_to_keep_grey(untrained):
    base, notices = fit_channels(untrained, colored(2), tiny_config())
    assert base.card.shape.in_channels == 3
    assert len(notices) == 1
    assert "from 1 to 3 channels" in notices[0]
    assert "choose a channel" in notices[0]


@pytest.mark.parametrize("changes", [{"in_channels": 1}, {"channels": ChannelRule(method="mean")}])
def test_a_wish_for_grey_values_is_respected(untrained, changes):
    base, notices = fit_channels(untrained, colored(2), tiny_config(**changes))
    assert base.card.shape.in_channels == 1
    assert "3 channels, of which the model sees" in notices[0]


def test_all_channels_can_be_asked_for_of_a_base_that_was_trained_on_one(untrained):
    chosen = untrained.with_card(channels=ChannelRule(method="channel", channel=2))
    base, _ = fit_channels(chosen, colored(2), tiny_config(channels=ChannelRule(method="all")))
    assert base.card.shape.in_channels == 3


def test_a_base_model_with_a_rule_of_its_own_keeps_it(untrained):
    chosen = untrained.with_card(channels=ChannelRule(method="channel", channel=2))
    base, _ = fit_channels(chosen, colored(2), tiny_config())
    assert base.card.shape.in_channels == 1
    assert base.card.channels.method == "channel"


def test_grey_images_change_nothing(untrained):
    base, notices = fit_channels(untrained, make_squares(2), tiny_config())
    assert base is untrained
    assert notices == []


def test_color_is_noticed_when_the_first_image_is_grey(untrained):
    base, _ = fit_channels(untrained, [*make_squares(1), *colored(1)], tiny_config())
    assert base.card.shape.in_channels == 3


def test_channels_that_were_asked_for_are_announced(untrained):
    base, notices = fit_channels(untrained, make_squares(2), tiny_config(in_channels=3))
    assert base.card.shape.in_channels == 3
    assert "repeated" in notices[-1]


def test_the_base_is_scored_on_the_chosen_channel_too_and_the_new_model_keeps_it(untrained):
    chosen = ChannelRule(method="channel", channel=2)
    setup = prepare(untrained, colored(5), tiny_config(channels=chosen))
    assert setup.base.card.channels == chosen
    assert setup.base.card.shape.in_channels == 1
    assert len(setup.raw_held_out.images) == len(setup.held_out.images) > 0
