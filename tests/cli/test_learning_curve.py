"""`curve` and `demo` from the terminal."""

import csv
import json

import imageio.v3 as iio
import pytest

from napari_unet_finetune.cli import learning_curve
from napari_unet_finetune.evaluation.rows import Row, columns_of
from napari_unet_finetune.inference.predict import Predictor

from .conftest import TINY

KEYS = columns_of(Row)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory, write_squares):
    data = tmp_path_factory.mktemp("datasets")
    old = write_squares(data / "old", 4)
    new = write_squares(data / "new", 6, bright=False, seed=1)
    return ["--dataset1", old, "--dataset2", new]


@pytest.fixture
def command(datasets, tmp_path):
    small = ["--counts", "0,4", "--seeds", "1", "--test1", "1", "--test2", "2", *TINY]
    base = [option.replace("--set", "--base-set") for option in TINY]
    return ["curve", *datasets, "--out", tmp_path / "study", *small, *base]


def test_the_study_writes_table_and_figures_and_goes_on_where_it_was(answer, invoke, command, tmp_path):
    code, result = answer(*command)
    assert code == 0
    assert [list(row) for row in result["rows"]] == [KEYS] * 6
    assert [(row["count"], row["dataset"]) for row in result["rows"]] == [
        (0, 1),
        (0, 2),
        (0, 2),
        (4, 1),
        (4, 2),
        (4, 2),
    ]
    assert {(mean["count"], mean["dataset"], mean["images"]) for mean in result["summary"]} == {
        (0, 1, 1), (0, 2, 2), (4, 1, 1), (4, 2, 2),
    }  # fmt: skip
    with open(result["table"], newline="") as file:  # noqa: PTH123
        assert [row["image"] for row in csv.DictReader(file)] == [row["image"] for row in result["rows"]]
    assert [iio.imread(path).ndim for path in result["figures"]] == [3, 3]
    runs = {path: path.stat().st_mtime_ns for path in (tmp_path / "study" / "runs").rglob("*.safetensors")}
    again = invoke(*command)
    assert again.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in runs} == runs
    assert "base)" in again.stdout and f"Table and figures: {tmp_path / 'study'}" in again.stdout
    assert json.loads((tmp_path / "study" / "plan.json").read_text())["base_config"]["patch_size"] == 32


def test_how_the_models_saw_the_test_images_is_told_at_the_end(invoke, command, monkeypatch):
    monkeypatch.setattr(Predictor, "how_shown", lambda *_: "exchanged")
    told = invoke(*command).stdout
    for images in ("2 of 2 test images of the new dataset", "1 of 1 test image of the old dataset"):
        assert f"Without finetuning and with 4 images the model saw {images} exchanged." in told


def test_a_plan_that_cannot_be_read_is_one_sentence(complaint, command, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "plan.json").write_text("{}")
    assert "this is not the folder of a study" in complaint(*command)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--counts", "five"], "'five' is not a list of numbers of images"),
        (["--counts", ""], "no value after --counts"),
        (["--counts=-5,0"], "is not a list of numbers"),
        (["--counts", "0,5"], "6 images with masks are too few for 7"),
        (["--width", "17"], "Setting 'width' should be a multiple of 16, but it is 17."),
        (["--seed", "-1"], "'--seed': "),
        (["--base-set", "steps=0"], "Setting 'steps' should be greater than or equal to 1"),
        (["--base-preset", "best"], "Preset 'best' does not exist"),
        (["--base", "missing.pth"], "missing.pth does not exist"),
        (["--dataset1", "nowhere"], "no such folder"),
        (["--out", __file__], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(complaint, command, arguments, sentence):
    assert sentence in complaint(*command, *arguments)


def test_no_seeds_are_a_usage_error(invoke, command):
    assert invoke(*command, "--seeds", "0").exit_code == 2


def test_the_demo_makes_its_data_once_and_runs_the_study_on_it(invoke, tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr(learning_curve, "run", lambda plan, out, **_: plans.append((plan, out)))
    assert invoke("demo", "--out", tmp_path / "demo", "--seed", "3").exit_code == 0
    images = sorted((tmp_path / "demo" / "data").rglob("*.tif"))
    assert len(images) == 4 * 31
    assert not (tmp_path / "demo" / "data.partial").exists()
    before = {path: path.stat().st_mtime_ns for path in images}
    assert invoke("demo", "--out", tmp_path / "demo", "--seed", "3").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in images} == before
    (plan, out), _ = plans
    assert out == tmp_path / "demo"
    assert {pair.mask.path.parents[1] for pair in plan.old_train + plan.old_test} == {out / "data" / "dataset1"}
    assert {pair.mask.path.parents[1] for pair in plan.train + plan.test} == {out / "data" / "dataset2"}
    assert (plan.config.seed, plan.base_config.seed, plan.seeds) == (3, 3, 1)
