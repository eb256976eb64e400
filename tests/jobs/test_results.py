"""Results of jobs in words, in a table, and as JSON that comes back as the same result."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet_finetune.checked_json import checked
from napari_unet_finetune.checks.against_training import DataComparison
from napari_unet_finetune.checks.checkup import Checkup
from napari_unet_finetune.checks.findings import ImageFindings
from napari_unet_finetune.data.statistics import DataStatistics, Intensities
from napari_unet_finetune.evaluation.areas import Estimation, ThresholdCounts, estimate_areas
from napari_unet_finetune.learning_curve.forecast import CountMean, Forecast, Gain
from napari_unet_finetune.questions.can_learn import CanLearn
from napari_unet_finetune.questions.cross_validate import CrossValidation, HeldOutScore, MeanInterval
from napari_unet_finetune.report.files import ReportFiles
from napari_unet_finetune.suggest.suggestion import Suggestion, Suggestions

THRESHOLDS = (0.2, 0.4, 0.5, 0.6, 0.8)


def kept(result):
    """Return a result as it comes out of a file, with what another version has noted of it."""
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    back = checked({**values, "summary": "In other words.", "later": 1}, type(result))
    assert back == result
    return back


def estimation(reach):
    """Estimate a model whose objects of 100 px reach `reach` px too far."""
    truth = np.zeros((40, 40), bool)
    truth[10:20, 10:20] = True
    counts = []
    for image in range(6):
        probabilities = np.zeros((40, 40))
        probabilities[10 : 20 + reach, 10:20] = 0.55
        probabilities[10:20, 10:20] = 0.9
        counts.append(ThresholdCounts.of(f"img_{image}", probabilities, truth, THRESHOLDS))
    return kept(estimate_areas(counts, THRESHOLDS, threshold=0.5, false_positive_weight=0.5))


def test_suggestions_come_with_their_reasons():
    found = kept(Suggestions((Suggestion("a", 1, "Darker than 9 of 10 images.", {"brightness": 0.25}),)))
    assert "this image" in found.headline
    assert found.table.rows == (("a", "0.250", "Darker than 9 of 10 images."),) and found.table.of_images


def test_overestimation_offers_a_higher_threshold_and_penalty():
    found = estimation(5)
    assert found.headline.startswith("Too much") and found.is_warning
    assert "1.50 × the true area" in found.sentences[0]
    offers = {offer.kind: offer.value for offer in found.offers}
    assert offers["threshold"] > 0.5 and offers["penalty"] > 0.5
    assert "false_positive_weight" not in found.summary
    assert found.table.rows[0] == ("img_0", "1.50 ×", "50", "0", "0.800")


def test_a_threshold_beyond_the_slider_and_one_without_a_bias_are_not_offered():
    found = replace(estimation(5), balanced_threshold=0.97)
    assert [offer.kind for offer in found.offers] == ["penalty"]
    found = replace(estimation(5), verdict="unclear", best_threshold=0.8)
    assert not found.offers and not found.is_warning


def test_a_model_that_finds_nothing_is_to_be_finetuned_whatever_the_areas_say():
    found = replace(estimation(5), dice=0.1)
    assert "Dice 0.10" in found.headline and "Finetune it first" in found.headline
    assert not found.offers and found.is_warning and "threshold" not in found.summary


def test_a_model_that_finds_objects_where_there_are_none_finds_too_much():
    counts = [ThresholdCounts.of("a", np.ones((4, 4)), np.zeros((4, 4), bool), THRESHOLDS)] * 2
    found = kept(estimate_areas(counts, THRESHOLDS, threshold=0.5))
    assert found.headline.startswith("Too much") and "it overestimates" in found.sentences[0]
    assert not found.offers and found.is_warning


def test_balanced_areas_offer_nothing():
    found = estimation(0)
    assert "10 %" in found.headline
    assert not found.offers and not found.is_warning


COMPARISON = DataComparison(
    "nuclei",
    base=DataStatistics(images=200, raw=Intensities(), normalized=Intensities(), foreground=0.2, object_width_px=10),
    new=DataStatistics(images=2, raw=Intensities(everywhere=(0, 0.5)), normalized=Intensities(), object_width_px=30.4),
    overall_shift=0.04,
    object_shift=0.2,
    scale_factor=0.5,
    setting=0.5,
    verdict=("Objects are wide.",),
)


def checkup(**changes):
    facts = {
        "images": (
            ImageFindings("a", "a.png", mask="a.tif", objects=3, size=(8, 9)),
            ImageFindings("b", "b.png", mask="b.tif", objects=4),
        ),
        "not_annotated": (), "images_without_mask": (), "masks_without_image": (), "unreadable": (), "duplicates": (),
        "shared_with_test": (), "mean_foreground": 0.25, "empty_masks": 0, "comparison": COMPARISON, "problems": (),
        "advice": (),
    }  # fmt: skip
    return kept(Checkup(**(facts | changes)))


def test_a_check_up_says_first_whether_there_is_something_to_do():
    alike = replace(COMPARISON, object_shift=0.04, background_shift=0.02, scale_factor=1.0)
    assert checkup(comparison=alike).headline == "Your data are fine."
    for change in ({"inverted": True}, {"scale_factor": 2}, {"background_shift": 0.1}):
        headline = checkup(comparison=replace(alike, **change)).headline
        assert "differ from those of nuclei" in headline and "fine" not in headline
    assert "1 suggestion" in checkup(advice=("Add.",)).headline
    found = checkup(problems=("a: no mask.", "b: no mask."), advice=("Add.",))
    assert found.headline.startswith("2 problems") and found.is_warning
    assert found.sentences == ("a: no mask.", "b: no mask.", "Add.", "Objects are wide.")


def test_a_check_up_has_the_numbers_of_both_datasets_and_offers_the_factor():
    found = checkup()
    rows = {name: values for name, *values in found.table.rows}
    assert rows["width of objects, px"] == ["30", "10"]
    assert rows["objects"] == ["7", "–"]
    assert rows["brightest, of full range"] == ["50 %", "–"]
    assert rows["change of objects*"][0] == "0.20" and "change of background*" not in rows
    assert [(offer.kind, offer.value) for offer in found.offers] == [("rescale", 0.5)]
    assert [row[:2] for row in found.image_table.rows] == [("a", "8×9"), ("b", "–")]


def test_a_check_up_against_an_unknown_model_has_its_own_numbers_only():
    found = checkup(comparison=DataComparison("old"))
    assert not found.offers and found.table.columns == ("", "here", "old")
    assert checkup(comparison=None).table.rows[-1] == ("share of objects", "25 %")


@pytest.mark.parametrize(
    ("verdict", "begin", "warns"),
    [("ready", "Yes", False), ("needs longer", "Not yet", True), ("not ready", "No", True)],
)
def test_a_trial_has_a_verdict(verdict, begin, warns):
    found = kept(CanLearn(verdict, ("a",), (0.951,), 60, 2.5, (0.5, 0.4), ()))
    assert found.headline.startswith(begin) and found.is_warning == warns
    assert found.table.rows == (("a", "0.95"),) and "60 steps" in found.summary and "0.951" in found.summary


def cross_validation(mean, folds=(1,)):
    scores = tuple(HeldOutScore(f"img_{place}", fold, 0.4, 0.9, None) for place, fold in enumerate(folds))
    return kept(CrossValidation(scores, max(folds), 0, mean, mean, mean, stopped=False))


def test_a_cross_validation_gives_mean_and_interval():
    found = cross_validation(MeanInterval(0.876, 0.8, 0.95))
    assert "0.876 (0.800 to 0.950)" in found.headline
    assert found.table.rows == (("img_0", "1", "0.400", "0.900", "–"),)
    assert "Dice 0.876 on" in cross_validation(MeanInterval(0.876, None, None)).headline


def test_a_cross_validation_says_how_many_images_were_left_out_at_a_time():
    mean = MeanInterval(0.9, None, None)
    assert cross_validation(mean, folds=(1, 2, 3)).summary.startswith("Leave-one-out over 3 images")
    assert cross_validation(mean, folds=(1, 1, 2)).summary.startswith("Cross-validation in 2 folds over 3 images")


@pytest.mark.parametrize(("verdict", "begin"), [("worth it", "Yes"), ("perhaps", "Perhaps")])
def test_a_forecast_has_a_verdict_and_the_curve(verdict, begin):
    points = (CountMean(5, 0.8, 2), CountMean(10, 0.85, 1))
    found = kept(Forecast("fast", 2, points, (Gain(5, 0.005, 0.02),), ((5.0, 0.7, 0.8),), (0.8, 0.9), verdict))
    assert found.headline.startswith(begin)
    assert found.table.rows == (("5", "0.800", "2"), ("10", "0.850", "1"))
    assert "+0.005 to +0.020" in found.summary and "one seed" in found.summary


def test_a_report_says_where_it_is_and_can_be_opened():
    found = kept(ReportFiles(Path("x.html"), (Path("a.csv"), Path("b.csv"))))
    assert "x.html" in found.summary and "2 tables" in found.summary
    assert [(offer.kind, offer.value) for offer in found.offers] == [("open", Path("x.html"))]
    assert replace(found, stopped=True).is_warning


def test_a_file_that_holds_another_result_is_refused():
    with pytest.raises(ValueError, match="images"):
        checked({"problems": 3}, Estimation)
