"""What an earlier version wrote still opens and means the same: models, datasets, runs, studies, answers."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_unet_finetune import load_model, predict, weigh
from napari_unet_finetune.cli import app
from napari_unet_finetune.comparison.cache import read_last_comparison
from napari_unet_finetune.jobs.answers import last_answers
from napari_unet_finetune.learning_curve.folder import StudyFolder
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.parents import find_parent
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.history import PastRun

FROZEN = Path(__file__).parent / "frozen"
TRAINED_ON = ("a", "d", "stack[000]", "stack[001]", "stack[002]")
# The first characters of each sha256 are enough to tell a change.
# Role, origin, share of object pixels, number of objects, and the sha256 of its pixels as numbers of 16 bits.
# fmt: off
WHOLE = {
    "a": ("auto", "painted", 0.20078125, 2, "3c60dddc5a6f614b"),
    "a.tif": ("auto", "none", None, None, None),
    "b": ("validation", "imported", 0.10390625, 3, "a16504db0cc7764d"),
    "c": ("test", "corrected", 0.1373046875, 2, "8ab74eeb6e068da3"),
    "d": ("train", "painted", 0.1396484375, 4, "c9e0060054d54a90"),
    "e": ("unused", "painted", 0.0, 0, "84ff92691f909a05"),
    "not annotated": ("auto", "none", None, None, None),
    "stack[000]": ("auto", "painted", 0.0451171875, 1, "78ba37867a73b1db"),
    "stack[001]": ("auto", "painted", 0.200390625, 2, "beb0e6863809d9db"),
    "stack[002]": ("auto", "painted", 0.170703125, 2, "f5367dc6d45455b3"),
}
# Role, origin, how many pixels are annotated, how many of them are objects, and the sha256 of those (0 and 1).
STROKES = {
    "one": ("auto", "painted", 720, 47, "d37a43c9a94bde39"),
    "three": ("train", "imported", 1920, 503, "41f8447444c6c581"),
}
# fmt: on
BASE = "0d39caa40a86a77a"
FINETUNED = "1928464042b4d1f0"
BEST_SO_FAR = "07a5d9294828389f"
# Losses of the four steps of the training with strokes, as that version trained it.
STROKE_LOSSES = (0.384073, 0.457875, 0.178260, 0.343781)


@pytest.fixture
def frozen(tmp_path):
    """Return a copy of everything, with large files unpacked and paths that lead into the copy."""
    root = shutil.copytree(FROZEN, tmp_path / "frozen")
    for packed in root.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    for text in (*root.rglob("*.json"), *root.rglob("*.jsonl")):
        text.write_text(text.read_text("utf-8").replace("HERE/", f"{root.as_posix()}/"), "utf-8")
    return root


@pytest.fixture
def project(frozen):
    return Project.open(frozen / "whole")


def run_of(folder, label):
    (found,) = (folder / "unet-finetune" / "runs").glob(f"*-{label}")
    return found


def answer(*arguments):
    """Carry out a command and return the JSON that it printed."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def sha256(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def weights_sha256(model):
    return sha256(*(model.weights[name].numpy().astype("<f4") for name in sorted(model.weights)))


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def known_px(annotated):
    return annotated.target.size if annotated.annotated is None else int(annotated.annotated.sum())


def losses_of(past):
    return [loss for _, loss in past.progress.losses]


def distance(one, other):
    """Return the mean difference of the weights of two models."""
    return float(np.mean([np.abs(one[name].numpy() - other[name].numpy()).mean() for name in one]))


def rows_of(table):
    return list(csv.DictReader(io.StringIO(table)))


def told(image, labels):
    return image.role, image.origin, image.foreground, image.objects, labels


def test_a_base_model_in_half_precision_is_the_same_model(frozen):
    model = load_model(frozen / "models" / "base.safetensors")
    assert weights_sha256(model) == BASE
    assert (model.card.shape.width, model.card.shape.levels, model.card.patch_size, model.card.threshold) == (
        16,
        2,
        32,
        0.5,
    )
    assert (model.card.normalization.method, model.card.normalization.high, model.card.rescale) == (
        "percentile",
        99.9,
        1,
    )
    assert len(model.rehearsal) == 4
    assert model.card.provenance.scores == {"val_dice": pytest.approx(0.95815, abs=1e-5)}
    assert [image.name for image in model.card.provenance.images] == ["001", "002", "003", "004", "005", "006"]
    assert model.card.provenance.statistics.object_width_px == 21.31


