"""`check`, `models` and `settings` from the terminal."""

import shutil

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet_finetune.config import FinetuneConfig, PredictConfig


def test_a_folder_is_looked_through(answer, invoke, data):
    code, found = answer("check", *data)
    assert code == 0
    assert len(found["images"]) == 5
    assert 0 < found["mean_foreground"] < 0.5 and found["empty_masks"] == 0 and found["problems"] == []
    text = invoke("check", *data).stdout
    assert "5 images" in text and "img_04" in text and "48×48" in text and "uint8" in text


def test_images_are_compared_with_the_data_of_a_model(answer, invoke, data, squares, model):
    code, found = answer("check", *data, "--model", model)
    assert code == 0
    assert "holds no statistics" in found["comparison"]["verdict"][0]
    assert "Compared with base" in invoke("check", *data, "--model", model).stdout
    code, found = answer("check", "--images", squares / "images", "--test-images", squares / "images")
    assert code == 1
    assert found["problems"] == [sentence for sentence in found["problems"] if "5 test images are among" in sentence]
    assert found["shared_with_test"][0]["exact"]


def test_images_alone_can_be_looked_through(answer, squares):
    code, found = answer("check", "--images", squares / "images")
    assert code == 0
    assert found["mean_foreground"] is None


def test_problems_are_listed_in_text_and_json(answer, invoke, squares, tmp_path):
    folder = tmp_path / "[old] data"
    shutil.copytree(squares, folder)
    (folder / "masks" / "img_00.png").unlink()
    (folder / "images" / "broken.png").write_bytes(b"nothing")
    iio.imwrite(folder / "masks" / "img_01.png", np.zeros((20, 20), np.uint8))
    options = ["--images", folder / "images", "--masks", folder / "masks"]
    code, found = answer("check", *options)
    assert code == 1, "problems end the command with 1"
    assert any("broken.png" in problem for problem in found["problems"])
    text = " ".join(invoke("check", *options).stdout.split())
    assert all(" ".join(line.split()) in text for line in [*found["problems"], *found["advice"]])


def test_a_missing_folder_is_one_sentence(complaint, tmp_path):
    assert "no such folder" in complaint("check", "--images", tmp_path / "nowhere")


def test_models_that_ship_are_listed(answer, invoke):
    code, found = answer("models")
    assert code == 0
    names = [model["name"] for model in found["models"]]
    assert {"microtube", "nuclei-fluorescence"} <= set(names)
    text = invoke("models").stdout
    assert all(name in text for name in names)


def test_settings_are_listed_with_default_and_meaning(answer, invoke):
    code, listed = answer("settings")
    assert code == 0
    training = {setting["name"]: setting for setting in listed["training"]}
    assert training["learning_rate"]["default"] == str(FinetuneConfig().learning_rate)
    assert training["augment.p_gamma"]["description"]
    assert {"channels.method", "normalization.low"} <= set(training)
    assert not {"version", "preset"} & set(training)
    assert {setting["name"].partition(".")[0] for setting in listed["prediction"]} == set(PredictConfig.model_fields)
    assert "learning_rate" in invoke("settings").stdout


def test_masks_that_were_matched_by_order_are_named_with_their_images(invoke, tmp_path, squares):
    for kind, name in (("images", "cells"), ("masks", "drawing")):
        (tmp_path / kind).mkdir()
        shutil.copyfile(sorted((squares / kind).iterdir())[0], tmp_path / kind / f"{name}.png")
    result = invoke("check", "--images", tmp_path / "images", "--masks", tmp_path / "masks")
    assert result.exit_code == 1
    assert "paired in order: cells with drawing.png. Check" in result.stdout
    assert "drawing.png: " in result.stdout


@pytest.mark.parametrize("left", ["image", "mask"])
def test_what_is_not_paired_ends_with_1_and_is_in_the_json(answer, tmp_path, squares, left):
    for kind in ("images", "masks"):
        shutil.copytree(squares / kind, tmp_path / kind)
    gone = sorted((tmp_path / ("masks" if left == "image" else "images")).iterdir())[1:]
    for file in gone:
        file.unlink()
    code, values = answer("check", "--images", tmp_path / "images", "--masks", tmp_path / "masks")
    assert code == 1
    assert len(values["images_without_mask" if left == "image" else "masks_without_image"]) == len(gone)
    assert values["problems"] or values["doubts"]
