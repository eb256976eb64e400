"""What is measured of an image does not depend on how it is cut, and percentiles are those of NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet_finetune.config import Normalization
from napari_unet_finetune.data.view.intensities import Bands, apply_intensities, measure_intensities

TYPES = ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


@st.composite
def images(draw, types=TYPES):
    dtype = np.dtype(draw(st.sampled_from(types)))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)))
    if dtype.kind == "f":
        elements = st.floats(-1000, 1000, width=8 * dtype.itemsize)
    elif dtype.kind == "b":
        elements = st.booleans()
    else:  # the largest integers cannot be told apart as floats
        limits = np.iinfo(dtype)
        elements = st.integers(max(limits.min, -(2**50)), min(limits.max, 2**50))
    return draw(hnp.arrays(dtype, shape, elements=elements))


def cut(image, rows):
    return Bands(
        lambda: (image[:, top : top + rows] for top in range(0, image.shape[1], rows)), len(image), image.dtype
    )


rules = st.builds(
    lambda method, low, high, per_channel: Normalization(
        method=method, low=min(low, high - 1), high=high, per_channel=per_channel
    ),
    st.sampled_from(["percentile", "zscore"]),
    st.sampled_from([0, 0.1, 3, 45]),
    st.sampled_from([50, 75.5, 99.9, 100]),
    st.booleans(),
)


@given(images(), rules, st.integers(1, 12))
def test_what_is_measured_is_the_same_however_the_image_is_cut(image, rule, rows):
    whole = measure_intensities(Bands.of(image), rule)
    assert measure_intensities(cut(image, rows), rule) == whole
    seen = apply_intensities(image, rule, whole)
    parts = [apply_intensities(part, rule, whole) for part in cut(image, rows).read()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), seen)


@given(images(), st.sampled_from([0, 0.1, 3, 45]), st.sampled_from([50, 75.5, 99.9, 100]))
def test_percentiles_are_those_of_numpy_to_the_last_bit(image, low, high):
    found = measure_intensities(Bands.of(image), Normalization(low=low, high=high))
    values = image.astype(np.float32 if image.dtype.itemsize <= 2 else np.float64)
    expected = np.percentile(values, (low, high))
    if expected[1] <= expected[0]:
        expected = np.array([values.min(), values.max()], np.float64)
    assert found.offsets == (expected[0],)
    assert found.widths == (expected[1] - expected[0],)


@given(images())
def test_the_z_score_has_mean_and_deviation_of_numpy(image):
    found = measure_intensities(Bands.of(image), Normalization(method="zscore"))
    values = image.astype(np.float64)
    assert found.offsets[0] == pytest.approx(values.mean(), rel=1e-12, abs=1e-12 * np.abs(values).max())
    assert found.widths[0] == pytest.approx(values.std(), rel=1e-9, abs=1e-12 * np.abs(values).max())
