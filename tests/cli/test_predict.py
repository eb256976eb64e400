"""`predict` and `evaluate` from the terminal."""

import csv
import shutil
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.objects import ONE_VALUE
from napari_unet_finetune.data.statistics import measure_image
from napari_unet_finetune.evaluation.rows import Row, columns_of
from napari_unet_finetune.events import LOOKS_REVERSED
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.images import ImageRef, list_images, read_image, write_labels
from napari_unet_finetune.models.load import load_model

from .conftest import TINY

KEYS = columns_of(Row)
CPU = ["--device", "cpu", "--set", "precision=fp32"]


def test_images_that_look_reversed_are_named_with_what_to_do(answer, invoke, squares, model, tmp_path):
    base, images = load_model(model), tmp_path / "images"
    known = measure_image(open_folder(squares / "images", squares / "masks")[0], base.card.view).normalized
    base.with_card(knows=(Appearance(quantiles=known.everywhere),)).save(tmp_path / "base.safetensors")
    images.mkdir()
    for file in (squares / "images").iterdir():
        pixels = iio.imread(file)
        iio.imwrite(images / file.name, pixels if file.stem == "img_00" else 255 - pixels)
    command = ["predict", "--model", tmp_path / "base.safetensors", "--images", images, "--out", tmp_path / "out", *CPU]
    code, report = answer(*command)
    note, to_do = report["notes"]
    assert code == 0 and note == f"The model saw 4 files {LOOKS_REVERSED}: img_01, img_02, img_03, img_04."
    assert "in the dock Predict to exchanged" in to_do and "--set appearance=inverted" in to_do
    command = ["evaluate", "--model", tmp_path / "base.safetensors", "--images", images, "--masks", squares / "masks"]
    code, scores = answer(*command, *CPU)
    assert code == 0 and [row["shown"] for row in scores["rows"]] == ["", *[LOOKS_REVERSED] * 4]
    told = " ".join(invoke(*command, *CPU).stderr.split())
    assert "The model saw 4 images unchanged" in told and told.count("--set appearance=inverted") == 1


def test_predicting_writes_labels_once_and_skips_them_later(answer, invoke, squares, model, tmp_path):
    command = ["predict", "--model", model, "--images", squares / "images", "--out", tmp_path / "out", *CPU]
    code, first = answer(*command)
    assert code == 0
    assert len(first["written"]) == 5 and first["failed"] == first["skipped"] == [] and not first["stopped"]
    assert set(first["written"]) == {str(path) for path in (tmp_path / "out").iterdir()}
    code, second = answer(*command)
    assert code == 0
    assert second["written"] == [] and second["skipped"] == first["written"]
    shown = invoke(*command).stdout
    assert all(text in shown for text in ("0 written", "5 existed", "--overwrite", str(tmp_path / "out")))
    code, third = answer(*command, "--overwrite")
    assert third["written"] == first["written"]


