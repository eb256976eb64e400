"""`train`, `finetune` and `resume` from the terminal."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.training_plan import plan_training
from napari_unet_finetune.runs.request import read_request

from .conftest import TINY

KEYS = {
    "run", "model", "stopped", "kept_raw", "steps", "threshold", "raw_dice", "finetuned_dice", "old_dice_before",
    "old_dice_after", "summary", "share", "unmixed_dice", "unmixed_old_dice", "old_images", "worst_old",
    "sorted_out", "mistaken_old", "mistaken_new", "not_sorted_out", "spared_old", "shows_new_by_choice", "notices",
}  # fmt: skip


def test_a_base_model_is_trained_and_finetuned(answer, data, tmp_path):
    code, base = answer("train", *data, "--out", tmp_path / "base", *TINY, "--set", "rehearsal_patches=4")
    assert code == 0
    assert set(base) == KEYS
    assert base["model"] == str(tmp_path / "base" / "model.safetensors")
    assert load_model(base["model"]).card.shape.width == 16
    code, tuned = answer(
        "finetune", *data, "--model", base["model"], "--out", tmp_path / "tuned", *TINY, "--set", "keep_raw=false"
    )
    assert code == 0
    assert tuned["steps"] == 2 and not tuned["stopped"]
    assert 0 <= tuned["raw_dice"] <= 1 and 0 <= tuned["old_dice_after"] <= 1
    assert load_model(tuned["model"]).card.provenance.parent_sha256


@pytest.fixture
def painted(tmp_path, write_squares):
    """Return a dataset of six images as napari leaves it: one for validation, one for testing, one unused."""
    squares = write_squares(tmp_path / "squares", 6)
    project = Project.open(squares / "images", tmp_path / "project")
    import_masks(project, plan_import(project, squares / "masks").pairs)
    for name, role in (("img_00", "validation"), ("img_01", "test"), ("img_02", "unused")):
        project.set_role([name], role)
    return project


def of_dataset(project):
    return "--images", project.source, "--masks", project.folder / "labels"


def uses(project):
    return {one.name: one.used_as for one in Project.open(project.source, project.folder).images if one.used_as}


def test_a_dataset_painted_in_napari_keeps_its_roles(invoke, painted, model, tmp_path):
    result = invoke("finetune", *of_dataset(painted), "--model", model, "--out", tmp_path / "run", *TINY)
    assert result.exit_code == 0
    words = "6 annotated images: 3 to train on, 1 held out (img_00), 1 kept for testing, 1 left out."
    assert words in result.stderr
    request = read_request(tmp_path / "run")
    assert [pair.name for pair in request.pairs] == ["img_00", "img_03", "img_04", "img_05"]
    assert request.config.held_out == ("img_00",)
    assert all(pair.mask.path.is_relative_to(tmp_path / "run") for pair in request.pairs)
    assert uses(painted) == {
        "img_00": "validation", "img_01": "test", "img_03": "train", "img_04": "train", "img_05": "train",
    }  # fmt: skip


def test_what_a_command_has_held_out_napari_holds_out_too(invoke, painted, model, tmp_path):
    painted.set_role(painted.names, "auto")
    command = ["finetune", *of_dataset(painted), "--model", model, *TINY]
    assert invoke(*command, "--out", tmp_path / "run").exit_code == 0
    held_out = {name for name, use in uses(painted).items() if use == "validation"}
    plan = plan_training(Project.open(painted.source, painted.folder), FinetuneConfig(seed=5))
    assert {image.name for image in plan.held_out} == held_out and len(held_out) == 1


def test_roles_that_are_not_heeded_are_told_of(invoke, complaint, painted, model, tmp_path):
    others = tmp_path / "others"
    shutil.copytree(painted.source, others, ignore=shutil.ignore_patterns("unet-finetune"))
    end = ["--model", model, *TINY]
    masks = painted.folder / "labels"
    result = invoke("finetune", "--images", others, "--masks", masks, "--out", tmp_path / "one", *end)
    assert result.exit_code == 0 and "is not heeded. Give the folder of its images" in result.stderr
    by_hand = ["--set", 'held_out=["img_03"]']
    result = invoke("finetune", *of_dataset(painted), "--out", tmp_path / "two", *end, *by_hand)
    assert result.exit_code == 0 and "The setting held_out is used" in result.stderr
    assert uses(painted) == {}
    painted.set_role(painted.names, "test")
    assert "kept for testing or left out" in complaint(
        "finetune", *of_dataset(painted), "--out", tmp_path / "three", *end
    )


def test_people_read_a_summary_and_where_the_model_is(invoke, data, model, tmp_path):
    result = invoke("finetune", *data, "--model", model, "--out", tmp_path / "run", *TINY)
    assert result.exit_code == 0
    assert "held-out image" in result.stdout
    assert f"Model: {tmp_path / 'run' / 'model.safetensors'}" in result.stdout
    assert "old dataset" in result.stderr  # the notice that nothing can be replayed
    assert result.stdout.count("\n") == 2


def test_a_folder_with_a_run_is_not_used_again(complaint, invoke, data, model, tmp_path):
    command = ["finetune", *data, "--model", model, "--out", tmp_path / "run", *TINY]
    assert invoke(*command).exit_code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert "holds a run already" in complaint(*command)
    assert "this run is finished; its model is model.safetensors" in complaint("resume", tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_slip_in_the_command_can_be_put_right_with_the_same_folder(complaint, invoke, data, model, tmp_path):
    end = ["--model", model, "--out", tmp_path / "run", *TINY]
    assert "no such folder" in complaint("finetune", "--images", tmp_path / "nowhere", *data[2:], *end)
    assert invoke("finetune", *data, *end).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--preset", "best"], "Preset 'best' does not exist"),
        (["--set", "learning_rte=1"], "Setting 'learning_rte' does not exist"),
        (["--set", "batch_size=none"], "Setting 'batch_size' should be a valid integer"),
        (["--steps", "0"], "Setting 'steps' should be greater than or equal to 1, but it is 0."),
        (["--seed", "-1"], "'--seed': "),
        (["--device", "tpu"], "Setting 'device' should be 'auto', 'cpu', 'cuda' or 'mps', but it is 'tpu'."),
        (["--base-masks", "old"], "need their images"),
        (["--model", "nosuchmodel"], "There is no model called 'nosuchmodel'"),
        (["--model", "missing.pth"], "missing.pth does not exist"),
        (["--model", __file__], "is a text file, not a model"),
        (["--images", "nowhere"], "nowhere: there is no such folder"),
        (["--masks", "empty"], "empty holds no image"),
        (["--masks", "foreign"], "belongs to an image"),
        (["--out", "file"], "cannot be made"),
        (["--out", "file/run"], "cannot be made"),
    ],
)
def test_bad_input_is_one_sentence(complaint, data, model, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "foreign").mkdir()
    shutil.copy(data[3] / "img_00.png", tmp_path / "foreign" / "another.png")
    given = {"--images": data[1], "--masks": data[3], "--model": model, "--out": "run", "--steps": 2}
    given |= {arguments[0]: arguments[1]}
    assert sentence in complaint("finetune", *(part for option in given.items() for part in option))


def test_a_width_that_does_not_exist_is_one_sentence(complaint, data, tmp_path):
    sentence = complaint("train", *data, "--out", tmp_path / "run", "--width", "17")
    assert sentence == "Setting 'width' should be a multiple of 16, but it is 17."
    assert not (tmp_path / "run").exists()


def test_a_command_that_is_misspelt_is_a_usage_error(invoke):
    for arguments in (["finetun"], ["finetune", "--imges", "x"], ["finetune", "--steps", "many"], ["finetune"]):
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""


def test_what_is_no_run_cannot_be_resumed(complaint, tmp_path):
    assert "not the folder of a run" in complaint("resume", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_remembered_by_its_absolute_path(invoke, data, model, tmp_path, monkeypatch):
    monkeypatch.chdir(model.parent)
    assert invoke("finetune", *data, "--model", model.name, "--out", tmp_path / "run", *TINY).exit_code == 0
    assert json.loads((tmp_path / "run" / "request.json").read_text())["checkpoint"] == str(model)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to another process")
def test_ctrl_c_keeps_the_best_and_tells_how_to_go_on(answer, data, model, tmp_path):
    run = tmp_path / "a run"
    command = [sys.executable, "-m", "napari_unet_finetune", "finetune", *data, "--model", model, "--out", run, *TINY]
    many = ["--set=steps=400", "--set=validate_every=2", "--set=keep_raw=false"]
    with subprocess.Popen([*map(str, command), *many], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (run / "best.safetensors").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = (stream.decode() for stream in process.communicate())
    assert process.returncode == 130, err
    assert "Stopping after this step" in err
    assert f"unet-finetune resume '{run}'" in err
    assert "best.safetensors" in out
    stopped = load_model(run / "best.safetensors")
    assert stopped.card.provenance.images
    request = (run / "request.json").read_text()
    (run / "request.json").write_text(request.replace('"steps": 400', '"steps": 4'))  # not to wait for all of them
    code, result = answer("resume", run)
    assert code == 0
    assert not result["stopped"]
    assert load_model(result["model"])


@pytest.mark.parametrize(
    "missing", [("--images", "none"), ("--masks", "none"), ("--base-images", "none"), ("--model", "none")]
)
def test_what_is_to_be_trained_later_must_be_there_now(answer, data, model, tmp_path, missing):
    run = tmp_path / "run"
    arguments = ["finetune", *data, "--model", model, "--out", run, *TINY, "--later", *missing]
    code, said = answer(*arguments)
    assert code != 0 and "none" in said["error"]
    assert not run.exists()


def test_a_run_can_be_made_now_and_trained_later(answer, invoke, data, model, tmp_path):
    run = tmp_path / "run"
    code, made = answer("finetune", *data, "--model", model, "--out", run, *TINY, "--later")
    assert (code, made) == (0, {"run": str(run)})
    assert not any(path.suffix in (".safetensors", ".pt") for path in run.iterdir())
    said = invoke("finetune", *data, "--model", model, "--out", run, *TINY, "--later").stdout
    assert f"unet-finetune resume {run}" in said
    code, trained = answer("resume", run)
    assert code == 0 and trained["model"] == str(run / "model.safetensors") and trained["steps"] == 2


def test_images_of_the_folder_without_masks_are_learned_from_where_that_is_asked_for(
    answer, model, tmp_path, write_squares
):
    squares = write_squares(tmp_path / "squares", 6)
    for name in ("img_04.tif", "img_05.tif"):
        next((squares / "masks").glob(f"{name[:6]}*")).unlink()
    data = ("--images", squares / "images", "--masks", squares / "masks", "--model", model, *TINY)
    _, plain = answer("finetune", *data, "--out", tmp_path / "plain")
    assert any("2 files are left out" in notice for notice in told(tmp_path / "plain"))
    _, more = answer(
        "finetune", *data, "--out", tmp_path / "more", "--set", "unannotated_share=1", "--set", "keep_raw=false"
    )
    assert any("2 images without masks (img_04, img_05)" in notice for notice in more["notices"])
    assert not any("left out" in notice for notice in told(tmp_path / "more"))
    assert not any("without masks" in notice for notice in plain["notices"])


def told(run):
    """Return the notices of a run."""
    lines = (json.loads(line) for line in (run / "events.jsonl").read_text().splitlines())
    return [line["message"] for line in lines if line["kind"] == "notice"]
