"""Masks from elsewhere: copied in all that can be, refused in a sentence each, never over a painted one."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.masks import BACKGROUND
from napari_unet_finetune.data.pairing import Pair, pair_images
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import drain
from napari_unet_finetune.io.images import ImageRef, list_images
from napari_unet_finetune.project.mask_import import (
    Imported,
    collect,
    enter_masks,
    import_masks,
    plan_import,
    take_masks,
)
from napari_unet_finetune.project.project import Project

from .blobs import BLOB, SIZE, TWO

RNG = np.random.default_rng(0)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images").mkdir()
    for number in (1, 2, 10):
        iio.imwrite(tmp_path / "images" / f"img_{number}.png", RNG.integers(0, 255, SIZE, dtype=np.uint8))
    return Project.open(tmp_path / "images")


def write_masks(folder, **masks):
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        iio.imwrite(folder / f"{name}.png", mask)
    return folder


def by_name(project, masks):
    """Return the pairs of equal names, those too that a plan would leave out."""
    return pair_images([image.ref for image in project.images], list_images(masks)).pairs


def test_masks_are_paired_by_name_and_copied_in(project, tmp_path):
    masks = write_masks(tmp_path / "m", img_1_mask=np.uint8(BLOB * 255), img_2_mask=np.uint8(TWO), other=np.uint8(BLOB))
    plan = plan_import(project, masks)
    assert [(pair.image.name, pair.mask.name) for pair in plan.pairs] == [
        ("img_1", "img_1_mask"),
        ("img_2", "img_2_mask"),
    ]
    assert [mask.name for mask in plan.left_over] == ["other"]
    assert not project.folder.exists()
    assert import_masks(project, plan.pairs) == Imported(("img_1", "img_2"))
    assert [image.origin for image in Project.open(project.source).images] == ["imported", "imported", "none"]
    np.testing.assert_array_equal(project.read_labels("img_1"), BLOB)


def test_a_painted_mask_is_never_overwritten_but_an_imported_one_is_put_aside(project, tmp_path):
    project.save_labels("img_1", BLOB, "painted")
    project.save_labels("img_2", BLOB, "corrected")
    project.save_labels("img_10", BLOB, "imported")
    masks = write_masks(tmp_path / "m", img_1=np.uint8(TWO), img_2=np.uint8(TWO), img_10=np.uint8(TWO))
    refused = import_masks(project, by_name(project, masks)).refused
    assert [sentence.split(" has a ")[0] for sentence in refused] == ["img_1", "img_2"]
    assert [image.objects for image in project.images] == [1, 1, 2]
    (aside,) = (project.folder / "labels" / "removed").iterdir()
    np.testing.assert_array_equal(tifffile.imread(aside), BLOB)


def test_masks_that_do_not_fit_are_refused_one_by_one(project, tmp_path):
    masks = write_masks(tmp_path / "m", img_1=np.uint8(BLOB[:5]), img_2=RNG.integers(0, 9, (20, 30, 3), np.uint8))
    write_masks(masks, img_10=np.uint8(BLOB))
    refused = import_masks(project, by_name(project, masks)).refused
    assert "img_1: image is (20, 30) but the mask img_1 is (5, 30)" in refused[0]
    assert "exactly two colors" in refused[1]
    assert [image.origin for image in project.images] == ["none", "none", "imported"]


def test_a_pair_of_another_dataset_is_refused(project, tmp_path):
    stranger = Pair(ImageRef(tmp_path / "x.tif"), ImageRef(tmp_path / "m.tif"), "")
    assert "not in this dataset" in import_masks(project, [stranger]).refused[0]


def test_object_numbers_beyond_16_bits_are_numbered_anew(project, tmp_path):
    labels = BLOB.astype(np.uint32) * 70_000
    labels[0, 0] = 5
    (tmp_path / "m").mkdir()
    tifffile.imwrite(tmp_path / "m" / "img_1.tif", labels)
    import_masks(project, by_name(project, tmp_path / "m"))
    read = project.read_labels("img_1")
    assert sorted(np.unique(read)) == [0, 1, 2]
    np.testing.assert_array_equal(read == 2, BLOB > 0)


def test_whole_masks_become_strokes_and_strokes_stay_strokes(project, tmp_path):
    project.sparse = True
    strokes = np.zeros(SIZE, np.uint8)
    strokes[0], strokes[1] = 1, 2
    masks = write_masks(tmp_path / "m", img_1=np.uint8(BLOB * 255), img_2=strokes)
    assert import_masks(project, by_name(project, masks)).refused == ()
    np.testing.assert_array_equal(project.read_labels("img_1"), np.where(BLOB, 1, BACKGROUND))
    np.testing.assert_array_equal(project.read_labels("img_2"), np.choose(strokes, (0, BACKGROUND, 1)))


@pytest.mark.parametrize("number", [1, 2])
def test_one_number_beside_strokes_may_be_a_stroke_or_a_whole_mask(project, tmp_path, number):
    project.sparse = True
    strokes = np.zeros(SIZE, np.uint8)
    strokes[0], strokes[1] = 1, 2
    masks = write_masks(tmp_path / "m", img_1=np.uint8(BLOB * number), img_2=strokes)
    imported = import_masks(project, by_name(project, masks))
    assert imported.names == ("img_2",)
    assert f"img_1 holds {number} alone" in imported.refused[0]
    alone = write_masks(tmp_path / "alone", img_1=np.uint8(BLOB * number))
    assert import_masks(project, by_name(project, alone)).names == ("img_1",)
    np.testing.assert_array_equal(project.read_labels("img_1"), np.where(BLOB, 1, BACKGROUND))


def test_two_objects_beside_masks_of_more_are_no_strokes(project, tmp_path):
    project.sparse = True
    two = TWO.copy()
    two[10:] *= 2
    three = two.copy()
    three[0, 0] = 3
    masks = write_masks(tmp_path / "m", img_1=np.uint8(two), img_2=np.uint8(three), img_10=np.uint8(BLOB))
    assert import_masks(project, by_name(project, masks)).refused == ()
    np.testing.assert_array_equal(project.read_labels("img_1"), np.where(two, two, BACKGROUND))
    np.testing.assert_array_equal(project.read_labels("img_10"), np.where(BLOB, 1, BACKGROUND))


@pytest.mark.parametrize(("there", "here"), [(True, True), (False, True), (False, False), (True, False)])
def test_masks_that_were_painted_in_another_dataset_mean_the_same_here(project, tmp_path, there, here):
    other = Project.open(project.source, tmp_path / "other")
    painted = np.where(BLOB, 7, 0).astype(np.uint16)
    painted[0] = BACKGROUND
    other.save_labels("img_1", painted, "painted")
    other.sparse, project.sparse = there, here
    refused = import_masks(project, by_name(project, other.folder / "labels")).refused
    if there and not here:  # unknown pixels would become background
        assert len(refused) == 1
        assert not project.image("img_1").is_annotated
        return
    expected = np.where(painted == 0, BACKGROUND, painted) if here and not there else painted
    assert refused == ()
    np.testing.assert_array_equal(project.read_labels("img_1"), expected)


def test_numbers_too_large_for_a_mask_are_refused_and_not_cut(project, tmp_path):
    other = Project.open(project.source, tmp_path / "other")
    other.save_labels("img_1", BLOB, "painted")
    tifffile.imwrite(other.folder / "labels" / "img_1.tif", BLOB.astype(np.uint32) * 65536)
    assert len(import_masks(project, by_name(project, other.folder / "labels")).refused) == 1


def test_whoever_stops_keeps_what_was_taken_until_then(project, tmp_path):
    masks = write_masks(tmp_path / "m", img_1=np.uint8(BLOB), img_2=np.uint8(BLOB), img_10=np.uint8(BLOB))
    answers = iter([False, True])
    taken = drain(collect(take_masks(project, by_name(project, masks)), lambda: next(answers)))
    assert enter_masks(project, taken).names == ("img_1", "img_2")
    assert [image.origin for image in Project.open(project.source).images] == ["imported", "imported", "none"]


def test_a_record_that_cannot_be_written_is_told(project, tmp_path, monkeypatch):
    masks = write_masks(tmp_path / "m", img_1=np.uint8(BLOB))
    taken = drain(collect(take_masks(project, by_name(project, masks)), lambda: False))

    def full(*_masks):
        raise DataError("The disk is full.")

    monkeypatch.setattr(project, "keep", full)
    assert enter_masks(project, taken).refused == ("The disk is full.",)


def test_the_text_names_the_first_reasons_only():
    text = Imported(("a",), tuple(f"mask {number} is no mask." for number in range(10))).text
    assert text.splitlines()[:2] == ["1 imported, 10 refused:", "• mask 0 is no mask."]
    assert text.endswith("• mask 7 is no mask.\n• and 2 more")
