"""The network in a package of another program predicts as its description says, or is refused by what is not known."""

import hashlib
import json
import zipfile
from functools import partial

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_unet_finetune as nuf
from napari_unet_finetune.checked_json import json_values
from napari_unet_finetune.cli import app
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.folder import predict_folder
from napari_unet_finetune.inference.pieces import Cut
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.inference.spread import Spread
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.foreign.description import steps_of
from napari_unet_finetune.models.foreign.rdf import kwargs_of, parse_rdf
from napari_unet_finetune.models.load import load_model, load_to_predict

from ..engines import Untidy
from .packages_of_others import (
    OLD_RANGE,
    RANGE,
    TILE,
    ZSCORE,
    axes,
    described,
    described_of_old,
    network,
    write_package,
)

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("ruyaml")


@pytest.fixture
def pack(tmp_path):
    """Return a function that writes a package and returns its path."""

    return partial(write_package, tmp_path / "foreign.zip")


@pytest.fixture
def image():
    return np.random.default_rng(0).gamma(2.0, 20.0, (70, 90)).astype(np.uint8)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def scaled(image, low=1.0, high=99.0):
    low, high = np.percentile(image, (low, high))
    return (image - low) / (high - low)


def test_a_foreign_network_predicts_what_its_description_says(pack, image):
    found = Predictor.of(pack()).predict(AnnotatedImage("a", image)).probabilities
    expected = sigmoid((image - image.mean()) / image.std())
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("before", "seen"),
    [
        ([RANGE, {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}}], lambda image: scaled(image).clip(0, 1)),
        ([RANGE, {"id": "scale_linear", "kwargs": {"gain": -1.0, "offset": 1.0}}], lambda image: 1 - scaled(image)),
        ([{"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0.0}}], lambda image: image / 255),
        ([{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}, RANGE], scaled),
    ],
    ids=["clipped", "inverted", "divided", "of a type"],
)
def test_preprocessing_is_translated(pack, image, before, seen):
    found = Predictor.of(pack(described(before=before))).predict(AnnotatedImage("a", image))
    np.testing.assert_allclose(found.probabilities, sigmoid(seen(image)), atol=1e-4)


def test_probabilities_and_their_threshold_are_taken_as_they_are(pack, image):
    binarize = {"id": "binarize", "kwargs": {"threshold": 0.6}}
    path = pack(described(after=[binarize]), network(operator="Sigmoid"))
    found = Predictor.of(path).predict(AnnotatedImage("a", image))
    expected = sigmoid((image - image.mean()) / image.std())
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    assert found.threshold == 0.6
    np.testing.assert_array_equal(found.labels > 0, found.probabilities > 0.6)


def test_a_network_of_any_size_gets_tiles_of_the_usual_one_and_colors(pack):
    path = pack(described(channels=3, size={"min": 64, "step": 16}), network(channels=3))
    image = np.random.default_rng(1).integers(0, 255, (300, 280, 3)).astype(np.uint8)
    predictor = Predictor.of(path)
    assert (predictor.model.card.patch_size, predictor.channels) == (256, 3)
    found = predictor.predict(AnnotatedImage.of(image)).probabilities
    np.testing.assert_allclose(found, sigmoid((image.mean(axis=2) - image.mean()) / image.std()), atol=1e-4)


@pytest.mark.parametrize(
    ("before", "seen"),
    [
        (OLD_RANGE, scaled),
        (
            {"name": "zero_mean_unit_variance", "kwargs": {"axes": "cyx", "mode": "per_sample"}},
            lambda image: (image - image.mean()) / image.std(),
        ),
        ({"name": "scale_linear", "kwargs": {"axes": "yx", "gain": 1 / 255}}, lambda image: image / 255),
    ],
    ids=["range", "mean and variance", "divided"],
)
@pytest.mark.parametrize("shape", [[1, 1, TILE, TILE], {"min": [1, 1, TILE, TILE], "step": [0, 0, 16, 16]}])
def test_a_description_of_format_0_4_means_the_same(pack, image, before, seen, shape):
    predictor = Predictor.of(pack(described_of_old(before=[before], shape=shape)))
    assert predictor.model.card.patch_size == (TILE if isinstance(shape, list) else 256)
    found = predictor.predict(AnnotatedImage("a", image)).probabilities
    np.testing.assert_allclose(found, sigmoid(seen(image)), atol=1e-4)


@pytest.mark.filterwarnings("ignore")  # of what it converts, and of the files that it leaves open
@pytest.mark.parametrize(
    "description", [described(), described(size={"min": 64, "step": 16}, before=[RANGE]), described_of_old()]
)
def test_the_library_of_bioimage_io_reads_the_same(pack, description):
    spec = pytest.importorskip("bioimageio.spec")
    with zipfile.ZipFile(pack(description)) as archive:
        theirs = spec.load_description(archive, format_version="latest", perform_io_checks=False)
    assert not isinstance(theirs, spec.InvalidDescr), theirs.validation_summary.display()
    version = description["format_version"]
    ours = parse_rdf(description, version)
    for one, other in zip([*ours.inputs, *ours.outputs], [*theirs.inputs, *theirs.outputs], strict=True):
        assert [axis.name for axis in one.axes] == [str(axis.id) for axis in other.axes]
        assert len(one.axes[1].channel_names) == len(other.axes[1].channel_names)
    of_others = [step for step in theirs.inputs[0].preprocessing if step.id != "ensure_dtype"]
    for step, other in zip(ours.inputs[0].preprocessing, of_others, strict=True):
        theirs_of_it = other.kwargs.model_dump(mode="json", exclude_none=True)
        assert (step.id, json_values(kwargs_of(step))) == (other.id, theirs_of_it)


def test_a_description_is_read_as_yaml_too(pack):
    text = """type: model
format_version: 0.5.4
name: cells of others
inputs:
  - id: seen
    axes: [{type: batch}, {type: channel, channel_names: [c]}, {type: space, id: y, size: 32}, {type: space, size: 32}]
    data: {type: float32}
    preprocessing: [{id: scale_range, kwargs: {max_percentile: 99.8, eps: 1e-6}}]
outputs:
  - id: found
    axes:
      - {type: batch}
      - {type: channel, channel_names: [c]}
      - {type: space, id: y, size: {tensor_id: seen, axis_id: y}}
      - {type: space, id: x, size: {tensor_id: seen, axis_id: x}, halo: 4}
weights: {onnx: {source: ./weights.onnx, opset_version: 13}}
"""
    model = load_to_predict(pack(**{"rdf.yaml": text}))
    assert (model.card.normalization.high, model.card.provenance.notes[0]) == (99.8, "cells of others")


def test_workers_load_it_from_its_file(pack, image, tmp_path):
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", image)
    one = Predictor.of(pack())
    for name, how in (("plain", one), ("spread", Spread(one, Untidy()))):
        assert drain(predict_folder(tmp_path / "images", tmp_path / name, how, cut=Cut(40))).written
    spread, plain = (tifffile.imread(tmp_path / name / "a_labels.tif") for name in ("spread", "plain"))
    assert plain.any() and np.array_equal(spread, plain)


def test_its_card_says_what_it_is(pack):
    card = read_card(pack())
    assert card.is_foreign and (card.name, card.patch_size, card.threshold) == ("foreign", TILE, 0.5)
    assert card.provenance.licence == "MIT" and "On cells" in card.provenance.citation
    assert "cut off" not in " ".join(card.provenance.notes)
    assert "cut off" in " ".join(read_card(pack(described(before=[RANGE]))).provenance.notes)


def test_its_card_says_what_else_is_done_to_values(pack):
    linear = {"id": "scale_linear", "kwargs": {"gain": -1.0, "offset": 1.0}}
    card = read_card(pack(described(before=[RANGE, {"id": "clip", "kwargs": {"min": 0, "max": 1}}, linear])))
    assert card.provenance.notes[-1].endswith("cut off below 0 and above 1; then multiplied by -1, plus 1.")
    assert [step.id for step in steps_of(card)] == ["clip", "scale_linear"]


def test_its_areas_are_estimated_and_data_checked_against_it(pack, squares):
    arguments = ["--model", str(pack()), "--images", str(squares / "images"), "--masks", str(squares / "masks")]
    found = CliRunner().invoke(app, ["estimate", *arguments])
    assert found.exit_code == 0 and "penalty" not in found.output, found.output
    found = CliRunner().invoke(app, ["check", *arguments])
    assert found.exit_code in (0, 1) and "finetuned" not in found.output, found.output


def test_it_is_scored_like_a_model(pack, dataset1):
    rows = nuf.evaluate(load_to_predict(pack()), dataset1, device="cpu")
    assert len(rows) == len(dataset1) and all(0 <= row.dice <= 1 for row in rows)


def test_it_is_not_finetuned(pack):
    with pytest.raises(ModelError, match=r"foreign\.zip .*can predict and be compared, but not be finetuned\."):
        load_model(pack())


def test_commands_predict_and_score_with_it_and_refuse_to_finetune_it(pack, squares, tmp_path):
    model, images, masks = str(pack()), str(squares / "images"), str(squares / "masks")

    def run(*arguments):
        return CliRunner().invoke(app, [*arguments, "--model", model, "--images", images])

    found = run("predict", "--out", str(tmp_path / "labels"))
    assert found.exit_code == 0 and len(list((tmp_path / "labels").glob("*.tif"))) == 5, found.output
    assert run("evaluate", "--masks", masks).exit_code == 0
    refused = run("finetune", "--masks", masks, "--out", str(tmp_path / "run"))
    assert refused.exit_code == 1 and "not be finetuned" in " ".join(refused.output.split())


def outputs(**change):
    return {"outputs": [{**described()["outputs"][0], **change}]}


STATE_DICT = {
    "source": "weights.pt",
    "pytorch_version": "2.9",
    "architecture": {"callable": "UNet", "import_from": "a"},
}


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (described(weights={"pytorch_state_dict": STATE_DICT}), "no ONNX weights, but pytorch_state_dict"),
        (
            described(weights={"torchscript": {"source": "weights.pt", "pytorch_version": "2.9"}}),
            "no ONNX weights, but torchscript",
        ),
        (described(inputs=[{**described()["inputs"][0], "axes": axes(z=True)}]), "sees volumes, with an axis z"),
        (
            described(inputs=[{**described()["inputs"][0], "axes": [*axes(), {"type": "time", "size": 3}]}]),
            "sees the axes batch, channel, y, x, time, not batch, channel, y, x",
        ),
        (described(outputs=[*described()["outputs"], {**described()["outputs"][0], "id": "b"}]), "has 2 results"),
        (described(**outputs(axes=[*axes(2)[:2], *described()["outputs"][0]["axes"][2:]])), "result has 2 channels"),
        (
            described(before=[{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 3.0, "std": 2.0}}]),
            "begins with 'fixed_zero_mean_unit_variance'",
        ),
        (described(before=[ZSCORE, RANGE]), "preprocessing 'scale_range'"),
        (described(before=[]), "no preprocessing"),
        (described(after=[RANGE]), "postprocessing 'scale_range'"),
        (described(weights={"onnx": {"source": "../weights.onnx", "opset_version": 13}}), "weights.onnx, is missing"),
        (
            described(weights={"onnx": {"source": "/etc/hostname", "opset_version": 13}}),
            r"not valid|is missing|cannot be read",
        ),
        (described(weights={"onnx": {"source": "other.onnx", "opset_version": 13}}), "other.onnx, is missing"),
        (
            described(weights={"onnx": {"source": "weights.onnx", "opset_version": 13, "sha256": "0" * 64}}),
            "not the file that its description means",
        ),
        (described(size=2**14), "more than"),
        (described(format_version="0.6.0"), r"of format 0\.6\.0; 0\.4 and 0\.5 are known"),
        (described(before=[{"id": "scale_range", "kwargs": {"min_percentile": 99, "max_percentile": 2}}]), "not below"),
        (described(before=[{"id": "scale_range", "kwargs": {"gamma": 2}}]), "not valid .*gamma"),
        (described(before=[{"id": "clip", "kwargs": {"min": "low"}}]), "begins with 'clip'|not valid .*min"),
        (described(inputs=[{**described()["inputs"][0], "axes": "bcyx"}]), r"not valid \(inputs\.0\.axes"),
        (described(inputs={}), "not valid .*inputs"),
        (described(weights={}), "no ONNX weights"),
        (described_of_old(shape=[1, 1, 32]), "its shape does not go with its axes, bcyx"),
        (described_of_old(before=[{"name": "zero_mean_unit_variance", "kwargs": {"axes": "yx"}}]), "with 'fixed"),
        ({"type": "model"}, "of format without a number"),
        ({"type": "dataset", "name": "x"}, "holds a dataset, not a model"),
        ({"name": "x"}, "names no model"),
        (["x"], "cannot be read"),
    ],
)
def test_what_is_not_known_is_refused_by_name(pack, description, reason):
    with pytest.raises(ModelError, match=reason) as refused:
        load_to_predict(pack(description))
    assert str(refused.value).count("\n") == 0 and "foreign.zip" in str(refused.value)


