"""Known shapes have known measurements."""

import csv
import io
from math import pi

import numpy as np
import pytest

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.measure.objects import Measured, Place, columns_of, measure, number_objects, to_csv


def squares(labels=(1, 1)):
    """Return a square of 4 px and one of 9 px in the middle, far from each other."""
    array = np.zeros((20, 30), np.uint8)
    array[2:4, 3:5], array[10:13, 20:23] = labels
    return array


def test_a_mask_is_measured_region_by_region():
    measured = measure(squares())
    assert [(row["label"], row["area_px"]) for row in measured.objects] == [(1, 4), (2, 9)]
    first = measured.objects[0]
    assert (first["centroid_y_px"], first["centroid_x_px"]) == (2.5, 3.5)
    assert first["equivalent_diameter_px"] == pytest.approx(2 * (4 / pi) ** 0.5)
    assert first["eccentricity"] == 0
    assert "area_um2" not in first and "mean_intensity" not in first


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32])
def test_any_kind_of_mask_gives_the_same_objects(dtype):
    white = squares((255, 255)) if dtype == np.uint8 else squares().astype(dtype)
    assert [row["area_px"] for row in measure(white).objects] == [4, 9]


def test_numbered_objects_keep_their_numbers_even_in_pieces():
    assert [(row["label"], row["area_px"]) for row in measure(squares((7, 7))).objects] == [(7, 13)]
    assert [row["label"] for row in measure(squares((9, 5))).objects] == [5, 9]


def test_pixels_that_meet_at_a_corner_are_one_object():
    assert number_objects(np.eye(5, dtype=np.uint8)).max() == 1


def test_a_disk_has_the_area_and_the_roundness_of_a_circle():
    y, x = np.mgrid[:101, :101]
    row = measure(((y - 50) ** 2 + (x - 50) ** 2 <= 40**2).astype(np.uint8)).objects[0]
    assert row["area_px"] == pytest.approx(pi * 40**2, rel=0.01)
    assert row["equivalent_diameter_px"] == pytest.approx(80, rel=0.01)
    assert row["eccentricity"] == pytest.approx(0, abs=0.01)
    assert row["solidity"] == pytest.approx(1, abs=0.03)


def test_sizes_are_in_the_unit_of_the_image_as_well():
    row = measure(squares(), place=Place(scale=(0.5, 0.25), unit="um")).objects[0]
    assert row["area_px"] == 4
    assert row["area_um2"] == pytest.approx(0.5)
    assert row["equivalent_diameter_um"] == pytest.approx(2 * (0.5 / pi) ** 0.5)
    assert (row["centroid_y_px"], row["centroid_x_px"]) == (pytest.approx(2.5), pytest.approx(3.5))


def test_a_square_of_flat_pixels_is_long_in_the_world():
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, 10:30] = 1
    assert measure(labels).objects[0]["eccentricity"] == pytest.approx(0)
    flat = measure(labels, place=Place(scale=(1, 0.25), unit="um")).objects[0]
    assert flat["eccentricity"] == pytest.approx((1 - 1 / 16) ** 0.5)


def test_intensities_are_told_per_channel():
    image = np.zeros((2, 20, 30), np.float32)
    image[0, 2:4, 3:5] = [[1, 2], [3, 4]]
    image[1] = 7
    row = measure(squares(), image).objects[0]
    assert (row["mean_intensity_1"], row["min_intensity_1"], row["max_intensity_1"]) == (2.5, 1, 4)
    assert (row["mean_intensity_2"], row["max_intensity_2"]) == (7, 7)
    assert measure(squares(), image[0]).objects[0]["mean_intensity"] == 2.5


def test_channels_go_by_their_names_where_all_are_known_and_told_apart():
    image = np.stack([np.full((20, 30), value, np.float32) for value in (1, 2, 3)])
    names = {
        ("DAPI", "GFP", ""): ("_DAPI", "_GFP", "_3"),
        ("DAPI", "DAPI", "GFP"): ("_1", "_2", "_GFP"),
        ("DAPI",): ("_1", "_2", "_3"),
    }
    for channels, ends in names.items():
        row = measure(squares(), image, Place(channels=channels)).objects[0]
        assert [row[f"mean_intensity{end}"] for end in ends] == [1, 2, 3]
    assert measure(squares(), image[0], Place(channels=("DAPI",))).objects[0]["mean_intensity"] == 1


