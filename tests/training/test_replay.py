"""What stands against forgetting: old patches, or a pull towards the base's weights."""

import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.events import Notice
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.replay import PULL_WITHOUT_REPLAY, settle_pull

from .conftest import TINY, make_squares, tiny_config
from .test_finetune import collect


def test_without_old_images_the_weights_are_pulled_to_the_base_and_the_user_is_told():
    config, note = settle_pull(FinetuneConfig(), has_old_images=False, from_scratch=False)
    assert config.l2sp == PULL_WITHOUT_REPLAY
    assert "does not prevent" in note


@pytest.mark.parametrize(
    ("config", "has_old_images", "from_scratch"),
    [
        (FinetuneConfig(), True, False),
        (FinetuneConfig(), False, True),
        (FinetuneConfig(replay_share=0.0), False, False),  # who wants no replay has chosen to forget
        (FinetuneConfig(preset="seed recipe"), False, False),
    ],
)
def test_nothing_is_pulled_where_it_is_not_needed_or_not_wanted(config, has_old_images, from_scratch):
    settled, note = settle_pull(config, has_old_images=has_old_images, from_scratch=from_scratch)
    assert settled.l2sp == 0
    assert note == ""


def test_a_strength_that_was_asked_for_is_kept():
    settled, note = settle_pull(FinetuneConfig(l2sp=0.2), has_old_images=False, from_scratch=False)
    assert (settled.l2sp, note) == (0.2, "")


def test_a_run_says_that_it_cannot_measure_forgetting_and_what_it_does_instead(untrained):
    events, result = collect(finetune(untrained, make_squares(3), tiny_config(steps=2)))
    messages = [event.message for event in events if isinstance(event, Notice)]
    assert any("cannot be measured" in message for message in messages)
    assert any("pulled" in message for message in messages)
    assert result.model.card.provenance.config["l2sp"] == PULL_WITHOUT_REPLAY


def test_a_training_from_scratch_has_nothing_to_be_pulled_to():
    events, result = collect(train(make_squares(3), tiny_config(steps=2), shape=TINY))
    assert result.model.card.provenance.config["l2sp"] == 0
    assert not any("pulled" in event.message for event in events if isinstance(event, Notice))
