"""`finetune --rescale` from the terminal."""

import pytest

from napari_unet_finetune.models.load import load_model

from .conftest import TINY


def test_images_are_rescaled_by_a_factor_or_none_is_found(answer, data, model, tmp_path):
    code, found = answer(
        "finetune", *data, "--model", model, "--out", tmp_path / "half", *TINY, "--set=keep_raw=false", "--rescale", 0.5
    )
    assert code == 0
    assert load_model(found["model"]).card.rescale == 0.5
    code, found = answer(
        "finetune",
        *data,
        "--model",
        model,
        "--out",
        tmp_path / "auto",
        *TINY,
        "--set=keep_raw=false",
        "--rescale",
        "auto",
    )
    assert code == 0
    assert any("no statistics of its data: images keep their size" in notice for notice in found["notices"])


@pytest.mark.parametrize(("text", "words"), [("half", "not a factor"), ("-1", "rescale")])
def test_what_is_no_factor_is_refused(complaint, data, model, tmp_path, text, words):
    assert words in complaint("finetune", *data, "--model", model, "--out", tmp_path / "run", "--rescale", text)
