"""Masks: whatever way one was saved, the objects are found, and the words say how."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

from napari_unet_finetune.data.masks import STROKES, read_labels
from napari_unet_finetune.errors import DataError

OBJECTS = np.zeros((10, 10), bool)
OBJECTS[2:6, 3:8] = True  # 20 %


def color_mask(background, foreground, objects=OBJECTS, dtype=np.uint8):
    chosen = np.where(objects[..., None], np.array(foreground), np.array(background))
    return np.moveaxis(chosen, -1, 0).astype(dtype)


@pytest.mark.parametrize(
    ("array", "description"),
    [
        (OBJECTS, "1-bit mask, 20 % foreground"),
        (OBJECTS.astype(np.uint8), "0/1 mask, 20 % foreground"),
        (OBJECTS * np.uint8(255), "0/255 mask, 20 % foreground"),
        (OBJECTS * np.uint16(65535), "0/65535 mask, 20 % foreground"),
        (OBJECTS.astype(np.int64), "0/1 mask, 20 % foreground"),
        (OBJECTS.astype(np.float32), "0/1 mask, 20 % foreground"),
        (OBJECTS * 255.0, "0/255 mask, 20 % foreground"),
        (OBJECTS * 0.5 + 0.25, "mask of 0.25 and 0.75, 20 % foreground"),
        (OBJECTS * 2.0 - 1, "mask of -1 and 1, 20 % foreground"),
        (color_mask((0, 0, 0), (255, 0, 0)), "two-color mask, background is (0, 0, 0), 20 % foreground"),
        (color_mask((255, 255, 255), (255, 0, 0)), "two-color mask, background is (255, 255, 255), 20 % foreground"),
        (color_mask((9, 9, 200), (200, 200, 9)), "two-color mask, background is (9, 9, 200), 20 % foreground"),
    ],
)
def test_objects_are_found_and_named(array, description):
    reading = read_labels(array, name="m")
    np.testing.assert_array_equal(reading.labels > 0, OBJECTS)
    assert reading.description == description
    assert reading.annotated is None
    assert reading.foreground_fraction == pytest.approx(0.2)
    assert reading.labels.dtype.kind in "ui"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.float32])
def test_object_numbers_are_kept_as_they_are(dtype):
    array = np.zeros((10, 10), dtype)
    array[0, :5], array[5, :3] = 3, 120
    reading = read_labels(array, name="m")
    np.testing.assert_array_equal(reading.labels, array)
    assert reading.description == "instance labels, 2 objects, 8.0 % foreground"


def test_255_numbered_objects_are_not_mistaken_for_a_blurred_mask():
    array = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, axis=1)
    reading = read_labels(array, name="m")
    np.testing.assert_array_equal(reading.labels, array)


def test_a_0_255_mask_that_went_through_jpeg_is_cut_at_half():
    noise = np.random.default_rng(0).integers(0, 12, (100, 100))
    objects = OBJECTS.repeat(10, 0).repeat(10, 1)
    reading = read_labels(np.where(objects, 255 - noise, noise).astype(np.uint8), name="m")
    np.testing.assert_array_equal(reading.labels > 0, objects)
    assert "soft edges" in reading.description


def test_a_0_255_mask_that_was_shrunk_to_half_is_cut_at_half():
    rows, columns = np.indices((100, 100))
    large = np.hypot(rows - 48, columns - 45) < 30
    shrunk = np.rint(255 * large.reshape(50, 2, 50, 2).mean(axis=(1, 3))).astype(np.uint8)
    assert np.unique(shrunk).tolist() == [0, 64, 128, 191, 255]
    reading = read_labels(shrunk, name="m")
    np.testing.assert_array_equal(reading.labels, shrunk > 127)
    assert "soft edges" in reading.description


@pytest.mark.parametrize("numbers", [(1, 64, 128, 191, 255), (50, 100, 150, 200, 255), (64, 128, 191, 254)])
def test_a_few_numbered_objects_are_not_mistaken_for_a_shrunk_mask(numbers):
    array = np.zeros((10, 10), np.uint8)
    array[: len(numbers)] = np.array(numbers)[:, None]
    np.testing.assert_array_equal(read_labels(array, name="m").labels, array)


def test_solid_objects_with_stretched_numbers_are_kept_beside_a_large_one_of_255():
    array = np.zeros((20, 20), np.uint8)
    array[5:] = 255
    for index, number in enumerate((51, 102, 153, 204)):
        array[1:4, 5 * index : 5 * index + 3] = number
    np.testing.assert_array_equal(read_labels(array, name="m").labels, array)


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255)])
def test_black_and_white_stay_background_where_objects_cover_most(background):
    reading = read_labels(color_mask(background, (255, 0, 0), ~OBJECTS), name="m")
    np.testing.assert_array_equal(reading.labels > 0, ~OBJECTS)


def test_on_a_tie_the_darker_color_is_background():
    half = np.zeros((4, 4), bool)
    half[:2] = True
    reading = read_labels(color_mask((10, 0, 0), (200, 9, 9), half), name="m")
    np.testing.assert_array_equal(reading.labels > 0, half)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4), bool), color_mask((0, 0, 0), (0, 0, 0))]
)
def test_an_empty_mask_is_called_empty(array):
    reading = read_labels(array, name="m")
    assert reading.description == "empty mask"
    assert not reading.labels.any()


def test_a_mask_without_background_looks_inverted():
    array = np.ones((10, 10), np.uint8)
    array[0, 0] = 0
    assert read_labels(array, name="m").description == "0/1 mask, 99 % foreground: looks inverted"


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array([[-1, 0, 3]]), "negative"),
        (np.array([[0.1, 0.5, 0.9]]), "threshold"),
        (np.array([[0.5, 0.5]]), "all pixels are 0.5"),
        (np.array([[-1.0, 0.0, 1.0]]), "negative"),
        (np.random.default_rng(0).integers(0, 9, (3, 5, 5)), "two colors"),
    ],
)
def test_what_cannot_be_understood_is_an_error_that_names_the_mask(array, found):
    with pytest.raises(DataError, match=f"^m7: .*{found}"):
        read_labels(array, name="m7")


def test_strokes_tell_objects_from_background_and_from_what_is_not_annotated():
    array = np.zeros((10, 10), np.uint8)
    array[0, :6], array[1, :4] = 1, 2
    reading = read_labels(array, name="m", meaning=STROKES)
    np.testing.assert_array_equal(reading.annotated, array > 0)
    np.testing.assert_array_equal(reading.labels > 0, array == 2)
    assert reading.description == "strokes: 10 % annotated, 40 % of it object"
    assert reading.foreground_fraction == pytest.approx(0.4)


def test_missing_background_strokes_are_named():
    array = np.zeros((10, 10), np.uint8)
    array[0] = 2
    assert read_labels(array, name="m", meaning=STROKES).description.endswith("no background strokes")


def test_strokes_of_other_numbers_are_refused():
    with pytest.raises(DataError, match="0, 3"):
        read_labels(np.array([[0, 3]]), name="m", meaning=STROKES)


def test_without_sparse_the_same_numbers_are_objects():
    reading = read_labels(np.array([[0, 1, 2]]), name="m")
    assert reading.labels.tolist() == [[0, 1, 2]]


@given(hnp.arrays(np.uint16, (5, 6), elements=st.integers(0, 2000)))
def test_integers_from_1_on_are_always_objects(small):
    array = np.kron(small, np.ones((3, 3), np.uint16))
    np.testing.assert_array_equal(read_labels(array, name="m").labels > 0, array > 0)


def drawn(seed: int, *, numbered: bool = False) -> np.ndarray:
    """Return disks, filaments and bars from 3 pixels wide, as a mask or numbered."""
    rng, image = np.random.default_rng(seed), Image.new("I", (220, 180))
    pen = ImageDraw.Draw(image)
    for number in range(1, int(rng.integers(8, 40))):
        (x, y), kind = rng.uniform(0, 200, 2), number % 3
        if kind == 0:
            a, b = rng.uniform(1.5, 14, 2)
            pen.ellipse((x - a, y - b, x + a, y + b), fill=number)
        elif kind == 1:
            angle, length = rng.uniform(0, np.pi), rng.uniform(10, 120)
            pen.line((x, y, x + length * np.cos(angle), y + length * np.sin(angle)), fill=number, width=3)
        else:
            a, b = rng.integers(3, 30, 2).tolist()
            pen.rectangle((int(x), int(y), int(x) + a - 1, int(y) + b - 1), fill=number)
    labels = np.array(image)
    return labels if numbered else labels > 0


@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(0.5, 2),
    angle=st.floats(0, 360),
    quality=st.one_of(st.none(), st.integers(50, 95)),
    deep=st.booleans(),
    kernel=st.sampled_from([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]),
)
@settings(max_examples=25, deadline=None)
def test_what_smoothing_leaves_of_a_mask_is_cut_at_half(seed, scale, angle, quality, deep, kernel):
    mask = drawn(seed)
    size = (round(220 * scale), round(180 * scale))

    def moved(image: Image.Image, kernel: Image.Resampling) -> Image.Image:
        return image.resize(size, kernel).rotate(angle, Image.Resampling.BILINEAR)

    truth = np.asarray(moved(Image.fromarray(mask.astype(np.float32)), Image.Resampling.BOX)).sum()
    if deep:
        soft = np.asarray(moved(Image.fromarray(mask * np.float32(65535)), kernel))
        array = np.clip(np.rint(soft), 0, 65535).astype(np.uint16)
    else:
        array = np.asarray(moved(Image.fromarray((mask * 255).astype(np.uint8)), kernel))
    if quality is not None and not deep:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "JPEG", quality=quality)
        array = np.asarray(Image.open(buffer))
    labels = read_labels(array, name="m").labels
    assert len(np.unique(labels)) <= 2
    assert (labels > 0).sum() == pytest.approx(truth, rel=0.08)


@given(seed=st.integers(0, 10**6), top=st.sampled_from([None, 255, 65535]), shuffled=st.booleans())
@settings(max_examples=25, deadline=None)
def test_numbers_of_objects_are_never_taken_for_shades(seed, top, shuffled):
    rng, labels = np.random.default_rng(seed), drawn(seed, numbered=True)
    numbers = np.arange(labels.max() + 1)
    if top is not None:  # with gaps, the last one as large as the type allows
        numbers[1:] = np.sort(rng.choice(np.arange(1, top), len(numbers) - 1, replace=False))
        numbers[-1] = top
    if shuffled:
        rng.shuffle(numbers[1:])
    array = numbers[labels].astype(np.uint8 if numbers.max() < 256 else np.uint16)
    np.testing.assert_array_equal(read_labels(array, name="m").labels, array)


@pytest.mark.parametrize("side", [2, 12, 70])
def test_touching_objects_that_fill_the_image_are_numbers(side):
    array = np.kron(np.arange(1, side**2 + 1).reshape(side, side), np.ones((4, 4))).astype(np.uint16)
    np.testing.assert_array_equal(read_labels(array, name="m").labels, array)


def test_a_photo_is_no_mask():
    y, x = np.mgrid[:90, :100]
    photo = (
        300 + 2000 * np.exp(-((y - 40) ** 2 + (x - 50) ** 2) / 800) + np.random.default_rng(0).normal(0, 20, y.shape)
    )
    with pytest.raises(DataError, match="photo"):
        read_labels(photo.astype(np.uint16), name="m")


HOLES = np.hypot((np.mgrid[:90, :120][0] % 30) - 15, (np.mgrid[:90, :120][1] % 30) - 15) < 9


@pytest.mark.parametrize("value", [1, 255])
def test_an_inverted_mask_is_asked_about_by_its_shape(value):
    assert "surrounds" in read_labels(np.where(HOLES, 0, value).astype(np.uint8), name="m").doubt
    assert not read_labels(np.where(HOLES, value, 0).astype(np.uint8), name="m").doubt


def test_layers_with_a_few_round_holes_are_not_asked_about():
    layers = np.repeat(np.arange(90) % 45 < 27, 120).reshape(90, 120)
    layers[:, 40:80] = True
    assert not read_labels((layers & ~(HOLES & (np.mgrid[:90, :120][1] > 60))).astype(np.uint8), name="m").doubt


@pytest.mark.parametrize("values", [(1, 2), (2, 1), (255, 254), (1, 255)])
def test_of_two_values_without_0_the_one_that_surrounds_is_background(values):
    reading = read_labels(np.where(HOLES, *values).astype(np.uint8), name="m")
    np.testing.assert_array_equal(reading.labels > 0, HOLES)
    assert "ilastik" in reading.description


def test_two_values_without_0_that_lie_side_by_side_are_asked_about():
    assert "ilastik" in read_labels(np.repeat([[1, 2]], 20, axis=0).repeat(10, axis=1), name="m").doubt


def test_a_border_of_255_between_small_numbers_is_not_annotated():
    y, x = np.mgrid[:60, :80]
    distance = np.hypot(y - 30, x - 40)
    array = np.where(distance < 15, 3, np.where(distance < 19, 255, 0)).astype(np.uint8)
    reading = read_labels(array, name="m")
    np.testing.assert_array_equal(reading.labels, np.where(distance < 15, 3, 0))
    np.testing.assert_array_equal(reading.annotated, array != 255)
    array[:, :20] = 255
    assert "void" in read_labels(array, name="m").doubt


def test_a_mask_of_two_colors_that_went_through_jpeg_is_cut_at_half():
    image = Image.fromarray(np.where(HOLES[..., None], (220, 30, 40), (10, 10, 10)).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    array = np.moveaxis(np.asarray(Image.open(buffer)), -1, 0)
    reading = read_labels(array, name="m")
    assert np.mean(reading.labels.astype(bool) != HOLES) < 0.03
