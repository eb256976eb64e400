"""Every image is scored once, by a model that was trained without it."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, ModelConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import Notice, PartStarted, RunStarted, drain
from napari_unet_finetune.io.regions.region import Region
from napari_unet_finetune.measure.objects import number_objects
from napari_unet_finetune.models.provenance import Provenance, TrainingImage
from napari_unet_finetune.questions.cross_validate import cross_validate, how_left_out, mean_with_interval, split_folds
from napari_unet_finetune.training.finetune import random_model

from ..report.conftest import Reread

CONFIG = FinetuneConfig(
    steps=2, batch_size=2, patch_size=32, validate_every=1, rehearsal_patches=0, augment=AugmentConfig.none(),
    device="cpu", precision="fp32", keep_raw=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return random_model(ModelConfig(width=16, levels=2), CONFIG)


def run(events):
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as stop:
            return seen, stop.value


def test_no_fold_sees_its_own_images(model, dataset2):
    seen, result = run(cross_validate(model, dataset2, CONFIG))
    started = [event for event in seen if isinstance(event, RunStarted)]
    assert len(started) == 4 and result.folds == 4
    for one, training in zip(result.scores, started, strict=True):
        assert one.image not in training.train_images + training.validation_images
    assert sorted(one.image for one in result.scores) == sorted(image.name for image in dataset2)
    parts = [event for event in seen if isinstance(event, PartStarted)]
    assert [(part.index, part.total) for part in parts] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_holds_for_all_folds_is_said_once(model, dataset2):
    seen, _ = run(cross_validate(model, dataset2, CONFIG))
    messages = [event.message for event in seen if isinstance(event, Notice)]
    assert len(messages) == len(set(messages))


def test_the_mean_is_that_of_the_images_and_the_gain_that_of_the_differences(model, dataset2):
    result = drain(cross_validate(model, dataset2, CONFIG, folds=2))
    dice, raw = (np.array([getattr(one, name) for one in result.scores]) for name in ("dice", "raw_dice"))
    assert result.folds == 2 and {one.fold for one in result.scores} == {1, 2}
    assert result.dice.value == pytest.approx(dice.mean())
    assert result.gain.value == pytest.approx((dice - raw).mean())
    assert result.gain.low <= result.gain.value <= result.gain.high
    assert result.summary.startswith("Cross-validation in 2 folds over 4 images: mean Dice ")


def test_objects_are_scored_as_everywhere_where_masks_number_them(model, dataset2):
    plain = [replace(one, labels=one.target.astype(np.uint8)) for one in dataset2]
    numbered = [replace(one, labels=number_objects(one.labels, name=one.name)) for one in plain[:3]]
    result = drain(cross_validate(model, [*numbered, plain[3]], CONFIG, folds=2))
    assert sum(one.matches is None for one in result.scores) == 1
    for one in result.scores:
        assert one.raw.dice == one.raw_dice and (one.raw.matches is None) == (one.matches is None)
    assert result.table.columns[-3:] == ("precision", "recall", "F1") and "IoU of 0.5" in result.summary
    assert "objects of 1 image are not compared" in result.summary
    assert drain(cross_validate(model, plain, CONFIG, folds=2)).objects is None


def test_the_interval_is_students():
    mean = mean_with_interval([0.8, 0.9, 0.85, 0.95], low=0, high=1)
    assert mean.value == pytest.approx(0.875)
    assert mean.value - mean.low == pytest.approx(3.182 * 0.06455 / 2, abs=1e-4)  # t(3) = 3.182, s = 0.06455
    assert mean_with_interval([0.1, 0.9, 0.99], low=0, high=1).high == 1
    assert mean_with_interval([0.1, 0.9], low=0, high=1).low is None


def test_images_are_read_when_they_are_needed_and_let_go(model, dataset2):
    images = Reread([*dataset2, *dataset2])
    result = drain(cross_validate(model, images, CONFIG, folds=2))
    assert len(result.scores) == 8 and images.most <= 4  # those of one training, while it is set up


def test_a_base_that_knows_the_images_is_told(model, dataset2):
    known = (TrainingImage(name="a", sha256=TrainingImage.of(dataset2[1]).sha256),)
    base = model.with_card(provenance=Provenance(images=known))
    result = drain(cross_validate(base, dataset2, CONFIG, folds=2))
    assert result.trained_on == (dataset2[1].name,)
    assert "itself trained with 1 of these images" in result.summary and "never saw" not in result.summary


def test_stopping_keeps_what_is_scored(model, dataset2):
    asked = iter([False] * 3)
    result = drain(cross_validate(model, dataset2, CONFIG, should_stop=lambda: next(asked, True)))
    assert result.stopped and len(result.scores) == 1 and "stopped after 1 of 4 trainings" in result.summary
    assert drain(cross_validate(model, dataset2, CONFIG, should_stop=lambda: True)) is None


def test_images_without_annotation_take_no_part(model, dataset2):
    blank = AnnotatedImage("blank", dataset2[0].image, dataset2[0].labels, np.zeros(dataset2[0].shape, bool))
    result = drain(cross_validate(model, [*dataset2[:2], blank], CONFIG))
    assert [one.image for one in result.scores] == [image.name for image in dataset2[:2]]
    assert "too few images for an interval" in result.summary


@pytest.mark.parametrize(("count", "folds"), [(1, None), (5, 1), (5, 6)])
def test_impossible_folds_are_refused(count, folds):
    with pytest.raises(DataError):
        split_folds(count, folds, 0)


def test_folds_hold_every_image_once_and_are_even():
    parts = split_folds(11, 3, 0)
    assert sorted(index for part in parts for index in part) == list(range(11)) and {len(part) for part in parts} == {
        3,
        4,
    }
    assert parts == split_folds(11, 3, 0) != split_folds(11, 3, 1)


@pytest.mark.parametrize("folds", [None, 2])
def test_regions_of_a_slide_are_in_one_fold_where_there_are_three_images(folds):
    wholes = ["a", "b", "a", None, "c", "c"]
    parts = split_folds(6, folds, 0, wholes=wholes)
    assert sorted(index for part in parts for index in part) == list(range(6))
    assert len(parts) == (folds or 4)
    assert all({0, 2} <= set(part) or not {0, 2} & set(part) for part in parts)
    assert len(split_folds(4, None, 0, wholes=["a", "a", "b", "b"])) == 4


@pytest.mark.parametrize(
    ("wholes", "told"),
    [
        ([None, None, None], ""),
        ([None, "a", "a"], "of which others are trained on"),  # the first fold holds no region
        (["a", None, "b", "b"], "3 annotated regions lie in 2 images"),  # and here one of the two
        ([None, "a", None], "1 annotated region lies in 1 image"),
    ],
)
def test_what_is_said_of_regions_holds_for_all_folds(wholes, told):
    about = how_left_out(split_folds(len(wholes), None, 0, wholes=wholes), wholes)
    assert told in about and bool(told) == bool(about)


def test_what_is_left_out_of_slides_is_told(model, dataset2):
    for count, told in ((1, "others are trained on"), (3, "6 annotated regions lie in 3 images: each fold")):
        slides = [replace(image, image=np.roll(image.image, place)) for place, image in enumerate(dataset2[:count])]
        half = dataset2[0].shape[1] // 2
        regions = [
            AnnotatedImage(
                f"{place}-{left}", slide.image[:, left : left + half], slide.labels[:, left : left + half],
                part_of=slide, region=Region(0, left, slide.shape[0], left + half),
            )
            for place, slide in enumerate(slides)
            for left in (0, half)
        ]  # fmt: skip
        events = cross_validate(model, regions, CONFIG)
        first = next(event for event in events if isinstance(event, Notice))
        assert told in first.message