def test_a_finetuned_model_knows_its_base_its_images_and_its_settings(frozen):
    model = load_model(run_of(frozen / "whole", "finished") / "model.safetensors")
    assert weights_sha256(model) == FINETUNED
    assert (model.card.provenance.parent, model.card.provenance.seed) == ("base", 0)
    assert [image.name for image in model.card.provenance.images] == ["a", "b", "d", *TRAINED_ON[2:]]
    assert model.card.provenance.scores["old_dice_after"] == pytest.approx(0.93781, abs=1e-5)
    assert (model.card.provenance.config["layers"], model.card.provenance.config["held_out"]) == ("norm", ["b"])


def test_a_model_predicts_what_it_predicted(frozen):
    curve = run_of(frozen / "whole", "curve")
    answer("predict", "--model", curve / "runs" / "02-images-seed-0" / "model.safetensors", "--images",
           frozen / "whole" / "c.tif", "--out", frozen / "labels", "--device", "cpu")  # fmt: skip
    (labels,) = (frozen / "labels").glob("*.tif")
    before = tifffile.imread(curve / "predictions" / "dataset2" / "c_02-images.tif")
    assert np.count_nonzero(before) == 701
    # Mirrored views were averaged in another way then, and the model is one of very few steps.
    assert np.count_nonzero((tifffile.imread(labels) > 0) != (before > 0)) < 0.01 * before.size


def test_a_dataset_keeps_names_roles_origins_and_every_mask(project):
    found = {}
    for image in project.images:
        labels = project.read_labels(image.name)
        found[image.name] = told(image, None if labels is None else sha256(labels.astype("<u2")))
    assert found == WHOLE
    assert project.image("c").dice == 0.75
    assert project.image("not annotated").suggested
    assert project.image("stack[001]").ref.frame == 1
    assert project.image("a").ref.path.name == "a.png"  # two images have that name; the record tells which is called so
    assert not project.unreadable


def test_whole_masks_are_annotated_everywhere(project):
    for image in project.images:
        if image.is_annotated:
            annotated = project.annotated_image(image.name)
            assert known_px(annotated) == 64 * 80
            assert annotated.target.mean() == pytest.approx(image.foreground)


def test_opening_a_dataset_and_annotating_one_image_changes_no_mask(frozen, project):
    before = files_of(frozen)
    Project.open(frozen / "whole" / "unet-finetune")
    assert files_of(frozen) == before
    project.save_labels("not annotated", np.ones((64, 80), np.uint16), "painted")
    after = files_of(frozen)
    assert {path.name for path in before if after[path] != before[path]} == {"project.json"}
    again = Project.open(frozen / "whole")
    assert {image.name for image in again.images if image.is_annotated} == {
        "not annotated", *(name for name, facts in WHOLE.items() if facts[1] != "none")
    }  # fmt: skip
    assert sha256(again.read_labels("d").astype("<u2")) == WHOLE["d"][4]


def test_strokes_are_annotated_only_where_they_are(frozen):
    project = Project.open(frozen / "strokes")
    found = {}
    for image in project.images:
        if image.is_annotated:
            annotated = project.annotated_image(image.name)
            objects = annotated.target & (True if annotated.annotated is None else annotated.annotated)
            found[image.name] = (
                image.role,
                image.origin,
                known_px(annotated),
                int(objects.sum()),
                sha256(objects.astype("u1")),
            )
    assert found == STROKES
    assert [image.name for image in project.images if not image.is_annotated] == ["two"]


def test_a_finished_run_tells_how_it_ended(frozen):
    run = PastRun(RunFolder(run_of(frozen / "whole", "finished")))
    assert run.model == run.folder.path / "model.safetensors"
    assert not run.is_interrupted
    assert (run.end.steps, run.end.stopped, run.end.kept_raw, run.end.threshold) == (12, False, False, 0.5)
    assert run.end.finetuned_dice == pytest.approx(0.92469, abs=1e-5)
    assert (run.start.train_images, run.start.validation_images) == (TRAINED_ON, ("b",))
    assert (run.image_count, run.request.config.steps, run.request.config.layers) == (6, 12, "norm")


