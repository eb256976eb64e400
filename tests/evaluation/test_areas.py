"""Areas, their interval, the thresholds and the penalty that would balance them."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.checked_json import checked
from napari_unet_finetune.evaluation.areas import (
    THRESHOLDS,
    Estimation,
    ThresholdCounts,
    balancing_weight,
    estimate_areas,
)


def squares(side, probability=0.9, size=40):
    """Return probabilities of a centered square of `side` px with a soft rim, and the truth of 20 x 20 px."""
    distance = np.abs(np.arange(size) - (size - 1) / 2)
    outside = np.maximum(distance[:, None], distance[None, :]) - side / 2
    probabilities = np.clip(probability - 0.1 * outside.clip(0), 0, 1).astype(np.float32)
    truth = np.zeros((size, size), bool)
    truth[10:30, 10:30] = True
    return probabilities, truth


def estimation(pairs, threshold=0.5, **options):
    thresholds = tuple(sorted({*THRESHOLDS, threshold}))
    counts = [ThresholdCounts.of(f"img {i}", p, t, thresholds) for i, (p, t) in enumerate(pairs)]
    return estimate_areas(counts, thresholds, threshold=threshold, **options)


def test_counts_are_those_of_comparing_with_each_threshold():
    rng = np.random.default_rng(1)
    probabilities, truth = rng.random((30, 30), np.float32), rng.random((30, 30)) > 0.6
    probabilities[:5] = np.float32(0.5)  # exactly at a threshold is not above it
    known = rng.random((30, 30)) > 0.3
    counts = ThresholdCounts.of("a", probabilities, truth, THRESHOLDS, known)
    for index, threshold in enumerate(THRESHOLDS):
        above = (probabilities > np.float32(threshold)) & known
        assert counts.predicted[index] == above.sum()
        assert counts.correct[index] == (above & truth).sum()
    assert counts.true == (truth & known).sum()


def test_overestimation_is_found_and_the_balancing_threshold_is_higher():
    result = estimation([squares(side) for side in (24, 25, 26, 24, 26)])
    assert result.verdict == "overestimates"
    assert 1 < result.low < result.area_ratio < result.high
    assert result.balanced_threshold > 0.5
    assert result.best_threshold > 0.5
    assert result.balancing_weight > 0.5
    assert result.false_negative_share == 0
    assert "it overestimates" in result.summary and "0.80 instead of 0.50" in result.summary


def test_underestimation_is_found_and_the_balancing_threshold_is_lower():
    result = estimation([squares(side, probability=0.8) for side in (8, 9, 10, 9, 8)], threshold=0.7)
    assert result.verdict == "underestimates"
    assert result.balanced_threshold < 0.7
    assert result.balancing_weight < 0.5
    assert "it underestimates" in result.summary


def test_the_ratio_is_that_of_the_sums_and_not_the_mean_of_ratios():
    small, large = np.zeros((2, 40, 40), bool)
    small[:2, :2] = True
    large[:20] = True
    result = estimation([(np.ones((40, 40), np.float32), small), (large.astype(np.float32), large)])
    assert result.area_ratio == pytest.approx((1600 + 800) / (4 + 800))


def test_images_that_disagree_leave_the_verdict_open():
    result = estimation([squares(side) for side in (4, 22, 8, 20, 6, 18)])
    assert result.low < 1 < result.high
    assert result.verdict == "unclear" and "cannot be told" in result.summary
    assert "false_positive_weight" not in result.summary


def test_a_perfect_prediction_is_balanced():
    truth = squares(20)[1]
    result = estimation([(truth.astype(np.float32), truth)] * 5)
    assert (result.verdict, result.area_ratio, result.dice) == ("balanced", 1, 1)
    assert result.balancing_weight is None
    assert result.best_threshold == 0.5


def test_too_much_here_and_too_little_there_is_no_balance():
    full = np.zeros((40, 40), bool)
    full[:20, :20] = True
    half, more = full.copy(), full.copy()
    half[10:] = False
    more[:20, 20:30] = True
    result = estimation([(half.astype(np.float32), full), (more.astype(np.float32), full)])
    assert (result.area_ratio, result.low, result.high) == (1, 0.5, 1.5)
    assert result.verdict == "unclear" and "agree" not in result.summary


def test_areas_that_are_surely_alike_are_balanced():
    rows = np.arange(40)[:, None] * np.ones(40)
    result = estimation([((rows < many).astype(np.float32), rows < 20) for many in (19, 20, 20, 21, 20)])
    assert 0.9 < result.low < 1 < result.high < 1.1
    assert result.verdict == "balanced" and "agree to within 10 %" in result.summary


def test_one_image_has_no_interval():
    result = estimation([squares(26)])
    assert result.low is result.high is None and result.verdict == "unclear"
    assert "1 image" in result.summary and "chance" in result.summary


def test_objects_where_none_are_true_have_no_ratio():
    nothing = np.zeros((40, 40), bool)
    result = estimation([(np.ones((40, 40), np.float32), nothing)] * 2)
    assert result.area_ratio is None and "There is no true object" in result.summary
    assert result.verdict == "overestimates" and result.balancing_weight is None
    assert result.to_json()["images"][0]["area_ratio"] is None


def test_the_same_seed_gives_the_same_interval():
    pairs = [squares(side) for side in range(6, 30)]
    first, again, other = (estimation(pairs, seed=seed) for seed in (1, 1, 2))
    assert (first.low, first.high) == (again.low, again.high) != (other.low, other.high)


def test_few_images_are_called_a_rough_interval():
    assert "rough" in estimation([squares(26)] * 3).summary
    assert "rough" not in estimation([squares(26)] * 5).summary


@pytest.mark.parametrize(
    ("false_positive", "missed", "current", "expected"),
    [(100, 100, 0.5, 0.5), (200, 100, 0.5, 0.67), (100, 100, 0.7, 0.7), (0, 0, 0.5, None)],
)
def test_the_penalty_moves_with_the_ratio_of_the_errors(false_positive, missed, current, expected):
    assert balancing_weight(false_positive, missed, current) == expected


@pytest.mark.parametrize(("current", "lower", "higher"), [(0.5, 0.2, 0.8), (0.8, 0.5, 0.94), (0.95, 0.83, 0.95)])
def test_a_few_pixels_of_one_kind_of_error_move_the_penalty_by_one_step_only(current, lower, higher):
    assert balancing_weight(13, 0, current) == balancing_weight(13, 1, current) == higher
    assert balancing_weight(0, 13, current) == balancing_weight(1, 13, current) == lower


def with_objects(counts):
    truth = squares(20)[1]
    areas = ThresholdCounts.of("a", truth.astype(np.float32), truth, THRESHOLDS)
    return estimate_areas([replace(areas, objects=one) for one in counts], THRESHOLDS, threshold=0.5)


@pytest.mark.parametrize(
    ("counts", "verdict", "said"),
    [
        ([(12, 10), (13, 10), (24, 20), (11, 10)], "overestimates", "too many"),
        ([(8, 10), (7, 10), (15, 20), None], "underestimates", "too few"),
        ([(10, 10), (21, 20), (10, 10), (10, 10)], "balanced", "agree"),
        ([(15, 10), (5, 10), (10, 10)], "unclear", "cannot be told"),
    ],
)
def test_too_many_or_too_few_objects_are_told_whatever_their_area(counts, verdict, said):
    result = with_objects(counts)
    assert (result.verdict, result.objects.verdict) == ("balanced", verdict)
    predicted, true = (sum(one[place] for one in counts if one) for place in (0, 1))
    assert f"{predicted} objects where there are {true}" in result.summary and said in result.summary
    assert result.table.columns[-1] == "objects" and result.table.rows[0][-1] == "{} / {}".format(*counts[0])
    assert checked(result.to_json(), Estimation) == result


def test_masks_without_numbers_say_nothing_of_counts():
    for counts in ([None, None], [(3, 0), None]):
        result = with_objects(counts)
        assert result.objects is None and "objects" not in result.table.columns
