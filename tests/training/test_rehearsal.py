"""What stands against forgetting: old patches, or a pull towards the base's weights."""

import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.events import Notice
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.rehearsal import PULL, settle_pull

from .conftest import TINY, make_squares, tiny_config
from .test_finetune import collect


def settled(config: FinetuneConfig, images: int = 5, *, has_old_images: bool = True, from_scratch: bool = False):
    changed, note = settle_pull(config, images, has_old_images=has_old_images, from_scratch=from_scratch)
    return changed.l2sp, note


def test_the_more_images_the_weaker_the_pull_to_the_base():
    assert [settled(FinetuneConfig(), images)[0] for images in (1, 5, 10)] == [PULL, PULL, 0.0025]
    assert settled(FinetuneConfig(), 20)[0] == pytest.approx(PULL / 16, rel=0.02)  # two digits are enough to read


def test_without_old_images_the_pull_stays_strong_and_the_user_is_told():
    strength, note = settled(FinetuneConfig(), 20, has_old_images=False)
    assert strength == PULL
    assert "does not prevent" in note


def test_who_wants_no_replay_has_chosen_to_forget():
    assert settled(FinetuneConfig(replay_share=0.0), has_old_images=False) == settled(FinetuneConfig())


@pytest.mark.parametrize("has_old_images", [True, False])
def test_a_strength_that_was_asked_for_is_kept(has_old_images):
    assert settled(FinetuneConfig(l2sp=0.2), has_old_images=has_old_images) == (0.2, "")
    assert settled(FinetuneConfig.from_preset("seed recipe"), has_old_images=has_old_images) == (0, "")


def test_nothing_pulls_a_training_from_scratch():
    assert settled(FinetuneConfig(), has_old_images=False, from_scratch=True) == (0, "")


def test_a_run_says_that_it_cannot_measure_forgetting_and_what_it_does_instead(untrained):
    events, result = collect(finetune(make_squares(3), untrained, tiny_config(steps=2)))
    messages = [event.message for event in events if isinstance(event, Notice)]
    assert any("cannot be measured" in message for message in messages)
    assert any("pulled" in message for message in messages)
    assert result.checkpoint.provenance.config["l2sp"] == PULL


def test_a_training_from_scratch_has_nothing_to_be_pulled_to():
    events, result = collect(train(make_squares(3), tiny_config(steps=2), model=TINY))
    assert result.checkpoint.provenance.config["l2sp"] == 0
    assert not any("pulled" in event.message for event in events if isinstance(event, Notice))
