"""Progress is a fold over events, and an interruption leaves no trace in it."""

from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.events import Notice, PartStarted, RunEnded, RunStarted, StepEnd, ValidationEnd
from napari_unet_finetune.progress import RECENT_STEPS, RunProgress, advance, fold

STEPS, EVERY = 24, 4
DICES = (0.3, 0.6, 0.5, 0.6, 0.7, 0.65)


def started(first_step=0):
    seen = DICES[: first_step // EVERY]
    best = max(seen, default=None)
    best_step = (seen.index(best) + 1) * EVERY if seen else 0
    return RunStarted("cpu", "fp32", STEPS, first_step, ("a",), ("b",), 0.2, best_dice=best, best_step=best_step)


def working(first_step):
    """Yield what a run reports from `first_step` to its end."""
    for step in range(first_step + 1, STEPS + 1):
        yield StepEnd(step, 1 / step, 1e-3, 0.5)
        if step % EVERY == 0:
            dice = DICES[step // EVERY - 1]
            yield ValidationEnd(step, dice, None, best=dice > max(DICES[: step // EVERY - 1], default=0))


ENDED = RunEnded(STEPS, False, False, 0.2, 0.7, None, None, 0.5, "Dice 0.200 → 0.700.")
WHOLE = [started(), *working(0), ENDED]


def test_a_whole_run_is_summed_up():
    progress = fold(WHOLE)
    assert (progress.step, progress.steps, progress.device, progress.raw_dice) == (24, 24, "cpu", 0.2)
    assert progress.losses == tuple((step, 1 / step) for step in range(1, 25))
    assert progress.val_dices == tuple(zip(range(4, 25, 4), DICES, strict=True))
    assert (progress.best_dice, progress.best_step) == (0.7, 20)
    assert progress.end == ENDED
    assert progress.message == ENDED.summary
    assert progress.seconds_left == 0


@pytest.mark.parametrize(
    "events", [[], WHOLE, [*WHOLE[:9], started(4), *working(4)], [*WHOLE, PartStarted("next", 2, 3), *WHOLE[:5]]]
)
def test_folding_at_once_is_the_same_as_event_by_event(events):
    assert fold(events) == reduce(advance, events, RunProgress())


@given(st.lists(st.integers(1, len(WHOLE) - 2), max_size=4))
def test_interruptions_leave_no_trace(places):
    """Each time the run is cut off somewhere, it goes on from its last validation."""
    events, rest, first = [started()], list(working(0)), 0
    for place in places:
        events += rest[:place]
        first = max([first, *(event.step for event in rest[:place] if isinstance(event, ValidationEnd))])
        events.append(started(first))
        rest = list(working(first))
    # Time left is estimated from the steps since the last start.
    assert replace(fold([*events, *rest, ENDED]), recent_step_s=()) == replace(fold(WHOLE), recent_step_s=())


def test_a_stopped_run_that_goes_on_has_not_ended_and_keeps_its_best():
    stopped = RunEnded(10, True, False, 0.2, 0.6, None, None, 0.5, "Dice 0.200 → 0.600.")
    progress = fold([*WHOLE[:11], stopped, started(8)])
    assert progress.end is None
    assert progress.message == ""
    assert (progress.step, progress.best_dice, progress.best_step) == (8, 0.6, 8)
    assert progress.losses[-1][0] == progress.val_dices[-1][0] == 8


def test_a_best_whose_event_was_lost_is_known_again_when_the_run_goes_on():
    progress = fold([started(), StepEnd(1, 1.0, 1e-3, 0.5), started(8)])
    assert (progress.best_dice, progress.best_step) == (0.6, 8)


def test_a_run_begun_again_from_nothing_forgets_its_old_best():
    progress = fold([*WHOLE[:12], started()])
    assert progress == fold([started()])


def test_time_left_is_unknown_before_the_first_few_steps_and_then_follows_the_recent_ones():
    assert fold([started()]).seconds_left is None
    slow = [StepEnd(step, 1.0, 1e-3, 100.0) for step in range(1, 4)]
    fast = [StepEnd(step, 1.0, 1e-3, 2.0) for step in range(4, 4 + RECENT_STEPS)]
    begun = RunStarted("cpu", "fp32", 103, 0, ("a",), (), None)
    assert fold([begun, *slow[:2]]).seconds_left is None
    assert fold([begun, *slow]).seconds_left == pytest.approx(100 * 100)
    brief = RunStarted("cpu", "fp32", 1, 0, ("a",), (), None)
    assert fold([brief, slow[0]]).seconds_left == 0
    assert fold([begun, *slow, *fast]).seconds_left == pytest.approx((103 - 3 - RECENT_STEPS) * 2)


def test_validation_by_loss_leaves_the_dice_alone():
    progress = fold([started(), ValidationEnd(4, None, 0.9, best=True)])
    assert progress.val_dices == ()
    assert progress.best_dice is None


def test_a_notice_is_the_message():
    assert fold([started(), Notice("Memory ran out.")]).message == "Memory ran out."


def test_the_dice_that_is_shown_is_the_best_and_at_the_end_that_of_the_model_that_is_kept():
    running = fold(WHOLE[:-1])
    assert running.dice == running.best_dice == 0.7
    assert fold(WHOLE).dice == ENDED.finetuned_dice