@pytest.mark.parametrize(
    "weights",
    [b"no network", network(operator="Exp"), network(size=TILE // 2), network(channels=2)],
    ids=["no network", "no probabilities", "another size", "other channels"],
)
def test_a_network_that_does_not_do_what_is_said_of_it_is_refused(pack, image, weights):
    with pytest.raises(ModelError, match="network of foreign cannot be used"):
        Predictor.of(pack(described(after=[]), weights)).predict(AnnotatedImage("a", image))


def test_the_file_is_the_one_that_is_meant(pack):
    onnx_file = {"source": "weights.onnx", "opset_version": 13, "sha256": hashlib.sha256(network()).hexdigest()}
    path = pack(described(weights={"onnx": onnx_file}))
    assert load_to_predict(path).identity == onnx_file["sha256"]


@pytest.mark.parametrize(
    "files",
    [
        {"weights.onnx": b"\0" * 2**28},
        {"rdf.yaml": json.dumps(described()) + " " * 2**21},
        {"rdf.yaml": "a: &a [x, x]\nb: &b [*a, *a]\nconfig: [*b, *b]\n"},
        {"rdf.yaml": "a: [\n"},
        {"rdf.yaml": b"\xff\xfe"},
    ],
    ids=["weights", "description", "references", "no YAML", "no text"],
)
def test_a_bomb_is_refused(pack, files):
    with pytest.raises(ModelError, match=r"foreign\.zip"):
        load_to_predict(pack(**files))


def test_its_card_needs_neither_torch_nor_the_library_of_bioimage_io(pack, loaded_by):
    loaded = loaded_by(f"from napari_unet_finetune.models.card import read_card; read_card({str(pack())!r})")
    assert not {"torch", "bioimageio", "onnx", "onnxruntime"} & loaded


def test_python_in_a_package_is_never_run(pack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    description = described(weights={**described()["weights"], "pytorch_state_dict": STATE_DICT})
    load_to_predict(pack(description, **{"a.py": f"open({str(tmp_path / 'run')!r}, 'w')", "weights.pt": b"x"}))
    assert not (tmp_path / "run").exists()
