"""The verdict on new images says what the numbers mean, and nothing where they mean nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.checks.against_training import DIFFERS, compare
from napari_unet_finetune.config import Normalization
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.statistics import (
    LEVELS,
    DataStatistics,
    Intensities,
    ModelFacts,
    ModelView,
    estimate_rescale,
    measure,
    scale_factor,
)

VIEW = ModelView()


def cells(background, inside, *, size=12, count=4, masks=True, layers=False, seed=0):
    """Images of squares of `size` px on a noisy ground, with the darkest and brightest values at the edge."""
    rng = np.random.default_rng(seed)
    images = []
    for index in range(count):
        mask = np.zeros((120, 120), np.uint8)
        if layers:
            mask[40:80] = 1
        for start in () if layers else range(6, 120 - size, 2 * size):
            mask[start : start + size, start : start + size] = 1
            mask[start : start + size, 118 - start - size : 118 - start] = 1
        pixels = np.where(mask, inside, background) + rng.normal(0, 3, mask.shape)
        pixels[0, :60], pixels[1, :60] = 0, 200
        images.append(AnnotatedImage(str(index), pixels.clip(0, 255).astype(np.uint8), mask if masks else None))
    return images


def model_of(images, view=VIEW):
    return ModelFacts("base", view, measure(images, view))


def verdict(images, model):
    found = compare(measure(images, model.view), model)
    return found, " ".join(found.verdict)


def test_like_data_need_nothing():
    found, text = verdict(cells(40, 160, seed=1), model_of(cells(40, 160)))
    assert text == "Intensities are like those of base: nothing needs to be done about them."
    assert found.object_shift < 0.02 and not found.inverted


def test_darker_raw_images_need_nothing_because_each_is_normalized():
    dim = [AnnotatedImage(one.name, one.image // 6, one.labels) for one in cells(40, 160)]
    found, text = verdict(dim, model_of(cells(40, 160)))
    assert text.startswith("Raw images are darker") and "nothing needs to be done" in text
    assert found.object_shift < 0.05


def in_color(images, *channels):
    """The images in three channels, each the image itself or, where a channel says so, its negative."""
    return [
        AnnotatedImage(one.name, np.stack([one.image if as_is else 200 - one.image for as_is in channels]), one.labels)
        for one in images
    ]


def test_exchanged_colors_are_seen_though_the_brightness_is_the_same():
    view = ModelView(in_channels=3)
    model = model_of(in_color(cells(40, 160), True, False, True), view)
    found, text = verdict(in_color(cells(40, 160, seed=1), True, False, True), model)
    assert "nothing needs to be done" in text and found.object_shift < 0.02
    found, text = verdict(in_color(cells(40, 160, seed=1), False, True, True), model)
    assert "in channel 0 (red)" in text or "in channel 1 (green)" in text
    assert "Finetune on images" in text and found.object_shift > 0.3


def test_a_model_whose_file_knows_no_colors_is_compared_in_brightness_only():
    view = ModelView(in_channels=3)
    images = in_color(cells(40, 160), True, False, True)
    older = measure(images, view).model_copy(update={"channels": ()})
    _, text = verdict(images, ModelFacts("base", view, older))
    assert "In brightness objects and background are like those of base" in text and "colors" in text


def test_without_normalization_darker_images_do_matter():
    view = ModelView(normalization=Normalization(method="none"))
    dim = [AnnotatedImage(one.name, one.image // 6, one.labels) for one in cells(40, 160)]
    _, text = verdict(dim, model_of(cells(40, 160), view))
    assert "does not normalize" in text and "darker" in text and "Finetune" in text


def test_opposite_contrast_is_named():
    found, text = verdict(cells(160, 40), model_of(cells(40, 160)))
    assert found.inverted
    assert text.startswith("Objects are darker than their surroundings, but brighter in the data of base")
    _, text = verdict(cells(40, 160), model_of(cells(160, 40)))
    assert text.startswith("Objects are brighter than their surroundings, but darker in the data of base")


def test_other_objects_and_background_are_told_apart():
    _, text = verdict(cells(40, 90), model_of(cells(40, 160)))
    assert "objects are darker" in text and "background" not in text
    _, text = verdict(cells(100, 160), model_of(cells(40, 160)))
    assert "the background is brighter" in text and "objects" not in text


def test_without_masks_the_verdict_is_careful():
    found, text = verdict(cells(100, 160, masks=False), model_of(cells(40, 160)))
    assert found.object_shift is None and found.scale_factor is None
    assert "brighter" in text and "annotate a few images" in text


def test_reversed_contrast_is_guessed_without_masks_and_mere_darkness_is_not():
    base = model_of(cells(40, 200))
    _, guess = verdict(cells(215, 55, masks=False), base)
    assert "the contrast may be reversed" in guess and "--set appearance=inverted" in guess
    for others in (cells(40, 200, masks=False), cells(10, 60, masks=False), cells(40, 200, size=60, masks=False)):
        assert "reversed" not in verdict(others, base)[1]
    standardized = ModelView(normalization=Normalization(method="zscore"))
    assert "may be reversed" in verdict(cells(215, 55, masks=False), model_of(cells(40, 200), standardized))[1]


def test_channels_that_are_exchanged_for_each_other_are_no_reversed_contrast():
    base = model_of(in_color(cells(40, 160), True, False, True), ModelView(in_channels=3))
    others = in_color(cells(40, 160, masks=False), False, True, True)
    assert "reversed" not in verdict(others, base)[1]


def test_a_model_without_statistics_cannot_be_compared():
    found = compare(measure(cells(40, 160), VIEW), ModelFacts("old", VIEW))
    assert found.overall_shift is None
    assert "old holds no statistics" in found.verdict[0]
    assert compare(None, model_of(cells(40, 160))).verdict == ("There are no images to compare.",)


def test_larger_objects_give_a_factor_and_similar_ones_no_word():
    base = model_of(cells(40, 160, size=10))
    found, text = verdict(cells(40, 160, size=30), base)
    assert found.scale_factor == pytest.approx(1.5 / 3, abs=0.03)
    assert "3 times as wide" in text and "Rescale to 0.5" in text
    found, text = verdict(cells(40, 160, size=13), base)
    assert found.scale_factor == 1
    assert "wide" not in text


def test_the_factor_to_set_takes_the_place_of_the_base_s_own():
    base = model_of(cells(40, 160, size=8), VIEW.model_copy(update={"rescale": 0.5}))
    found, text = verdict(cells(40, 160, size=30), base)
    assert found.scale_factor == pytest.approx(1.5 * 8 / 30, abs=0.05)
    assert f"resampled by {found.setting:g} come within" in text
    assert f"Rescale to {round(found.scale_factor * 0.5, 2):g}." in text


def test_smaller_objects_are_said_in_words_that_fit():
    found, text = verdict(cells(40, 160, size=8), model_of(cells(40, 160, size=24)))
    assert "0.33 times as wide" in text
    assert found.scale_factor == pytest.approx(3 / 1.5, abs=0.1)


@pytest.mark.parametrize("layers_in", ["base", "new", "both"])
def test_layers_have_no_scale(layers_in):
    base = measure(cells(40, 160, size=10, layers=layers_in != "new"), VIEW)
    new = measure(cells(40, 160, size=30, layers=layers_in != "base"), VIEW)
    assert scale_factor(base, new) is None


def test_filaments_are_not_scaled_to_cells():
    rows, columns = np.indices((120, 120)) - 60
    rings = np.abs(np.hypot(rows, columns) % 10 - 5) < 1
    mask = ((rings | (np.abs(rows) < 1)) & (np.hypot(rows, columns) < 50)).astype(np.uint8)
    filaments = measure([AnnotatedImage("f", mask * 100, mask)], VIEW)
    assert filaments.object_width_px < 6
    base = model_of(cells(40, 160))
    found = compare(filaments, base)
    assert found.scale_factor is None
    assert any("another shape" in sentence for sentence in found.verdict)


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.56, 0.6, 0.7, 1, 1.4, 1.6, 1.75, 1.9, 3])
@pytest.mark.parametrize("own", [0.5, 1.0, 2.0])
def test_a_change_of_size_is_advised_only_where_it_is_one_and_training_chooses_the_same(ratio, own):
    """`ratio` is how many times wider than the new objects the base sees its own."""
    view = ModelView(rescale=own)
    images = cells(40, 160)
    new = measure(images, view)
    base = new.model_copy(update={"object_width_px": new.object_width_px * ratio})
    found = compare(new, ModelFacts("base", view, base))
    chosen, _ = estimate_rescale(images, base, view)
    assert chosen == (own if found.setting is None else found.setting)
    if own == 1:
        assert chosen == 1 or chosen >= 1.2 or chosen <= 0.84
        assert (chosen > 1) == (ratio > 1.8) and (chosen < 1) == (ratio < 0.56)
    if found.setting is not None:
        assert f"{found.setting:g}" in " ".join(found.verdict)


def quantiles(least, most):
    """Return intensities between two values, evenly spread."""
    return tuple(np.linspace(least, most, len(LEVELS)))


@st.composite
def intensities(draw):
    """Return intensities of which anything may be known, often at the edge of what counts as a difference."""
    moved = st.sampled_from([0, 0.02, 0.05, 0.0949, 0.0951, 0.0996, 0.1, 0.105, 0.2, 0.5])
    whole = quantiles(draw(moved), 1)
    if not draw(st.booleans()):
        return Intensities(everywhere=whole)
    parts = [quantiles(low + draw(moved), low + 0.3 + draw(moved)) for low in (0.0, 0.5)]
    objects, background = draw(st.permutations(parts))
    return Intensities(everywhere=whole, objects=objects, background=background if draw(st.booleans()) else ())


@st.composite
def statistics(draw):
    normalized, channels = draw(intensities()), draw(st.sampled_from([0, 0, 2]))
    return DataStatistics(
        images=5,
        raw=Intensities(everywhere=quantiles(0, draw(st.sampled_from([0.1, 0.5, 1])))),
        normalized=normalized,
        channels=tuple(draw(intensities()) for _ in range(channels)),
        object_width_px=draw(st.sampled_from([None, 4.0, 10.0, 11.0, 40.0])),
        object_elongation=draw(st.sampled_from([None, 1.0, 1.2, 30.0])),
    )


@given(base=statistics(), new=statistics(), view=st.sampled_from([VIEW, ModelView(rescale=0.5)]))
def test_what_is_concluded_follows_from_what_is_shown(base, new, view):
    found = compare(new, ModelFacts("base", view, base))
    shown, text = [float(shift) for _, shift, _ in found.shifts], " ".join(found.verdict)
    is_shifted = any(shift >= DIFFERS for shift in shown)
    says_alike = " like those of base" in text
    assert says_alike != (is_shifted or found.inverted)
    assert not ("nothing needs to be done" in text and not says_alike)
    says_size = "Rescale" in text or "another shape" in text
    assert found.is_different == (is_shifted or found.inverted or says_size)
