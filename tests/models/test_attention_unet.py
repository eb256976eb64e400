"""The network against a computation of its own, written from the description of PAULow's layout."""

import pytest
import torch

from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.models.attention_unet import AttentionUNet, fold_standardization


def _model(state, width, in_channels):
    model = AttentionUNet(ModelConfig(width=width, in_channels=in_channels)).eval()
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize(("width", "in_channels", "shape"), [(16, 1, (32, 40)), (16, 3, (48, 32)), (64, 3, (8, 16))])
def test_logits_are_those_of_the_reference_layout(random_paulow_state, paulow_logits, width, in_channels, shape):
    state = random_paulow_state(width, in_channels)
    x = torch.rand(2, in_channels, *shape, generator=torch.Generator().manual_seed(1))
    expected = paulow_logits(state, x)
    with torch.no_grad():
        in_double = _model(state, width, in_channels).double()(x.double())
        in_single = _model(state, width, in_channels)(x)
    torch.testing.assert_close(in_double, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(in_single.double(), expected, rtol=1e-2, atol=1e-2 * expected.std().item())


@pytest.mark.parametrize(("in_channels", "count"), [(1, 8_134_954), (3, 8_136_234)])
def test_parameter_count_is_that_of_paulow(in_channels, count):
    with torch.device("meta"):
        model = AttentionUNet(ModelConfig(width=64, in_channels=in_channels))
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_dropout_acts_in_training_only():
    model = AttentionUNet(ModelConfig(width=16, dropout=0.5))
    x = torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        assert not torch.equal(model.train()(x), model(x))
        assert torch.equal(model.eval()(x), model(x))


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_other_depths_keep_the_size_of_the_image(levels):
    config = ModelConfig(width=16, levels=levels, in_channels=2)
    with torch.no_grad():
        logits = AttentionUNet(config).eval()(torch.rand(1, 2, 2 * config.side_multiple, config.side_multiple))
    assert logits.shape == (1, 1, 2 * config.side_multiple, config.side_multiple)


def test_folded_model_gives_the_same_logits_and_leaves_the_original_alone(random_paulow_state):
    model = _model(random_paulow_state(16, 1), 16, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fold_standardization(model)(x), model(x), rtol=1e-5, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_folding_draws_no_random_number():
    model = AttentionUNet(ModelConfig(width=16))
    before = torch.get_rng_state()
    fold_standardization(model)
    assert torch.equal(torch.get_rng_state(), before)
