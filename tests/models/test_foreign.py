"""The network in a package of another program predicts as its description says, or is refused by what is not known."""

import hashlib
import json
import zipfile

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_unet_finetune as nuf
from napari_unet_finetune.cli import app
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.folder import predict_folder
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.inference.spread import Spread
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model, load_to_predict

from ..engines import Untidy

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("bioimageio.spec")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # bioimageio.spec leaves files open

TILE = 32
SIGMOID, ZSCORE = {"id": "sigmoid"}, {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}}
RANGE = {
    "id": "scale_range",
    "kwargs": {"axes": ["channel", "y", "x"], "min_percentile": 1.0, "max_percentile": 99.0},
}


def network(*, operator="Identity", channels=1, results=1, size="side"):
    """Return an ONNX file that gives what it sees, or what `operator` makes of it."""
    of = onnx.TensorProto.FLOAT
    shape = ["batch", channels, size, size]
    nodes = [onnx.helper.make_node("ReduceMean", ["seen"], ["gray"], axes=[1], keepdims=1)]
    nodes.append(onnx.helper.make_node(operator, ["gray"], ["found"]))
    graph = onnx.helper.make_graph(
        nodes,
        "cells",
        [onnx.helper.make_tensor_value_info("seen", of, shape)],
        [onnx.helper.make_tensor_value_info("found", of, ["batch", results, size, size])],
    )
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8
    ).SerializeToString()


def axes(channels=1, size=None, z=False):
    space = [{"type": "space", "id": name, "size": size or TILE} for name in (["z"] if z else []) + ["y", "x"]]
    return [{"type": "batch"}, {"type": "channel", "channel_names": [f"c{n}" for n in range(channels)]}, *space]


def described(*, before=(ZSCORE,), after=(SIGMOID,), channels=1, size=None, **changes):
    """Return a description of a package, with `changes` of its parts."""
    result = [{"type": "space", "id": name, "size": {"tensor_id": "seen", "axis_id": name}} for name in "yx"]
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": "cells of others",
        "description": "finds cells",
        "authors": [{"name": "Ada"}],
        "cite": [{"text": "Ada, On cells", "doi": "10.1234/cells"}],
        "license": "MIT",
        "inputs": [
            {
                "id": "seen",
                "axes": axes(channels, size),
                "data": {"type": "float32"},
                "test_tensor": {"source": "test.npy"},
                "preprocessing": list(before),
            }
        ],
        "outputs": [
            {
                "id": "found",
                "axes": [*axes()[:2], *result],
                "data": {"type": "float32"},
                "test_tensor": {"source": "test.npy"},
                "postprocessing": list(after),
            }
        ],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": 13}},
        **changes,
    }


@pytest.fixture
def pack(tmp_path):
    """Return a function that writes a package and returns its path."""

    def write(description=None, weights=None, **files):
        path = tmp_path / "foreign.zip"
        contents = {"rdf.yaml": json.dumps(description or described()), "weights.onnx": weights or network(), **files}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                if content is not None:
                    archive.writestr(name, content)
        return path

    return write


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


def test_workers_load_it_from_its_file(pack, image, tmp_path):
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "a.npy", image)
    one = Predictor.of(pack())
    for name, how in (("plain", one), ("spread", Spread(one, Untidy()))):
        assert drain(predict_folder(tmp_path / "images", tmp_path / name, how, chunk=40)).written
    spread, plain = (tifffile.imread(tmp_path / name / "a_labels.tif") for name in ("spread", "plain"))
    assert plain.any() and np.array_equal(spread, plain)


def test_its_card_says_what_it_is(pack):
    card = read_card(pack())
    assert card.is_foreign and (card.name, card.patch_size, card.threshold) == ("foreign", TILE, 0.5)
    assert card.provenance.licence == "MIT" and "On cells" in card.provenance.citation
    assert "cut off" not in " ".join(card.provenance.notes)
    assert "cut off" in " ".join(read_card(pack(described(before=[RANGE]))).provenance.notes)


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
        (described(inputs=[{**described()["inputs"][0], "axes": axes(z=True)}]), "sees the axes batch, channel, z, y"),
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
        ({"type": "model"}, "not valid|cannot be read"),
        ({"type": "dataset", "name": "x"}, "not valid|cannot be read|not a model"),
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


def test_python_in_a_package_is_never_run(pack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    description = described(weights={**described()["weights"], "pytorch_state_dict": STATE_DICT})
    load_to_predict(pack(description, **{"a.py": f"open({str(tmp_path / 'run')!r}, 'w')", "weights.pt": b"x"}))
    assert not (tmp_path / "run").exists()
