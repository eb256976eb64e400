"""Images of several datasets are shown to a network as it learned to see them, and told apart by their intensities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.config import Normalization
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import (
    AS_THEY_ARE,
    KNOTS,
    Appearance,
    candidates,
    likeliest,
    looks_reversed,
    nearest,
    quantiles_of,
)
from napari_unet_finetune.data.normalize import (
    ModelView,
    as_shown,
    network_input,
    possible_sights,
    see,
    sights_of_normalized,
)
from napari_unet_finetune.models.curves import OnCurves

INVERTED = Appearance(inverted=(0,))
DTYPES = (np.uint8, np.uint16, np.int16, np.float32)


def bright_dots(dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = rng.random((40, 50)) * 0.2
    image[10:18, 20:30] += 0.7
    return image.astype(dtype) if np.issubdtype(dtype, np.floating) else (image * np.iinfo(dtype).max).astype(dtype)


def exchanged(image: np.ndarray) -> np.ndarray:
    return 1 - image if image.dtype.kind == "f" else ~image


def shown(image: np.ndarray, *knows: Appearance, method: str = "percentile") -> np.ndarray:
    view = ModelView(normalization=Normalization(method=method), knows=knows)
    return as_shown(AnnotatedImage("one", image), view)[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["percentile", "zscore", "none"])
def test_an_exchanged_image_shown_exchanged_is_the_image(dtype, method):
    image = bright_dots(dtype)
    seen = shown(exchanged(image), INVERTED, method=method)
    np.testing.assert_allclose(seen, shown(image, method=method), atol=1e-4)  # the range of int16 is uneven by one


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_image_is_shown_like_the_dataset_that_it_is_most_like(dtype):
    bright = Appearance(quantiles=quantiles_of(shown(bright_dots(dtype)).ravel()))
    dark = Appearance(inverted=(0,), quantiles=quantiles_of(shown(exchanged(bright_dots(dtype))).ravel()))
    for seed in range(1, 4):
        image = bright_dots(dtype, seed)
        np.testing.assert_array_equal(shown(image, bright, dark), shown(image))
        np.testing.assert_allclose(shown(exchanged(image), bright, dark), shown(image), atol=1e-5)


def test_an_image_like_none_is_of_the_dataset_of_which_nothing_is_known():
    known = Appearance(inverted=(0,), quantiles=(1.0,) * 51)
    assert nearest((AS_THEY_ARE, known), (0.9,) * 51) == 1
    assert nearest((AS_THEY_ARE, known), (0.5,) * 51) == 0
    assert nearest((AS_THEY_ARE, INVERTED), (0.5,) * 51) == 0


@pytest.mark.parametrize("method", ["percentile", "zscore", "none"])
def test_an_image_looks_reversed_that_is_near_the_known_ones_only_with_dark_and_bright_exchanged(method):
    def quantiles(image):
        return quantiles_of(shown(image, method=method).ravel())

    known = [quantiles(bright_dots(seed=seed)) for seed in range(3)]
    assert looks_reversed(known, quantiles(exchanged(bright_dots(seed=5))), method)
    assert not looks_reversed(known, quantiles(bright_dots(seed=5)), method)
    both = [*known, quantiles(exchanged(bright_dots()))]
    assert not looks_reversed(both, quantiles(exchanged(bright_dots(seed=5))), method)
    assert not looks_reversed([], known[0], method) and not looks_reversed(known, (), method)


def test_an_image_that_is_like_no_known_one_in_either_way_does_not_look_reversed():
    assert not looks_reversed([(0.1,) * 51], (0.5,) * 51, "percentile")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_image_without_any_contrast_does_not_look_reversed(value):
    known = [tuple(np.linspace(0.4, 1, 51).tolist()), tuple(np.linspace(0, 0.6, 51).tolist())]
    assert not any(looks_reversed([one], (value,) * 51, "percentile") for one in known)


def test_how_an_image_was_shown_is_told():
    seen = network_input(AnnotatedImage("one", bright_dots()), ModelView(rescale=0.5, knows=(INVERTED,)))
    assert seen.appearance == INVERTED
    assert "exchanged" in INVERTED.in_words(1) and "channel 2" in Appearance(inverted=(2,)).in_words(3)


@given(st.integers(1, 8), st.integers(1, 8))
def test_a_network_of_other_channels_inverts_what_it_inverted(old, new):
    for one in candidates(old):
        other = one.for_channels(old, new)
        assert other.fits(new)
        assert (len(other.inverted) == new) == (len(one.inverted) == old) or len(one.inverted) < old


STRAIGHT = tuple(np.linspace(0, 1, KNOTS).tolist())
BENT = tuple((np.linspace(0, 1, KNOTS) ** 2).tolist())
values = st.floats(-1, 3, width=32)


@pytest.mark.parametrize(
    "damaged",
    [
        Appearance(inverted=(3,)),
        Appearance(inverted=(0, 0)),
        Appearance(quantiles=(0.5,)),
        Appearance(curves=(STRAIGHT, STRAIGHT)),
        Appearance(curves=(STRAIGHT[:-1],)),
        Appearance(curves=(STRAIGHT[::-1],)),
        Appearance(curves=((0.5,) * KNOTS,)),
    ],
)
def test_a_damaged_appearance_does_not_fit(damaged):
    assert not damaged.fits(1)


@given(st.lists(values, min_size=2, max_size=40), st.lists(st.floats(0.01, 3), min_size=KNOTS, max_size=KNOTS))
def test_a_curve_keeps_the_order_of_intensities_and_is_the_same_in_a_network(intensities, rises):
    curve = tuple((np.cumsum(rises) - 1).tolist())
    pixels = np.array(intensities, np.float32).reshape(1, 1, -1)
    seen = Appearance(curves=(curve,)).curved(pixels)
    order = np.argsort(pixels.ravel(), kind="stable")
    assert (np.diff(seen.ravel()[order]) >= -1e-4).all()
    inside = (pixels >= 0) & (pixels <= 1)
    np.testing.assert_allclose(seen[inside], np.interp(pixels[inside], np.linspace(0, 1, KNOTS), curve), atol=1e-4)
    network = OnCurves([curve])(torch.from_numpy(pixels)[None])[0].detach().numpy()
    np.testing.assert_allclose(network, seen, rtol=1e-5, atol=1e-5)


def test_a_straight_curve_changes_nothing_also_beyond_the_range():
    pixels = np.array([[[-1, -0.2, 0, 0.31, 1, 1.5, 3]]], np.float32)
    np.testing.assert_allclose(Appearance(curves=(STRAIGHT,)).curved(pixels), pixels, atol=1e-6)


def test_each_channel_has_its_curve_and_it_is_told():
    both = Appearance(inverted=(0, 1), curves=(STRAIGHT, BENT))
    pixels = np.full((2, 1, 1), 0.5, np.float32)
    assert both.curved(pixels).ravel().tolist() == pytest.approx([0.5, 0.255], abs=1e-3)
    assert both.fits(2) and not both.fits(1) and "exchanged and a curve" in both.in_words(2)
    assert Appearance(curves=(BENT,)).in_words(1) == "with a curve over their intensities"
    assert Appearance(curves=(BENT,)).for_channels(1, 3).curves == (BENT,) * 3


def test_two_ways_are_open_only_where_intensities_do_not_tell_them_apart():
    def flat(value, *inverted):
        return Appearance(inverted=inverted, quantiles=(value,) * 51)

    dark, bright = flat(0.2), flat(0.8, 0)
    for value, ways in ((0.2, [dark]), (0.45, [dark, bright]), (0.55, [bright, dark]), (0.8, [bright])):
        assert likeliest([dark, bright], (value,) * 51) == ways
    assert likeliest([dark, flat(0.5)], (0.4,) * 51) == [flat(0.5)], "shown alike"
    assert likeliest([AS_THEY_ARE, bright], (0.7,) * 51) == [bright], "nothing is known of the other"


@pytest.mark.parametrize("method", ["percentile", "zscore", "none"])
def test_what_is_normalized_already_is_seen_as_the_image_is_in_every_way(method):
    """By the quantiles of the whole, also where only a part is left of it."""
    image = AnnotatedImage("one", bright_dots(np.uint8))
    plain = ModelView(normalization=Normalization(method=method))
    quantiles = quantiles_of(as_shown(image, plain)[0].ravel())
    knows = (Appearance(quantiles=quantiles), Appearance(inverted=(0,), quantiles=quantiles))
    view = plain.model_copy(update={"knows": knows})
    part = (slice(4, 20), slice(30, 50))
    left = AnnotatedImage("one", as_shown(image, plain)[0][0][part])
    ways, truth = sights_of_normalized(quantiles, view), list(possible_sights(image, view))
    assert [way.appearance for way in ways] == [way.appearance for way in truth] and len(ways) == 2
    for way, true in zip(ways, truth, strict=True):
        assert way.distance == pytest.approx(true.distance, abs=1e-6)
        np.testing.assert_allclose(see(left, view, way), see(image, view, true)[:, *part], atol=1e-5)


def test_more_of_the_same_objects_do_not_look_reversed_in_units_of_the_standard_deviation():
    def quantiles(share, brighter_by):
        rng = np.random.default_rng(0)
        values = rng.normal(brighter_by * (rng.random(50_000) < share), 1)
        return quantiles_of((values - values.mean()) / values.std())

    assert not looks_reversed([quantiles(0.3, 2)], quantiles(0.7, 2), "zscore")
    clear = quantiles(0.3, 8)
    assert looks_reversed([clear], tuple(-value for value in reversed(clear)), "zscore")
