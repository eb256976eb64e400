"""The losses, checked against numbers worked out by hand and against the published formula."""

import math

import numpy as np
import pytest
import torch

from napari_unet_finetune.training.losses import SMALL_FOREGROUND, build_loss, tversky_index

NAMES = ("bce_dice", "dynamic", "dynamic_safe", "tversky", "focal_tversky")


def batch(share, size=16):
    """Logits that call `share` of the pixels foreground, in a square whose first half is truly foreground."""
    generator = torch.Generator().manual_seed(0)
    logits = -torch.rand(1, 1, size, size, generator=generator) - 0.1
    logits.view(-1)[: round(share * size * size)] *= -1
    target = torch.zeros(1, 1, size, size)
    target.view(-1)[: size * size // 2] = 1
    return logits, target, torch.ones_like(target)


def published(logits, target):
    """The loss of the study, in NumPy and from its text."""
    z, y = logits.double().numpy().ravel(), target.double().numpy().ravel()
    p = 1 / (1 + np.exp(-z))
    cross_entropy = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    tp, fp, fn = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
    region = 1 - (tp + 1e-6) / (tp + 0.7 * fp + 0.3 * fn + 1e-6)
    foreground = (p > 0.5).mean()
    if foreground == 0:
        return cross_entropy
    return cross_entropy + region if foreground < 0.0625 else region + region**0.75


@pytest.mark.parametrize("share", [0.0, 0.03, 0.0625, 0.4])
def test_dynamic_loss_is_the_published_one_in_every_branch(share):
    logits, target, everywhere = batch(share)
    loss = build_loss("dynamic", 0.7)(logits, target, everywhere)
    assert float(loss) == pytest.approx(published(logits, target), rel=1e-5)


def test_dynamic_loss_has_next_to_no_gradient_on_hallucinated_foreground_and_the_safe_form_has():
    logits = torch.full((1, 1, 16, 16), 2.0, requires_grad=True)
    empty, everywhere = torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    gradients = {}
    for name in ("dynamic", "dynamic_safe"):
        (gradient,) = torch.autograd.grad(build_loss(name, 0.7)(logits, empty, everywhere), logits)
        gradients[name] = float(gradient.abs().max())
    assert gradients["dynamic"] < 1e-8
    assert gradients["dynamic_safe"] > 1e-4


def test_safe_form_differs_from_the_published_one_only_where_much_is_predicted():
    for share, equal in ((0.0, True), (SMALL_FOREGROUND / 2, True), (0.4, False)):
        values = [float(build_loss(name, 0.7)(*batch(share))) for name in ("dynamic", "dynamic_safe")]
        assert (values[0] == values[1]) is equal


def test_tversky_index_at_one_half_is_soft_dice():
    logits, target, everywhere = batch(0.3)
    p = torch.sigmoid(logits)
    soft_dice = 2 * (p * target).sum() / (p.sum() + target.sum())
    assert float(tversky_index(logits, target, everywhere, 0.5)) == pytest.approx(float(soft_dice), rel=1e-5)


def test_a_higher_weight_punishes_false_positives_more_and_misses_less():
    target = torch.zeros(1, 1, 8, 8)
    target[..., :4] = 1
    everywhere = torch.ones_like(target)
    too_much = torch.full_like(target, 6.0)
    too_little = torch.full_like(target, -6.0)
    too_little[..., :2] = 6.0
    for logits, direction in ((too_much, 1), (too_little, -1)):
        mild, strict = (float(build_loss("tversky", weight)(logits, target, everywhere)) for weight in (0.3, 0.7))
        assert math.copysign(1, strict - mild) == direction


@pytest.mark.parametrize("name", NAMES)
def test_pixels_that_are_not_annotated_change_neither_loss_nor_gradient(name):
    logits, target, annotated = batch(0.4)
    annotated[..., 8:] = 0
    loss = build_loss(name, 0.7)
    results = []
    for filler in (-9.0, 9.0):
        filled = torch.where(annotated > 0, logits, torch.full_like(logits, filler)).requires_grad_()
        value = loss(filled, torch.where(annotated > 0, target, torch.rand_like(target).round()), annotated)
        (gradient,) = torch.autograd.grad(value, filled)
        assert not gradient[annotated == 0].any()
        results.append(value.item())
    assert results[0] == pytest.approx(results[1], rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_prediction_costs_next_to_nothing_and_has_a_finite_gradient(name):
    target = torch.zeros(2, 1, 8, 8)
    target[..., :4] = 1
    logits = ((target * 2 - 1) * 40).requires_grad_()
    loss = build_loss(name, 0.5)(logits, target, torch.ones_like(target))
    loss.backward()
    assert loss.item() < 1e-3
    assert torch.isfinite(logits.grad).all()


def test_patches_without_any_annotation_give_a_finite_loss():
    logits, target, annotated = batch(0.4)
    for name in NAMES:
        assert torch.isfinite(build_loss(name, 0.5)(logits, target, torch.zeros_like(annotated)))
