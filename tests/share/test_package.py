"""A package of BioImage.IO: right for its own validator, tested by its own example, complete, and nothing more."""

import gc
import io
import json
import socket
import sys
import warnings
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

import napari_unet_finetune as nuf
from napari_unet_finetune.config import ChannelRule, Normalization
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models.model import weights_hash
from napari_unet_finetune.models.provenance import Provenance, TrainingImage
from napari_unet_finetune.models.rehearsal_patches import RehearsalPatches
from napari_unet_finetune.share.package import package_name

ort, spec = pytest.importorskip("onnxruntime"), pytest.importorskip("bioimageio.spec")
# What deepImageJ can do before and after a network.
KNOWN = {"binarize", "clip", "scale_linear", "scale_range", "sigmoid", "zero_mean_unit_variance"}
ABOUT = Provenance(
    parent="nuclei-fluorescence",
    parent_sha256="0" * 64,
    images=tuple(TrainingImage(name=name, sha256=name * 64) for name in "abc"),
    held_out=("c",),
    scores={"val_dice": 0.871, "raw_val_dice": 0.285, "old_dice_before": 0.9, "old_dice_after": 0.89},
    licence="MIT, data CC0-1.0",
    base_license="BSD-3-Clause",
    base_citation="Caicedo JC et al., Nature Methods 16 (2019), doi:10.1038/s41592-019-0612-7.",
)
INVERTED = Appearance(inverted=(0,))
CURVES = tuple(tuple((np.linspace(0, 1, 8) ** power).tolist()) for power in (0.5, 2))


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Fail whatever asks the network."""

    def refuse(*_arguments, **_options):
        raise AssertionError("the network was asked")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture(scope="module")
def model(make_model):
    rng = np.random.default_rng(0)
    patches = rng.normal(0, 1, (3, 1, 32, 32)).astype(np.float32)
    rehearsal = RehearsalPatches.from_normalized(patches, patches[:, 0] > 0, np.zeros(3, bool))
    return replace(make_model(knows=(Appearance(), INVERTED), provenance=ABOUT), rehearsal=rehearsal)


@pytest.fixture(scope="module")
def package(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("package") / "lilac.zip"
    nuf.export_model(model, path, name="Nuclei on lilac", authors="Ada, Bob", torchscript=True)
    return path


opened = []


@pytest.fixture(autouse=True, scope="module")
def close_files():
    """Close what `bioimageio.spec` leaves open when it reads."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        opened.clear()
        gc.collect()


