"""Figures show what is right and wrong, in words and in colors that everyone can tell apart."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.evaluation.figures import (
    CORRECT,
    FALSE_POSITIVE,
    MISSED,
    OverlayRow,
    contrast,
    error_overlay,
    learning_curve_figure,
    overlay_figure,
)
from napari_unet_finetune.evaluation.rows import Row, score_by_count

TRUTH = np.array([[0, 0, 1, 1]] * 4, np.uint8)
PREDICTION = np.array([[0, 1, 0, 1]] * 4, np.uint16)


def overlay_row(image: np.ndarray | None = None, **changes: np.ndarray) -> OverlayRow:
    pixels = np.zeros((4, 4), np.uint8) if image is None else image
    return OverlayRow("img3", pixels, TRUTH, {"raw": PREDICTION, "5 images": TRUTH}, **changes)


def rows_of(dataset: int, dices: dict[tuple[int, int], Sequence[float]]) -> list[Row]:
    return [
        Row(count, seed, "default", dataset, str(image), dice, dice, dice, 1.0)
        for (count, seed), values in dices.items()
        for image, dice in enumerate(values)
    ]


def hue(color: str) -> np.ndarray:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], float)
    return rgb / rgb.max()


def test_right_wrong_and_missed_pixels_have_their_own_colors() -> None:
    background, false_positive, missed, correct = error_overlay(overlay_row(), PREDICTION)[0]
    np.testing.assert_array_equal(background, 0)
    for pixel, color in ((false_positive, FALSE_POSITIVE), (missed, MISSED), (correct, CORRECT)):
        np.testing.assert_allclose(pixel / pixel.max(), hue(color), atol=1e-6)


def test_pixels_that_are_not_annotated_stay_grey() -> None:
    annotated = np.zeros((4, 4), bool)
    annotated[:2] = True
    shown = error_overlay(overlay_row(annotated=annotated), PREDICTION)
    assert shown[0].any()
    assert not shown[2:].any()


@pytest.mark.parametrize("channels", [None, 1, 3, 5])
def test_images_of_any_number_of_channels_are_shown_with_full_contrast(channels: int | None) -> None:
    shape = (30, 40) if channels is None else (channels, 30, 40)
    shown = contrast(np.random.default_rng(0).normal(5000, 10, shape))
    assert shown.shape == (30, 40, 3)
    assert shown.min() < 0.2
    assert shown.max() > 0.8


def test_a_constant_image_is_shown_without_a_warning() -> None:
    assert np.isfinite(contrast(np.full((4, 4), 7))).all()


@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4)])
@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_the_overlay_is_saved_as_its_suffix_says(
    tmp_path: Path, shape: tuple[int, ...], suffix: str, start: bytes
) -> None:
    path = overlay_figure([overlay_row(np.zeros(shape))], tmp_path / f"overlay{suffix}")
    assert path.read_bytes().startswith(start)


def test_the_overlay_says_in_words_what_it_shows(tmp_path: Path) -> None:
    text = overlay_figure([overlay_row(), overlay_row()], tmp_path / "overlay.svg").read_text()
    for words in ("original", "raw", "5 images", "ground truth", "img3", "Dice 0.500", "Dice 1.000"):
        assert words in text
    for words in ("correct", "false positive", "missed"):
        assert words in text


def test_dice_in_the_overlay_counts_annotated_pixels_only(tmp_path: Path) -> None:
    annotated = np.zeros((4, 4), bool)
    annotated[:, 2:] = True
    text = overlay_figure([overlay_row(annotated=annotated)], tmp_path / "overlay.svg").read_text()
    assert "Dice 0.667" in text


def test_a_learning_curve_averages_over_images_and_keeps_seeds_apart() -> None:
    rows = rows_of(2, {(5, 1): [0.9, 0.9], (0, 0): [0.2, 0.4], (5, 0): [0.6, 0.8]}) + rows_of(1, {(0, 0): [0.9]})
    means = score_by_count(rows, 2)
    assert list(means) == [0, 5]
    assert means[0] == pytest.approx((0.3,)) and means[5] == pytest.approx((0.7, 0.9))


def test_the_learning_curve_names_datasets_and_spread(tmp_path: Path) -> None:
    scores = {(0, 0): [0.3], (5, 0): [0.7], (5, 1): [0.8], (5, 2): [0.75]}
    path = learning_curve_figure(rows_of(1, scores) + rows_of(2, scores), tmp_path / "curve.svg", "wbc")
    text = path.read_text()
    assert "old images" in text
    assert "new images" in text
    assert "lowest to highest of 3 seeds" in text


def test_the_learning_curve_shows_objects_where_they_were_scored(tmp_path: Path) -> None:
    rows = rows_of(2, {(0, 0): [0.3], (5, 0): [0.7]})
    counted = [replace(row, predicted_objects=4, true_objects=4, matches=(2,) * 10) for row in rows]
    for some, shown in ((rows, False), (counted, True)):
        text = learning_curve_figure(some, tmp_path / "curve.svg", "wbc").read_text()
        assert ("F1 of objects" in text) == shown


def test_other_formats_and_empty_figures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.png, \.pdf, \.svg"):
        overlay_figure([overlay_row()], tmp_path / "overlay.gif")
    with pytest.raises(DataError, match="no image"):
        overlay_figure([], tmp_path / "overlay.png")
    with pytest.raises(DataError, match="no score"):
        learning_curve_figure([], tmp_path / "curve.png", "wbc")


def test_figures_need_neither_pyplot_nor_torch(tmp_path: Path, loaded_by: Callable[[str], set[str]]) -> None:
    assert "matplotlib" not in loaded_by("import napari_unet_finetune.evaluation.figures")
    code = (
        "import numpy as np, pathlib\n"
        "from napari_unet_finetune.evaluation import figures as f\n"
        "z = np.zeros((4, 4))\n"
        f"f.overlay_figure([f.OverlayRow('a', z, z, {{'raw': z}})], pathlib.Path({str(tmp_path / 'a.png')!r}))"
    )
    assert not {"matplotlib.pyplot", "torch"} & loaded_by(code)


def test_a_dollar_sign_in_a_name_is_no_formula(tmp_path):
    picture = np.zeros((20, 20))
    row = OverlayRow("a $b^ {c", picture, picture, {"model $\\x": picture})
    assert overlay_figure([row], tmp_path / "a.png").is_file()
