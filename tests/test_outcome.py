"""The last sentence of a training is honest about what was and was not measured."""

from dataclasses import replace

from napari_unet_finetune.events import RunEnded
from napari_unet_finetune.outcome import is_disappointing, outcome_in_words

END = RunEnded(400, False, False, 0.41, 0.88, 0.95, 0.94, 0.5, "")


def test_raw_and_finetuned_are_said_side_by_side():
    assert outcome_in_words(END, 2) == "Dice 0.41 → 0.88 on 2 held-out images; old dataset: 0.95 → 0.94."
    assert not is_disappointing(END)


def test_what_was_not_measured_is_not_claimed():
    nothing = replace(END, raw_dice=None, finetuned_dice=None, old_dice_before=None, old_dice_after=None)
    assert "cannot be said" in outcome_in_words(nothing, 0)
    assert outcome_in_words(replace(nothing, finetuned_dice=0.7), 1) == "Dice 0.70 on 1 held-out image."


def test_a_base_that_was_kept_is_said_first():
    kept = replace(END, kept_raw=True, finetuned_dice=0.41)
    assert outcome_in_words(kept, 2).startswith("Finetuning did not get better than the base model (Dice 0.41")
    assert is_disappointing(kept)


def test_forgetting_is_said():
    forgetful = replace(END, old_dice_after=0.93)
    assert "0.95 → 0.93. It is being forgotten" in outcome_in_words(forgetful, 2)
    assert is_disappointing(forgetful)


def test_a_stopped_training_says_at_which_step():
    assert outcome_in_words(replace(END, stopped=True, steps=120), 2).startswith("Stopped at step 120, the best so far")
    assert outcome_in_words(replace(END, stopped=True, steps=0), 2).startswith("Stopped before the first step")


def test_an_old_dataset_that_cannot_be_scored_is_named():
    assert "old dataset: not measured" in outcome_in_words(replace(END, old_dice_before=None, old_dice_after=None), 2)
