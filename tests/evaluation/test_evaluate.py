"""A model is scored on what is annotated, and its rows say what it is."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.config import FinetuneConfig, ModelConfig, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.evaluate import Tolerance, evaluate, evaluate_images, score_labels, score_rows
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.postprocess import to_labels
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.measure.objects import measure
from napari_unet_finetune.metrics import objects_together
from napari_unet_finetune.training.finetune import finetune, random_model, train

TINY = ModelConfig(width=16, levels=2)
CONFIG = FinetuneConfig(
    steps=1, batch_size=1, patch_size=32, rehearsal_patches=0, device="cpu", precision="fp32", seed=3
)
PREDICT = PredictConfig(device="cpu", precision="fp32")


def image_with(labels, **changes):
    return AnnotatedImage("a", np.zeros(labels.shape, np.uint8), labels, **changes)


@pytest.fixture(scope="module")
def model():
    return random_model(TINY, CONFIG)


def test_a_perfect_prediction_scores_one_whatever_the_numbers_of_the_objects():
    truth = np.zeros((20, 20), np.uint8)
    truth[2:9, 2:9] = 1
    scores = score_labels(truth * 7, image_with(truth))
    assert scores.dice == scores.iou == scores.surface_dice == scores.area_ratio == 1


def test_what_is_not_annotated_does_not_count():
    truth, guess, known = np.zeros((3, 20, 20), np.uint8)
    truth[2:9, 2:9] = guess[2:9, 2:9] = 1
    guess[:, 12:] = 1
    known[:, :12] = 1
    assert score_labels(guess, image_with(truth)).dice < 0.5
    assert score_labels(guess, image_with(truth, annotated=known.astype(bool))).dice == 1


def test_the_tolerance_is_that_of_the_boundary():
    truth, guess = np.zeros((2, 30, 30), np.uint8)
    truth[10:20, 10:20] = guess[10:20, 13:23] = 1
    image = replace(image_with(truth), scale=(0.5, 0.5), unit="um")
    for near, far in ((Tolerance(1), Tolerance(3)), (Tolerance(0.5, "um"), Tolerance(1.5, "um"))):
        surface = [score_labels(guess, image, tolerance=value).surface_dice for value in (near, far)]
        assert surface[0] < 1 == surface[1]


def test_a_tolerance_in_micrometers_needs_a_pixel_size():
    truth = np.ones((8, 8), np.uint8)
    with pytest.raises(DataError, match="Give the tolerance in pixels"):
        score_labels(truth, image_with(truth), tolerance=Tolerance(1, "um"))


def touching():
    """Return two disks that touch, as a mask and with a number for each."""
    y, x = np.mgrid[:30, :50]
    left, right = ((y - 15) ** 2 + (x - center) ** 2 <= 100 for center in (15, 34))
    return (left | right).astype(np.uint8), np.where(left, 3, np.where(right, 9, 0)).astype(np.uint16)


def test_the_objects_scored_are_those_that_measure_finds():
    mask, numbered = touching()
    merged = score_labels(mask, image_with(numbered))
    assert (merged.predicted_objects, merged.true_objects, merged.no_object_scores) == (1, 2, "")
    split = to_labels(mask.astype(np.float32), 0.5, PredictConfig(instances=True))
    scores = score_labels(split, image_with(numbered))
    assert (scores.predicted_objects, scores.true_objects) == (2, 2)
    assert objects_together([scores]).f1 == 1
    for labels, found in ((mask, merged), (split, scores)):
        assert len(measure(labels).objects) == found.predicted_objects


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32])
def test_a_mask_that_does_not_number_its_objects_has_no_object_scores_and_says_why(dtype):
    mask = touching()[0].astype(dtype)
    scores = score_labels(mask, image_with(mask))
    assert scores.matches is scores.predicted_objects is scores.true_objects is None
    assert "one value" in scores.no_object_scores


def test_numbers_of_classes_are_no_objects():
    classes = np.zeros((40, 40), np.uint8)
    classes[::4, ::4], classes[2::4, 2::4] = 1, 2
    assert "classes" in score_labels(classes, image_with(classes)).no_object_scores
    pieces = np.zeros((40, 40), np.uint8)
    pieces[:5], pieces[7:9], pieces[20:30] = 1, 1, 2
    assert score_labels(pieces, image_with(pieces)).true_objects == 2


def test_strokes_have_no_object_scores():
    _, numbered = touching()
    scores = score_labels(numbered, image_with(numbered, annotated=numbered > 0))
    assert scores.matches is None and "annotated" in scores.no_object_scores


def test_what_is_predicted_in_an_empty_mask_counts_as_false_objects_and_has_no_score_of_its_own():
    mask, numbered = touching()
    empty, full = (score_labels(mask, image_with(truth)) for truth in (np.zeros_like(mask), numbered))
    assert (empty.predicted_objects, empty.true_objects, empty.no_object_scores) == (1, 0, "")
    assert objects_together([empty]) is None
    assert objects_together([empty, full]).predicted == 2


def test_an_image_without_labels_is_refused(model):
    blank = AnnotatedImage("img3", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match="img3: there are no labels"):
        evaluate(model, [blank], PREDICT)


def test_each_image_is_scored_by_its_own_prediction(model, dataset1):
    predictor = Predictor(model, PREDICT)
    for image, predicted, scores in evaluate_images(predictor, dataset1[:2]):
        np.testing.assert_array_equal(predicted.labels, predictor.predict(image).labels)
        assert scores == score_labels(predicted.labels, image)


def test_rows_come_one_by_one_and_are_those_of_evaluate(model, dataset1):
    predictor = Predictor(model, PREDICT)
    rows = score_rows(predictor, dataset1, dataset=1)
    first = next(rows)
    assert (first.image, first.dataset) == (dataset1[0].name, 1)
    assert [first, *rows] == evaluate(model, dataset1, PREDICT, dataset=1)


def test_a_row_counts_the_images_of_the_finetuning_and_none_for_a_base_model(dataset1, dataset2):
    config = CONFIG.model_copy(update={"keep_raw": False})
    base = drain(train(dataset1, config, shape=TINY)).model
    tuned = drain(finetune(base, dataset2[:3], config)).model
    rows = [evaluate(model, dataset2[3:], PREDICT)[0] for model in (base, tuned)]
    assert [(row.count, row.seed, row.preset, row.dataset) for row in rows] == [
        (0, 3, "", 2), (3, 3, "default", 2),
    ]  # fmt: skip
