"""Numbers in words."""

import pytest

from napari_unet_finetune.words import count_of, percent


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
