"""Statistics of a dataset: the same whatever the data type, apart for objects and background, small as JSON."""

from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.config import Normalization
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.statistics import (
    LEVELS,
    DataStatistics,
    ModelFacts,
    ModelView,
    combine,
    have_opposite_contrast,
    measure,
    measure_image,
)

VIEW = ModelView(normalization=Normalization(low=0, high=100))


def image_of(*, background=50, objects=200, dtype=np.uint8, annotated=None, labels=True):
    mask = np.zeros((60, 80), np.uint8)
    mask[20:32, 30:42] = 1
    pixels = np.where(mask, objects, background).astype(dtype)
    pixels[0, 0], pixels[0, 1] = 0, np.iinfo(dtype).max
    return AnnotatedImage("one", pixels, mask if labels else None, annotated)


def median(quantiles):
    return quantiles[len(LEVELS) // 2]


def test_objects_and_background_are_apart_and_raw_is_a_share_of_the_types_range():
    found = measure_image(image_of(), VIEW)
    assert median(found.raw.objects) == pytest.approx(200 / 255, abs=1e-4)
    assert median(found.raw.background) == median(found.raw.everywhere) == pytest.approx(50 / 255, abs=1e-4)
    assert found.foreground == pytest.approx(144 / 4800, abs=1e-4)
    assert found.object_width_px == pytest.approx(12, abs=1)


def test_normalized_intensities_do_not_depend_on_the_data_type():
    eight = measure_image(image_of(), VIEW)
    sixteen = measure_image(image_of(background=50 * 257, objects=200 * 257, dtype=np.uint16), VIEW)
    assert eight == sixteen


def test_without_labels_only_the_whole_is_known():
    found = measure_image(image_of(labels=False), VIEW)
    assert found.foreground is None and found.object_width_px is None
    assert found.normalized.objects == found.normalized.background == ()
    assert len(found.normalized.everywhere) == len(LEVELS)


def test_pixels_that_are_not_annotated_count_neither_as_object_nor_as_background():
    annotated = np.zeros((60, 80), bool)
    annotated[20:32, 30:54] = True
    found = measure_image(image_of(annotated=annotated), VIEW)
    assert found.foreground == pytest.approx(0.5)
    assert found.object_width_px is None


def test_color_is_seen_in_grey_and_floats_without_range_have_no_raw_values():
    gray = image_of()
    color = AnnotatedImage("rgb", np.stack([gray.image] * 3), gray.labels)
    assert measure_image(color, VIEW).raw.objects == pytest.approx(measure_image(gray, VIEW).raw.objects, abs=1e-3)
    floats = AnnotatedImage("floats", gray.image.astype(np.float32), gray.labels)
    assert measure_image(floats, VIEW).raw.everywhere == ()
    assert measure_image(floats, VIEW).normalized == measure_image(gray, VIEW).normalized


def test_images_together_count_the_same_each():
    found = measure([image_of(background=20), image_of(background=80)], VIEW)
    assert found.images == 2
    assert median(found.raw.background) == pytest.approx(50 / 255, abs=1e-4)
    assert found.median_range == pytest.approx((20 / 255, 80 / 255), abs=1e-4)
    assert combine([]) is None


def test_images_that_are_added_one_by_one_give_the_means_of_all():
    rng = np.random.default_rng(0)
    images = [image_of(background=int(rng.integers(1, 90)), labels=bool(number % 5)) for number in range(23)]
    each = [measure_image(image, VIEW) for image in images]
    found = combine(iter(each))
    for part in ("everywhere", "objects", "background"):
        known = [quantiles for one in each if (quantiles := getattr(one.raw, part))]
        assert getattr(found.raw, part) == tuple(np.mean(known, axis=0).round(5))
    assert found.foreground == each[1].foreground and found.object_width_px == each[1].object_width_px


def test_sizes_are_given_as_the_network_sees_them():
    half = VIEW.model_copy(update={"rescale": 0.5})
    assert measure_image(image_of(), half).object_width_px == pytest.approx(6, abs=0.5)


def test_statistics_travel_as_json_and_are_small():
    found = measure_image(image_of(), VIEW)
    text = found.model_dump_json()
    assert DataStatistics.model_validate_json(text) == found
    assert len(text) < 5000


@pytest.mark.parametrize("normalization", ["percentile", "zscore", "none"])
@pytest.mark.parametrize(
    ("old", "new", "opposite"),
    [
        (200, 200, False),
        (200, 10, True),
        (10, 200, True),
        (10, 10, False),
        (200, None, False),
        (None, 10, False),
    ],
)
def test_objects_have_the_opposite_contrast_if_masks_of_both_say_so(old, new, opposite, normalization):
    """Whatever single hot pixels do to the range, and however dim the new images are."""
    view = ModelView(normalization=Normalization(method=normalization))

    def measured(objects, *, scale=1.0):
        image = image_of(objects=objects or 200, labels=objects is not None)
        return measure_image(replace(image, image=(image.image * scale).astype(np.uint8)), view)

    assert have_opposite_contrast(ModelFacts("base", view, measured(old)), measured(new, scale=0.3)) == opposite


def test_objects_that_are_hardly_brighter_have_no_contrast_that_could_be_opposite():
    rng, image = np.random.default_rng(0), image_of(objects=10)

    def noisy(objects):
        pixels = rng.normal(np.where(image.target, objects, 100), 20)
        return measure_image(replace(image, image=pixels.clip(0, 255).astype(np.uint8)), VIEW)

    bright = ModelFacts("base", VIEW, noisy(200))
    assert have_opposite_contrast(bright, noisy(60)) and not have_opposite_contrast(bright, noisy(95))


def test_of_a_model_without_statistics_or_of_several_datasets_no_contrast_is_known():
    bright, dark = measure_image(image_of(), VIEW), measure_image(image_of(objects=10), VIEW)
    assert have_opposite_contrast(ModelFacts("base", VIEW, bright), dark)
    assert not have_opposite_contrast(ModelFacts("base", VIEW), dark)
    assert not have_opposite_contrast(ModelFacts("base", VIEW, bright), None)
    assert not have_opposite_contrast(ModelFacts("finetuned", VIEW, bright, is_finetuned=True), dark)
