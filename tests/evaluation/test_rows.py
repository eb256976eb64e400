"""Rows of scores, their means and how they are written."""

import csv
import io
import json
from dataclasses import replace

import pytest

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.rows import Row, read_rows, summarize, to_csv, to_json
from napari_unet_finetune.metrics import Scores

KEYS = [
    "count", "seed", "preset", "dataset", "image", "dice", "iou", "surface_dice", "area_ratio",
    "predicted_px", "true_px",
]  # fmt: skip


def row(dice, *, count=5, seed=0, preset="default", dataset=2, image="a", ratio=1.0, px=(None, None)):
    return Row(count, seed, preset, dataset, image, dice, dice / 2, dice / 4, ratio, *px)


def test_a_row_takes_over_the_scores():
    scores = Scores(dice=0.5, iou=0.25, surface_dice=0.75, area_ratio=None, predicted_px=7, true_px=0)
    made = Row.of(scores, count=5, seed=1, preset="fast", dataset=1, image="b")
    assert made == Row(5, 1, "fast", 1, "b", 0.5, 0.25, 0.75, None, 7, 0)


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
    assert to_csv([without]).splitlines()[1] == "5,0,default,2,a,0.5,0.25,,1.0,,"


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
    older = {"predicted_px", "true_px"}
    file.write_text(json.dumps([{k: v for k, v in one.items() if k not in older} for one in to_json(some)["rows"]]))
    assert [one.dice for one in read_rows(file)] == [0.5, 0.25] and read_rows(file)[0].true_px is None
    for wrong in ('[{"dice": 1}]', "[{", '{"dice": 1}'):
        file.write_text(wrong)
        with pytest.raises(DataError, match=r"rows\.json"):
            read_rows(file)
    with pytest.raises(DataError, match=r"gone\.json"):
        read_rows(tmp_path / "gone.json")