def test_one_bad_file_does_not_stop_the_rest_and_is_listed(answer, invoke, squares, model, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(squares / "images", images)
    (images / "a [broken].png").write_bytes(b"\x89PNG is no image")
    command = ["predict", "--model", model, "--images", images, *CPU]
    code, report = answer(*command, "--out", tmp_path / "json")
    assert code == 1
    assert len(report["written"]) == 5
    (failed,) = report["failed"]
    assert failed["file"] == str(images / "a [broken].png") and "cannot be read" in failed["reason"]
    result = invoke(*command, "--out", tmp_path / "text")
    assert result.exit_code == 1
    assert f"{images / 'a [broken].png'}: " in result.stderr
    assert "5 written" in result.stdout and "1 failed" in result.stdout


def test_an_input_is_never_overwritten(complaint, answer, squares, model, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(squares / "images", images)
    command = ["predict", "--model", model, "--images", images, "--out", images, *CPU]
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    assert answer(*command)[0] == 0
    assert {name: (images / name).read_bytes() for name in before} == before
    assert "would be replaced" in complaint(*command, "--overwrite")


def test_a_stack_becomes_a_stack_with_its_scale(answer, model, tmp_path):
    stack = np.random.default_rng(0).integers(0, 255, (3, 40, 36))
    write_labels(tmp_path / "stack.tif", stack, scale=(0.5, 0.25), unit="um")
    code, report = answer("predict", "--model", model, "--images", tmp_path / "stack.tif", "--out", tmp_path, *CPU)
    assert code == 0
    (written,) = report["written"]
    assert tifffile.imread(written).shape == (3, 40, 36)
    labels = read_image(ImageRef(tmp_path / "stack_labels.tif", 1))
    assert labels.scale == pytest.approx((0.5, 0.25)) and labels.unit == "um"


@pytest.mark.parametrize(("option", "augment"), [((), True), (("--no-augment",), False)])
def test_mirrored_views_are_averaged_unless_switched_off(
    answer, squares, model, tmp_path, monkeypatch, option, augment
):
    seen = []

    class Spy(Predictor):
        def __init__(self, model, config):
            seen.append(config.augment)
            super().__init__(model, config)

    monkeypatch.setattr("napari_unet_finetune.inference.predict.Predictor", Spy)
    code, _ = answer(
        "predict", "--model", model, "--images", squares / "images", "--out", tmp_path / "out", *option, *CPU
    )
    assert code == 0 and seen == [augment]


def test_a_model_scores_one_against_its_own_prediction(answer, squares, model, tmp_path):
    images = ["--images", squares / "images"]
    answer("predict", "--model", model, *images, "--out", tmp_path / "own", "--threshold", "0.5", *CPU)
    command = ["evaluate", "--model", model, *images, "--masks", tmp_path / "own", "--threshold", "0.5", *CPU]
    code, scores = answer(*command, "--csv", tmp_path / "tables" / "scores.csv")
    assert code == 0
    assert [list(row) for row in scores["rows"]] == [KEYS] * 5
    assert [row["image"] for row in scores["rows"]] == [f"img_{index:02d}" for index in range(5)]
    (summary,) = scores["summary"]
    assert summary["dice"] == summary["iou"] == summary["surface_dice"] == summary["area_ratio"] == 1
    assert scores["rows"][0] | {"image": ""} == {
        "count": 0, "seed": 0, "preset": "", "dataset": 2, "image": "", "dice": 1.0, "iou": 1.0, "surface_dice": 1.0,
        "area_ratio": 1.0, "predicted_px": scores["rows"][0]["true_px"], "true_px": scores["rows"][0]["true_px"],
        **dict.fromkeys(KEYS[KEYS.index("true_px") + 1 :]), "no_object_scores": ONE_VALUE, "shown": "",
    }  # fmt: skip
    with (tmp_path / "tables" / "scores.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["image"] for row in table] == [row["image"] for row in scores["rows"]]
    assert list(table[0]) == KEYS


def test_where_nothing_is_true_the_ratio_of_areas_is_null(answer, invoke, squares, model, tmp_path):
    masks = tmp_path / "masks"
    shutil.copytree(squares / "masks", masks)
    iio.imwrite(masks / "img_00.png", np.zeros((48, 48), np.uint8))
    everything = ["--threshold", "0.0001", "--dataset", "1", *CPU]
    command = ["evaluate", "--model", model, "--images", squares / "images", "--masks", masks, *everything]
    code, scores = answer(*command)
    assert code == 0
    assert scores["rows"][0]["area_ratio"] is None and scores["rows"][0]["dice"] == 0
    assert scores["summary"][0]["area_ratio"] > 1
    assert {row["dataset"] for row in scores["rows"]} == {1}
    lines = invoke(*command).stdout.splitlines()
    (row,) = [line for line in lines if "img_00" in line]
    assert row.split("│")[-2].strip() == "–"
    assert any("mean" in line for line in lines)


def test_a_state_dict_of_paulow_is_evaluated(answer, data, paulow_model):
    code, scores = answer("evaluate", *data, "--model", paulow_model, *CPU)
    assert code == 0
    assert scores["model"] == str(paulow_model)
    assert len(scores["rows"]) == 5


def test_images_a_model_was_trained_on_are_named_and_so_is_its_run(answer, invoke, data, model, tmp_path):
    run = tmp_path / "second try"
    answer("finetune", *data, "--model", model, "--out", run, *TINY, "--set", "keep_raw=false")
    command = ["evaluate", *data, "--model", run / "model.safetensors", *CPU]
    assert answer(*command)[1]["trained_on"] == [f"img_0{number}" for number in range(5)]
    assert "trained on 5 of these 5 images (img_00, img_01, img_02, …): scores on them are too good." in (
        invoke(*command).stderr
    )
    assert answer("evaluate", *data, "--model", model, *CPU)[1]["trained_on"] == []
    assert "Compared with second try" in invoke("check", *data, "--model", run / "model.safetensors").stdout


def test_scores_are_never_written_over_a_file_of_another_kind(complaint, squares, model, tmp_path):
    mask = shutil.copy(squares / "masks" / "img_00.png", tmp_path)
    command = ["evaluate", "--images", squares / "images", "--masks", squares / "masks", "--model", model, *CPU]
    assert "must end in .csv" in complaint(*command, "--csv", mask)
    assert iio.imread(mask).max() == 255


def test_a_channel_can_be_chosen_for_a_prediction(answer, complaint, model, tmp_path):
    tifffile.imwrite(
        tmp_path / "two.tif", np.random.default_rng(0).random((2, 40, 40), np.float32), metadata={"axes": "CYX"}
    )
    command = ["predict", "--model", model, "--images", tmp_path / "two.tif", "--out", tmp_path / "out", *CPU]
    assert "--channel 0" in answer(*command)[1]["failed"][0]["reason"]
    assert len(answer(*command, "--channel", "1")[1]["written"]) == 1
    assert len(answer(*command, "--set", "channels.method=mean", "--overwrite")[1]["written"]) == 1
    assert "from 0 to 1" in complaint(*command, "--channel", "2")


def test_images_without_a_mask_are_named(answer, invoke, squares, model, tmp_path):
    shutil.copytree(squares / "masks", tmp_path / "masks")
    (tmp_path / "masks" / "img_02.png").unlink()
    command = ["evaluate", "--model", model, "--images", squares / "images", "--masks", tmp_path / "masks", *CPU]
    code, scores = answer(*command)
    assert code == 0
    assert scores["left_out"] == [{"file": "img_02", "reason": "no mask has a matching name"}]
    assert "1 file is left out: img_02 (no mask has a matching name)." in invoke(*command).stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "--threshold", "2"], "Setting 'threshold' should be less than 1"),
        (["evaluate", "--set", "steps=3"], "Setting 'steps' does not exist"),
        (["evaluate", "--csv", "file/scores.csv"], "file"),
        (["evaluate", "--csv", "folder"], "folder"),
        (["predict", "--out", "file"], "output folder cannot be made"),
        (["predict", "--set", "overlap=1"], "Setting 'overlap' should be less than 0.9"),
        (["predict", "--model", "file"], "is empty"),
    ],
)
def test_bad_input_is_one_sentence(complaint, data, model, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    command, *changes = arguments
    given = {"--model": model, "--images": data[1]}
    given |= {"--masks": data[3]} if command == "evaluate" else {"--out": "out"}
    given |= {changes[0]: changes[1]}
    assert sentence in complaint(command, *(part for option in given.items() for part in option))


def test_an_ome_zarr_folder_is_an_image(answer, model, tmp_path, write_store):
    movie = np.random.default_rng(0).integers(0, 255, (3, 48, 40), np.uint8)
    write_store(tmp_path / "movie.ome.zarr", movie, "tyx")
    tifffile.imwrite(tmp_path / "same.tif", movie, metadata={"axes": "TYX"}, photometric="minisblack")
    for name in ("movie.ome.zarr", "same.tif"):
        code, _ = answer("predict", "--model", model, "--images", tmp_path / name, "--out", tmp_path / "out")
        assert code == 0
    expected = tifffile.imread(tmp_path / "out" / "same_labels.tif")
    found = [read_image(ref).array for ref in list_images(tmp_path / "out" / "movie_labels.ome.zarr")]
    np.testing.assert_array_equal(found, expected)
    code, found = answer("check", "--images", tmp_path / "movie.ome.zarr")
    assert code == 0 and len(found["images"]) == 3


def test_a_large_image_can_be_predicted_in_chunks(answer, model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (90, 70), np.uint8)
    tifffile.imwrite(tmp_path / "img.tif", pixels, photometric="minisblack")
    for name, chunk in (("whole", []), ("cut", ["--chunk", 32])):
        arguments = ["--model", model, "--images", tmp_path / "img.tif", "--out", tmp_path / name, *chunk]
        assert answer("predict", *arguments)[0] == 0
    whole, cut = (tifffile.imread(tmp_path / name / "img_labels.tif") for name in ("whole", "cut"))
    np.testing.assert_array_equal(whole, cut)


def test_workers_are_either_here_or_elsewhere_and_need_dask(complaint, squares, model, tmp_path, monkeypatch):
    command = ["predict", "--model", model, "--images", squares / "images", "--out", tmp_path / "out", *CPU]
    assert "Give one of them" in complaint(*command, "--workers", "2", "--scheduler", "tcp://somewhere:8786")
    monkeypatch.setitem(sys.modules, "distributed", None)
    for asked in (["--workers", "2"], ["--scheduler", "tcp://somewhere:8786"]):
        assert 'pip install "napari-unet-finetune[cluster]"' in complaint(*command, *asked)
    assert not (tmp_path / "out").exists()
