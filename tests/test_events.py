"""Events survive the way through a line of JSON."""

import json
from typing import get_args

import pytest

from napari_unet_finetune.events import (
    Notice,
    RunEnded,
    RunStarted,
    StepEnd,
    TrainingEvent,
    ValidationEnd,
    drain,
    from_json,
    to_json,
)

EXAMPLES = [
    RunStarted("cpu", "fp32", 400, 50, ("img 1", "größe"), ("img\n3",), None),
    RunStarted("cuda", "bf16", 400, 0, (), (), 0.25, best_dice=0.5, best_step=50),
    StepEnd(3, 0.75, 1e-3, 0.2),
    ValidationEnd(50, None, 1.5, best=True),
    Notice("Line one.\nLine two → with an arrow."),
    RunEnded(400, False, True, 0.1, 0.2, None, None, 0.5, "Dice 0.100 → 0.200."),
]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.kind)
def test_every_event_travels_as_one_line_of_json(event):
    line = to_json(event)
    assert "\n" not in line
    assert json.loads(line)["kind"] == event.kind
    again = from_json(line)
    assert again == event
    assert type(again) is type(event)


def test_there_is_an_example_of_every_kind_and_no_kind_twice():
    kinds = [cls.kind for cls in get_args(TrainingEvent)]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == {event.kind for event in EXAMPLES}


def test_drain_runs_to_the_end_and_returns_the_result():
    seen = []

    def work():
        for number in range(3):
            seen.append(number)
            yield Notice(str(number))
        return "result"

    assert drain(work()) == "result"
    assert seen == [0, 1, 2]
