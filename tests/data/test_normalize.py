"""What the network sees depends on the image, not on how it was stored, and never holds a NaN."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet_finetune.config import ChannelRule, Normalization
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.normalize import LUMINANCE, model_input, to_channels
from napari_unet_finetune.data.view.intensities import VALUE_RANGE
from napari_unet_finetune.errors import DataError

PERCENTILE, ZSCORE, NONE = (Normalization(method=method) for method in ("percentile", "zscore", "none"))
RULES = [PERCENTILE, ZSCORE, NONE, Normalization(per_channel=True)]


def noisy(background=100.0, noise=5.0, shape=(1, 200, 200)):
    return np.random.default_rng(0).normal(background, noise, shape)


def seen(image, *, in_channels=1, channels=None, normalization=PERCENTILE):
    annotated = AnnotatedImage("img3", image)
    return model_input(
        annotated, in_channels=in_channels, channels=channels or ChannelRule(), normalization=normalization
    )


def normalize(pixels, rule):
    return seen(pixels, in_channels=len(pixels), normalization=rule)


def test_objects_on_a_third_of_a_percent_of_the_area_keep_their_contrast():
    pixels = noisy()
    pixels[0, 50:61, 50:61] += 80  # 121 of 40,000 pixels
    result = normalize(pixels.astype(np.uint8), PERCENTILE)
    assert 0.85 < np.median(result[0, 50:61, 50:61]) < 1.05
    assert result.max() < 1.2


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_eight_bits_and_sixteen_bits_of_the_same_image_look_the_same(rule):
    pixels = noisy(shape=(3, 40, 50)).astype(np.uint8)
    np.testing.assert_allclose(normalize(pixels.astype(np.uint16) * 257, rule), normalize(pixels, rule), atol=1e-5)


@pytest.mark.parametrize("rule", [PERCENTILE, ZSCORE])
@pytest.mark.parametrize(("gain", "offset"), [(1e-3, 0.0), (7.0, -40.0), (1.0, 1e8)])
def test_brightness_and_contrast_of_the_camera_do_not_matter(rule, gain, offset):
    pixels = noisy()
    np.testing.assert_allclose(normalize(pixels * gain + offset, rule), normalize(pixels, rule), atol=1e-4)


def test_a_hot_pixel_does_not_squash_the_image():
    pixels = noisy(background=1000, noise=50).astype(np.uint16)
    clean = normalize(pixels, PERCENTILE)
    pixels[0, 7, 7] = 65535
    result = normalize(pixels, PERCENTILE)
    others = np.ones(pixels.shape, bool)
    others[0, 7, 7] = False
    np.testing.assert_allclose(result[others], clean[others], atol=0.02)
    assert result[0, 7, 7] == VALUE_RANGE[1]


def test_objects_too_rare_for_the_percentiles_are_still_seen():
    pixels = np.full((1, 200, 200), 10, np.uint8)
    pixels[0, 5:9, 5:9] = 200  # 16 of 40,000 pixels
    result = normalize(pixels, PERCENTILE)
    assert result[0, 6, 6] == 1
    assert result[0, 100, 100] == 0


@pytest.mark.parametrize("rule", [PERCENTILE, ZSCORE], ids=str)
@pytest.mark.parametrize("value", [0, 7, 0.1, 1 / 3, -1e30])
def test_a_constant_image_becomes_zeros(rule, value):
    assert not normalize(np.full((2, 33, 35), value), rule).any()


def test_the_largest_value_of_the_type_becomes_one_where_nothing_is_normalized():
    for dtype in (np.uint8, np.uint16, np.int16, np.uint32):
        assert normalize(np.full((1, 2, 2), np.iinfo(dtype).max, dtype), NONE).max() == 1
    assert normalize(np.full((1, 2, 2), 0.25, np.float32), NONE).max() == 0.25
    assert normalize(np.ones((1, 2, 2), bool), NONE).max() == 1


def test_zscore_has_mean_zero_and_std_one():
    result = normalize(noisy(), ZSCORE)
    assert result.mean() == pytest.approx(0, abs=1e-5)
    assert result.std() == pytest.approx(1, abs=1e-5)


def test_channels_are_normalized_together_or_each_alone():
    pixels = np.concatenate([noisy(50, 5), noisy(200, 20)])
    together, alone = normalize(pixels, PERCENTILE), normalize(pixels, Normalization(per_channel=True))
    assert together[1].mean() - together[0].mean() > 0.5
    assert alone[1].mean() == pytest.approx(alone[0].mean(), abs=0.02)
    np.testing.assert_allclose(alone[:1], normalize(pixels[:1], PERCENTILE))


DTYPES = st.sampled_from([np.bool_, np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.float32])


@given(
    pixels=DTYPES.flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
            elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False),
        )
    ),
    rule=st.sampled_from(RULES),
)
def test_no_nan_comes_out_and_no_warning(pixels, rule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = normalize(pixels, rule)
        except DataError:
            assert rule == NONE and pixels.dtype == np.float32
            return
    assert result.dtype == np.float32
    assert result.shape == pixels.shape
    assert np.isfinite(result).all()
    if rule.method == "percentile":
        assert result.min() >= VALUE_RANGE[0]
        assert result.max() <= VALUE_RANGE[1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_with_nan_is_refused_where_it_enters(value):
    pixels = np.zeros((8, 8), np.float32)
    pixels[2, 3] = value
    with pytest.raises(DataError, match="img3: some pixels are NaN or infinite"):
        seen(pixels)


def test_the_input_is_left_as_it_is():
    pixels = noisy().astype(np.float32) / 255
    before = pixels.copy()
    for rule in RULES:
        normalize(pixels, rule)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_color_becomes_luminance_for_a_grey_model(dtype):
    color = np.random.default_rng(0).integers(0, 255, (3, 20, 30)).astype(dtype)
    color = color / dtype(255) if dtype is np.float32 else color
    expected = np.tensordot(LUMINANCE, color.astype(float), 1)[np.newaxis]
    np.testing.assert_allclose(seen(color), normalize(expected, PERCENTILE), atol=1e-4)
    none = seen(color, normalization=NONE)
    full = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    np.testing.assert_allclose(none, expected / full, rtol=1e-4, atol=1e-6)


def test_a_grey_image_is_repeated_for_a_color_model():
    gray = noisy(shape=(20, 30))
    result = seen(gray, in_channels=3)
    assert result.shape == (3, 20, 30)
    assert (result == result[0]).all()


def test_mean_and_one_channel_are_rules_too():
    stack = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2)
    image = AnnotatedImage("stack", stack)
    mean = to_channels(image, 1, ChannelRule(method="mean"))
    np.testing.assert_allclose(mean, stack.mean(axis=0, keepdims=True) / 255, rtol=1e-5)
    np.testing.assert_array_equal(to_channels(image, 1, ChannelRule(method="channel", channel=3)), stack[3:4])
    np.testing.assert_array_equal(to_channels(image, 5, ChannelRule(method="none")), stack)


@pytest.mark.parametrize(
    ("count", "in_channels", "rule", "cure"),
    [
        (3, 1, ChannelRule(method="none"), "Channel in section Images.*--channel 0"),
        (2, 1, ChannelRule(), "Channel in section Images.*--channel 0"),
        (3, 1, ChannelRule(method="channel", channel=3), "from 0 to 2"),
        (3, 2, ChannelRule(), "2 channels or one.*start from one that takes gray images"),
    ],
)
def test_channels_without_a_rule_are_refused_with_a_cure_that_works(count, in_channels, rule, cure):
    with pytest.raises(DataError, match=cure) as caught:
        seen(np.zeros((count, 8, 8), np.uint8), in_channels=in_channels, channels=rule)
    assert str(caught.value).startswith("img3")
    assert "channels.method" not in str(caught.value)


@pytest.mark.parametrize("brightest", [255.0, -5.0])
def test_floats_without_a_known_range_are_refused_by_a_model_without_normalization(brightest):
    pixels = np.zeros((1, 8, 8), np.float32)
    pixels[0, 0, 0] = brightest
    with pytest.raises(DataError, match=r"img3: pixels are floats from .* Save the image with 8 or 16 bits"):
        seen(pixels, normalization=NONE)
