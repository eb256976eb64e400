"""Numbers in words."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.disk import file_stem
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.text import (
    LONGEST_WORD,
    about,
    count_of,
    difference,
    duration,
    elided,
    first_of,
    from_to,
    number,
    path_in_words,
    percent,
    place_in_words,
    plain,
    size_in_px,
    verb_for,
)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 held-out images"), (1, "1 held-out image"), (2, "2 held-out images")]
)
def test_one_is_one_and_all_else_are_many(number, text):
    assert count_of(number, "held-out image") == text


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0 %"), (0.00001, "below 0.1 %"), (0.004, "0.4 %"), (0.234, "23 %"), (1, "100 %")]
)
def test_percentages_have_the_digits_that_tell_something(share, text):
    assert percent(share) == text


def test_a_verb_goes_with_its_number():
    verbs = ("be", "have", "get")
    assert [verb_for(1, verb) for verb in verbs] == ["is", "has", "gets"]
    assert [verb_for(0, verb) for verb in verbs] == [verb_for(2, verb) for verb in verbs] == ["are", "have", "get"]


def test_a_size_has_its_unit():
    assert size_in_px((20, 30)) == "20 × 30 px"


def test_of_many_names_the_first_are_told():
    assert (first_of("ab"), first_of("abcd"), first_of("abc", 2)) == ("a, b", "a, b, c, …", "a, b, …")


def test_two_scores_have_as_many_digits_as_tell_them_apart():
    assert [from_to(0.5, after) for after in (0.55, 0.5, 0.5002)] == [
        "from 0.500 to 0.550", "from 0.500 to 0.500", "from 0.5000 to 0.5002"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3599.4, "59:59"), (3725, "1:02:05")]
)
def test_durations_read_as_people_write_them(seconds, text):
    assert duration(seconds) == text


def test_estimated_times_are_rounded():
    assert [about(seconds) for seconds in (3, 44, 360, 7200)] == [
        "about 10 s",
        "about 40 s",
        "about 6 min",
        "about 2.0 h",
    ]


@given(st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-9))
def test_a_measurement_is_plain_and_near(value):
    shown = plain(value)
    assert "e" not in shown and float(shown) == pytest.approx(value, rel=6e-4)


def test_a_measurement_keeps_what_stands_before_the_point():
    assert [plain(value) for value in (12345.6, 1234.5, 12.3456, 0.000012345, 0.0)] == [
        "12346", "1234", "12.35", "0.00001234", "0",
    ]  # fmt: skip


def test_long_words_are_cut_in_their_middle_and_all_else_stays():
    name = "abc" * 40
    assert elided("Opened 3 images.") == "Opened 3 images."
    shown = elided(f"In {name} there is none.")
    assert shown.startswith("In abcabc") and shown.endswith("bc there is none.")
    assert max(map(len, shown.split())) <= LONGEST_WORD


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 4))
def test_a_difference_is_that_of_the_numbers_that_are_shown(before, after, digits):
    shown = Decimal(number(after, digits)) - Decimal(number(before, digits))
    assert Decimal(f"{difference(before, after, digits):.{digits}f}") == shown


@pytest.mark.parametrize(
    ("path", "within", "short"),
    [
        ("images", "'images'", "'images'"),
        ("my images", "'my images'", "'my images'"),
        ("wells/images", "wells/images", "'wells/images'"),
        ("/data/wells/images", "/data/wells/images", "'wells/images'"),
        ("/images", "/images", "'/images'"),
    ],
)
def test_a_folder_of_any_name_is_told_from_the_words_around_it(path, within, short):
    assert (path_in_words(Path(path)), place_in_words(Path(path))) == (str(Path(within)), str(Path(short)))


ODD = ["\n", "\r\n", "\x00", "\x1b[2J", "\u2028", "\udcff", "\t"]


@pytest.mark.parametrize("odd", ODD)
def test_an_image_is_called_so_that_its_name_stands_in_a_line_of_a_table(odd):
    name = ImageRef(Path(f"a{odd}b.tif")).file_name
    assert name.startswith("a\\") and name.encode() and len(name.splitlines()) == 1 and "\t" not in name
    stem = file_stem(name)
    assert stem == file_stem(f"a{odd}b") and stem.startswith("a_") and stem.isprintable()


@pytest.mark.parametrize("odd", ODD)
def test_what_a_user_reads_of_an_error_is_one_line_whatever_names_it_holds(odd):
    said = str(DataError(f"There is no image called a{odd}b."))
    assert said.startswith("There is no image called a\\") and said.encode()
    assert len(said.splitlines()) == 1 and "\x1b" not in said
    assert str(DataError("Zellen · 3 µm – „größer“\N{NO-BREAK SPACE}")) == "Zellen · 3 µm – „größer“\N{NO-BREAK SPACE}"