def described(package):
    """Return the description in a package, which the validator has found right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        opened.append(spec.load_description(package))
        gc.collect()
    assert opened[-1].validation_summary.status in ("passed", "valid-format"), opened[-1].validation_summary
    return opened[-1]


def content(package):
    with ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def steps_of(described_steps):
    """Return steps as JSON values, without those that the format itself puts around them."""
    steps = [step.model_dump(mode="json", exclude_unset=True) for step in described_steps]
    return [{"kwargs": {}, **step} for step in steps if step["id"] != "ensure_dtype"]


def run(package, applied):
    """Return test output and what onnxruntime makes of the test input, with the steps as the format describes them."""
    files, found = content(package), described(package)
    session = ort.InferenceSession(files["weights.onnx"], providers=["CPUExecutionProvider"])
    (given,), (wanted,) = found.inputs, found.outputs
    before, after = steps_of(given.preprocessing), steps_of(wanted.postprocessing)
    test_input, test_output = (np.load(io.BytesIO(files[f"test_{kind}.npy"])) for kind in ("input", "output"))
    tiles = applied(before, test_input[0])[np.newaxis].astype(np.float32)
    logits = session.run(None, {given.id: tiles})[0]
    return test_output, applied(after, logits[0])[np.newaxis]


def test_the_validator_of_the_format_finds_it_right_without_asking_the_network(package):
    found = described(package)
    assert (found.name, [author.name for author in found.authors]) == ("Nuclei on lilac", ["Ada", "Bob"])
    assert found.license == "MIT", "its own, not that of its base"
    assert [str(entry.doi) for entry in found.cite] == ["10.1038/s41592-019-0612-7", "10.48550/arXiv.1804.03999"]
    assert "finetuned from nuclei-fluorescence with 3 annotated images" in found.description
    assert "2 images (a, b); 1 held out (c)" in found.training_data.description


def test_tiles_have_the_size_of_a_patch_and_a_halo(package):
    found = described(package)
    assert [axis.size for axis in found.inputs[0].axes if axis.type == "space"] == [32, 32]
    assert [axis.halo for axis in found.outputs[0].axes if axis.type == "space"] == [8, 8]
    assert found.inputs[0].axes[0].size is None, "any number of tiles"


def test_its_steps_are_those_that_other_programs_know(package):
    found = described(package)
    before, after = steps_of(found.inputs[0].preprocessing), steps_of(found.outputs[0].postprocessing)
    assert [step["id"] for step in before] == ["scale_range", "scale_linear", "clip"]
    assert [step["id"] for step in after] == ["sigmoid"]
    assert before[1]["kwargs"] == {"gain": -1, "offset": 1}, "the newest dataset has dark and bright exchanged"


def test_it_holds_the_network_in_two_forms_and_no_python(package):
    files, found = content(package), described(package)
    assert found.weights.onnx is not None and found.weights.torchscript is not None
    assert found.weights.pytorch_state_dict is None and not any(name.endswith(".py") for name in files)


@pytest.mark.parametrize(
    ("channels", "card", "settings"),
    [
        (1, {}, {}),
        (1, {"knows": (INVERTED,)}, {"mask": True}),
        (2, {"knows": (Appearance(inverted=(0,), curves=CURVES),)}, {"torchscript": True}),
        (1, {"normalization": Normalization(method="zscore"), "knows": (INVERTED,)}, {}),
        (1, {"normalization": Normalization(method="none"), "threshold": 0.62}, {"mask": True}),
        (3, {"knows": (Appearance(inverted=(1,)),)}, {}),
        (3, {"knows": (Appearance(inverted=(0, 1, 2)),), "normalization": Normalization(low=1, high=98)}, {}),
        (2, {"knows": (INVERTED,), "normalization": Normalization(per_channel=True)}, {"mask": True}),
        (1, {"patch_size": 64, "channels": ChannelRule(method="channel", name="DAPI")}, {"torchscript": True}),
    ],
)
def test_its_example_comes_out_as_it_says_whatever_the_model(make_model, applied, tmp_path, channels, card, settings):
    nuf.export_model(make_model(channels, **card), path := tmp_path / "p.zip", **settings)
    wanted, found = run(path, applied)
    assert wanted.shape == found.shape and wanted.max() > 0.5 and wanted.std() > 0.05
    if settings.get("mask"):
        assert set(np.unique(wanted)) == {0, 1} and np.mean(wanted != found) < 1e-3
    else:
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    both = (*described(path).inputs[0].preprocessing, *described(path).outputs[0].postprocessing)
    assert {step["id"] for step in steps_of(both)} <= KNOWN


@pytest.mark.parametrize("mask", [False, True])
def test_a_model_that_sees_nothing_in_generated_images_has_a_right_package_too(make_model, tmp_path, mask):
    model = make_model()
    blind = {**model.weights, "final.bias": model.weights["final.bias"] - 1000}
    nuf.export_model(replace(model, weights=blind), path := tmp_path / "blind.zip", mask=mask)
    assert described(path).outputs[0].test_tensor is None and "test_output.npy" not in content(path)


def test_all_that_is_known_of_it_travels_along(package, model):
    facts = described(package).config.model_dump(mode="json")["napari_unet_finetune"]
    assert facts["weights_sha256"] == weights_hash(model.weights)
    card = facts["card"]
    assert card["provenance"]["scores"]["val_dice"] == 0.871 and card["threshold"] == 0.4
    assert card["provenance"]["parent"] == "nuclei-fluorescence"
    assert facts["recipe"]["tile"] == 32 and facts["recipe"]["remarks"]


def test_its_page_says_how_to_use_it_how_good_it_was_and_whose_it_is(package):
    page = content(package)["README.md"].decode()
    for words in (
        "# Nuclei on lilac", "## Validation", "0.871 on 1 held-out image", "0.285 by its parent on the same images",
        "The model knows 2 datasets", "0.299 red", "32 × 32 px", "8 px on each side", "above 0.4 it is one",
        "Ada, Bob", "MIT, data CC0-1.0; base model: BSD-3-Clause", "Caicedo", "carries", "3 patches",
    ):  # fmt: skip
        assert words in page, words


def test_its_cover_is_small_and_twice_as_wide_as_high(package):
    cover = Image.open(io.BytesIO(content(package)["cover.png"]))
    assert cover.width == 2 * cover.height >= 512 and len(content(package)["cover.png"]) < 500_000


def test_the_model_in_it_is_the_model(package, model):
    again = nuf.load_model(package)
    assert weights_hash(again.weights) == weights_hash(model.weights)
    named = again.card.model_copy(update={"provenance": again.card.provenance.model_copy(update={"name": ""})})
    assert named == model.card and len(again.rehearsal) == 3


def test_patches_of_training_images_can_be_left_out(model, tmp_path):
    kept = nuf.export_model(model, tmp_path / "with.zip")
    assert kept.patches == 3 and any("patches of training images" in sentence for sentence in kept.sentences)
    left_out = nuf.export_model(model, tmp_path / "without.zip", patches=False)
    assert left_out.patches == 0 and not any("patches of training" in sentence for sentence in left_out.sentences)
    assert nuf.load_model(tmp_path / "without.zip").rehearsal is None
    assert "carries" not in content(tmp_path / "without.zip")["README.md"].decode()


def test_no_folder_of_whoever_made_it_is_named(package, tmp_path_factory):
    for name, part in content(package).items():
        assert str(tmp_path_factory.getbasetemp()).encode() not in part and b"/tmp" not in part, name


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"license": "mine"}, "'mine' is no SPDX license identifier"), ({"name": "näme"}, "")],
)
def test_what_the_format_does_not_take_is_said_or_made_to_fit(model, tmp_path, settings, words):
    if words:
        with pytest.raises(ModelError, match=words):
            nuf.export_model(model, tmp_path / "x.zip", **settings)
        assert not list(tmp_path.iterdir())
    else:
        nuf.export_model(model, tmp_path / "x.zip", **settings)
        assert described(tmp_path / "x.zip").name == "Attention U-Net n me"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("5 images, 21 Nov 09:41", "5 images 21 Nov 09 41"),
        ("", "Attention U-Net"),
        ("ab", "Attention U-Net ab"),
        ("x" * 200, "x" * 64),
        ("nuclei-fluorescence", "nuclei-fluorescence"),
    ],
)
def test_names_are_made_to_fit(name, wanted):
    assert package_name(name) == wanted


def test_torchscript_beside_onnx_is_for_packages_only(model, tmp_path):
    with pytest.raises(nuf.DataError, match=r"only a package.*holds TorchScript"):
        nuf.export_model(model, tmp_path / "x.onnx", torchscript=True)


def test_without_the_extra_a_sentence_says_how_to_get_it(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioimageio.spec", None)
    with pytest.raises(
        ModelError, match=r'BioImage.IO needs the package bioimageio.spec.*"napari-unet-finetune\[share\]"'
    ):
        nuf.export_model(model, tmp_path / "x.zip")
    assert not list(tmp_path.iterdir())


def test_the_result_is_json(model, tmp_path):
    exported = nuf.export_model(model, tmp_path / "x.zip")
    values = json.loads(json.dumps(exported.to_json()))
    assert (values["format"], values["patches"], values["recipe"]["inverted"]) == ("bioimageio", 3, [0])
