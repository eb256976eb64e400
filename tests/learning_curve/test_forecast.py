"""The learning curve is carried on as a range that holds the truth, or it is said that it cannot be."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.rows import Row
from napari_unet_finetune.learning_curve.folder import load_all_rows
from napari_unet_finetune.learning_curve.forecast import forecast


def rows(curve, counts=(5, 10, 15, 20), seeds=3, noise=0.002, preset="default"):
    rng = np.random.default_rng(0)
    level = rng.normal(0, 0.03, 11)
    return [
        Row(count, seed, preset, 2, f"img {image}", curve(count) + level[image] + rng.normal(0, noise), 0, 0, 1)
        for count in counts
        for seed in range(seeds)
        for image in range(11)
    ]


@pytest.mark.parametrize("curve", [lambda n: 0.93 - 0.9 / n, lambda n: 0.9 - 0.3 * np.exp(-n / 8)])
def test_the_range_holds_the_true_gain_of_a_rising_curve(curve):
    result = forecast(rows(curve, noise=0.02))
    assert [gain.more for gain in result.gains] == [5, 10]
    for gain in result.gains:
        assert 0 <= gain.low <= curve(20 + gain.more) - curve(20) <= gain.high
    assert "more images are likely to give +0.0" in result.summary and result.verdict != "cannot say"


def test_a_flat_curve_promises_little():
    result = forecast(rows(lambda _: 0.9))
    assert result.verdict == "little" and "The curve is flat" in result.summary


def test_a_falling_curve_is_not_carried_on_downwards():
    result = forecast(rows(lambda n: 0.9 - 0.002 * n))
    assert all(gain.low >= 0 for gain in result.gains) and result.verdict == "little"


def test_two_counts_are_no_curve():
    result = forecast(rows(lambda n: 0.9 - 0.5 / n, counts=(5, 10)))
    assert result.verdict == "cannot say" and result.gains == () and "at least 3 different numbers" in result.summary


def test_the_raw_model_and_the_old_dataset_are_not_on_the_curve():
    finetuned = rows(lambda n: 0.9 - 0.5 / n)
    raw = [Row(0, 0, "", 2, f"img {image}", 0.1, 0, 0, 1) for image in range(11)]
    old = [Row(5, 0, "default", 1, "old", 0.2, 0, 0, 1)]
    assert forecast([*raw, *old, *finetuned]) == forecast(finetuned)


def test_noise_widens_the_range_and_no_curve_exceeds_one():
    calm, noisy = (forecast(rows(lambda n: 0.97 - 0.6 / n, noise=noise)) for noise in (0.001, 0.05))
    width = [result.gains[0].high - result.gains[0].low for result in (calm, noisy)]
    assert width[1] > 2 * width[0]
    assert all(high <= 1 for _, _, high in noisy.curve) and noisy.ceiling[1] <= 1


def test_no_promise_reaches_beyond_twice_what_was_measured():
    few = rows(lambda n: 0.9 - 0.2 / n, counts=(1, 2, 4))
    assert [gain.more for gain in forecast(few).gains] == [2]
    assert [gain.more for gain in forecast(few, more=(1, 4)).gains] == [1, 4]
    for more in (0, 5, 50):
        with pytest.raises(DataError, match=rf"{more} more .* Ask for 1 to 4 more"):
            forecast(few, more=(1, more))


def test_a_gain_that_may_be_large_is_not_called_little():
    result = forecast(rows(lambda n: {5: 0.60, 10: 0.70, 15: 0.75, 20: 0.78}[n], noise=0.05))
    (near, _) = result.gains
    assert near.low < 0.01 < 0.02 < near.high and result.verdict == "perhaps"
    assert "cannot be told" in result.summary


def test_one_seed_is_told():
    assert "With one seed per number of images" in forecast(rows(lambda n: 0.9 - 0.5 / n, seeds=1)).summary
    assert "With one seed" not in forecast(rows(lambda n: 0.9 - 0.5 / n)).summary


def test_the_same_seed_gives_the_same_forecast():
    some = rows(lambda n: 0.9 - 0.5 / n)
    assert forecast(some, seed=3) == forecast(some, seed=3) != forecast(some, seed=4)


def test_rows_of_a_study_are_read_and_foreign_fields_left_out(tmp_path):
    some = rows(lambda n: 0.9 - 0.5 / n)
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.json").write_text(json.dumps([asdict(row) | {"later": 1} for row in some]))
    assert load_all_rows(tmp_path) == tuple(some)
    (tmp_path / "rows" / "b.json").write_text("[{")
    with pytest.raises(DataError, match=r"b\.json"):
        load_all_rows(tmp_path)


def test_what_is_no_study_or_mixes_presets_is_refused(tmp_path):
    with pytest.raises(DataError, match="no scores of a study"):
        load_all_rows(tmp_path)
    with pytest.raises(DataError, match="default, fast"):
        forecast([*rows(lambda _: 0.9), *rows(lambda _: 0.9, preset="fast")])
