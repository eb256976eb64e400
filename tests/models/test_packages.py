"""A package of BioImage.IO that carries a model file of ours is that model, wherever a model is taken."""

import zipfile

import pytest

from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import weights_hash
from napari_unet_finetune.models.parents import find_parent

LOADERS = pytest.mark.parametrize("load", [read_card, load_model], ids=["card", "model"])


def pack(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def model_file(tmp_path, small_model):
    small_model.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def package(tmp_path, model_file):
    files = {"rdf.yaml": "type: model", "weights.onnx": b"\0" * 1000, "model.safetensors": model_file.read_bytes()}
    return pack(tmp_path / "cells.zip", files)


def test_the_model_in_a_package_is_the_same(package, model_file, small_model):
    found, card = load_model(package), read_card(package)
    assert weights_hash(found.weights) == weights_hash(small_model.weights)
    assert found.card == card.plain == load_model(model_file).card.model_copy(update={"provenance": card.provenance})
    assert (card.name, card.path, card.size_bytes) == ("cells", package, package.stat().st_size)
    assert dict(found.rehearsal.packed).keys() == dict(small_model.rehearsal.packed).keys()


def test_it_may_be_renamed_stored_or_described_in_the_newer_file(tmp_path, model_file):
    files = {"bioimageio.yaml": "type: model", "mine.safetensors": model_file.read_bytes()}
    stored = pack(tmp_path / "no suffix", files, zipfile.ZIP_STORED)
    assert weights_hash(load_model(stored).weights) == weights_hash(load_model(model_file).weights)


def test_a_parent_is_found_in_a_package(tmp_path, package, small_model):
    about = small_model.card.provenance.model_copy(update={"parent_sha256": weights_hash(small_model.weights)})
    changed = {name: tensor + 1 for name, tensor in small_model.weights.items()}
    type(small_model)(changed, small_model.card.model_copy(update={"provenance": about})).save(
        tmp_path / "new.safetensors"
    )
    assert find_parent(read_card(tmp_path / "new.safetensors"), [package]) == package


@LOADERS
def test_a_package_of_another_program_is_named_so(tmp_path, load):
    foreign = pack(tmp_path / "foreign.zip", {"rdf.yaml": "type: model", "weights.pt": b"x", "unet.py": "boom()"})
    with pytest.raises(ModelError, match="ackage of another program"):
        load(foreign)


@LOADERS
def test_two_model_files_leave_it_open_which_is_meant(tmp_path, model_file, load):
    files = {"rdf.yaml": "", "a.safetensors": model_file.read_bytes(), "b.safetensors": model_file.read_bytes()}
    with pytest.raises(ModelError, match=r"holds several models \(a.safetensors, b.safetensors\)"):
        load(pack(tmp_path / "two.zip", files))


@LOADERS
def test_a_file_that_unpacks_to_far_more_than_a_model_is_refused_unread(tmp_path, load):
    bomb = pack(tmp_path / "bomb.zip", {"rdf.yaml": "", "model.safetensors": b"\0" * (1 << 28)})
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="damaged package"):
        load(bomb)


def outcome_of(package):
    """Return what a model says of its threshold, or the sentence that refuses it."""
    try:
        return str(load_model(package).card.threshold)
    except ModelError as error:
        return str(error)


def test_whatever_is_damaged_is_a_sentence_and_never_another_model(package, small_model):
    whole, threshold = package.read_bytes(), str(small_model.card.threshold)
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        for damaged in (whole[:place], whole[:place] + b"\xff" * 8 + whole[place + 8 :]):
            package.write_bytes(damaged)
            outcome = outcome_of(package)  # the same model where what was hit is not part of it
            assert outcome == threshold or (str(package) in outcome and len(outcome.splitlines()) == 1)


def test_the_checksum_of_the_model_holds_in_a_package_too(tmp_path, model_file):
    content = bytearray(model_file.read_bytes())
    content[-1] ^= 1
    with pytest.raises(ModelError, match="does not match its checksum"):
        load_model(pack(tmp_path / "changed.zip", {"rdf.yaml": "", "model.safetensors": bytes(content)}))


def test_neither_torch_nor_a_library_for_packages_is_needed_for_a_card(package, loaded_by):
    loaded = loaded_by(f"from napari_unet_finetune.models.card import read_card; read_card({str(package)!r})")
    assert not {"torch", "yaml", "bioimageio", "onnx"} & loaded


def test_a_zip_without_a_description_is_no_package(tmp_path, model_file):
    plain = pack(tmp_path / "plain.zip", {"model.safetensors": model_file.read_bytes()})
    with pytest.raises(ModelError, match="no PyTorch file"):
        load_model(plain)


def test_what_goes_wrong_with_a_model_that_was_read_is_no_damaged_package(package):
    from napari_unet_finetune.models.packages import open_model

    with pytest.raises(RuntimeError, match="no memory"), open_model(package):
        raise RuntimeError("no memory")
