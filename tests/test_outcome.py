"""The last sentence of a training is honest about what was and was not measured."""

from dataclasses import replace

import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.events import ImageChange, RunEnded
from napari_unet_finetune.outcome import ENOUGH_HELD_OUT, WhyBase, summarized, why_base

END = RunEnded(400, False, False, 0.41, 0.88, 0.95, 0.945, 0.5, "")


def _told(end, held_out=2, **settings):
    return summarized(end, FinetuneConfig(**settings), held_out).summary


def test_base_and_finetuned_are_said_side_by_side():
    told = _told(END)
    assert "0.410 → 0.880 on 2 held-out images" in told and "0.950 → 0.945" in told
    assert not END.is_disappointing


@pytest.mark.parametrize(
    ("regions", "said"), [(0, "2 held-out images"), (1, "2 held-out images and regions"), (2, "2 held-out regions")]
)
def test_held_out_regions_are_called_so(regions, said):
    kept = replace(END, kept_raw=True, finetuned_dice=0.41, old_dice_after=0.95)
    assert f"0.410 → 0.880 on {said}," in summarized(END, FinetuneConfig(), 2, regions).summary
    assert f"(Dice 0.410 on {said})" in summarized(kept, FinetuneConfig(), 2, regions).summary


def test_what_was_not_measured_is_not_claimed():
    nothing = replace(END, raw_dice=None, finetuned_dice=None, old_dice_before=None, old_dice_after=None)
    assert "Nothing was held out" in _told(nothing, 0)
    alone = _told(replace(nothing, finetuned_dice=0.7), 1)
    assert "0.700 on 1 held-out image" in alone and "→" not in alone


def test_what_the_held_out_images_also_chose_is_said():
    assert "threshold" in _told(END, ENOUGH_HELD_OUT)
    for told in (
        _told(END, ENOUGH_HELD_OUT - 1),
        _told(END, ENOUGH_HELD_OUT, calibrate=False),
        _told(replace(END, stopped=True), ENOUGH_HELD_OUT),
    ):
        assert "the step" in told and "threshold" not in told


def test_a_base_that_was_kept_is_said_first():
    kept = replace(END, kept_raw=True, finetuned_dice=0.41, old_dice_after=0.95)
    assert "did not improve on the base model (Dice 0.410 on 2 held-out images)" in _told(kept)
    assert kept.is_disappointing
    unscored = _told(replace(kept, raw_dice=None, finetuned_dice=None), 0)
    assert "nothing was held out: the base model is kept" in unscored and "Dice" not in unscored
    costly = _told(replace(kept, raw_dice=None, finetuned_dice=None, share=0.0, unmixed_old_dice=0.6), 0)
    assert costly.startswith("Finetuning lowered Dice on old images from 0.950 to 0.600, and no mix")


def test_a_base_that_was_kept_for_a_loss_on_patches_is_not_said_to_have_been_judged_by_images():
    config = FinetuneConfig(preset="seed recipe", keep_raw=True)
    kept = replace(END, kept_raw=True, raw_dice=None, finetuned_dice=None, old_dice_before=None, old_dice_after=None)
    assert why_base(kept, config, 0) is WhyBase.NO_LOWER_LOSS
    assert summarized(kept, config, 0).summary.startswith("Finetuning did not improve on the base model: the base")


def test_the_tolerance_that_was_set_decides_whether_old_images_are_the_reason():
    kept = replace(END, kept_raw=True, raw_dice=None, finetuned_dice=None, unmixed_old_dice=0.92)  # 0.03 less
    whys = [why_base(kept, FinetuneConfig(tolerated_drop=tolerated), 0) for tolerated in (0, 0.01, 0.05)]
    assert whys == [WhyBase.LOSS, WhyBase.LOSS, WhyBase.HARDLY_LEARNED]


def test_forgetting_is_said():
    forgetful = replace(END, old_dice_after=0.93)
    assert "0.950 → 0.930" in _told(forgetful) and "forgotten" in _told(forgetful)
    assert forgetful.forgot and forgetful.is_disappointing


def test_an_old_image_that_is_lost_is_named_even_if_the_mean_does_not_fall():
    fine = replace(END, old_dice_after=0.95, old_images=5, worst_old=ImageChange("old image 3", 0.9, 0.872))
    assert "0.950 → 0.950 (mean of 5; worst change -0.028)." in _told(fine) and not fine.forgot
    lost = replace(fine, worst_old=ImageChange("old image 3", 0.885, 0.735))
    assert "old image 3 lost most: 0.885 → 0.735" in _told(lost) and "That one is being forgotten" in _told(lost)
    assert lost.forgot and lost.is_disappointing
    assert "They are being forgotten" in _told(replace(lost, old_dice_after=0.9))
    kept = replace(lost, kept_raw=True)
    assert not kept.forgot and "lost most" not in _told(kept)