def test_a_report_of_a_finished_run_finds_its_images_and_scores_unchanged(frozen):
    files = answer("report", run_of(frozen / "whole", "finished"), "--device", "cpu", "--out", frozen / "page.html")
    tables = {Path(table).name: Path(table).read_text("utf-8") for table in files["tables"]}
    images, scores = (rows_of(tables[f"page-{part}.csv"]) for part in ("images", "scores"))
    assert {(row["image"], row["role"], row["state"]) for row in images} == {
        ("b", "held out", "unchanged"), *((name, "training", "unchanged") for name in TRAINED_ON)
    }  # fmt: skip
    held_out = [float(row["dice"]) for row in scores if row["role"] == "held out"]
    # The base, and the finetuned model; mirrored views were averaged in another way then.
    assert held_out == pytest.approx([0.941, 0.925], abs=0.015)


def test_an_interrupted_run_goes_on_as_if_it_had_never_been_interrupted(frozen):
    whole, run = run_of(frozen / "whole", "finished"), run_of(frozen / "whole", "interrupted")
    assert PastRun(RunFolder(run)).is_interrupted
    best = load_model(run / "best.safetensors")
    assert weights_sha256(best) == BEST_SO_FAR
    answer("resume", run)
    past = PastRun(RunFolder(run))
    assert (past.start.first_step, past.end.steps) == (6, 12)
    # Another processor may round otherwise than the one that wrote the files.
    assert losses_of(past) == pytest.approx(losses_of(PastRun(RunFolder(whole))), rel=1e-3)
    # Held-out images are scored in other mirrored views now, so other weights may be the best.
    assert past.end.finetuned_dice == pytest.approx(0.92469, abs=0.015)


def test_the_best_model_of_an_interrupted_run_can_be_used(frozen):
    run = PastRun(RunFolder(run_of(frozen / "whole", "interrupted")))
    assert weights_sha256(load_model(run.use_best())) == BEST_SO_FAR
    again = PastRun(run.folder)
    assert (again.end.stopped, again.end.finetuned_dice, again.is_interrupted) == (
        True,
        pytest.approx(0.92863, abs=1e-5),
        False,
    )


def test_a_training_with_strokes_that_was_asked_for_is_carried_out(frozen):
    run = run_of(frozen / "strokes", "asked")
    assert answer("resume", run)["steps"] == 4
    assert losses_of(PastRun(RunFolder(run))) == pytest.approx(STROKE_LOSSES, rel=1e-3)


def test_a_learning_curve_keeps_its_models_and_scores(frozen):
    study = StudyFolder(run_of(frozen / "whole", "curve"))
    assert study.is_finished
    assert [(row.count, row.seed, row.image) for row in study.rows] == [
        (0, 0, "c"), (1, 0, "c"), (1, 1, "c"), (2, 0, "c"), (2, 1, "c")
    ]  # fmt: skip
    assert [row.dice for row in study.rows] == pytest.approx([0.96714, 0.96953, 0.96765, 0.96866, 0.96023], abs=1e-5)
    assert [(arm.count, arm.seed) for arm in study.models] == [(2, 0)]
    old = [(row.count, row.dice) for row in study.rows_and_patches if row.dataset == 1]
    assert old == [(0, pytest.approx(0.91465, abs=1e-5)), (2, pytest.approx(0.91878, abs=1e-5))]


def test_a_learning_curve_can_be_reported_and_carried_on(frozen):
    curve = run_of(frozen / "whole", "curve")
    files = answer("report", curve, "--out", frozen / "page.html")
    (scores,) = (Path(table) for table in files["tables"] if "scores" in Path(table).name)
    assert len(rows_of(scores.read_text("utf-8"))) == 5
    assert [point["count"] for point in answer("forecast", curve)["points"]] == [1, 2]


def test_answers_are_shown_again(frozen):
    runs = sorted((frozen / "whole" / "unet-finetune" / "runs").iterdir(), reverse=True)
    found = last_answers(runs)
    assert set(found) == {"check", "estimate"}
    estimate = found["estimate"]
    assert estimate.asked.images == tuple(row[0] for row in estimate.result.table.rows) == ("b", "c")
    assert "0.967" in estimate.result.table.rows[1]
    assert estimate.map_of("b").is_file()
    assert ("with a mask", "8", "–") in found["check"].result.table.rows


