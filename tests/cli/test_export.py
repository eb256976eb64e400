"""`export` from the terminal."""

import pytest

pytest.importorskip("onnx")


def test_a_model_is_exported_once(answer, invoke, complaint, model, tmp_path):
    out = tmp_path / "folder" / "model.onnx"
    code, found = answer("export", model, "--out", out, "--authors", "Ada, Bob")
    assert code == 0 and out.stat().st_size == found["size_bytes"]
    assert (found["out"], found["format"], found["recipe"]["tile"]) == (str(out), "onnx", 32)
    assert "exists already" in complaint("export", model, "--out", out)
    shown = invoke("export", model, "--out", tmp_path / "model.pt").stdout
    assert f"{tmp_path / 'model.pt'} is written." in shown and "32 × 32 px" in shown


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "x.jpg"], "must end in .zip or .onnx or"),
        (["--out", "x.onnx", "--format", "tflite"], "Setting 'format' should be 'bioimageio', 'onnx' or 'torchscript'"),
        (["--out", "x.onnx", "--dataset", "0"], "Setting 'dataset' should be greater than or equal to 1"),
        (["--out", "x.onnx", "--authors", "Ada/Bob"], "Setting 'authors': write names without '/'"),
        (["--out", "x.onnx", "--dataset", "1"], "no datasets apart"),
    ],
)
def test_what_cannot_be_is_one_sentence(complaint, model, options, words):
    assert words in complaint("export", model, *options)


def test_a_model_that_is_not_there_is_one_sentence(complaint):
    assert "There is no model called 'nothing'" in complaint("export", "nothing", "--out", "x.onnx")
