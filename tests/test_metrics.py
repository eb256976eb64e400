"""Scores agree with MONAI, and with common sense where masks are empty or partly annotated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet_finetune.metrics import (
    MATCH_IOUS,
    ObjectCounts,
    Scores,
    area_ratio,
    dice,
    error_map,
    iou,
    match_objects,
    objects_together,
    score,
    surface_dice,
)

SHAPE = (23, 31)


def blobs(seed: int, threshold: float = 0.2) -> np.ndarray:
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 2)
    return noise > threshold * noise.std()


def square(top: int, left: int, side: int = 8) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def perfect(truth: np.ndarray) -> Scores:
    return Scores(1.0, 1.0, 1.0, 1.0, truth.sum(), truth.sum())


def test_scores_of_two_squares_are_as_counted_by_hand() -> None:
    prediction, truth = square(4, 4), square(4, 8)
    assert dice(prediction, truth) == pytest.approx(0.5)
    assert iou(prediction, truth) == pytest.approx(32 / 96)
    assert area_ratio(square(4, 4, side=4), truth) == pytest.approx(0.25)


def test_a_shift_within_the_tolerance_costs_no_surface_dice() -> None:
    assert surface_dice(square(5, 5), square(5, 7), tolerance=2.0) == 1.0
    assert surface_dice(square(5, 5), square(5, 8), tolerance=2.0) < 1.0


def test_tolerance_is_in_the_unit_of_the_spacing() -> None:
    shifted_in_x = square(5, 5), square(5, 7)
    assert surface_dice(*shifted_in_x, tolerance=1.0, spacing=(1.0, 0.5)) == 1.0
    assert surface_dice(*shifted_in_x, tolerance=1.0, spacing=(0.5, 1.0)) < 1.0


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_iou_and_dice_tell_the_same(seed: int, other: int) -> None:
    prediction, truth = blobs(seed), blobs(other)
    overlap = iou(prediction, truth)
    assert dice(prediction, truth) == pytest.approx(2 * overlap / (1 + overlap))
    assert 0 <= overlap <= 1


@given(st.integers(0, 10_000))
def test_the_truth_itself_scores_one(seed: int) -> None:
    truth = blobs(seed)
    assert score(truth, truth) == perfect(truth)


def test_empty_on_empty_scores_one() -> None:
    empty = np.zeros(SHAPE, bool)
    assert score(empty, empty) == perfect(empty)


def test_an_object_where_there_is_none_scores_zero_and_has_no_area_ratio() -> None:
    empty = np.zeros(SHAPE, bool)
    assert score(square(4, 4), empty) == Scores(0.0, 0.0, 0.0, None, 64, 0)
    assert score(empty, square(4, 4)) == Scores(0.0, 0.0, 0.0, 0.0, 0, 64)


def test_instance_numbers_count_as_objects() -> None:
    truth = square(4, 4)
    assert score(truth * np.uint16(300), truth.astype(np.uint8)) == perfect(truth)


def test_pixels_that_are_not_annotated_do_not_count() -> None:
    annotated = np.zeros(SHAPE, bool)
    annotated[:, :15] = True
    wrong_outside = square(4, 4) | square(4, 20)
    assert score(wrong_outside, square(4, 4), annotated=annotated) == perfect(square(4, 4))


def test_the_edge_of_the_annotated_region_is_no_boundary() -> None:
    annotated = np.zeros(SHAPE, bool)
    annotated[:, :8] = True
    taller, truth = square(2, 4, side=16), square(10, 4)
    boundary_pixels = (16 + 3 + 3) + (8 + 3 + 3)  # left side, top and bottom; the right side is cut off
    near = (9 + 3) + (8 + 3 + 1)
    counted = surface_dice(taller, truth, tolerance=1.0, annotated=annotated)
    assert counted == pytest.approx(near / boundary_pixels)


def test_strokes_that_hold_no_border_have_no_surface_dice() -> None:
    annotated = np.zeros(SHAPE, bool)
    annotated[4:8, 3:28] = annotated[14:18, 3:28] = True
    truth = np.zeros(SHAPE, bool)
    truth[4:8] = True  # one stroke lies within an object, the other one outside of all
    almost = truth.copy()
    almost[5, 12] = False
    for prediction in (truth, almost, ~truth | truth):
        assert score(prediction, truth, annotated=annotated).surface_dice is None
        assert score(truth, prediction, annotated=annotated).surface_dice is None
    assert score(np.zeros(SHAPE), truth, annotated=annotated).surface_dice == 0


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 4\) but truth is \(4, 5\)"):
        dice(np.zeros((4, 4), bool), np.zeros((4, 5), bool))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0)])
def test_scores_agree_with_monai(seed: int, spacing: tuple[float, float]) -> None:
    monai = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    prediction, truth = blobs(seed), blobs(seed + 100, threshold=0.5)
    batches = [torch.from_numpy(mask)[None, None].float() for mask in (prediction, truth)]
    ours = score(prediction, truth, tolerance=1.5, spacing=spacing)
    theirs = monai.compute_surface_dice(*batches, class_thresholds=[1.5], include_background=True, spacing=spacing)
    assert ours.surface_dice == pytest.approx(theirs.item(), abs=1e-6)
    assert ours.dice == pytest.approx(monai.DiceMetric()(*batches).item(), abs=1e-6)


def test_error_map_tells_four_cases_and_leaves_out_what_is_not_annotated():
    prediction, truth = np.array([[0, 5, 1, 0, 1]]), np.array([[0, 1, 0, 2, 1]])
    known = np.array([[True, True, True, True, False]])
    errors = error_map(prediction, truth, known)
    assert errors.dtype == np.uint8
    assert errors.tolist() == [[0, 1, 2, 3, 0]]


LABELS = arrays(np.uint16, (6, 7), elements=st.sampled_from([0, 0, 1, 2, 3, 900]))


def stardist(truth: np.ndarray, prediction: np.ndarray, threshold: float) -> tuple[int, int, int]:
    """Return TP, FP and FN as `stardist.matching.matching` counts them: an assignment by the IoU of every two objects.

    Its costs, word for word: as many pairs above the threshold as possible, then the largest IoU.
    """
    from scipy.optimize import linear_sum_assignment

    true, predicted = (np.unique(labels[labels > 0]) for labels in (truth, prediction))
    table = np.array([[iou(prediction == other, truth == one) for other in predicted] for one in true])
    table = table.reshape(len(true), len(predicted))
    fewer = min(table.shape)
    matched = 0
    if fewer:
        rows, columns = linear_sum_assignment(-(table >= threshold).astype(float) - table / (2 * fewer))
        matched = int((table[rows, columns] >= threshold).sum())
    return matched, len(predicted) - matched, len(true) - matched


@given(LABELS, LABELS)
def test_objects_match_as_in_stardist(prediction: np.ndarray, truth: np.ndarray) -> None:
    found = match_objects(prediction, truth)
    counts = [stardist(truth, prediction, threshold) for threshold in MATCH_IOUS]
    assert list(found.matches) == [true_positive for true_positive, *_ in counts]
    true_positive, false_positive, false_negative = counts[0]
    assert (found.predicted, found.true) == (true_positive + false_positive, true_positive + false_negative)
    if true_positive:
        assert found.precision == pytest.approx(true_positive / (true_positive + false_positive))
        assert found.recall == pytest.approx(true_positive / (true_positive + false_negative))
        assert found.f1 == pytest.approx(2 / (1 / found.precision + 1 / found.recall))
        assert found.ap == pytest.approx(np.mean([tp / (tp + fp + fn) for tp, fp, fn in counts]))


def test_two_halves_of_an_object_are_one_match_at_most() -> None:
    truth = np.ones((4, 4), np.uint8)
    halves = truth.copy()
    halves[:, 2:] = 2
    assert match_objects(halves, truth) == ObjectCounts(2, 1, (1, *[0] * 9))
    assert match_objects(truth, halves) == ObjectCounts(1, 2, (1, *[0] * 9))


def test_scores_of_nothing_are_none_and_not_zero() -> None:
    nothing, one = np.zeros((4, 4), np.uint8), np.eye(4, dtype=np.uint8)
    assert match_objects(nothing, nothing) == ObjectCounts(0, 0, (0,) * 10)
    missed = match_objects(nothing, one)
    assert (missed.precision, missed.recall, missed.f1, missed.ap) == (None, 0, 0, 0)
    false = match_objects(one, nothing)
    assert (false.precision, false.recall, false.f1, false.count_ratio) == (0, None, 0, None)


@given(st.integers(2**32, 2**62))
def test_numbers_of_objects_may_be_any(number: int) -> None:
    labels = np.array([[0, 1, number]])
    assert match_objects(labels, labels).ap == 1


def test_each_object_counts_once_over_many_images() -> None:
    many = Scores(1, 1, 1, 1, predicted_objects=8, true_objects=10, matches=(8,) * 10)
    few = Scores(1, 1, 1, 1, predicted_objects=4, true_objects=2, matches=(0,) * 10)
    counts = objects_together([many, few, Scores(1, 1, 1, 1, no_object_scores="strokes")])
    assert counts == ObjectCounts(12, 12, (8,) * 10)
    assert counts.f1 == pytest.approx(2 / 3) and counts.count_ratio == 1 and counts.ap == pytest.approx(0.5)
    damaged = Scores(1, 1, 1, 1, predicted_objects=4, true_objects=2, matches=(1,))
    assert objects_together([damaged]) is None
