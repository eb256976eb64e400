"""Events survive the way through a line of JSON."""

import json
from pathlib import Path

import pytest

from napari_unet_finetune.events import (
    LOOKS_REVERSED,
    UNSURE,
    Alive,
    Event,
    ImageCompared,
    ImageEnd,
    ImagePredicted,
    ImageSeen,
    JobEnded,
    JobFailed,
    Notice,
    PartStarted,
    PieceEnd,
    PreviewReady,
    Run,
    RunEnded,
    RunStarted,
    StepEnd,
    TileEnd,
    ValidationEnd,
    as_run,
    drain,
    from_json,
    how_seen,
    to_json,
    told_of,
    until,
)

EXAMPLES = [
    RunStarted("cpu", "fp32", 400, 50, ("img 1", "größe"), ("img\n3",), None),
    RunStarted("cuda", "bf16", 400, 0, (), (), 0.25, best_dice=0.5, best_step=50),
    StepEnd(3, 0.75, 1e-3, 0.2),
    ValidationEnd(50, None, 1.5, best=True),
    Notice("Line one.\nLine two → with an arrow."),
    RunEnded(400, False, True, 0.1, 0.2, None, None, 0.5, "Dice 0.100 → 0.200."),
    TileEnd(3, 12),
    PieceEnd(Path("a.tif"), Path(".a_labels.tif.parts/0.npz"), 0, 0, 1024, 1024, 2048, 3, 9),
    ImageEnd(Path("in/a.tif"), Path("out/a_labels.tif"), done=1, total=2),
    ImageEnd(Path("in/s.tif"), Path("out/s_labels.tif"), shown=(("exchanged", "1 of 3 frames"), ("otherwise", ""))),
    ImageEnd(Path("in/b.tif"), error="b.tif cannot be read.", done=2, total=2),
    ImageSeen("a", 1, 2),
    ImageCompared("raw", "a", Path("labels/a.tif"), None, 0.5, 0.25, 0.75, 1.5, done=1, total=2),
    ImageCompared("raw", "c", Path("labels/c.tif"), shown="exchanged"),
    ImageCompared("raw", "b", error="b.tif cannot be read.", done=2, total=2),
    ImagePredicted(0, 2, "a", Path("probabilities/00000.npy"), 0.5),
    PreviewReady(50, "a", Path("preview.npy")),
    PartStarted("5 images", 2, 4),
    Alive(),
    JobEnded(Path("model.safetensors")),
    JobEnded(),
    JobFailed("DataError", "a: there are no labels."),
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
    kinds = {cls.__name__: cls.kind for cls in Event.__subclasses__()}
    assert len(set(kinds.values())) == len(kinds)
    assert set(kinds.values()) == {event.kind for event in EXAMPLES}


def working(seen, count=3):
    try:
        for number in range(count):
            seen.append(number)
            yield Notice(str(number))
    finally:
        seen.append("ended")
    return "result"


def test_drain_runs_to_the_end_and_returns_the_result():
    seen = []
    assert drain(working(seen)) == "result"
    assert seen == [0, 1, 2, "ended"]


def test_a_run_keeps_its_result_for_after_the_loop():
    run = Run(working([]))
    assert [event.message for event in run] == ["0", "1", "2"]
    assert run.result == run.result == "result"
    assert list(run) == []


def test_a_run_begins_when_it_is_asked_and_its_result_carries_out_what_is_left():
    seen = []
    run = Run(working(seen))
    assert seen == []
    for _ in run:
        break
    assert seen == [0]
    assert run.result == "result"
    assert seen == [0, 1, 2, "ended"]


def test_a_run_that_was_closed_ends_its_work_and_has_no_result():
    seen = []
    run = Run(working(seen))
    next(run)
    run.close()
    assert seen == [0, "ended"]
    with pytest.raises(RuntimeError, match="no result"):
        _ = run.result


def test_a_run_that_failed_has_no_result():
    def failing():
        yield Notice("soon")
        raise ValueError("too bad")

    run = Run(failing())
    with pytest.raises(ValueError, match="too bad"):
        list(run)
    with pytest.raises(RuntimeError, match="no result"):
        _ = run.result


def test_a_run_inside_another_passes_its_events_and_its_result_on():
    @as_run
    def whole():
        yield Notice("begin")
        return (yield from Run(working([])))

    run = whole()
    assert [event.message for event in run] == ["begin", "0", "1", "2"]
    assert run.result == "result"


@pytest.mark.parametrize(("asked", "passed_on"), [(0, 0), (2, 2), (3, 3)])
def test_until_ends_the_work_when_it_is_asked_to_stop(asked, passed_on):
    seen, answers = [], iter([False] * asked)
    run = Run(until(lambda: next(answers, True), working(seen)))
    assert len(list(run)) == passed_on
    assert run.result is None
    assert seen == ([*range(passed_on), "ended"] if passed_on else [])


def test_until_returns_the_result_if_nobody_asks_it_to_stop():
    assert drain(until(lambda: False, working([]))) == "result"


def test_of_files_that_are_dealt_with_all_is_told():
    ends = [
        ImageEnd(Path("in/a.tif"), shown=(("exchanged", ""),)),
        ImageEnd(Path("in/b.tif"), notes=("b.tif: its objects are not split.",)),
        ImageEnd(Path("in/c.tif"), shown=(("exchanged", "3 of 100 frames"), (LOOKS_REVERSED, "2 of 100 frames"))),
    ]
    *seen, to_do, note = told_of(ends)
    assert seen == [
        "The model saw 2 files exchanged: a, c (3 of 100 frames).",
        "The model saw 1 file unchanged, although dark and bright look exchanged: c (2 of 100 frames).",
    ]
    assert "Dark and bright" in to_do and "--set appearance=inverted" in to_do
    assert note == "b.tif: its objects are not split."


def test_what_to_do_is_said_once_and_only_where_images_look_reversed():
    told = list(how_seen([("a", LOOKS_REVERSED), ("b", "exchanged"), ("c", LOOKS_REVERSED), ("d", "")], "image"))
    assert told[0] == "The model saw 2 images unchanged, although dark and bright look exchanged: a, c."
    assert ["--set" in sentence for sentence in told] == [False, False, True]
    assert list(how_seen([("b", "exchanged"), ("d", "")])) == ["The model saw 1 file exchanged: b."]


def test_where_a_model_is_not_sure_one_is_told_to_look():
    images = [*((name, f"unchanged, {UNSURE}") for name in "acdefg"), ("b", f"exchanged, {UNSURE}"), ("h", "")]
    *told, to_do = how_seen(images, "image")
    assert told == [
        "The model saw 6 images unchanged, but is not sure of the dataset: a, c, d, e, f, g.",
        "The model saw 1 image exchanged, but is not sure of the dataset: b.",
    ]
    many, _ = how_seen([(f"<{number}>", f"unchanged, {UNSURE}") for number in range(31)])
    assert many.count("<") == 30 and many.endswith("<29>, ….")
    assert "Dark and bright" in to_do and "--set appearance=inverted" in to_do