def test_a_stopped_training_says_at_which_step():
    assert _told(replace(END, stopped=True, steps=120)).startswith("Stopped at step 120")
    assert _told(replace(END, stopped=True, steps=0)).startswith("Stopped before the first step")


def test_an_old_dataset_that_cannot_be_scored_is_named():
    assert "Old images: not measured" in _told(replace(END, old_dice_before=None, old_dice_after=None))


def test_a_mix_is_told_with_its_share_and_what_the_finetuned_weights_have_alone():
    mixed = replace(END, share=0.25, unmixed_dice=0.91, unmixed_old_dice=0.64)
    told = _told(mixed)
    assert "the share" in told and all(text in told for text in ("25 %", "0.910", "0.640"))
    assert "25 %" not in _told(END) and "the share" not in _told(END)
    unscored = _told(replace(mixed, raw_dice=None, finetuned_dice=None, unmixed_dice=None), 0)
    assert "25 %" in unscored and "0.640" in unscored


def test_a_base_that_was_kept_for_the_old_images_is_not_called_better_on_the_new_ones():
    kept = replace(END, kept_raw=True, finetuned_dice=0.41, old_dice_after=0.95, share=0.0)
    told = _told(replace(kept, unmixed_dice=0.6, unmixed_old_dice=0.3))
    assert all(text in told for text in ("0.410", "0.600", "0.950", "0.300", "base model is kept"))
    assert "did not improve" not in told
    assert "did not improve" in _told(replace(kept, unmixed_dice=0.4, unmixed_old_dice=0.3))


def test_what_the_appearance_alone_gains_is_told_as_such():
    shown = replace(END, share=0.0, unmixed_dice=0.87, unmixed_old_dice=0.95, old_dice_after=0.95)
    told = _told(shown, ENOUGH_HELD_OUT)
    assert "0.410 → 0.880" in told and "the base's" in told and "0.870" in told and "threshold" not in told
    assert not shown.is_disappointing


def test_images_that_the_model_mistakes_are_named_with_what_to_do():
    worst = ImageChange("old image 3", 0.9, 0.1)
    taken = {"mistaken_old": ("old image 3",), "mistaken_new": ("img_04",)}
    end = replace(END, old_images=5, worst_old=worst, sorted_out=8, **taken)
    said = "Of the 8 images that were tried, the model takes 1 old image (old image 3) and 1 new image (img_04) for the"
    assert (
        said in _told(end)
        and "held-out ones among them are scored so. Choose" in _told(end)
        and "--set appearance=inverted" in _told(end)
    )
    assert end.forgot and "old image 3 lost most" in _told(end) and "Replay" not in _told(end)
    assert "other kind" not in _told(replace(END, sorted_out=8))


def test_an_old_image_that_is_mistaken_asks_for_a_second_look_also_if_it_is_not_scored():
    assert replace(END, sorted_out=8, mistaken_old=("old image 7",)).is_disappointing
    mistaken = replace(END, sorted_out=8, mistaken_new=("img_04",))
    assert not mistaken.is_disappointing, "what was gained counts it so"
    assert replace(mistaken, finetuned_dice=mistaken.raw_dice - 0.001).is_disappointing


def test_why_nobody_knows_which_images_are_mistaken_is_told():
    told = _told(replace(END, not_sorted_out="old image 2: the memory does not hold it. Choose the device 'cpu'."))
    assert "apart could not be tried: old image 2: the memory does not hold it. Choose the device 'cpu'." in told
    assert told.endswith(
        "Held-out images that were not tried are scored as if the model were told which images are new."
    )


@pytest.mark.parametrize(
    "taken", [{"mistaken_new": ("img_04",)}, {"mistaken_old": ("a",), "mistaken_new": ("img_04",)}]
)
def test_no_setting_is_advised_that_shows_new_images_in_another_way_than_the_training_did(taken):
    told = _told(replace(END, sorted_out=8, shows_new_by_choice=False, **taken))
    assert "No setting of a prediction shows new images as they were trained on" in told
    assert "another Dark and bright" in told
    assert ("when you predict such old images." in told) == ("mistaken_old" in taken)
    assert "such images." not in told


def test_forgetting_is_said_whoever_else_is_mistaken():
    worst, namesake = ImageChange("img_04", 0.9, 0.5), {"sorted_out": 8, "mistaken_new": ("img_04",)}
    assert "That one is being forgotten" in _told(replace(END, old_images=5, worst_old=worst, **namesake))
    fallen = replace(END, old_dice_after=0.6, old_images=5, worst_old=worst, mistaken_old=("img_04",))
    assert "They are being forgotten: raise Replay" in _told(fallen)
