"""What a run folder keeps, refuses and mends."""

import os
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.events import Notice, RunStarted, StepEnd, to_json
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs.folder import BEST, EVENTS, RESULT, STATE, RunFolder
from napari_unet_finetune.runs.request import REQUEST, FinetuneRequest
from napari_unet_finetune.training.state import TrainingState


@pytest.fixture
def folder(tmp_path, request_):
    return RunFolder.create(tmp_path / "run", request_)


def test_the_request_comes_back_as_it_was(folder, request_):
    assert RunFolder(folder.path).request == request_
    assert not folder.is_finished


@pytest.mark.parametrize("name", [EVENTS, STATE, BEST, RESULT])
def test_a_folder_with_a_run_is_refused_and_left_as_it_is(folder, request_, name):
    (folder.path / name).write_text("precious")
    before = (folder.path / REQUEST).read_bytes()
    with pytest.raises(RunError, match=r"holds a run already.*resume"):
        RunFolder.create(folder.path, request_.model_copy(update={"sparse": True}))
    assert (folder.path / name).read_text() == "precious"
    assert (folder.path / REQUEST).read_bytes() == before


def test_a_request_that_came_to_nothing_may_be_put_again(folder, request_):
    corrected = request_.model_copy(update={"sparse": True})
    assert RunFolder.create(folder.path, corrected).request == corrected


def test_a_folder_in_which_a_run_is_just_starting_is_refused(folder, request_):
    with folder.locked(), pytest.raises(RunError, match="being worked on"):
        RunFolder.create(folder.path, request_)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, request_):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot be made"):
            RunFolder.create(path, request_)


def test_a_folder_without_a_request_is_no_run(tmp_path):
    with pytest.raises(RunError, match="not the folder of a run"):
        _ = RunFolder(tmp_path).request


def test_a_damaged_request_is_explained(folder):
    (folder.path / REQUEST).write_text('{"task": "fine')
    with pytest.raises(RunError, match="cannot be read"):
        _ = folder.request


def test_old_masks_without_images_are_refused(request_):
    values = request_.model_dump() | {"base_masks": Path("/old/masks")}
    with pytest.raises(ValidationError, match="need their images"):
        FinetuneRequest(**values)


def test_state_comes_back_bit_by_bit(folder):
    assert folder.load_state() is None
    state = TrainingState(
        {"step": 3, "best": {"a": torch.rand(3)}, "best_score": None}, {"weights": {"a": torch.rand(2)}}
    )
    folder.save_state(state)
    again = folder.load_state()
    assert torch.equal(again.progress["best"]["a"], state.progress["best"]["a"])
    assert torch.equal(again.trainer["weights"]["a"], state.trainer["weights"]["a"])
    assert again.progress["best_score"] is None


def test_a_damaged_state_is_explained(folder):
    (folder.path / STATE).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(RunError, match="saved state cannot be read"):
        folder.load_state()


def test_a_state_with_a_flipped_bit_is_told_and_not_gone_on_from(folder):
    weights = torch.rand(200)
    folder.save_state(TrainingState({"step": 3}, {"weights": {"a": weights}}))
    file = folder.path / STATE
    damaged = bytearray(file.read_bytes())
    damaged[damaged.index(weights.numpy().tobytes()) + 300] ^= 4
    file.write_bytes(damaged)
    with pytest.raises(RunError, match="saved state cannot be read"):
        folder.load_state()


def test_events_come_back_in_order(folder):
    events = [StepEnd(1, 0.5, 1e-3, 0.1), Notice("Two lines\nand an umlaut: ü")]
    for event in events:
        folder.append(event)
    assert list(folder.events()) == events


def test_a_folder_without_events_has_none(folder):
    assert list(folder.events()) == []


def test_an_event_cut_off_by_a_kill_is_passed_over_and_swept_away(folder):
    folder.append(StepEnd(1, 0.5, 1e-3, 0.1))
    with (folder.path / EVENTS).open("a") as file:
        file.write('{"kind": "step_e')
    assert [event.step for event in folder.events()] == [1]
    folder.sweep()
    folder.append(StepEnd(2, 0.5, 1e-3, 0.1))
    assert [event.step for event in folder.events()] == [1, 2]


@pytest.mark.parametrize(
    "line", ["\0\0\0\0", "[]", '{"kind": "of a later version"}', '{"kind": "step_end", "step": 7}', "\udcff"]
)
def test_a_damaged_line_of_the_record_is_passed_over(folder, line):
    folder.append(StepEnd(1, 0.5, 1e-3, 0.1))
    with (folder.path / EVENTS).open("ab") as file:
        file.write(line.encode("utf-8", "surrogateescape") + b"\n")
    folder.append(StepEnd(2, 0.5, 1e-3, 0.1))
    assert [event.step for event in folder.events()] == [1, 2]


def test_a_field_of_a_later_version_is_passed_over(folder):
    with (folder.path / EVENTS).open("a") as file:
        file.write(to_json(StepEnd(1, 0.5, 1e-3, 0.1)).replace("}", ', "samples": 4}') + "\n")
    assert list(folder.events()) == [StepEnd(1, 0.5, 1e-3, 0.1)]


def test_sweeping_removes_what_killed_writers_left_and_nothing_else(folder):
    (folder.path / ".0a1b2c3d0a1b2c3d.partial").write_bytes(b"half")
    (folder.path / "notes.partial").write_text("the user's own")
    folder.sweep()
    assert {path.name for path in folder.path.iterdir()} >= {REQUEST, "notes.partial"}
    assert not list(folder.path.glob(".*.partial"))


def test_models_are_kept_under_their_names(folder, model):
    model = load_model(model)
    folder.save_best(model)
    assert not folder.is_finished
    assert folder.save_result(model) == folder.result_path
    assert folder.is_finished
    for path in (folder.best_path, folder.result_path):
        kept = load_model(path).card.provenance
        assert kept == model.card.provenance.model_copy(update={"name": kept.name})  # it is called as its folder


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")  # noqa: PTH110
def test_a_full_disk_is_explained(folder):
    (folder.path / EVENTS).symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"events\.jsonl.*Free some space"):
        folder.append(Notice("x"))


@pytest.mark.parametrize(("kept", "held_out"), [({}, ("b",)), ({"held_out": ("a", "c")}, ("a", "c"))])
def test_what_an_earlier_version_held_out_is_known_from_the_record(folder, kept, held_out):
    start = RunStarted("cpu", "fp32", 9, 0, ("a", "c"), ("b",), raw_dice=None, best_dice=None, best_step=0)
    folder.append(start)
    folder.save_state(TrainingState({"step": 3, **kept}, {}))
    assert folder.load_state().progress == {"step": 3, "held_out": held_out}
