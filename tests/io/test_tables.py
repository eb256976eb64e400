"""Names of files are text in every table, whatever a spreadsheet takes them for."""

import csv
import io

import pytest

from napari_unet_finetune.evaluation import rows
from napari_unet_finetune.io.tables import csv_text
from napari_unet_finetune.measure import objects


def test_a_formula_is_text_to_a_spreadsheet():
    text = csv_text(("name", "value"), [{"name": "=1+1", "value": -0.5}, {"name": "a,b"}])
    assert list(csv.DictReader(io.StringIO(text))) == [{"name": "'=1+1", "value": "-0.5"}, {"name": "a,b", "value": ""}]


@pytest.mark.parametrize("name", ["=cmd", "+1", "-2", "@sum"])
def test_scores_and_measurements_hold_no_formulas(name):
    assert f",'{name}," in rows.to_csv([rows.Row(5, 0, "default", 2, name, -0.5, 0, 0, None)])
    assert objects.to_csv([{"image": name, "bend": -1.0}]) == f"image,bend\n'{name},-1.0\n"
