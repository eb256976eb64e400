"""ONNX and TorchScript: the same results elsewhere, for any number of tiles, and nothing of the user's in them."""

import json
import sys
from zipfile import ZipFile

import numpy as np
import pytest
import torch

import napari_unet_finetune as nuf
from napari_unet_finetune.errors import DataError, ModelError
from napari_unet_finetune.models.attention_unet import fold_standardization
from napari_unet_finetune.models.model import weights_hash

ort = pytest.importorskip("onnxruntime")


def expected(model, tiles):
    with torch.no_grad():
        return torch.sigmoid(fold_standardization(model.build_network())(torch.from_numpy(tiles))).numpy()


def run_onnx(path, tiles):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: tiles})[0]


def run_torchscript(path, tiles):
    with torch.no_grad():
        return torch.jit.load(path)(torch.from_numpy(tiles)).numpy()


def facts_in(path):
    if path.suffix == ".onnx":
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        return json.loads(session.get_modelmeta().custom_metadata_map["napari_unet_finetune"])
    text = {"napari_unet_finetune.json": ""}
    torch.jit.load(path, _extra_files=text)
    return json.loads(text["napari_unet_finetune.json"])


# torch says that TorchScript is deprecated even to whoever reads it.
READERS = [
    (".onnx", run_onnx),
    pytest.param(".pt", run_torchscript, marks=pytest.mark.filterwarnings("ignore:.*torch.jit.*")),
]


@pytest.mark.parametrize(("suffix", "run"), READERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_another_program_finds_the_same_for_any_number_of_tiles(make_model, tmp_path, suffix, run, channels):
    model = make_model(channels)
    nuf.export_model(model, path := tmp_path / f"model{suffix}")
    for count in (1, 2, 5):
        tiles = np.random.default_rng(count).normal(0.3, 0.5, (count, channels, 32, 32)).astype(np.float32)
        ours, theirs = expected(model, tiles), run(path, tiles)
        assert ours.min() < 0.3 and ours.max() > 0.7
        np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.mark.parametrize(("suffix", "run"), READERS)
def test_a_mask_is_what_is_above_the_threshold(small, tmp_path, suffix, run):
    nuf.export_model(small, path := tmp_path / f"mask{suffix}", mask=True)
    tiles = np.random.default_rng(0).normal(0.3, 0.5, (2, 1, 32, 32)).astype(np.float32)
    found, ours = run(path, tiles), expected(small, tiles)
    clear = np.abs(ours - 0.4) > 1e-4
    np.testing.assert_array_equal(found[clear], (ours > 0.4)[clear])
    assert found.dtype == np.float32


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_how_to_use_it_and_whose_it_is_travels_along(small, tmp_path, suffix):
    path, whose = tmp_path / f"x{suffix}", {"authors": "Ada", "license": "CC-BY-4.0", "name": "Blobs"}
    exported, facts = nuf.export_model(small, path, **whose), facts_in(path)
    assert (facts["name"], facts["authors"], facts["license"]) == ("Blobs", ["Ada"], "CC-BY-4.0")
    assert facts["weights_sha256"] == weights_hash(small.weights)
    assert facts["recipe"] == json.loads(json.dumps(exported.to_json()["recipe"]))
    assert [step["id"] for step in facts["recipe"]["before"]] == ["scale_range", "scale_linear", "clip"]
    assert facts["card"]["threshold"] == 0.4 and facts["card"]["knows"][1]["inverted"] == [0]


@pytest.mark.parametrize("suffix", [".onnx", ".torchscript"])
def test_no_folder_of_the_user_is_named(small, tmp_path, suffix):
    nuf.export_model(small, path := tmp_path / f"x{suffix}")
    content = [path.read_bytes()]
    if suffix == ".torchscript":
        with ZipFile(path) as archive:
            content += [archive.read(name) for name in archive.namelist()]
    folder = str(nuf.__file__).removesuffix("__init__.py").encode()
    assert all(folder not in part and b"site-packages" not in part for part in content)


def test_nothing_is_ever_overwritten(small, tmp_path):
    taken = tmp_path / "model.onnx"
    taken.write_text("mine")
    with pytest.raises(DataError, match="exists already"):
        nuf.export_model(small, taken)
    assert taken.read_text() == "mine" and list(tmp_path.iterdir()) == [taken]


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("model.tif", {}, "must end in .zip or .onnx or .pt or .torchscript"),
        ("model.pt", {"format": "onnx"}, "must end in .onnx"),
        ("model.onnx", {"dataset": 3}, "no dataset 3"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence_and_leaves_nothing(small, tmp_path, name, settings, words):
    with pytest.raises((DataError, ModelError), match=words):
        nuf.export_model(small, tmp_path / name, **settings)
    assert not list(tmp_path.iterdir())


def test_without_the_extra_a_sentence_says_how_to_get_it(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match=r'ONNX needs the package onnx.*pip install "napari-unet-finetune\[share\]"'):
        nuf.export_model(small, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
    nuf.export_model(small, tmp_path / "x.pt")


def test_a_network_that_no_onnx_file_holds_is_refused(small, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet_finetune.share.network._MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="an ONNX file at most 2"):
        nuf.export_model(small, tmp_path / "x.onnx")


def test_the_shipped_model_finds_cells_elsewhere_too(tmp_path, applied):
    model, image = nuf.load_model("microtube"), nuf.make_microtube(1, 1, shape=(128, 128))[0]
    exported = nuf.export_model(model, tmp_path / "microtube.onnx")
    tile = applied(exported.recipe.to_json()["before"], image.image[np.newaxis])[np.newaxis].astype(np.float32)
    found = run_onnx(exported.out, tile)[0, 0]
    dice = 2 * ((found > 0.5) & image.target).sum() / ((found > 0.5).sum() + image.target.sum())
    assert dice > 0.9
