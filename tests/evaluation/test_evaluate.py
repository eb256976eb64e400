"""A model is scored on what is annotated, and its rows say what it is."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.config import FinetuneConfig, ModelConfig, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.evaluate import Tolerance, evaluate, evaluate_images, score_prediction, score_rows
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.predict import Prediction, Predictor
from napari_unet_finetune.training.finetune import finetune, random_model, train

TINY = ModelConfig(width=16, levels=2)
CONFIG = FinetuneConfig(
    steps=1, batch_size=1, patch_size=32, rehearsal_patches=0, device="cpu", precision="fp32", seed=3
)
PREDICT = PredictConfig(device="cpu", precision="fp32")


def prediction(labels):
    return Prediction("a", np.zeros(labels.shape, np.float32), labels.astype(np.uint16), 0.5, (1.0, 1.0), "px")


def image_with(labels, **changes):
    return AnnotatedImage("a", np.zeros(labels.shape, np.uint8), labels, **changes)


@pytest.fixture(scope="module")
def model():
    return random_model(TINY, CONFIG)


def test_a_perfect_prediction_scores_one_whatever_the_numbers_of_the_objects():
    truth = np.zeros((20, 20), np.uint8)
    truth[2:9, 2:9] = 1
    scores = score_prediction(prediction(truth * 7), image_with(truth))
    assert scores.dice == scores.iou == scores.surface_dice == scores.area_ratio == 1


def test_what_is_not_annotated_does_not_count():
    truth, guess, known = np.zeros((3, 20, 20), np.uint8)
    truth[2:9, 2:9] = guess[2:9, 2:9] = 1
    guess[:, 12:] = 1
    known[:, :12] = 1
    assert score_prediction(prediction(guess), image_with(truth)).dice < 0.5
    assert score_prediction(prediction(guess), image_with(truth, annotated=known.astype(bool))).dice == 1


def test_the_tolerance_is_that_of_the_boundary():
    truth, guess = np.zeros((2, 30, 30), np.uint8)
    truth[10:20, 10:20] = guess[10:20, 13:23] = 1
    image = replace(image_with(truth), scale=(0.5, 0.5), unit="um")
    for near, far in ((Tolerance(1), Tolerance(3)), (Tolerance(0.5, "um"), Tolerance(1.5, "um"))):
        surface = [score_prediction(prediction(guess), image, tolerance=value).surface_dice for value in (near, far)]
        assert surface[0] < 1 == surface[1]


def test_a_tolerance_in_micrometers_needs_a_pixel_size():
    truth = np.ones((8, 8), np.uint8)
    with pytest.raises(DataError, match="Give the tolerance in pixels"):
        score_prediction(prediction(truth), image_with(truth), tolerance=Tolerance(1, "um"))


def test_an_image_without_labels_is_refused(model):
    blank = AnnotatedImage("img3", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match="img3: there are no labels"):
        evaluate(model, [blank], PREDICT)


def test_each_image_is_scored_by_its_own_prediction(model, dataset1):
    predictor = Predictor(model, PREDICT)
    for image, predicted, scores in evaluate_images(predictor, dataset1[:2]):
        np.testing.assert_array_equal(predicted.labels, predictor.predict(image).labels)
        assert scores == score_prediction(predicted, image)


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
        (0, 3, "default", 2), (3, 3, "default", 2),
    ]  # fmt: skip
