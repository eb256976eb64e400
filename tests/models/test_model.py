import dataclasses
import re
import signal

import imageio.v3 as iio
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models.attention_unet import AttentionUNet
from napari_unet_finetune.models.card import ModelCard
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model, encode, weights_hash


@pytest.fixture(scope="module")
def saved(small_model, tmp_path_factory):
    """Bytes of a model file, and a path to write changed ones to."""
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    small_model.save(path)
    return path.read_bytes(), path


def _header_bytes(data):
    return 8 + int.from_bytes(data[:8], "little")


def _same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- round trip -------------------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_as_it_was(small_model, tmp_path):
    small_model.save(tmp_path / "smallest.safetensors")
    loaded = load_model(tmp_path / "smallest.safetensors")
    assert loaded.card == small_model.card
    assert _same_weights(loaded.weights, small_model.weights)
    for field in ("images", "low", "high", "targets", "held_out"):
        np.testing.assert_array_equal(getattr(loaded.rehearsal, field), getattr(small_model.rehearsal, field))


def test_a_model_without_rehearsal_patches_comes_back_without(small_model, tmp_path):
    dataclasses.replace(small_model, rehearsal=None).save(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").rehearsal is None


def test_half_precision_takes_half_the_space_and_is_read_as_float32(small_model, tmp_path):
    lean = dataclasses.replace(small_model, rehearsal=None)
    lean.save(tmp_path / "full.safetensors")
    lean.save(tmp_path / "half.safetensors", half=True)
    saved_bytes = [(tmp_path / f"{kind}.safetensors").stat().st_size for kind in ("full", "half")]
    assert saved_bytes[1] < 0.6 * saved_bytes[0]
    for name, tensor in load_model(tmp_path / "half.safetensors").weights.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, lean.weights[name], rtol=1e-3, atol=1e-6)


def test_weights_too_large_for_half_precision_are_refused(small_model, tmp_path):
    weights = {**small_model.weights, "final.bias": torch.tensor([1e6])}
    with pytest.raises(ModelError, match="full precision"):
        dataclasses.replace(small_model, weights=weights).save(tmp_path / "m.safetensors", half=True)
    assert not any(tmp_path.iterdir())


def test_any_safetensors_reader_finds_the_weights_by_name(small_model, saved):
    data, _ = saved
    tensors = safetensors.torch.load(data)
    assert all(torch.equal(tensors[name], weight) for name, weight in small_model.weights.items())


def test_the_same_model_has_the_same_sha256_and_another_has_not(small_model, tmp_path):
    first, second = (small_model.save(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    other = small_model.with_card(threshold=0.4).save(tmp_path / "c.safetensors")
    assert first == second != other
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert first.encode() in (tmp_path / "a.safetensors").read_bytes()


# --- the value --------------------------------------------------------------------------------------------------


def test_a_model_is_a_snapshot_of_a_network_in_training():
    network = AttentionUNet(ModelConfig(width=16, levels=2))
    model = Model(network.state_dict(), ModelCard(shape=network.config))
    before = weights_hash(model.weights)
    with torch.no_grad():
        network.final.bias.add_(1)
        model.build_network().final.bias.add_(1)
    assert weights_hash(model.weights) == before


def test_the_built_network_is_ready_to_predict_and_to_train(small_model):
    network = small_model.build_network()
    assert not network.training
    assert network.config == small_model.card.shape
    assert _same_weights(network.state_dict(), small_model.weights)
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in network.parameters())


def test_building_a_network_draws_no_random_number(small_model):
    before = torch.get_rng_state()
    small_model.build_network()
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_hash_sees_values_names_and_shapes_but_not_order():
    weights = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    same = weights_hash(weights)
    assert weights_hash(dict(reversed(weights.items()))) == same
    assert weights_hash({**weights, "b": torch.tensor([1.0, 1.0001])}) != same
    assert weights_hash({**weights, "a": weights["a"].reshape(3, 2)}) != same
    assert weights_hash({"a": weights["a"], "c": weights["b"]}) != same


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": {"final.bias": torch.tensor([float("inf")])}}, "'final.bias' holds NaN or infinity"),
        ({"weights": {"final.bias": torch.ones(2)}}, r"'final.bias' is \(2,\) but the network needs \(1,\)"),
        ({"weights": {"head": torch.ones(2)}}, "'head' does not belong"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"patch_size": 33}, "multiple of 2"),
        ({"patch_size": 0}, "multiple of 2"),
    ],
)
def test_what_does_not_fit_together_is_refused(small_model, change, message):
    weights = small_model.weights | change.pop("weights", {})
    with pytest.raises(ModelError, match=f"smallest: .*{message}"):
        dataclasses.replace(small_model.with_card(**change), weights=weights)


def test_adapting_the_channels_adapts_the_rehearsal_patches_too(small_model):
    gray = small_model.with_in_channels(1)
    assert gray.card.shape == small_model.card.shape.model_copy(update={"in_channels": 1})
    assert gray.rehearsal.in_channels == 1
    assert gray.build_network()(torch.rand(1, 1, 16, 16)).shape == (1, 1, 16, 16)
    assert small_model.with_in_channels(2) is small_model


