"""A folder of labels files becomes two tables, and no file is ever replaced unasked."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.pairing import FilePair
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import drain
from napari_unet_finetune.io.writing import write_labels
from napari_unet_finetune.measure.files import measure_files, pair_files


@pytest.fixture
def folders(tmp_path):
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    for number, name in enumerate(("img_a", "img_b"), start=1):
        pixels = np.full((16, 20), 10 * number, np.uint8)
        pixels[0, 0] = 200
        tifffile.imwrite(images / f"{name}.tif", pixels, photometric="minisblack")
        write_labels(labels / f"{name}_labels.tif", block(number))
    return images, labels


def block(number: int) -> np.ndarray:
    array = np.zeros((16, 20), np.uint8)
    array[4 : 4 + number, 5:10] = 1
    return array


def read(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_images_come_into_one_table(folders, tmp_path):
    pairs, left_out = pair_files(*folders)
    assert left_out == ()
    events = []
    report = yield_all(measure_files(pairs, tmp_path / "new" / "all.csv"), events)
    assert [(event.path.stem, event.done, event.total, event.error) for event in events] == [
        ("img_a", 1, 2, None), ("img_b", 2, 2, None),
    ]  # fmt: skip
    assert (report.objects, report.images, report.failed) == (2, 2, ())
    assert report.tables == (tmp_path / "new" / "all.csv", tmp_path / "new" / "all-images.csv")
    objects, images = map(read, report.tables)
    assert [(row["image"], row["area_px"], row["mean_intensity"]) for row in objects] == [
        ("img_a", "5", "10.0"), ("img_b", "10", "20.0"),
    ]  # fmt: skip
    assert [(row["image"], row["objects"], row["area_fraction"]) for row in images] == [
        ("img_a", "1", "0.015625"), ("img_b", "1", "0.03125"),
    ]  # fmt: skip


def yield_all(generator, events):
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return stop.value


def test_frames_of_a_stack_are_told_apart(tmp_path):
    stack = np.stack([block(1), block(2)])
    tifffile.imwrite(tmp_path / "s.tif", stack * 9, photometric="minisblack", metadata={"axes": "TYX"})
    write_labels(tmp_path / "out" / "s_labels.tif", stack)
    drain(measure_files([FilePair(tmp_path / "s.tif", tmp_path / "out" / "s_labels.tif")], tmp_path / "t.csv"))
    assert [(row["frame"], row["area_px"]) for row in read(tmp_path / "t.csv")] == [("0", "5"), ("1", "10")]


def test_the_size_of_a_pixel_comes_from_the_image(tmp_path):
    write_labels(tmp_path / "a.tif", block(2), scale=(0.5, 0.5), unit="um")
    write_labels(tmp_path / "a_labels.tif", block(1))
    drain(measure_files([FilePair(tmp_path / "a.tif", tmp_path / "a_labels.tif")], tmp_path / "t.csv"))
    assert read(tmp_path / "t.csv")[0]["area_um2"] == "1.25"


def test_a_broken_file_is_listed_and_the_others_are_measured(folders, tmp_path):
    images, labels = folders
    pairs, _ = pair_files(images, labels)
    (labels / "img_a_labels.tif").write_bytes(b"II*\0 no image")
    report = drain(measure_files(pairs, tmp_path / "t.csv"))
    assert [one.file.name for one in report.failed] == ["img_a_labels.tif"]
    assert [row["image"] for row in read(tmp_path / "t.csv")] == ["img_b"]


def test_labels_of_another_size_are_listed_with_both_sizes(folders, tmp_path):
    images, labels = folders
    write_labels(labels / "img_a_labels.tif", np.ones((3, 3), np.uint8), overwrite=True)
    report = drain(measure_files(pair_files(images, labels)[0], tmp_path / "t.csv"))
    assert "(16, 20) but its labels are (3, 3)" in report.failed[0].reason


def test_a_table_is_not_replaced_unasked_and_an_input_never(folders, tmp_path):
    pairs, _ = pair_files(*folders)
    (tmp_path / "t-images.csv").write_text("mine")
    with pytest.raises(DataError, match=r"t-images\.csv exists already"):
        drain(measure_files(pairs, tmp_path / "t.csv"))
    drain(measure_files(pairs, tmp_path / "t.csv", overwrite=True))
    assert len(read(tmp_path / "t-images.csv")) == 2
    before = pairs[0].image.read_bytes()
    with pytest.raises(DataError, match=r"must end in \.csv"):
        drain(measure_files(pairs, pairs[0].image, overwrite=True))
    assert pairs[0].image.read_bytes() == before


def test_what_was_measured_before_a_stop_is_kept(folders, tmp_path):
    answers = iter([False, True])
    report = drain(measure_files(pair_files(*folders)[0], tmp_path / "t.csv", should_stop=lambda: next(answers)))
    assert report.stopped
    assert len(read(tmp_path / "t-images.csv")) == 1


def test_labels_without_image_are_told(folders):
    images, labels = folders
    write_labels(labels / "other_labels.tif", block(1))
    (images / "broken.tif").write_bytes(b"II*\0 no image")
    pairs, left_out = pair_files(images, labels)
    assert len(pairs) == 2
    assert [one.file.name for one in left_out] == ["broken.tif", "other_labels.tif"]


def test_folders_that_have_nothing_in_common_are_refused(folders, tmp_path):
    write_labels(tmp_path / "else" / "x1.tif", block(1))
    with pytest.raises(DataError, match="Name them alike"):
        pair_files(folders[0], tmp_path / "else")
