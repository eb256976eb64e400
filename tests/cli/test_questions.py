"""`estimate` and the other questions from the terminal."""

import json

from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project

from .conftest import TINY
from .test_reference import keys_in_the_reference

CPU = ["--device", "cpu"]


def test_estimate_prints_a_sentence_and_writes_maps(answer, invoke, data, model, tmp_path):
    command = ["estimate", *data, "--model", model, *CPU]
    code, values = answer(*command, "--maps", tmp_path / "maps")
    assert code == 0
    assert len(values["images"]) == 5 and len(list((tmp_path / "maps").iterdir())) == 5
    assert {point["threshold"] for point in values["curve"]} >= {0.5, values["threshold"]}
    assert values["summary"].startswith("The model predicts ")
    plain = invoke(*command).stdout
    assert "img_03" in plain and "The model predicts" in plain


def test_estimate_at_another_threshold(answer, data, model):
    low, high = (
        answer("estimate", *data, "--model", model, *CPU, "--threshold", value)[1]["area_ratio"] for value in (0.2, 0.9)
    )
    assert low > high


def test_can_learn_refuses_settings_that_it_would_not_take(complaint, data, model):
    for change in ("learning_rate=0.5", "steps=7", "layers=last", "augment.p_gamma=0"):
        sentence = complaint("can-learn", *data, "--model", model, *CPU, "--set", "patch_size=32", "--set", change)
        assert sentence.startswith(f"'--set {change}' would change nothing") and "--steps" in sentence


def test_can_learn_gives_a_verdict_and_fails_where_it_is_not_ready(answer, invoke, data, model):
    command = ["can-learn", *data, "--model", model, *CPU, "--set", "patch_size=32"]
    code, values = answer(*command, "--steps", 60)
    assert (code, values["verdict"]) == (0, "ready") and len(values["images"]) == 2
    result = invoke(*command, "--steps", 1)
    assert result.exit_code == 1 and "by heart" in result.stdout


def test_cross_validation_of_a_dataset_painted_in_napari_leaves_its_test_images(invoke, squares, model, tmp_path):
    project = Project.open(squares / "images", tmp_path / "project")
    import_masks(project, plan_import(project, squares / "masks").pairs)
    project.set_role(project.names[:1], "test")
    project.set_role(project.names[1:2], "unused")
    found = ["--images", project.source, "--masks", project.folder / "labels"]
    result = invoke("cross-validate", *found, "--model", model, *TINY, "--folds", "2", "--json")
    scored = {one["image"] for one in json.loads(result.stdout)["scores"]}
    assert scored == set(project.names[2:])
    assert f"{len(scored)} of {len(project.names)} annotated images: those kept for testing" in result.stderr


def test_cross_validation_scores_every_image(answer, complaint, data, model):
    command = ["cross-validate", *data, "--model", model, *TINY]
    code, values = answer(*command, "--folds", 2)
    assert code == 0 and len(values["scores"]) == 5 and values["folds"] == 2
    assert "never saw it" in values["summary"]
    assert "neither loo nor a number" in complaint(*command, "--folds", "many")
    assert "9 folds of 5 images" in complaint(*command, "--folds", 9)


def test_forecast_of_a_study(answer, invoke, complaint, tmp_path):
    (tmp_path / "rows").mkdir()
    rows = [
        {"count": count, "seed": seed, "preset": "fast", "dataset": 2, "image": image, "dice": 0.9 - 0.5 / count}
        | {"iou": 0, "surface_dice": 0, "area_ratio": None}
        for count in (5, 10, 20)
        for seed in (0, 1)
        for image in ("a", "b")
    ]
    (tmp_path / "rows" / "all.json").write_text(json.dumps(rows))
    code, values = answer("forecast", tmp_path, "--more", 5)
    assert code == 0 and [gain["more"] for gain in values["gains"]] == [5]
    assert "5 more images" in invoke("forecast", tmp_path).stdout
    assert "What 40 more images would give cannot be told" in complaint("forecast", tmp_path, "--more", 40)
    for nonsense in ("x", "0"):
        assert complaint("forecast", tmp_path, "--more", nonsense).startswith(f"'{nonsense}' is not a list of numbers")
    assert "no scores of a study" in complaint("forecast", tmp_path / "rows")


def test_old_or_new_is_a_table_and_writes_the_mix_that_is_asked_for(invoke, answer, complaint, data, model, tmp_path):
    run, out = tmp_path / "run", tmp_path / "mix.safetensors"
    rate = ("--set=keep_raw=false", "--set=learning_rate=0.003")
    _, trained = answer("finetune", *data, "--model", model, "--out", run, *TINY, *rate)
    code, found = answer("weigh", run)
    assert code == 0 and [row["share"] for row in found["rows"]] == [tenth / 10 for tenth in range(11)]
    assert (found["rows"][0]["new"], found["rows"][-1]["new"]) == (trained["raw_dice"], trained["finetuned_dice"])
    assert set(found) == keys_in_the_reference("weigh")
    shown = invoke("weigh", run, "--share", "0.6", "--out", out).stdout
    assert "Dice new" in shown and "0 (base)" in shown and f"{found['rows'][6]['new']:.3f}" in shown
    scores = read_card(out).provenance.scores
    assert scores["finetuned_share"] == 0.6 and scores["val_dice"] == found["rows"][6]["new"]
    assert "exists already" in complaint("weigh", run, "--share", "0.6", "--out", out)
    assert "belong together" in complaint("weigh", run, "--share", "0.6")
    assert "not the folder of a run" in complaint("weigh", tmp_path / "gone")
