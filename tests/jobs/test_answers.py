"""Answers are found again in the folders of their jobs."""

import pytest

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.jobs.answers import KeptAnswer, keep_answer, last_answers
from napari_unet_finetune.project.question_plan import Asked
from napari_unet_finetune.suggest.suggestion import Suggestion, Suggestions

SUGGESTIONS = Suggestions((Suggestion("a", 1, "Darker than 9 of 10 images.", {}),))


def test_the_last_answer_to_each_question_is_found_again(tmp_path):
    asked = Asked(question="suggest", model_name="base", about="8 images", images=("a",))
    for day in (1, 2):
        keep_answer(tmp_path / f"2026010{day}-120000-question-suggest", asked, SUGGESTIONS)
    (tmp_path / "20260103-120000-question-suggest").mkdir()
    (tmp_path / "20260104-120000-question-check").mkdir()
    broken = keep_answer(tmp_path / "20260104-120000-question-check", Asked(question="check"), SUGGESTIONS)
    (found,) = last_answers(sorted(tmp_path.iterdir(), reverse=True)).values()
    assert found.result == SUGGESTIONS
    assert found.source == "02 Jan 12:00 · base · 8 images"
    with pytest.raises(RunError, match="Ask again"):
        _ = broken.result


def test_an_error_map_is_found_by_the_place_of_its_image(tmp_path):
    kept = KeptAnswer(tmp_path)
    Asked(question="estimate", images=("a b", "c")).keep(tmp_path)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "002_c_errors.tif").touch()
    assert kept.map_of("c") == tmp_path / "maps" / "002_c_errors.tif"
    assert kept.map_of("a b") is None and kept.map_of("d") is None