def test_labels_of_a_comparison_that_were_made_elsewhere_are_passed_over(frozen, project):
    comparison = frozen / "whole" / "unet-finetune" / "comparison"
    before = files_of(comparison)
    assert read_last_comparison(comparison / "job", comparison / "labels", project) is None
    assert files_of(comparison) == before


# What the dataset of dark objects holds: role, how many pixels are annotated, how many are objects, and their sha256.
DARK = {
    "a": ("auto", 5120, 650, "8abde82057fe897a"),
    "b": ("auto", 5120, 318, "3c0bfd8c1bb4bd39"),
    "c": ("auto", 5120, 1048, "50881722c74891d3"),
    "d": ("validation", 5120, 680, "5dcb617b4297758b"),
    "e": ("auto", 5120, 282, "8d39db470ce11bc5"),
}
DARK_WEIGHTS, DARK_PX = "9edf70edbbac32f7", 848


@pytest.fixture
def dark(frozen):
    """Return the model of dark objects: as its run left it, and in a package."""
    return run_of(frozen / "dark", "5-images") / "model.safetensors", frozen / "models" / "dark.zip"


def test_a_model_that_knows_two_appearances_is_the_same_in_its_run_and_in_a_package(dark):
    for file in dark:
        model = load_model(file)
        assert weights_sha256(model) == DARK_WEIGHTS
        assert [one.inverted for one in model.card.knows] == [(), (0,)]
        assert model.card.knows[1].quantiles[:3] == (-0.04921, 0.12369, 0.17312)
        assert model.card.provenance.scores["old_dice_after"] == pytest.approx(0.96578, abs=1e-5)
        assert model.card.provenance.held_out == ("d",) and len(model.rehearsal) == 4
        image = tifffile.imread(FROZEN / "dark" / "f.tif")
        found = predict(model, image, device="cpu", precision="fp32")
        assert found.appearance.inverted == (0,)
        assert int(found.labels.sum()) == pytest.approx(DARK_PX, rel=0.01)


def test_the_base_of_a_model_in_a_package_is_found_by_its_weights(frozen, dark):
    base = frozen / "models" / "bright.safetensors"
    for file in dark:
        assert find_parent(read_card(file), [frozen / "models" / "base.safetensors", base]) == base
    (known,) = load_model(base).card.knows
    assert known.inverted == () and len(known.quantiles) == 51


def test_a_dataset_of_the_second_record_keeps_masks_and_strokes_side_by_side(frozen):
    before, project = files_of(frozen), Project.open(frozen / "dark")
    found = {}
    for image in project.images:
        if image.is_annotated:
            annotated, painted = (
                project.annotated_image(image.name),
                sha256(project.read_labels(image.name).astype("<u2")),
            )
            objects = int((annotated.target & annotated.known).sum())
            found[image.name] = (image.role, known_px(annotated), objects, painted)
    assert found == DARK
    assert {image.name: image.used_as for image in project.images if image.used_as} == {
        **dict.fromkeys("abce", "train"), "d": "validation"
    }  # fmt: skip
    assert files_of(frozen) == before


def test_a_run_with_an_appearance_tells_how_it_ended(frozen):
    past = PastRun(RunFolder(run_of(frozen / "dark", "5-images")))
    assert (past.end.steps, past.end.raw_dice, past.image_count) == (12, 0.0, 5)
    assert past.end.finetuned_dice == pytest.approx(0.97147, abs=1e-5)
    assert past.start.validation_images == ("d",)


def test_the_base_of_an_earlier_run_is_weighed_against_its_model(frozen):
    run, before = run_of(frozen / "dark", "5-images"), files_of(frozen)
    found, end = weigh(run, (0.5,)).result, PastRun(RunFolder(run)).end
    base, half, last = found.rows
    assert (found.base, found.held_out, base.new) == ("bright", 1, end.raw_dice)
    assert last.new == pytest.approx(end.finetuned_dice, abs=1e-3)
    assert half.new is not None and found.old_images and min(base.old, half.old, last.old) > 0
    assert files_of(frozen) == before
