"""A learning curve in sentences."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from napari_unet_finetune.data.pairing import Pair
from napari_unet_finetune.evaluation.areas import ThresholdCounts, estimate_areas
from napari_unet_finetune.evaluation.rows import Row
from napari_unet_finetune.events import LOOKS_REVERSED
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.learning_curve.words import curve_in_words, shown_in_words


def study(new, old=(), area=1.0):
    """Return what is said of Dice `new` and `old` by number of images."""
    areas = area if isinstance(area, dict) else {"a": (round(1000 * area), 1000), "b": (round(100 * area), 100)}
    rows = [
        Row(count, 0, "default", 2, image, dice, 0, 0, None, *px)
        for count, dice in new.items()
        for image, px in areas.items()
    ]
    rows += [Row(count, 0, "default", 1, "patches", dice, 0, 0, None) for count, dice in dict(old).items()]
    return " ".join(
        curve_in_words(SimpleNamespace(rows_and_patches=tuple(rows), base_name="wbc", plan=SimpleNamespace(test=())))
    )


def test_nothing_is_said_before_a_model_is_tested():
    assert study({}) == ""


def test_gain_and_plateau_are_said():
    text = study({0: 0.41, 5: 0.83, 10: 0.880, 20: 0.885})
    assert "Dice on 2 test images: 0.410 (wbc, the base) → 0.830 (5) → 0.880 (10)" in text
    assert "Beyond 10 images little is gained" in text
    assert "Beyond" not in study({0: 0.4, 5: 0.8, 10: 0.9})


def test_forgetting_begins_above_a_hundredth():
    assert "not forgotten: Dice 0.950 → 0.940." in study({0: 0.4, 5: 0.8}, {0: 0.95, 5: 0.9401})
    text = study({0: 0.4, 5: 0.8, 10: 0.9}, {0: 0.95, 5: 0.945, 10: 0.93})
    assert "being forgotten: Dice 0.950 → 0.930 with 10 images." in text


def test_an_unmeasured_dataset_1_is_said_once_a_model_is_trained():
    assert "cannot be measured" in study({0: 0.4, 5: 0.8})
    assert "cannot be measured" not in study({0: 0.4})


def test_over_and_underestimation_are_said():
    assert "With 5 images the objects' area is overestimated: 1.12 times the true one." in study({5: 0.8}, area=1.12)
    assert "underestimated: 0.90" in study({5: 0.8}, area=0.9)
    assert "about right: 1.01" in study({5: 0.8}, area=1.01)


def test_a_speck_that_is_found_three_times_too_large_is_no_overestimation():
    text = study({5: 0.8}, area={"a": (9000, 10000), "b": (30, 10)})
    assert "With 5 images the objects' area is 0.90 times the true one, which may be chance." in text


def test_too_few_objects_are_said_where_masks_number_them():
    rows = [Row(5, seed, "", 2, image, 0.8, 0, 0, None, 10, 10, 8, 10, (8,) * 10) for seed in (0, 1) for image in "ab"]
    text = " ".join(
        curve_in_words(SimpleNamespace(rows_and_patches=tuple(rows), base_name="wbc", plan=SimpleNamespace(test=())))
    )
    assert "Their number is underestimated: 0.80 times the true one." in text
    assert "Their number" not in study({5: 0.8})


def test_objects_where_none_is_true_are_said_to_be_too_many_as_estimate_does():
    text = study({5: 0.8}, area={"a": (120, 0), "b": (0, 0)})
    assert "With 5 images the objects' area is overestimated: some is predicted where none is true." in text


def test_no_area_is_told_of_a_part_of_the_test_images():
    assert "area" not in study({5: 0.8}, area={"a": (120, 100), "b": (None, None)})


def test_the_area_is_that_which_estimate_would_tell():
    areas = {"a": (120, 100), "b": (1300, 1000), "c": (330, 300)}
    counts = [ThresholdCounts(name, np.array([px[0]]), np.array([px[1]]), px[1]) for name, px in areas.items()]
    found = estimate_areas(counts, [0.5], threshold=0.5)
    assert f"{found.area_ratio:.2f} times the true one" in study({5: 0.8}, area=areas)
    assert found.verdict == "overestimates" and "is overestimated" in study({5: 0.8}, area=areas)


def test_test_images_that_are_shown_otherwise_are_counted():
    def row(count, image, shown="", *, seed=0, dataset=2):
        return Row(count, seed, "default", dataset, image, 0.8, 0, 0, None, shown=shown)

    exchanged = "with dark and bright exchanged"
    rows = [row(0, "a", LOOKS_REVERSED), row(0, "b"), row(0, "old", dataset=1)]
    rows += [row(count, image, exchanged, seed=seed) for count in (5, 10) for image in "ab" for seed in (0, 1)]
    rows += [row(20, "a", exchanged), row(20, "b", exchanged), row(20, "a", seed=1), row(20, "b", exchanged, seed=1)]
    rows += [row(20, "old", exchanged, seed=seed, dataset=1) for seed in (0, 1)]
    assert list(shown_in_words(rows)) == [
        f"Without finetuning the model saw 1 of 2 test images of the new dataset {LOOKS_REVERSED}.",
        f"With 5 and 10 images the model saw 2 of 2 test images of the new dataset {exchanged}.",
        f"With 20 images the model saw 1 to 2 of 2 test images of the new dataset {exchanged}.",
        f"With 20 images the model saw 1 of 1 test image of the old dataset {exchanged}.",
    ]
    (told,) = shown_in_words([row(count, "a", exchanged) for count in (0, 5)])
    assert told.startswith("Without finetuning and with 5 images the model saw 1 of 1 test image")
    assert list(shown_in_words([row(0, "a"), row(5, "a")])) == []
    found = SimpleNamespace(rows_and_patches=tuple(rows), base_name="wbc", plan=SimpleNamespace(test=()))
    assert set(shown_in_words(rows)) < set(curve_in_words(found))


def test_whose_scores_are_too_good_is_said():
    rows = (Row(5, 0, "", 2, "a", 0.8, 0, 0, None, 10, 10),)
    pair = Pair(ImageRef(Path("a.tif")), ImageRef(Path("m.tif")), made_by="wbc")
    found = SimpleNamespace(rows_and_patches=rows, base_name="wbc", plan=SimpleNamespace(test=(pair,)))
    assert curve_in_words(found)[-1].startswith("The mask of a is a prediction of wbc, accepted as it was: scores")
