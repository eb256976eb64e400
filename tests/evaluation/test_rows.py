"""Rows of scores, their means and how they are written."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.rows import (
    Row,
    object_table,
    read_rows,
    score_by_count,
    summarize,
    to_csv,
    to_json,
)
from napari_unet_finetune.inference.predict import Prediction
from napari_unet_finetune.metrics import MATCH_IOUS, Scores

KEYS = [
    "count", "seed", "preset", "dataset", "image", "dice", "iou", "surface_dice", "area_ratio",
    "predicted_px", "true_px", "predicted_objects", "true_objects", "count_error", "precision", "recall", "f1", "ap",
    "count_ratio", "no_object_scores", "shown",
]  # fmt: skip


def row(dice, *, count=5, seed=0, preset="default", dataset=2, image="a", ratio=1.0, px=(None, None)):
    return Row(count, seed, preset, dataset, image, dice, dice / 2, dice / 4, ratio, *px)


def test_a_row_takes_over_the_scores():
    scores = Scores(dice=0.5, iou=0.25, surface_dice=0.75, area_ratio=None, predicted_px=7, true_px=0)
    seen = Prediction("b", np.zeros((2, 2)), np.zeros((2, 2)), 0.5, (1, 1), "px", shown="exchanged")
    made = Row.of(scores, seen, count=5, seed=1, preset="fast", dataset=1)
    assert made == Row(5, 1, "fast", 1, "b", 0.5, 0.25, 0.75, None, 7, 0, shown="exchanged")


def test_means_are_over_images_and_their_spread_over_seeds():
    rows = [
        row(0.5, image="a"), row(0.7, image="b"), row(0.8, seed=1, image="a"), row(0.8, seed=1, image="b"),
    ]  # fmt: skip
    (mean,) = summarize(rows)
    assert (mean.count, mean.preset, mean.dataset, mean.images, mean.seeds) == (5, "default", 2, 2, 2)
    assert mean.dice == pytest.approx(0.7)
    assert mean.dice_std == pytest.approx(0.2 / 2**0.5)  # of 0.6 and 0.8
    assert mean.iou == pytest.approx(0.35) and mean.surface_dice == pytest.approx(0.175)
    assert mean.drop is None and not mean.forgetting


def test_there_is_one_summary_per_preset_dataset_and_count_in_order():
    rows = [row(0.5, count=count, dataset=dataset) for count in (20, 0, 5) for dataset in (2, 1)]
    rows.append(row(0.5, count=5, preset="fast"))
    keys = [(mean.preset, mean.dataset, mean.count) for mean in summarize(rows)]
    assert keys == [*(("default", dataset, count) for dataset in (1, 2) for count in (0, 5, 20)), ("fast", 2, 5)]


@pytest.mark.parametrize(("new", "forgetting"), [(0.9, False), (0.895, False), (0.885, True), (0.95, False)])
def test_forgetting_is_a_drop_of_more_than_a_hundredth_on_the_old_dataset(new, forgetting):
    rows = [row(0.9, count=0, dataset=1), row(new, dataset=1), row(0.2, count=0), row(0.1)]
    raw_old, old, raw_new, tuned = summarize(rows)
    assert old.drop == pytest.approx(0.9 - new)
    assert old.forgetting is forgetting
    assert raw_old.drop == 0 and not raw_old.forgetting
    assert raw_new.drop is None and tuned.drop is None


def test_the_ratio_of_areas_is_that_of_all_images_together():
    large, speck = row(0.9, ratio=0.9, px=(9000, 10000)), row(0.4, image="b", ratio=3.0, px=(30, 10))
    assert summarize([large, speck])[0].area_ratio == pytest.approx(9030 / 10010)
    nothing_true = row(0.0, image="c", ratio=None, px=(10, 0))
    assert summarize([large, nothing_true])[0].area_ratio == pytest.approx(9010 / 10000)
    assert summarize([nothing_true])[0].area_ratio is None


def test_rows_of_an_earlier_version_have_no_common_ratio_of_areas():
    assert summarize([row(0.5, ratio=2.0)])[0].area_ratio is None


@pytest.mark.parametrize("ratio", [1.4, None])
def test_rows_of_this_version_do_not_speak_for_those_of_an_earlier_one(ratio):
    mixed = [row(0.5, ratio=ratio), row(0.5, image="b", px=(100, 100))]
    assert summarize(mixed)[0].area_ratio is None


def test_images_without_a_surface_dice_do_not_count_for_its_mean():
    without = replace(row(0.5), surface_dice=None)
    assert summarize([row(0.8), without])[0].surface_dice == pytest.approx(0.2)
    assert summarize([without])[0].surface_dice is None
    assert to_csv([without]).splitlines()[1] == f"5,0,default,2,a,0.5,0.25,,1.0,,{',' * 10}"


def counted(predicted, true, matched, **changes):
    matches = (matched,) * len(MATCH_IOUS)
    return replace(row(0.5, **changes), predicted_objects=predicted, true_objects=true, matches=matches)


def test_objects_are_scored_over_all_images_together():
    uncounted = replace(row(0.5, image="c"), no_object_scores="the mask has one value for all objects")
    rows = [counted(12, 10, 8), counted(2, 4, 2, image="b"), uncounted, counted(1, 0, 0, image="d")]
    (mean,) = summarize(rows)
    assert (mean.predicted_objects, mean.true_objects, mean.count_ratio) == (15, 14, pytest.approx(15 / 14))
    assert (mean.precision, mean.recall, mean.f1) == tuple(map(pytest.approx, (10 / 15, 10 / 14, 20 / 29)))
    assert mean.ap == pytest.approx(10 / 19)
    assert mean.mean_count_error == pytest.approx((2 + 2 + 1) / 3)
    first, _, third, empty = to_json(rows)["rows"]
    assert (first["count_error"], first["precision"], first["count_ratio"]) == (2, pytest.approx(8 / 12), 1.2)
    assert third["f1"] is third["ap"] is third["count_error"] is None and "one value" in third["no_object_scores"]
    assert (empty["count_error"], empty["f1"]) == (1, None)


def test_a_curve_of_objects_is_that_of_all_objects_of_each_model():
    rows = [counted(10, 10, 10), counted(2, 10, 0, image="b"), counted(4, 4, 2, seed=1), row(0.5, count=10)]
    assert score_by_count(rows, 2, "f1") == {5: (pytest.approx(20 / 32), 0.5)}
    assert score_by_count(rows, 2) == {5: (0.5, 0.5), 10: (0.5,)}


def test_masks_without_numbers_have_no_table_of_objects_and_no_scores():
    rows = [replace(row(0.5), no_object_scores="the mask has one value for all objects"), counted(3, 0, 0, image="b")]
    (mean,) = summarize(rows)
    assert mean.f1 is mean.ap is mean.predicted_objects is mean.mean_count_error is None
    assert object_table(rows) is None and object_table([row(0.5)]) is None
    table = object_table([*rows, counted(4, 4, 2, image="c")])
    assert [line[:2] for line in table.rows] == [("b", "3 / 0"), ("c", "4 / 4"), ("all together", "7 / 4")]
    assert table.rows[0][2:] == ("–",) * 4 and "1 image left out" in table.note


def test_no_rows_have_no_summary():
    assert to_json([]) == {"rows": [], "summary": []}
    assert to_csv([]).splitlines() == [",".join(KEYS)]


def test_the_table_has_a_header_and_one_line_per_row():
    rows = [row(0.5, image='a, "b"'), row(0.25, ratio=None)]
    lines = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert list(lines[0]) == KEYS
    assert lines[0]["image"] == 'a, "b"' and float(lines[0]["dice"]) == 0.5
    assert lines[1]["area_ratio"] == ""


def test_json_holds_rows_and_summary():
    values = json.loads(json.dumps(to_json([row(0.5), row(0.25, image="b", ratio=None)]), allow_nan=False))
    assert [list(one) for one in values["rows"]] == [KEYS, KEYS]
    assert values["rows"][1]["area_ratio"] is None
    assert values["summary"][0]["dice"] == 0.375


def test_rows_of_other_versions_are_read_and_what_is_no_row_is_named(tmp_path):
    some, file = [row(0.5), row(0.25, image="b", ratio=None)], tmp_path / "rows.json"
    oldest = KEYS[: KEYS.index("predicted_px")]
    file.write_text(json.dumps([{name: getattr(one, name) for name in oldest} for one in some]))
    assert [one.dice for one in read_rows(file)] == [0.5, 0.25] and read_rows(file)[0].true_px is None
    for wrong in ('[{"dice": 1}]', "[{", '{"dice": 1}'):
        file.write_text(wrong)
        with pytest.raises(DataError, match=r"rows\.json"):
            read_rows(file)
    with pytest.raises(DataError, match=r"gone\.json"):
        read_rows(tmp_path / "gone.json")
