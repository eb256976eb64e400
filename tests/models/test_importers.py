import math
from pathlib import Path

import pytest
import torch

from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models.load import load_model


class _Dangerous:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return Path.touch, (Path(self.marker),)


def _save(tmp_path, content, **options):
    path = tmp_path / "paulow.pth"
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("in_channels", [1, 3])
def test_a_paulow_file_gives_the_logits_of_the_reference_layout(
    tmp_path, random_paulow_state, paulow_logits, in_channels
):
    state = random_paulow_state(16, in_channels)
    model = load_model(_save(tmp_path, state))
    x = torch.rand(1, in_channels, 24, 32, dtype=torch.float64)
    with torch.no_grad():
        logits = model.build_network().double()(x)
    torch.testing.assert_close(logits, paulow_logits(state, x), rtol=1e-9, atol=1e-9)


def test_shape_and_settings_are_those_of_paulow(tmp_path, random_paulow_state):
    model = load_model(_save(tmp_path, random_paulow_state(32, 3)))
    assert model.card.shape == ModelConfig(width=32, levels=4, in_channels=3)
    assert model.card.normalization.method == "none"
    assert math.log(model.card.threshold / (1 - model.card.threshold)) == pytest.approx(0.5)
    assert model.card.patch_size == 128
    assert model.card.provenance.name == "paulow"
    assert "PAULow" in model.card.provenance.notes[0]


def _wrapped(state):
    return {"epoch": 3, "model_state_dict": state}


def _from_data_parallel(state):
    return {f"module.{name}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [_wrapped, _from_data_parallel, lambda state: {"state_dict": _from_data_parallel(state)}],
    ids=["in a dict", "with a prefix", "both"],
)
def test_wrapped_state_dicts_are_understood(tmp_path, random_paulow_state, wrap):
    state = random_paulow_state(16, 1)
    loaded = load_model(_save(tmp_path, wrap(state))).weights
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_the_old_file_format_of_torch_and_double_precision_are_read(tmp_path, random_paulow_state):
    state = {name: tensor.double() for name, tensor in random_paulow_state(16, 1).items()}
    path = _save(tmp_path, state, _use_new_zipfile_serialization=False)
    assert load_model(path).weights["final.bias"].dtype == torch.float32


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "ran"
    path = _save(tmp_path, {"conv1.conv1.weight": _Dangerous(marker)})
    with pytest.raises(ModelError, match="more than tensors"):
        load_model(path)
    assert not marker.exists()


def test_a_missing_layer_is_named(tmp_path, random_paulow_state):
    state = random_paulow_state(16, 1)
    del state["att2.psi.1.bias"]
    with pytest.raises(ModelError, match=r"paulow\.pth: layer 'att2\.psi\.1\.bias' is missing"):
        load_model(_save(tmp_path, state))


def test_an_unexpected_layer_is_named(tmp_path, random_paulow_state):
    state = random_paulow_state(16, 1) | {"conv1.gain": torch.ones(1)}
    with pytest.raises(ModelError, match=r"layer 'conv1\.gain' does not belong"):
        load_model(_save(tmp_path, state))


def test_a_layer_of_another_shape_is_named(tmp_path, random_paulow_state):
    state = random_paulow_state(16, 1) | {"final.weight": torch.ones(2, 16, 1, 1)}
    with pytest.raises(ModelError, match=r"'final\.weight' is \(2, 16, 1, 1\) but the network needs \(1, 16"):
        load_model(_save(tmp_path, state))


def test_nan_is_refused(tmp_path, random_paulow_state):
    state = random_paulow_state(16, 1)
    state["up2.bias"][0] = float("nan")
    with pytest.raises(ModelError, match=r"'up2\.bias' holds NaN"):
        load_model(_save(tmp_path, state))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"encoder.weight": torch.ones(3)}, "not PAULow's Attention U-Net"),
        ({"conv1.conv1.weight": torch.ones(3)}, "not PAULow's Attention U-Net"),
        ({"conv1.conv1.weight": torch.ones(24, 1, 3, 3)}, "width 24"),
        ({"conv1.conv1.weight": torch.ones(16, 1, 3, 3).long()}, "not a tensor of weights"),
        ({"conv1.conv1.weight": 3}, "not a tensor of weights"),
        (torch.ones(3), "holds a Tensor"),
        ([torch.ones(3)], "holds a list"),
        ({}, "holds a dict"),
    ],
)
def test_other_contents_are_refused_in_one_sentence(tmp_path, content, message):
    with pytest.raises(ModelError, match=message):
        load_model(_save(tmp_path, content))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_changed_byte_in_a_pth_is_found(tmp_path, random_paulow_state, share):
    path = _save(tmp_path, random_paulow_state(16, 1))
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_a_truncated_pth_is_refused(tmp_path, random_paulow_state, kept):
    path = _save(tmp_path, random_paulow_state(16, 1))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(ModelError, match="damaged"):
        load_model(path)
