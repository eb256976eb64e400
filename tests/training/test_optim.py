"""Learning rates, phases, L2-SP and weight averaging."""

import pytest
import torch

from napari_unet_finetune.config import FinetuneConfig, ModelConfig
from napari_unet_finetune.models.attention_unet import AttentionUNet
from napari_unet_finetune.models.layer_groups import select_parameters
from napari_unet_finetune.training.optim import (
    WeightAverage,
    build_optimizer,
    l2sp_penalty,
    learning_rate_at,
    set_learning_rate,
    start_phase,
)


@pytest.fixture(scope="module")
def model():
    return AttentionUNet(ModelConfig(width=16, levels=3))


def trained(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_every_parameter_is_optimized_once(model):
    optimizer = build_optimizer(model, FinetuneConfig(level_decay=0.5))
    ids = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(ids) == sorted(map(id, model.parameters()))


def test_the_first_layer_moves_fastest_under_level_decay(model):
    optimizer = build_optimizer(model, FinetuneConfig(level_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rate_of[id(model.conv1.conv1.weight)] == pytest.approx(0.1)
    assert (
        rate_of[id(model.conv1.conv1.weight)] > rate_of[id(model.conv2.conv1.weight)] > rate_of[id(model.final.weight)]
    )


def test_warm_up_rises_then_the_cosine_falls_to_one_percent():
    config = FinetuneConfig(learning_rate=1e-3, warmup_steps=10, schedule="cosine")
    rates = [learning_rate_at(step, 100, config) for step in range(100)]
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)
    assert max(rates) == pytest.approx(1e-3)
    assert learning_rate_at(100, 100, config) == pytest.approx(1e-5)


def test_step_schedule_falls_to_a_tenth_after_three_quarters():
    config = FinetuneConfig(learning_rate=1e-3, warmup_steps=0, schedule="step")
    assert [learning_rate_at(step, 100, config) for step in (0, 74, 75)] == pytest.approx([1e-3, 1e-3, 1e-4])


def test_a_plateau_keeps_its_rate_until_the_fall_and_ends_at_one_percent():
    config = FinetuneConfig(learning_rate=1e-3, warmup_steps=10, schedule="plateau")
    rates = [learning_rate_at(step, 1000, config, (300, 500)) for step in range(10, 501)]
    assert set(rates[:290]) == {1e-3} and rates[290:] == sorted(rates[290:], reverse=True)
    assert rates[-1] == pytest.approx(1e-5)
    assert learning_rate_at(749, 1000, config) == 1e-3 > learning_rate_at(900, 1000, config)


def test_the_seed_recipe_has_a_constant_rate():
    config = FinetuneConfig(preset="seed recipe")
    assert {learning_rate_at(step, 1000, config) for step in (0, 1, 500, 999)} == {1e-5}


def test_only_the_chosen_layers_are_trained_in_each_phase(model):
    config = FinetuneConfig(layers="all", first_phase_layers="first", first_phase_share=0.3)
    start_phase(model, config, 29, 100)
    assert trained(model) == set(select_parameters(model, "first"))
    start_phase(model, config, 30, 100)
    assert trained(model) == set(dict(model.named_parameters()))


def test_l2sp_is_half_the_squared_distance_of_trained_weights():
    model = AttentionUNet(ModelConfig(width=16, levels=2))
    base = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    start_phase(model, FinetuneConfig(layers="last"), 0, 10)
    with torch.no_grad():
        model.final.bias += 3.0
        model.conv1.conv1.bias += 5.0  # frozen: does not count
    assert l2sp_penalty(model, base, 0.1).item() == pytest.approx(0.1 / 2 * 9)


def test_the_average_of_constant_weights_is_constant_and_follows_a_change():
    model = AttentionUNet(ModelConfig(width=16, levels=2))
    average = WeightAverage(model, 0.9)
    start = model.final.bias.detach().clone()
    for _ in range(5):
        average.update(model)
    assert torch.allclose(average.weights["final.bias"], start)
    with torch.no_grad():
        model.final.bias += 1.0
    gaps = []
    for _ in range(30):
        average.update(model)
        gaps.append((model.final.bias - average.weights["final.bias"]).item())
    assert gaps == sorted(gaps, reverse=True)
    assert 0 < gaps[-1] < 0.2


def test_without_averaging_the_weights_themselves_are_kept():
    model = AttentionUNet(ModelConfig(width=16, levels=2))
    average = WeightAverage(model, 0.0)
    with torch.no_grad():
        model.final.bias += 1.0
    average.update(model)
    assert torch.equal(average.weights["final.bias"], model.final.bias)