def test_rehearsal_patches_of_other_channels_are_refused(small_model):
    with pytest.raises(ModelError, match="rehearsal patches have 1 channels but the network sees 2"):
        dataclasses.replace(small_model, rehearsal=small_model.rehearsal.with_channels(1))


# --- damage -----------------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(share=st.floats(0, 1, exclude_max=True), in_header=st.booleans(), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_found(saved, share, in_header, bit):
    data, path = saved
    position = int(share * (_header_bytes(data) if in_header else len(data)))
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    path.write_bytes(changed)
    with pytest.raises(ModelError):
        load_model(path)


def test_a_changed_checksum_is_found(saved):
    data, path = saved
    digest = re.search(rb'payload_sha256\\":\\"([0-9a-f]{64})', data)
    for position in range(digest.start(1), digest.end(1)):
        changed = bytearray(data)
        changed[position] = ord("0") if changed[position] != ord("0") else ord("1")
        path.write_bytes(changed)
        with pytest.raises(ModelError, match="damaged"):
            load_model(path)


@settings(max_examples=50)
@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_found(saved, share):
    data, path = saved
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError):
        load_model(path)


def test_bytes_after_the_end_are_found(saved):
    data, path = saved
    path.write_bytes(data + b"\0")
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


# --- wrong files ------------------------------------------------------------------------------------------------


def _as_text(path):
    path.write_text("Nothing but words ü", encoding="utf-8")


def _as_png(path):
    iio.imwrite(path, np.zeros((8, 8), np.uint8), extension=".png")


def _as_tiff(path):
    iio.imwrite(path, np.zeros((8, 8), np.uint8), extension=".tif")


def _as_foreign(path):
    safetensors.torch.save_file({"encoder": torch.ones(3)}, path, metadata={"format": "pt"})


def _as_huge_header(path):
    path.write_bytes((2**31).to_bytes(8, "little") + b"{" + bytes(100))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda _: None, "does not exist"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_bytes(bytes(range(128, 256))), "is not a model"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00"), "is a NumPy array"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)), "damaged model file or no PyTorch file"),
        (_as_text, "is a text file"),
        (_as_png, "is an image"),
        (_as_tiff, "is an image"),
        (_as_foreign, "safetensors file of another program"),
        (_as_huge_header, "header of 2147483648 bytes"),
    ],
)
def test_a_wrong_file_is_answered_with_what_it_is(tmp_path, write, message):
    path = tmp_path / "model.safetensors"
    write(path)
    with pytest.raises(ModelError, match=f"{re.escape(str(path))} .*{message}"):
        load_model(path)


def _write(path, weights, **changes):
    """Write a file with a correct checksum over a changed description."""
    description = {
        "format_version": 1,
        "written_by": "0.1.0",
        "architecture": "attention-unet",
        "layer_naming": "paulow-1",
        "model": {"width": 16, "levels": 2, "in_channels": 2},
        "normalization": {},
        "channels": {},
        "patch_size": 64,
        "threshold": 0.5,
        "provenance": {},
    } | changes
    path.write_bytes(encode(weights, description)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 3, "written_by": "9.1.0"}, "written by version 9.1.0 .*Update napari-unet-finetune"),
        ({"format_version": None}, "damaged"),
        ({"architecture": "vision-transformer"}, "vision-transformer"),
        ({"layer_naming": "other"}, "layer_naming 'other'"),
        ({"model": {"width": 10**9}}, r"its description is not valid \(shape\.width"),
        ({"surprise": 1}, r"its description is not valid \(surprise"),
        ({"threshold": 2}, "threshold is 2"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(tmp_path, small_model, changes, message):
    path = tmp_path / "m.safetensors"
    _write(path, small_model.weights, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"final.bias": torch.tensor([float("nan")])}, r"'final\.bias' holds NaN"),
        ({"rehearsal/shape": torch.ones(4, dtype=torch.int64)}, "rehearsal patches are not valid"),
        ({"extra": torch.ones(1)}, "'extra' does not belong"),
    ],
)
def test_tensors_that_cannot_be_used_are_refused(tmp_path, small_model, tensors, message):
    path = tmp_path / "m.safetensors"
    _write(path, {**small_model.weights, **tensors})
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_more_tensors_than_a_model_can_have_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    many = {str(i): torch.zeros(1) for i in range(5001)}
    safetensors.torch.save_file(many, path, metadata={"napari_unet_finetune": '{"format_version": 1}'})
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


# --- saving where it cannot be done -----------------------------------------------------------------------------


def test_a_full_disk_keeps_the_model_that_was_there(small_model, tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "model.safetensors"
    small_model.save(path)
    before = path.read_bytes()
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ModelError, match=r"model\.safetensors cannot be written"):
            small_model.with_card(threshold=0.9).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_an_error(small_model, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "model.safetensors", tmp_path, "."):
        with pytest.raises(ModelError, match="cannot be written"):
            small_model.save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
