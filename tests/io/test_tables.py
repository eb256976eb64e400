"""Names of files are text in every table, whatever a spreadsheet takes them for."""

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.evaluation import rows
from napari_unet_finetune.io.tables import csv_text
from napari_unet_finetune.measure import objects


def test_a_formula_is_text_to_a_spreadsheet():
    text = csv_text(("name", "value"), [{"name": "=1+1", "value": -0.5}, {"name": "a,b"}])
    assert list(csv.DictReader(io.StringIO(text))) == [{"name": "'=1+1", "value": "-0.5"}, {"name": "a,b", "value": ""}]


SIGNS = st.sampled_from("=+-@\uff1d\uff0b\uff0d\uff20")
BLANKS = st.text(" \t\r\n\v\f\0\u00a0\u200b\u2003\ufeff", max_size=3)


def cells_of_any_spreadsheet(text):
    """Yield what programs see that separate cells by commas, semicolons or tabs, with and without regard to quotes."""
    for separator in ",;\t":
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            yield from row
    for line in re.split(r"[\r\n]", text):
        yield from re.split(r"[;\t]", line)


@given(st.text("ab;, ", max_size=3), st.sampled_from(["", ";", "\t", "\n", "\r"]), BLANKS, SIGNS)
def test_no_spreadsheet_sees_a_formula_wherever_its_language_begins_a_cell(before, separator, blanks, sign):
    name = f"{before}{separator}{blanks}{sign}cmd"
    for columns in (("name", "n"), ("n", "name")):
        for cell in cells_of_any_spreadsheet(csv_text(columns, [{"name": name, "n": 1}])):
            assert not re.match(r"[\s\0\u200b\ufeff\"]*[=+\-@\uff1d\uff0b\uff0d\uff20]", cell)


LIKE_FORMULAS = [
    "=1", " =1", "\n=1", "\r\n =1", "\t=1", "\u00a0+1", "\ufeff@a", "\uff1d1", "a;=1", "a; -1", "a\n@b", "\tx",
]  # fmt: skip


@pytest.mark.parametrize("name", LIKE_FORMULAS)
def test_text_like_a_formula_gets_an_apostrophe_where_a_cell_may_begin(name):
    (row,) = csv.DictReader(io.StringIO(csv_text(("name",), [{"name": name}]), newline=""))
    assert row["name"] != name and row["name"].replace("'", "") == name


@pytest.mark.parametrize("name", ["img-3", "a+b", "a, -1", "user@host", "E=mc2", "x;y", "img 3", "\u4e2d\u6587"])
def test_other_names_stay_as_they_are(name):
    (row,) = csv.DictReader(io.StringIO(csv_text(("name", "n"), [{"name": name, "n": 1}])))
    assert row["name"] == name


def test_columns_named_by_a_file_are_no_formulas_either():
    assert csv_text(("=a",), [{"=a": 1}]) == "'=a\n1\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-7, "0.0000001"), (-2.5e16, "-25000000000000000"), (0.1, "0.1"), (3, "3"), (None, '""')],
)
def test_numbers_have_no_exponent_and_all_their_digits(value, text):
    assert csv_text(("n",), [{"n": value}]) == f"n\n{text}\n"
    if isinstance(value, float):
        assert csv_text(("n",), [{"n": np.float64(value)}]) == f"n\n{text}\n"


@pytest.mark.parametrize("name", ["=cmd", "+1", "-2", "@sum"])
def test_scores_and_measurements_hold_no_formulas(name):
    assert f",'{name}," in rows.to_csv([rows.Row(5, 0, "default", 2, name, -0.5, 0, 0, None)])
    assert objects.to_csv([{"image": name, "bend": -1.0}]) == f"image,bend\n'{name},-1.0\n"