def disk(radius, seed):
    """Return a disk anywhere between pixels."""
    side = int(2 * radius + 7)
    down, right = side / 2 + np.random.default_rng(seed).uniform(-0.5, 0.5, 2)
    y, x = np.mgrid[:side, :side]
    return ((y - down) ** 2 + (x - right) ** 2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("radius", [2, 3, 5, 10, 30])
def test_outline_axes_and_circularity_of_disks_have_no_bias_however_small_they_are(radius):
    rows = [measure(disk(radius, seed)).objects[0] for seed in range(25)]
    for name, expected in (
        ("perimeter_px", 2 * pi * radius), ("axis_major_length_px", 2 * radius), ("axis_minor_length_px", 2 * radius),
    ):  # fmt: skip
        assert np.mean([row[name] for row in rows]) == pytest.approx(expected, rel=0.1 if radius == 2 else 0.05)
    circularity = [row["circularity"] for row in rows]
    assert np.mean(circularity) > 0.97 and max(circularity) <= 1


def test_an_ellipse_has_its_axes_and_circularity_in_both_units():
    y, x = np.mgrid[:60, :100]
    ellipse = (((y - 30) / 20) ** 2 + ((x - 50) / 40) ** 2 <= 1).astype(np.uint8)
    row = measure(ellipse, place=Place(scale=(0.5, 0.5), unit="um")).objects[0]
    expected = {"axis_major_length": 80, "axis_minor_length": 40, "perimeter": 193.8}  # by Ramanujan's formula
    for name, length in expected.items():
        assert (row[f"{name}_px"], row[f"{name}_um"]) == (pytest.approx(length, 0.01), pytest.approx(length / 2, 0.01))
    assert row["circularity"] == pytest.approx(0.841, rel=0.02)


def test_a_few_pixels_have_no_circularity_and_flat_ones_no_length_in_pixels():
    assert ["circularity" in row for row in measure(squares()).objects] == [False, False]
    labels = np.zeros((40, 40), np.uint8)
    labels[10:30, 10:30] = 1
    row = measure(labels, place=Place(scale=(1, 0.25), unit="um")).objects[0]
    assert row["axis_major_length_um"] == pytest.approx(4 * (20**2 / 12) ** 0.5, rel=0.01)
    assert not {"axis_major_length_px", "perimeter_px", "perimeter_um", "circularity"} & set(row)


def test_the_image_is_summed_up():
    place = Place("a", "3", (0.5, 0.5), "um")
    assert measure(squares(), place=place).images == (
        {
            "image": "a", "frame": "3", "objects": 2, "total_area_px": 13, "total_area_um2": 3.25,
            "area_fraction": 13 / 600, "mean_area_px": 6.5,
        },
    )  # fmt: skip


def test_an_image_without_objects_has_a_row_of_its_own():
    measured = measure(np.zeros((5, 5), np.uint16), np.ones((5, 5)), Place("empty"))
    assert measured.objects == ()
    assert measured.images[0] == {
        "image": "empty", "frame": "", "objects": 0, "total_area_px": 0, "area_fraction": 0, "mean_area_px": 0,
    }  # fmt: skip


def test_objects_at_the_edge_are_marked():
    labels = squares()
    labels[0, 0] = labels[19, 29] = 1
    assert [row["touches_edge"] for row in measure(labels).objects] == [1, 0, 0, 1]


def test_specks_of_one_pixel_are_measured_without_complaint():
    labels = np.zeros((9, 9), np.uint8)
    labels[::4, ::4] = 1
    rows = measure(labels).objects
    assert [row["area_px"] for row in rows] == [1] * 9
    assert all(0 < row["solidity"] <= 1 for row in rows)


@pytest.mark.parametrize("labels", [np.zeros((5, 5)), np.zeros((2, 5, 5), np.uint8)])
def test_what_is_no_labels_is_refused(labels):
    with pytest.raises(DataError, match="are not labels"):
        measure(labels)


def test_an_image_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(DataError, match=r"a: the image is \(4, 4\) but its labels are \(20, 30\)"):
        measure(squares(), np.zeros((4, 4)), Place("a"))


def test_the_table_leaves_empty_what_does_not_apply():
    both = measure(squares(), place=Place("b", unit="um")) + measure(squares(), place=Place("a, with comma"))
    assert isinstance(both, Measured)
    rows = list(csv.DictReader(io.StringIO(to_csv(both.objects))))
    assert [row["image"] for row in rows] == ["b", "b", "a, with comma", "a, with comma"]
    assert rows[0]["area_um2"] == "4.0" and rows[2]["area_um2"] == ""
    assert list(rows[0]) == list(columns_of(both.objects))
    assert list(rows[0]).index("area_um2") == list(rows[0]).index("area_px") + 1


def test_a_column_only_later_rows_have_stands_beside_its_neighbors():
    assert columns_of([{"a": 1, "c": 1}, {"a": 1, "b": 2, "c": 3}]) == ("a", "b", "c")


def test_a_table_without_rows_is_empty():
    assert to_csv(()).strip() == ""
