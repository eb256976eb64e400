"""Scores on what is held out, and the threshold that is chosen by them."""

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, PredictConfig
from napari_unet_finetune.inference.tiles import plan_tiles
from napari_unet_finetune.training.finetune import random_model
from napari_unet_finetune.training.patches.store import PatchStore
from napari_unet_finetune.training.prepare import prepare
from napari_unet_finetune.training.state import Begun, Progress
from napari_unet_finetune.training.validation import (
    THRESHOLD_GAIN,
    THRESHOLDS,
    TILES_PER_PATCH,
    affordable_window,
    calibrate_threshold,
    dice_by_image,
    dice_of_patches,
    mean_dice,
    mean_over_images,
    pick_threshold,
    predict_all,
)

from .conftest import TINY, make_squares, tiny_config


def image_of(target, annotated=None, name="image"):
    store = PatchStore(torch.device("cpu"))
    store.add(name, target[None].astype(np.float32), target, annotated)
    return store.images[0]


@pytest.fixture
def half():
    target = np.zeros((10, 10), bool)
    target[:, :5] = True
    return target


def test_mean_dice_is_that_of_the_thresholded_probabilities(half):
    probability = np.where(half, 0.9, 0.2).astype(np.float32)
    assert mean_dice([image_of(half)], [probability], 0.5) == 1
    assert mean_dice([image_of(half)], [probability], 0.1) == pytest.approx(2 / 3)


def test_pixels_that_are_not_annotated_do_not_count(half):
    wrong_on_the_right = np.full((10, 10), 0.9, np.float32)
    assert mean_dice([image_of(half)], [wrong_on_the_right], 0.5) < 0.7
    assert mean_dice([image_of(half, annotated=half)], [wrong_on_the_right], 0.5) == 1


def test_one_wrong_pixel_in_an_empty_patch_is_no_more_than_one_pixel_of_all(half):
    empty, one_pixel = np.zeros((10, 10), bool), np.zeros((10, 10), np.float32)
    one_pixel[0, 0] = 0.9
    patches, probabilities = [image_of(half), image_of(empty)], [half.astype(np.float32), one_pixel]
    assert mean_dice(patches, probabilities, 0.5) == 0.5
    assert mean_over_images(patches, probabilities, 0.5) == pytest.approx(100 / 101)
    patches = [image_of(half), image_of(empty, name="empty")]  # the same for an image without any object
    assert dice_by_image(patches, probabilities, 0.5) == {"image": pytest.approx(100 / 101)}
    assert mean_over_images([image_of(empty)], [one_pixel], 0.5) == 0
    assert mean_over_images([image_of(empty)], [empty.astype(np.float32)], 0.5) == 1


def test_an_old_image_with_few_objects_counts_as_much_as_one_with_many(half):
    few = np.zeros((10, 10), bool)
    few[0, 0] = True
    parts = [image_of(half, name="many"), image_of(half, name="many"), image_of(few, name="few")]
    found = [half.astype(np.float32), half.astype(np.float32), np.zeros((10, 10), np.float32)]
    assert dice_by_image(parts, found, 0.5) == {"many": 1, "few": 0}
    assert mean_over_images(parts, found, 0.5) == 0.5


def test_the_threshold_moves_to_where_the_objects_are_right(half):
    overestimating = np.where(half, 0.95, 0.7).astype(np.float32)
    images, probabilities = [image_of(half)] * 3, [overestimating] * 3
    threshold = calibrate_threshold(images, probabilities, 0.5)
    assert 0.7 <= threshold < 0.95
    assert mean_dice(images, probabilities, threshold) == 1


@pytest.mark.parametrize("current", [0.2, 0.5, 0.875])
def test_a_single_image_says_nothing_of_others_so_the_threshold_stays(half, current):
    assert calibrate_threshold([image_of(half)], [np.where(half, 0.95, 0.7).astype(np.float32)], current) == current


def test_a_threshold_that_one_image_wants_and_others_do_not_is_not_taken(half):
    right, odd = np.where(half, 0.9, 0.1), np.where(half, 0.9, 0.7)
    for count in range(2, 13):
        images, others = [image_of(half)] * count, [right] * (count - 1)
        assert calibrate_threshold(images, [*others, odd], 0.5) == 0.5
        assert calibrate_threshold(images, [odd] * count, 0.5) >= 0.7


