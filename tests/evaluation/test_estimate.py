"""A model is run on annotated images and its areas are compared."""

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.config import FinetuneConfig, ModelConfig, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.estimate import estimate
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.predict import predict
from napari_unet_finetune.models.provenance import Provenance, TrainingImage
from napari_unet_finetune.training.finetune import random_model

PREDICT = PredictConfig(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def model():
    return random_model(ModelConfig(width=16, levels=2), FinetuneConfig(patch_size=32))


def test_figures_agree_with_those_of_evaluate(model, dataset1):
    result = drain(estimate(model, dataset1, PREDICT))
    rows = evaluate(model, dataset1, PREDICT)
    assert [area.image for area in result.images] == [row.image for row in rows]
    assert [area.dice for area in result.images] == pytest.approx([row.dice for row in rows])
    assert [area.area_ratio for area in result.images] == pytest.approx([row.area_ratio for row in rows])
    at_threshold = next(point for point in result.curve if point.threshold == result.threshold)
    assert at_threshold.dice == pytest.approx(result.dice)
    assert at_threshold.area_ratio == pytest.approx(result.area_ratio)


def test_every_image_is_announced(model, dataset1):
    events = list(estimate(model, dataset1, PREDICT))
    assert [(event.label, event.index, event.total) for event in events] == [
        (image.name, index, 4) for index, image in enumerate(dataset1, start=1)
    ]


def test_images_of_the_training_are_told_by_their_pixels_and_not_by_their_names(model, dataset1):
    first, second, *_ = dataset1
    records = (
        TrainingImage(name="another name", sha256=TrainingImage.of(first).sha256),
        TrainingImage(name=second.name, sha256="another image"),
    )
    trained = model.with_card(provenance=Provenance(images=records))
    result = drain(estimate(trained, dataset1, PREDICT))
    assert result.trained_on == (first.name,)
    assert f"trained or validated on 1 image of 4 ({first.name})" in result.summary
    assert "training had" not in drain(estimate(model, [first], PREDICT)).summary


def test_stopping_gives_no_result(model, dataset1):
    assert drain(estimate(model, dataset1, PREDICT, should_stop=lambda: True)) is None


def test_error_maps_are_written_whatever_the_image_is_called(model, dataset1, tmp_path):
    image = dataset1[0]
    hostile = AnnotatedImage("../a b$<c>", image.image, image.labels, scale=(0.5, 0.5), unit="um")
    drain(estimate(model, [hostile, hostile], PREDICT, maps=tmp_path / "maps"))
    files = sorted((tmp_path / "maps").iterdir())
    assert [file.name for file in files] == ["001_.._a_b_c__errors.tif", "002_.._a_b_c__errors.tif"]
    errors, predicted = tifffile.imread(files[0]), predict(model, hostile, PREDICT).labels > 0
    truth = image.target
    for code, where in enumerate((~predicted & ~truth, predicted & truth, predicted & ~truth, ~predicted & truth)):
        np.testing.assert_array_equal(errors == code, where)


def test_nothing_annotated_is_refused(model):
    with pytest.raises(DataError, match="no annotated images"):
        drain(estimate(model, [], PREDICT))
