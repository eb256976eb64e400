"""Results of jobs in plain words."""

import json

import numpy as np
import pytest

from napari_unet_finetune.evaluation.areas import ThresholdCounts, estimate_areas
from napari_unet_finetune.project.question_plan import Asked
from napari_unet_finetune.questions.answers import answer_in_words

THRESHOLDS = (0.2, 0.4, 0.5, 0.6, 0.8)
SUGGESTIONS = {"suggestions": [{"image": "a", "rank": 1, "reason": "Darker than 9 of 10 images.", "numbers": {}}]}


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
    return estimate_areas(counts, THRESHOLDS, threshold=0.5, false_positive_weight=0.5).to_dict()


def answer(question, result):
    return answer_in_words(Asked(question=question), json.loads(json.dumps(result)))


def test_suggestions_come_with_their_reasons():
    found = answer("suggest", SUGGESTIONS)
    assert found.headline.startswith("Annotate this image next")
    assert found.table.rows == (("a", "Darker than 9 of 10 images."),) and found.table.images == ("a",)


def test_overestimation_offers_a_higher_threshold_and_penalty():
    found = answer("estimate", estimation(5))
    assert found.headline.startswith("Too much") and found.is_warning
    assert "1.50 × the true area" in found.sentences[0]
    offers = {offer.kind: offer.value for offer in found.offers}
    assert offers["threshold"] > 0.5 and offers["penalty"] > 0.5
    assert "false_positive_weight" not in " ".join(found.sentences)
    assert found.table.rows[0] == ("img_0", "1.50 ×", "0.80")


def test_a_threshold_beyond_the_slider_and_one_without_a_bias_are_not_offered():
    result = estimation(5)
    found = answer("estimate", result | {"balanced_threshold": 0.97})
    assert [offer.kind for offer in found.offers] == ["penalty"]
    found = answer("estimate", result | {"verdict": "unclear", "best_threshold": 0.8})
    assert not found.offers and not found.is_warning


def test_a_model_that_finds_nothing_is_to_be_finetuned_whatever_the_areas_say():
    found = answer("estimate", estimation(5) | {"dice": 0.1})
    assert found.headline == "It does not find these objects yet: Dice 0.10. Finetune it first."
    assert not found.offers and found.is_warning


def test_a_model_that_finds_objects_where_there_are_none_finds_too_much():
    counts = [ThresholdCounts.of("a", np.ones((4, 4)), np.zeros((4, 4), bool), THRESHOLDS)] * 2
    found = answer("estimate", estimate_areas(counts, THRESHOLDS, threshold=0.5).to_dict())
    assert found.headline.startswith("Too much") and "it overestimates" in found.sentences[0]
    assert not found.offers and found.is_warning


def test_balanced_areas_offer_nothing():
    found = answer("estimate", estimation(0))
    assert found.headline == "Neither: the areas agree to within 10 %."
    assert not found.offers and not found.is_warning


def checkup(**changes):
    comparison = {
        "model": "nuclei", "base": {"images": 200, "object_width_px": 10, "foreground": 0.2, "raw": {}},
        "new": {"object_width_px": 30.4, "raw": {"everywhere": [0, 0.5]}}, "overall_shift": 0.04, "object_shift": 0.2,
        "background_shift": None, "scale_factor": 0.5, "verdict": ["Objects are wide."],
        "inverted": False,
    }  # fmt: skip
    images = [{"name": "a", "mask": "a.tif", "objects": 3}, {"name": "b", "mask": "b.tif", "objects": 4}]
    base = {"problems": [], "advice": [], "images": images, "not_annotated": [], "mean_foreground": 0.25}
    return base | {"comparison": comparison} | changes


def test_a_check_up_says_first_whether_there_is_something_to_do():
    alike = checkup()["comparison"] | {"object_shift": 0.04, "background_shift": 0.02, "scale_factor": 1.0}
    assert answer("check", checkup(comparison=alike)).headline == "Your data are fine."
    for change in ({"inverted": True}, {"scale_factor": 2}, {"background_shift": 0.1}):
        headline = answer("check", checkup(comparison=alike | change)).headline
        assert headline.endswith("The images differ from those of nuclei.")
    assert "1 thing could be better" in answer("check", checkup(advice=["Add."])).headline
    found = answer("check", checkup(problems=["a: no mask.", "b: no mask."], advice=["Add."]))
    assert found.headline.startswith("2 things to put right") and found.is_warning
    assert found.sentences[:3] == ("a: no mask.", "b: no mask.", "Add.")


def test_a_check_up_has_the_numbers_of_both_datasets_and_offers_the_factor():
    found = answer("check", checkup())
    rows = {name: values for name, *values in found.table.rows}
    assert rows["width of objects, px"] == ["30", "10"]
    assert rows["objects"] == ["7", "–"]
    assert rows["brightest, of full range"] == ["50 %", "–"]
    assert rows["change of objects*"][0] == "0.20" and "change of background*" not in rows
    assert [(offer.kind, offer.value) for offer in found.offers] == [("rescale", 0.5)]


def test_a_check_up_against_an_unknown_model_has_its_own_numbers_only():
    bare = {
        "inverted": False,
        "object_shift": None,
        "background_shift": None,
        "model": "old",
        "base": None,
        "new": None,
        "overall_shift": None,
        "scale_factor": None,
        "verdict": [],
    }
    found = answer("check", checkup(comparison=bare))
    assert not found.offers and found.table.columns == ("", "here", "old")


@pytest.mark.parametrize(
    ("verdict", "begin", "warns"),
    [("ready", "Yes", False), ("needs longer", "Not yet", True), ("not ready", "No", True)],
)
def test_a_trial_has_a_verdict(verdict, begin, warns):
    result = {"verdict": verdict, "images": ["a"], "dice": [0.951], "summary": "Because."}
    found = answer("can_learn", result)
    assert found.headline.startswith(begin) and found.is_warning == warns
    assert found.table.rows == (("a", "0.95"),) and found.sentences == ("Because.",)


def test_a_cross_validation_gives_mean_and_interval():
    score = {"image": "a", "fold": 1, "raw_dice": 0.4, "dice": 0.9, "area_ratio": None}
    result = {"dice": {"value": 0.876, "low": 0.8, "high": 0.95}, "scores": [score], "stopped": False, "summary": "So."}
    found = answer("cross_validate", result)
    assert found.headline == "Dice 0.88 (0.80 to 0.95) on images it has not seen."
    assert found.table.rows == (("a", "0.40", "0.90", "–"),)
    result["dice"] |= {"low": None, "high": None}
    assert "Dice 0.88 on" in answer("cross_validate", result).headline


def test_a_forecast_and_a_report_are_answers_too():
    points = [{"count": 5, "dice": 0.8, "seeds": 2}]
    found = answer("forecast", {"verdict": "worth it", "summary": "More.", "points": points})
    assert found.headline.startswith("Yes") and found.table.rows == (("5", "0.800", "2"),)
    found = answer("forecast", {"verdict": "perhaps", "summary": "More.", "points": points})
    assert found.headline == "Perhaps: more images may help, or add little."
    found = answer("report", {"page": "x.html", "tables": ["a.csv", "b.csv"], "stopped": False})
    assert found.sentences == ("x.html, with 2 tables beside it.",)
    assert [(offer.kind, offer.value) for offer in found.offers] == [("open", "x.html")]