def test_a_gain_that_is_too_small_to_matter_does_not_move_the_threshold():
    target = np.zeros((100, 100), bool)
    target[:, :50] = True
    probability = np.where(target, 0.9, 0.1).astype(np.float32)
    probability[0, 50:55] = 0.52  # a handful of pixels would like a higher threshold
    assert calibrate_threshold([image_of(target)] * 3, [probability] * 3, 0.5) == 0.5


def test_a_threshold_that_moves_gains():
    rng, current = np.random.default_rng(0), 0.5
    for _ in range(2000):
        noise = rng.normal(0, 0.02, (1 + len(THRESHOLDS), int(rng.integers(2, 5)))).cumsum(axis=0)
        scores = np.clip(0.8 + noise, 0, 1)
        picked = pick_threshold(scores, current)
        mean = scores.mean(axis=1)
        assert picked == current or mean[1 + list(THRESHOLDS).index(picked)] >= mean[0] + THRESHOLD_GAIN


def test_of_a_plateau_of_thresholds_the_middle_is_taken_and_never_a_valley():
    target = np.zeros((100, 100), bool)
    target[:, :50] = True
    probability = np.where(target, 0.85, 0.55).astype(np.float32)
    assert calibrate_threshold([image_of(target)] * 2, [probability] * 2, 0.5) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("shapes", [[(32, 32)] * 5, [(32, 32), (40, 60)]])
def test_old_images_have_one_score_be_they_seen_in_batches_or_one_by_one(shapes):
    rng = np.random.default_rng(0)
    images = [image_of(rng.random(shape) > 0.5) for shape in shapes]
    network, config, cpu = random_model(TINY, tiny_config()).build_network(), tiny_config(), torch.device("cpu")
    alone = predict_all(network, images, config, False, cpu, "fp32")
    threshold = float(np.median(alone[0]))
    score = dice_of_patches(network, images, config, threshold, cpu, "fp32")
    assert 0 < score < 1 and score == pytest.approx(mean_over_images(images, alone, threshold), abs=1e-2)


@pytest.mark.parametrize("side", [300, 512, 1500])
@pytest.mark.parametrize("count", [1, 2, 4, 20])
@pytest.mark.parametrize("every", [10, 50, 400])
@pytest.mark.parametrize("flips", [False, True])
def test_windows_are_as_large_as_a_tenth_of_the_time_allows(side, count, every, flips):
    config = FinetuneConfig(validate_every=every, augment=AugmentConfig(orientation="any", flips=flips))
    window = affordable_window([(side, side)] * count, config, config.patch_px)
    assert 192 <= window <= 512
    learned = every * config.batch_size * TILES_PER_PATCH

    def share(px):
        shape = (min(px, side), min(px, side))
        seen = count * len(plan_tiles(shape, config.patch_px, PredictConfig().overlap, mirrored=flips).tiles)
        return seen / (seen + learned)

    assert share(window) <= 0.1 or window == 192
    assert share(window + 64) > 0.1 or window == 512


def test_a_training_that_goes_on_scores_what_it_scored_before(untrained):
    images = make_squares(5, size=192)
    config = tiny_config(validate_every=2, appearance="as they are")
    fresh, old, later = (
        prepare(untrained, images, config, begun=begun).config.validation_crop_px
        for begun in (None, Begun(), Begun(window_px=80))
    )
    assert (fresh, old, later) == (64, 512, 80)
    progress = Progress(window_px=80)
    assert Begun.by(progress.to_dict()).window_px == 80 and Begun.by({"step": 3}) == Begun()


def test_a_window_that_the_user_set_is_never_exceeded():
    assert affordable_window([(2000, 2000)] * 9, FinetuneConfig(validation_crop_px=128), 256) == 128
    assert affordable_window([], FinetuneConfig(), 128) == 512


def test_a_window_holds_a_patch_of_the_base_too():
    many, config = [(2000, 2000)] * 9, FinetuneConfig(validate_every=1, patch_size=32)
    assert affordable_window(many, config, 32) == 64 and affordable_window(many, config, 128) == 192


@pytest.mark.parametrize("patch", [32, 64, 256])
def test_a_window_is_one_that_can_be_set(patch):
    config = FinetuneConfig(validate_every=1, patch_size=patch)
    window = affordable_window([(2000, 2000)] * 9, config, config.patch_px)
    assert FinetuneConfig(validation_crop_px=window).validation_crop_px == window <= 512
