"""`suggest` from the terminal."""

import shutil


def test_images_are_suggested_with_a_reason(answer, invoke, squares, model, tmp_path):
    shutil.copytree(squares / "masks", tmp_path / "masks")
    for name in ("img_02.png", "img_03.png", "img_04.png"):
        (tmp_path / "masks" / name).unlink()
    options = ["--images", squares / "images", "--model", model, "--masks", tmp_path / "masks", "--count", 2]
    code, found = answer("suggest", *options)
    assert code == 0
    assert found["annotated"] == ["img_00", "img_01"]
    assert {one["image"] for one in found["suggestions"]} < {"img_02", "img_03", "img_04"}
    assert [one["rank"] for one in found["suggestions"]] == [1, 2]
    text = invoke("suggest", *options).stdout
    assert found["suggestions"][0]["image"] in text and "like" in text


def test_labels_that_were_written_beside_the_images_are_not_suggested(answer, squares, model, tmp_path):
    shutil.copytree(squares / "images", tmp_path / "images")
    for number in range(5):
        shutil.copyfile(squares / "masks" / "img_00.png", tmp_path / "images" / f"img_0{number}_labels.png")
    found = answer("suggest", "--images", tmp_path / "images", "--model", model, "--count", 9)[1]
    assert {one["image"] for one in found["suggestions"]} == {f"img_0{number}" for number in range(5)}
    assert len(answer("check", "--images", tmp_path / "images")[1]["images"]) == 5


def test_a_mode_that_does_not_exist_is_refused(invoke, squares, model):
    result = invoke("suggest", "--images", squares / "images", "--model", model, "--mode", "soon")
    assert result.exit_code == 2 and "auto, start, next" in result.stderr
