import re

import pytest
import torch

from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.errors import ModelError
from napari_unet_finetune.models.attention_unet import AttentionUNet
from napari_unet_finetune.models.layer_groups import adapt_in_channels, depth_of, select_parameters


def _model(levels=4, in_channels=1, width=16):
    torch.manual_seed(0)
    return AttentionUNet(ModelConfig(width=width, levels=levels, in_channels=in_channels)).eval()


def _blocks(model, group):
    """Modules of the network, two names deep, that a group touches."""
    return {".".join(name.split(".")[:2]) for name in select_parameters(model, group)}


def _top(model, group):
    return {name.split(".")[0] for name in select_parameters(model, group)}


def test_first_is_the_first_block():
    assert _top(_model(), "first") == {"conv1"}
    assert len(select_parameters(_model(), "first")) == 10


def test_spot_is_the_first_convolution_of_each_level_and_the_full_resolution_skip():
    expected = {f"conv1.{part}" for part in ("conv1", "norm1", "conv2", "norm2", "residual")}
    expected |= {"conv2.conv1", "conv2.norm1", "conv3.conv1", "conv3.norm1", "att1.W_g", "att1.W_x", "att1.psi"}
    assert _blocks(_model(), "spot") == expected


def test_encoder_and_decoder_share_out_the_network():
    model = _model()
    assert _top(model, "encoder") == {"conv1", "conv2", "conv3", "conv4"}
    both = select_parameters(model, "encoder") | select_parameters(model, "decoder")
    assert both.keys() == dict(model.named_parameters()).keys()
    assert not select_parameters(model, "encoder").keys() & select_parameters(model, "decoder").keys()


def test_last_is_the_last_block_and_the_head():
    assert _top(_model(), "last") == {"conv1_1", "final"}


def test_norm_is_every_group_norm_and_every_bias_and_no_filter():
    model = _model()
    names = set(select_parameters(model, "norm"))
    assert names == {
        name
        for name in dict(model.named_parameters())
        if name.endswith(".bias") or re.search(r"norm\d\.|\.(W_g|W_x|psi)\.1\.", name)
    }
    assert all(parameter.ndim == 1 for parameter in select_parameters(model, "norm").values())


@pytest.mark.parametrize("levels", [2, 3, 6])
def test_groups_follow_the_depth_of_the_network(levels):
    with torch.device("meta"):
        model = AttentionUNet(ModelConfig(width=16, levels=levels))
    assert _top(model, "encoder") == {f"conv{level}" for level in range(1, levels + 1)}
    assert _top(model, "spot") == {"att1"} | {f"conv{level}" for level in range(1, levels)}
    assert _top(model, "last") == {"conv1_1", "final"}


def test_all_is_all_and_the_parameters_are_those_of_the_model():
    model = _model()
    selected = select_parameters(model, "all")
    assert all(selected[name] is parameter for name, parameter in model.named_parameters())
    assert len(selected) == len(list(model.parameters()))


def test_depth_rises_along_the_network():
    stations = ["conv1", "conv2", "conv3", "conv4", "up3", "conv3_1", "up2", "att2", "up1", "conv1_1", "final"]
    depths = [depth_of(f"{station}.weight", 4) for station in stations]
    assert depths == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7]


@pytest.mark.parametrize("levels", [2, 4, 6])
def test_every_parameter_has_a_depth(levels):
    with torch.device("meta"):
        model = AttentionUNet(ModelConfig(width=16, levels=levels))
    depths = {depth_of(name, levels) for name, _ in model.named_parameters()}
    assert depths == set(range(2 * levels))


@pytest.mark.parametrize(
    "name", ["conv5.conv1.weight", "up4.weight", "conv4_1.conv1.weight", "head.weight", "conv0.weight"]
)
def test_a_name_that_the_network_does_not_have_is_refused(name):
    with pytest.raises(ValueError, match=re.escape(name)):
        depth_of(name, 4)


def _logits(weights, in_channels, x, width=16):
    model = AttentionUNet(ModelConfig(width=width, in_channels=in_channels)).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        return model(x)


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_a_repeated_grey_image_gives_the_same_logits_after_adapting(channels):
    weights = _model().state_dict()
    x = torch.rand(2, 1, 32, 32)
    adapted = adapt_in_channels(weights, channels)
    expected = _logits(weights, 1, x)
    assert expected.std() > 0.1
    torch.testing.assert_close(_logits(adapted, channels, x.repeat(1, channels, 1, 1)), expected, rtol=0, atol=2e-4)


def test_there_and_back_gives_the_same_logits():
    weights = _model().state_dict()
    x = torch.rand(1, 1, 32, 32)
    back = adapt_in_channels(adapt_in_channels(weights, 3), 1)
    torch.testing.assert_close(_logits(back, 1, x), _logits(weights, 1, x), rtol=0, atol=2e-4)


def test_summed_filters_answer_a_grey_image_nearly_as_before():
    weights = _model(in_channels=3).state_dict()
    x = torch.rand(2, 1, 64, 64)
    before = _logits(weights, 3, x.repeat(1, 3, 1, 1))
    after = _logits(adapt_in_channels(weights, 1), 1, x)
    assert torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1] > 0.98


def test_adapting_leaves_the_given_weights_and_all_other_layers_alone():
    weights = _model(in_channels=3).state_dict()
    before = {name: tensor.clone() for name, tensor in weights.items()}
    adapted = adapt_in_channels(weights, 1)
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    changed = {name for name in weights if not torch.equal(adapted[name], weights[name])}
    assert changed <= {"conv1.conv1.weight", "conv1.conv1.bias", "conv1.norm1.weight", "conv1.residual.weight"}


def test_the_same_number_of_channels_changes_nothing():
    weights = _model(in_channels=3).state_dict()
    assert all(adapt_in_channels(weights, 3)[name] is weights[name] for name in weights)


@pytest.mark.parametrize(("present", "wanted"), [(3, 2), (1, 16), (16, 1)])
def test_what_cannot_be_adapted_is_refused(present, wanted):
    weights = _model(in_channels=present).state_dict()
    with pytest.raises(ModelError, match=f"{present} channels and width 16 cannot be adapted to {wanted}"):
        adapt_in_channels(weights, wanted)
