"""A dataset being annotated: everything is on disk, comes back, and nothing painted is ever lost."""

import json
import os
import time
from dataclasses import fields, replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.masks import BACKGROUND, Meaning
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.disk import atomic_write
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.io.regions.region import Region
from napari_unet_finetune.project import opening, record
from napari_unet_finetune.project.image import ProjectImage, RegionUse, with_unique_names
from napari_unet_finetune.project.project import NotWritableError, Project
from napari_unet_finetune.runs.folders import new_run_folder, run_folders

from .blobs import BLOB, SIZE, TWO

RNG = np.random.default_rng(0)


def write_image(path: Path, shape: tuple[int, ...] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, RNG.integers(0, 255, shape, dtype=np.uint8), photometric="minisblack")
    return path


@pytest.fixture
def source(tmp_path):
    for number in (1, 2, 10):
        write_image(tmp_path / "images" / f"img_{number}.tif")
    return tmp_path / "images"


@pytest.fixture
def project(source):
    return Project.open(source)


def reopened(project: Project) -> Project:
    return Project.open(project.source, project.folder)


def write_masks(folder: Path, **masks: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in masks.items():
        iio.imwrite(folder / f"{name}.png", mask)
    return folder


def test_opening_lists_the_images_with_their_sizes_and_writes_nothing(project, source):
    assert project.names == ("img_1", "img_2", "img_10")
    assert {image.size for image in project.images} == {SIZE}
    assert not any(image.is_annotated for image in project.images)
    assert project.folder == source / "unet-finetune"
    assert not project.folder.exists()


def test_saved_labels_are_a_file_with_statistics(project):
    image = project.save_labels("img_2", TWO, "painted")
    assert image == project.image("img_2")
    assert (image.origin, image.objects, image.is_annotated) == ("painted", 2, True)
    assert image.foreground == pytest.approx(44 / 600)
    assert image.mask == project.folder / "labels" / "img_2.tif"
    np.testing.assert_array_equal(tifffile.imread(image.mask), TWO)
    np.testing.assert_array_equal(project.read_labels("img_2"), TWO)
    assert project.read_labels("img_2").dtype == np.uint16
    assert project.read_labels("img_1") is None


def test_touching_objects_of_two_numbers_are_two(project):
    labels = BLOB.copy()
    labels[2:6, 9:12] = 2
    assert project.save_labels("img_1", labels, "painted").objects == 2


def test_reopening_brings_everything_back(project):
    project.save_labels("img_1", BLOB, "corrected")
    project.save_labels("img_10", np.zeros(SIZE, np.uint16), "painted")
    project.set_role(["img_1", "img_2"], "test")
    project.set_dice({"img_1": 0.5, "img_10": 0.75})
    project.set_suggested({"img_2": "dark"})
    again = reopened(project)
    assert again.images == project.images
    assert [image.origin for image in again.images] == ["corrected", "none", "painted"]
    assert again.image("img_10").foreground == 0
    assert again.image("img_2").suggested == "dark"
    assert not again.sparse


def test_reopening_reads_no_mask(project, monkeypatch):
    project.save_labels("img_1", BLOB, "painted")
    monkeypatch.setattr(opening, "read_mask_file", lambda _path: pytest.fail("a mask was read"))
    assert reopened(project).image("img_1").objects == 1


def test_the_folder_of_the_project_opens_its_images(project, tmp_path, source):
    elsewhere = Project.open(source, tmp_path / "mine")
    elsewhere.save_labels("img_1", BLOB, "painted")
    project.save_labels("img_2", BLOB, "painted")
    assert Project.open(tmp_path / "mine").images == elsewhere.images
    assert Project.open(project.folder).source == source
    assert not project.image("img_1").is_annotated


def test_a_project_that_moved_with_its_images_is_found(project, tmp_path, source):
    project.save_labels("img_1", BLOB, "painted")
    source.rename(tmp_path / "moved")
    again = Project.open(tmp_path / "moved" / "unet-finetune")
    assert again.source == tmp_path / "moved"
    assert again.image("img_1").mask == tmp_path / "moved" / "unet-finetune" / "labels" / "img_1.tif"


def test_a_folder_of_other_images_is_refused(tmp_path, source):
    Project.open(source, tmp_path / "mine").save_labels("img_1", BLOB, "painted")
    write_image(tmp_path / "others" / "img_1.tif")
    with pytest.raises(DataError, match=r"other images.*images.*another folder"):
        Project.open(tmp_path / "others", tmp_path / "mine")


def test_suggestions_are_replaced_and_end_with_the_mask(project):
    project.set_suggested({"img_1": "unsure", "img_2": "bright"})
    project.set_suggested({"img_2": "dark"})
    assert [image.suggested for image in project.images] == ["", "dark", ""]
    assert project.save_labels("img_2", BLOB, "painted").suggested == ""


def test_pairs_are_the_annotated_images_of_a_role(project):
    for name in project.names:
        project.save_labels(name, BLOB, "painted")
    project.remove_labels("img_10")
    project.set_role(["img_1"], "test")
    assert [pair.image.name for pair in project.pairs()] == ["img_1", "img_2"]
    assert [pair.image.name for pair in project.pairs("auto", "train")] == ["img_2"]
    assert project.pairs("test")[0].mask == ImageRef(project.folder / "labels" / "img_1.tif")


def test_an_annotated_image_has_labels_and_scale(tmp_path):
    (tmp_path / "i").mkdir()
    tifffile.imwrite(
        tmp_path / "i" / "a.tif", np.zeros(SIZE, np.uint8), imagej=True, resolution=(4, 2), metadata={"unit": "um"}
    )
    project = Project.open(tmp_path / "i")
    assert project.annotated_image("a").labels is None
    image = project.save_labels("a", BLOB, "painted")
    annotated = project.annotated_image("a")
    np.testing.assert_array_equal(annotated.target, BLOB > 0)
    assert annotated.scale == (0.5, 0.25)
    with tifffile.TiffFile(image.mask) as file:
        assert file.imagej_metadata["unit"] == "um"


@pytest.mark.parametrize("labels", [BLOB[:-1], np.stack([BLOB, BLOB]), BLOB.T])
def test_a_mask_of_another_size_is_refused_and_the_old_one_stays(project, labels):
    project.save_labels("img_1", BLOB, "painted")
    with pytest.raises(DataError, match=r"img_1: image is \(20, 30\) but its labels are"):
        project.save_labels("img_1", labels, "painted")
    np.testing.assert_array_equal(project.read_labels("img_1"), BLOB)


def test_labels_that_no_16_bits_hold_are_refused_and_the_old_mask_stays(project):
    project.save_labels("img_1", BLOB, "painted")
    with pytest.raises(DataError, match="reach 70000, more than 65535"):
        project.save_labels("img_1", BLOB.astype(np.uint32) * 70_000, "painted")
    np.testing.assert_array_equal(reopened(project).read_labels("img_1"), BLOB)


def test_an_unknown_name_is_one_sentence(project):
    with pytest.raises(DataError, match="no image called img_7"):
        project.image("img_7")


class TestCrashes:
    def test_a_failed_save_keeps_the_old_mask_and_what_is_known_of_it(self, project, monkeypatch):
        before = project.save_labels("img_1", BLOB, "painted")

        def broken(*_args, **_kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tifffile, "imwrite", broken)
        with pytest.raises(DataError, match=r"No space left on device"):
            project.save_labels("img_1", TWO, "painted")
        monkeypatch.undo()
        assert project.image("img_1") == before
        np.testing.assert_array_equal(reopened(project).read_labels("img_1"), BLOB)

    def test_a_failed_import_keeps_the_mask_that_it_would_have_replaced(self, project, monkeypatch):
        project.save_labels("img_1", BLOB, "imported")

        def broken(*_args, **_kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tifffile, "imwrite", broken)
        with pytest.raises(DataError, match=r"No space left on device"):
            project.write_imported_labels("img_1", TWO, called="layer")
        monkeypatch.undo()
        np.testing.assert_array_equal(reopened(project).read_labels("img_1"), BLOB)

    def test_a_crash_between_mask_and_record_loses_nothing(self, project):
        project.save_labels("img_1", BLOB, "painted")
        project.write_labels("img_1", TWO, "painted")
        project.write_labels("img_2", BLOB, "painted")
        again = reopened(project)
        assert [image.objects for image in again.images] == [2, 1, None]
        assert again.image("img_2").origin == "painted"

    def test_a_crash_while_the_record_is_written_keeps_the_old_record(self, project, monkeypatch):
        project.set_role(["img_1"], "test")

        def killed(*_args, **_kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            project.set_role(["img_1"], "train")
        monkeypatch.undo()
        assert reopened(project).image("img_1").role == "test"

    def test_a_full_disk_while_the_record_is_written_is_one_sentence(self, project, monkeypatch):
        def full(path, write):
            if path.name == record.RECORD:
                raise OSError(28, "No space left on device")
            atomic_write(path, write)

        monkeypatch.setattr("napari_unet_finetune.io.disk.atomic_write", full)
        with pytest.raises(DataError, match=r"project\.json cannot be written \(No space left"):
            project.set_role(["img_1"], "test")

    def test_a_lost_record_leaves_the_masks(self, project):
        project.save_labels("img_1", TWO, "painted")
        (project.folder / "project.json").unlink()
        assert reopened(project).image("img_1").objects == 2

    @pytest.mark.parametrize(
        ("content", "message"), [('{"sour', "damaged"), ('{"source": 3}', "damaged"), ("[]", "damaged")]
    )
    def test_a_damaged_record_is_named_and_left_as_it_is(self, project, content, message):
        project.save_labels("img_1", BLOB, "painted")
        (project.folder / "project.json").write_text(content)
        with pytest.raises(DataError, match=message):
            reopened(project)
        assert (project.folder / "project.json").read_text() == content

    def test_a_record_of_a_newer_version_is_refused(self, project):
        project.save_labels("img_1", BLOB, "painted")
        file = project.folder / "project.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 99}))
        with pytest.raises(DataError, match="newer version"):
            reopened(project)

    def test_a_damaged_mask_is_reported_and_kept_when_a_new_one_is_painted(self, project):
        mask = project.save_labels("img_1", BLOB, "painted").mask
        mask.write_bytes(b"II*\0broken")
        again = reopened(project)
        assert not again.image("img_1").is_annotated
        assert [path for path, _ in again.unreadable] == [mask]
        again.save_labels("img_1", TWO, "painted")
        (aside,) = (project.folder / "labels" / "removed").iterdir()
        assert aside.read_bytes() == b"II*\0broken"
        np.testing.assert_array_equal(again.read_labels("img_1"), TWO)

    def test_a_mask_deleted_by_hand_is_gone(self, project):
        project.save_labels("img_1", BLOB, "painted").mask.unlink()
        assert not reopened(project).image("img_1").is_annotated

    def test_a_mask_that_fits_no_longer_is_reported(self, project, source):
        project.save_labels("img_1", BLOB, "painted")
        write_image(source / "img_1.tif", (8, 8))
        again = reopened(project)
        assert not again.image("img_1").is_annotated
        assert "img_1: image is (8, 8) but its mask is (20, 30)" in again.unreadable[0][1]

    def test_a_mask_changed_by_another_program_is_read_anew(self, project):
        mask = project.save_labels("img_1", BLOB, "painted").mask
        tifffile.imwrite(mask, TWO)
        assert reopened(project).image("img_1").objects == 2

    def test_what_is_known_of_an_image_that_is_missing_today_is_kept(self, project, source, tmp_path):
        project.save_labels("img_1", BLOB, "corrected")
        project.set_role(["img_1"], "test")
        (source / "img_1.tif").rename(tmp_path / "away.tif")
        without = reopened(project)
        assert without.names == ("img_2", "img_10")
        without.set_role(["img_2"], "train")
        (tmp_path / "away.tif").rename(source / "img_1.tif")
        again = reopened(without)
        assert (again.image("img_1").origin, again.image("img_1").role) == ("corrected", "test")
        assert again.image("img_2").role == "train"

    def test_negative_numbers_in_a_mask_are_reported_and_not_wrapped(self, project):
        mask = project.save_labels("img_1", BLOB, "painted").mask
        tifffile.imwrite(mask, -BLOB.astype(np.int16))
        again = reopened(project)
        assert not again.image("img_1").is_annotated
        assert "img_1.tif does not hold labels from 0 to 65535." in again.unreadable[0][1]


class TestRemoving:
    def test_a_removed_mask_is_moved_aside_and_can_come_back(self, project):
        project.save_labels("img_1", BLOB, "corrected")
        aside = project.remove_labels("img_1")
        assert aside.parent == project.folder / "labels" / "removed"
        assert not reopened(project).image("img_1").is_annotated
        assert project.image("img_1").foreground is None
        assert project.restore_labels("img_1", aside, "corrected").origin == "corrected"
        np.testing.assert_array_equal(reopened(project).read_labels("img_1"), BLOB)

    def test_no_removed_mask_overwrites_another(self, project):
        for number in (1, 2, 3):
            project.save_labels("img_1", BLOB * number, "painted")
            project.remove_labels("img_1")
        removed = (project.folder / "labels" / "removed").iterdir()
        assert sorted(int(tifffile.imread(path).max()) for path in removed) == [1, 2, 3]

    def test_removing_what_is_not_there_is_no_error(self, project):
        assert project.remove_labels("img_1") is None


class TestStrokes:
    def test_strokes_count_only_where_they_are(self, project):
        project.sparse = True
        strokes = np.zeros(SIZE, np.uint16)
        strokes[0], strokes[1, :10] = BACKGROUND, 1
        image = project.save_labels("img_1", strokes, "painted")
        assert (image.foreground, image.objects) == (0.25, None)
        annotated = project.annotated_image("img_1")
        np.testing.assert_array_equal(annotated.annotated, strokes > 0)
        np.testing.assert_array_equal(annotated.target, strokes == 1)
        again = reopened(project)
        assert again.sparse
        assert again.images == project.images

    def test_switching_changes_what_unpainted_means_and_no_mask(self, project):
        painted = BLOB * 7
        painted[0] = BACKGROUND
        file = project.save_labels("img_1", painted, "imported").mask
        written = file.read_bytes()
        for sparse in (True, False, True):
            project.sparse = sparse
            annotated = reopened(project).annotated_image("img_1")
            np.testing.assert_array_equal(annotated.target, BLOB > 0)
            known = np.ones(SIZE, bool) if annotated.annotated is None else annotated.annotated
            np.testing.assert_array_equal(known, painted > 0 if sparse else True)
            image = project.image("img_1")
            assert image.foreground == pytest.approx(annotated.target[known].mean())
            assert (image.objects, image.origin) == (None if sparse else 1, "imported")
        assert file.read_bytes() == written

    def test_a_removed_mask_does_not_come_back_with_a_switch(self, project):
        project.save_labels("img_1", BLOB, "painted")
        project.sparse = True
        project.remove_labels("img_1")
        project.sparse = False
        assert not reopened(project).image("img_1").is_annotated

    def test_an_imported_object_never_has_the_number_of_background_strokes(self, project):
        labels = BLOB.astype(np.uint16) * BACKGROUND
        labels[0, :3] = BACKGROUND - 1
        project.keep(project.write_imported_labels("img_1", labels, called="layer"))
        project.sparse = True
        annotated = project.annotated_image("img_1")
        np.testing.assert_array_equal(annotated.target, labels > 0)
        assert project.image("img_1").background_px == 0

    def test_a_number_that_may_be_an_object_or_a_stroke_is_refused(self, project):
        with pytest.raises(DataError, match=str(BACKGROUND)):
            project.write_imported_labels("img_1", BLOB.astype(np.uint16) * BACKGROUND, called="layer")


class TestFirstVersion:
    """Its record is told by its files alone: whole masks in one folder, strokes of 0, 1 and 2 in another."""

    @pytest.fixture
    def old(self, source):
        def write(sparse, **folders):
            folder = source / "unet-finetune"
            for name, masks in folders.items():
                (folder / name).mkdir(parents=True)
                for image, labels in masks.items():
                    tifffile.imwrite(folder / name / f"{image}.tif", labels.astype(np.uint16))
            known = [{"file": f"{name}.tif", "name": name, "mask": f"{name}.tif", "origin": "imported", "role": "test",
                      "size": SIZE, "foreground": 0.5, "stamp": [1, 1]}
                     for name in folders["strokes" if sparse else "masks"]]  # fmt: skip
            record = {"source": "..", "images": known} | ({"sparse": True} if sparse else {})
            (folder / "project.json").write_text(json.dumps(record))
            return Project.open(source)

        return write

    def test_strokes_mean_what_they_meant_and_their_files_stay(self, old):
        strokes = np.zeros(SIZE, np.uint16)
        strokes[0], strokes[1, :10] = 1, 2
        project = old(True, strokes={"img_1": strokes})
        files = {path: path.read_bytes() for path in project.folder.rglob("*.tif")}
        image = project.image("img_1")
        assert (image.foreground, image.objects, image.origin, image.role) == (0.25, None, "imported", "test")
        np.testing.assert_array_equal(project.read_labels("img_1"), np.choose(strokes, (0, BACKGROUND, 1)))
        for again in (project, reopened(project)):
            annotated = again.annotated_image("img_1")
            np.testing.assert_array_equal(annotated.annotated, strokes > 0)
            np.testing.assert_array_equal(annotated.target, strokes == 2)
        project.sparse = False
        np.testing.assert_array_equal(reopened(project).annotated_image("img_1").target, strokes == 2)
        assert reopened(project).annotated_image("img_1").annotated is None
        painted = project.read_labels("img_1")
        painted[5] = 3
        project.save_labels("img_1", painted, "painted")
        np.testing.assert_array_equal(reopened(project).read_labels("img_1"), painted)
        assert all(path.read_bytes() == content for path, content in files.items())

    def test_strokes_that_were_a_whole_mask_have_its_numbers(self, old):
        whole = np.where(TWO > 0, np.arange(1, SIZE[0] + 1)[:, None], 0)
        project = old(True, masks={"img_1": whole}, strokes={"img_1": np.where(whole > 0, 2, 1)})
        np.testing.assert_array_equal(project.read_labels("img_1"), np.where(whole > 0, whole, BACKGROUND))
        other = np.where(whole > 3, 2, 1)
        tifffile.imwrite(project.folder / "strokes" / "img_1.tif", other.astype(np.uint16))
        np.testing.assert_array_equal(project.read_labels("img_1"), np.where(other == 2, 1, BACKGROUND))

    @pytest.mark.parametrize("sparse", [True, False])
    def test_a_mask_of_which_nothing_is_remembered_is_found(self, old, sparse):
        labels = np.where(TWO > 0, 2, 1 if sparse else 0)
        folder = "strokes" if sparse else "masks"
        project = old(sparse, **{folder: {"img_1": labels}})
        tifffile.imwrite(project.folder / folder / "img_2.tif", labels.astype(np.uint16))
        project.set_role(["img_1"], "train")
        again = reopened(project)
        assert again.image("img_1").role == "train"
        (project.folder / "project.json").write_text(json.dumps({"source": "..", "sparse": sparse}))
        for name in ("img_1", "img_2"):
            np.testing.assert_array_equal(reopened(project).annotated_image(name).target, TWO > 0)

    def test_an_object_of_any_number_is_an_object_be_it_void_or_that_of_background_strokes(self, old):
        labels = np.zeros(SIZE, np.uint16)
        labels[0], labels[1], labels[2] = 255, BACKGROUND, 65535
        project = old(False, masks={"img_1": labels})
        for sparse in (False, True):
            project.sparse = sparse
            np.testing.assert_array_equal(reopened(project).annotated_image("img_1").target, labels > 0)
        painted = project.read_labels("img_1")
        np.testing.assert_array_equal(painted > 0, labels > 0)
        assert (painted != BACKGROUND).all() and len(np.unique(painted)) == 4
        project.save_labels("img_1", painted, "painted")
        np.testing.assert_array_equal(reopened(project).annotated_image("img_1").target, labels > 0)

    def test_a_removed_mask_comes_back_with_its_meaning(self, old):
        strokes = np.zeros(SIZE, np.uint16)
        strokes[0], strokes[1, :10] = 1, 2
        project = old(True, strokes={"img_1": strokes}, masks={"img_1": BLOB})
        aside = project.remove_labels("img_1")
        assert not reopened(project).image("img_1").is_annotated
        project.restore_labels("img_1", aside, "imported")
        np.testing.assert_array_equal(reopened(project).read_labels("img_1"), np.choose(strokes, (0, BACKGROUND, 1)))

    def test_a_crash_before_the_record_is_written_loses_no_paint(self, old):
        project = old(False, masks={"img_1": BLOB})
        painted = BLOB * 3
        painted[0] = BACKGROUND
        project.write_labels("img_1", painted, "painted")  # and nothing more
        np.testing.assert_array_equal(reopened(project).read_labels("img_1"), painted)


class TestNames:
    def test_files_of_one_name_are_told_apart(self, source):
        iio.imwrite(source / "img_1.png", RNG.integers(0, 255, SIZE, dtype=np.uint8))
        project = Project.open(source)
        assert sorted(project.names) == ["img_1", "img_1.tif", "img_10", "img_2"]
        project.save_labels("img_1", BLOB, "painted")
        project.save_labels("img_1.tif", TWO, "painted")
        assert [image.objects for image in reopened(project).images if image.is_annotated] == [1, 2]

    def test_a_name_that_is_no_utf_8_is_annotated_like_any_other(self, source):
        for name in (b"caf\xe9.tif", b"caf\xe9.png"):
            try:
                iio.imwrite(source / os.fsdecode(name), np.zeros(SIZE, np.uint8))
            except OSError:
                pytest.skip("this file system takes no such names")
        project = Project.open(source)
        for name in project.names:
            project.save_labels(name, BLOB, "painted")
            project.set_role([name], "test")
        again = reopened(project)
        assert again.names == project.names and all(name.isprintable() and name.encode() for name in again.names)
        assert {image.role for image in again.images} == {"test"} and all(image.is_annotated for image in again.images)
        assert len({image.mask for image in again.images}) == 5

    def test_a_file_that_comes_later_does_not_take_the_mask_of_its_namesake(self, project, source):
        project.save_labels("img_1", BLOB, "painted")
        iio.imwrite(source / "IMG_1.bmp", np.zeros(SIZE, np.uint8))
        again = reopened(project)
        assert again.image("img_1").ref.path.name == "img_1.tif"
        assert not again.image("IMG_1.bmp").is_annotated

    def test_a_file_that_replaces_an_annotated_one_does_not_take_its_mask(self, project, source, tmp_path):
        project.save_labels("img_1", BLOB, "painted")
        (source / "img_1.tif").rename(tmp_path / "away.tif")
        iio.imwrite(source / "img_1.png", RNG.integers(0, 255, SIZE, dtype=np.uint8))
        replaced = reopened(project)
        assert [image.name for image in replaced.images if not image.is_annotated] == list(replaced.names)
        replaced.set_role(["img_1.png"], "test")
        (tmp_path / "away.tif").rename(source / "img_1.tif")
        again = reopened(replaced)
        assert (again.image("img_1").objects, again.image("img_1").ref.path.suffix) == (1, ".tif")
        assert (again.image("img_1.png").is_annotated, again.image("img_1.png").role) == (False, "test")

    def test_a_record_in_which_two_files_have_one_name_keeps_both_and_writes_two_masks(self, project, source):
        project.save_labels("img_1", BLOB, "painted")
        iio.imwrite(source / "img_1.png", RNG.integers(0, 255, SIZE, dtype=np.uint8))
        file = project.folder / "project.json"
        record = json.loads(file.read_text())
        record["images"].append(record["images"][0] | {"file": "img_1.png", "role": "test"})
        file.write_text(json.dumps(record))
        again = reopened(project)
        assert sorted(again.names) == ["img_1", "img_1.tif", "img_10", "img_2"]
        again.save_labels("img_1.tif", TWO, "painted")
        last = reopened(again)
        assert {image.ref.path.name: (image.role, image.objects) for image in last.images if image.is_annotated} == {
            "img_1.png": ("test", 1),
            "img_1.tif": ("auto", 2),
        }

    @pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}])
    def test_an_image_that_nobody_touched_is_not_remembered_however_its_file_is_laid_out(self, tmp_path, options):
        for name in ("a", "b", "c"):
            path = write_image(tmp_path / "images" / f"{name}.tif")
            tifffile.imwrite(path, RNG.integers(0, 255, SIZE, dtype=np.uint8), photometric="minisblack", **options)
        project = Project.open(path.parent)
        project.save_labels("a", BLOB, "painted")
        written = json.loads((project.folder / "project.json").read_text())
        assert [image["file"] for image in written["images"]] == ["a.tif"]
        path.with_name("b.tif").unlink()
        iio.imwrite(path.with_name("b.png"), RNG.integers(0, 255, SIZE, dtype=np.uint8))
        assert reopened(project).names == ("a", "b", "c")

    def test_all_that_is_entered_of_an_image_is_remembered_and_nothing_that_its_file_tells(self, tmp_path):
        untouched = ProjectImage(ImageRef(tmp_path / "a.tif"))
        told = {"size": SIZE, "meaning": Meaning(sparse=True), "read_in_parts": True}
        assert record.image_record(replace(untouched, **told), tmp_path, None) is None
        mask = tmp_path / "labels" / "a.tif"
        used = (RegionUse(Region.whole(SIZE), "train"),)
        entered = {
            "mask": mask,
            "numbered": mask,
            "origin": "painted",
            "expects": "painted",
            "role": "test",
            "dice": 0.0,
            "suggested": "why",
            "since": 1,
            "used_as": "test",
            "region_uses": used,
            "parts": (),
            "made_by": "model",
            "object_px": 1,
            "background_px": 1,
            "regions": 1,
        }
        assert entered.keys() | told.keys() | {"ref", "region"} == {one.name for one in fields(ProjectImage)}
        for name, value in entered.items():
            assert record.image_record(replace(untouched, **{name: value}), tmp_path, None) is not None

    def test_names_of_thousands_of_files_are_found_at_once(self):
        refs = [ImageRef(Path(f"img_{number}.tif")) for number in range(4000)]
        start = time.process_time()
        assert with_unique_names(refs, {})[-1].name == "img_3999"
        assert time.process_time() - start < 1

    def test_labels_that_were_predicted_beside_an_image_are_no_image_unless_they_were_annotated(self, source):
        for name in ("img_1_labels.tif", "img_2_labels.tif"):
            tifffile.imwrite(source / name, np.uint8(BLOB))
        project = Project.open(source)
        assert project.names == ("img_1", "img_2", "img_10")
        project.set_role(["img_1"], "test")
        file = project.folder / "project.json"
        file.write_text(file.read_text().replace('"img_1.tif"', '"img_1_labels.tif"').replace('"img_1"', '"mine"'))
        assert reopened(project).names == ("img_1", "mine", "img_2", "img_10")

    @pytest.mark.parametrize(
        "name",
        ["a b", "ä ö 細胞", "a.b.c", "x[3]", "100%", "-rf", "a'\"b", "back\\slash", "new\nline", "x" * 240, "q?*"],
    )
    def test_hostile_names_keep_their_mask(self, tmp_path, name):
        if os.name == "nt" and any(letter in name for letter in '\\\n"?*'):
            pytest.skip("no such file names there")
        write_image(tmp_path / "i" / "a.tif").rename(tmp_path / "i" / f"{name}.tif")
        project = Project.open(tmp_path / "i")
        (shown,) = project.names
        assert shown == name.replace("\n", "\\n")
        image = project.save_labels(shown, BLOB, "painted")
        assert image.mask.parent == project.folder / "labels"
        assert reopened(project).images == project.images
        project.remove_labels(shown)

    def test_frames_of_stacks_are_images_of_their_own(self, tmp_path):
        project = Project.open(write_image(tmp_path / "stack.tif", (3, *SIZE)))
        assert project.names == ("stack[000]", "stack[001]", "stack[002]")
        assert project.folder == tmp_path / "stack-unet-finetune"
        project.save_labels("stack[001]", BLOB, "painted")
        again = reopened(project)
        assert [image.is_annotated for image in again.images] == [False, True, False]
        assert again.annotated_image("stack[001]").labels.sum() == BLOB.sum()

    def test_stacks_and_single_images_mix(self, source):
        write_image(source / "stack.tif", (2, 9, 8))
        (source / "broken.tif").write_bytes(b"II*\0broken")
        project = Project.open(source)
        assert project.names[-2:] == ("stack[000]", "stack[001]")
        assert project.image("stack[001]").size == (9, 8)
        assert [path.name for path, _ in project.unreadable] == ["broken.tif"]


class TestFolders:
    @pytest.fixture
    def unwritable(self, monkeypatch):
        def refuse(dir, **_):  # noqa: A002 - the name that is called
            raise PermissionError(13, "Permission denied", str(dir))

        monkeypatch.setattr(opening.tempfile, "TemporaryFile", refuse)

    @pytest.mark.usefixtures("unwritable")
    def test_a_folder_that_takes_no_files_asks_for_another(self, source):
        with pytest.raises(NotWritableError, match=r"unet-finetune: masks cannot be saved there .*another folder"):
            Project.open(source)

    def test_a_project_that_takes_no_files_asks_for_another_folder_and_goes_on_there(
        self, project, tmp_path, monkeypatch
    ):
        project.set_role(["img_1"], "test")
        with monkeypatch.context() as patch:
            patch.setattr(opening.tempfile, "TemporaryFile", lambda **_: (project.folder / "no" / "x").open())
            with pytest.raises(NotWritableError, match="another folder"):
                Project.open(project.folder)
        other = Project.open(project.folder, tmp_path / "mine")
        assert (other.source, other.folder, other.names) == (project.source, tmp_path / "mine", project.names)

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
    def test_a_folder_that_really_takes_no_files_asks_for_another(self, source):
        with pytest.raises(NotWritableError):
            Project.open(source, Path("/proc/self/annotations"))

    def test_a_missing_folder_is_one_sentence(self, tmp_path):
        with pytest.raises(DataError, match="no such folder"):
            Project.open(tmp_path / "nowhere")

    def test_images_that_are_gone_are_named(self, tmp_path, source):
        mine = Project.open(source, tmp_path / "mine")
        mine.set_role(["img_1"], "test")
        source.rename(tmp_path / "gone")
        with pytest.raises(DataError, match=r"images: there is no such folder"):
            Project.open(tmp_path / "mine")
        assert Project.open(tmp_path / "gone", tmp_path / "mine").image("img_1").role == "test"

    def test_run_folders_are_new_and_sorted(self, project):
        first = new_run_folder(project.folder, "Finetune: 5 images / base")
        first.mkdir(parents=True)
        second = new_run_folder(project.folder, "Finetune: 5 images / base")
        second.mkdir()
        assert first != second
        assert first.parent == project.folder / "runs"
        assert first.name.endswith("-Finetune-5-images-base")
        assert run_folders(project.folder) == (first, second)

    @pytest.mark.parametrize("label", ["a", "z"])
    def test_the_newest_run_is_the_last_though_the_clock_was_set_back(self, project, label):
        (project.folder / "runs" / "20991231-235959-learning-curve").mkdir(parents=True)
        (project.folder / "runs" / "99999999-no-time").mkdir()
        for number in range(3):
            folder = new_run_folder(project.folder, label)
            assert folder.name.startswith(f"21000101-00000{number}-")
            folder.mkdir()
        (project.folder / "runs" / "99999999-no-time").rmdir()
        assert run_folders(project.folder)[-1] == folder
        elsewhere = new_run_folder(project.folder / "elsewhere", label, earlier=run_folders(project.folder))
        assert elsewhere.name > folder.name


class TestFrames:
    def test_frames_become_files_with_scale_and_are_read_one_at_a_time(self, tmp_path):
        written = []

        def frames():
            for number in range(3):
                files = len(list((tmp_path / "p" / "images").glob("*.tif"))) if number else 0
                written.append(files)
                yield f"layer {number}", np.full(SIZE, number, np.uint16), (0.5, 0.25), "um"

        project = Project.from_frames(frames(), tmp_path / "p")
        assert written == [0, 1, 2]
        assert project.names == ("layer 0", "layer 1", "layer 2")
        pixels = project.read_image("layer 2")
        assert (pixels.scale, pixels.unit, int(pixels.array.max())) == ((0.5, 0.25), "um", 2)
        assert project.folder == tmp_path / "p"
        assert Project.open(tmp_path / "p").names == project.names

    @pytest.mark.parametrize(
        "pixels",
        [
            RNG.integers(0, 255, (3, *SIZE), np.uint8),
            RNG.integers(0, 255, (5, *SIZE), np.uint16),
            RNG.normal(size=SIZE).astype(np.float32),
            RNG.normal(size=SIZE).astype(np.float16),
            RNG.integers(-5, 5, SIZE, np.int64),
            BLOB > 0,
        ],
        ids=lambda pixels: f"{pixels.dtype}-{pixels.shape}",
    )
    def test_pixels_of_any_kind_come_back(self, tmp_path, pixels):
        project = Project.from_frames([("a", pixels, (1, 1), "px")], tmp_path)
        np.testing.assert_array_equal(project.read_image("a").array, pixels)

    def test_hostile_names_become_files_of_their_own(self, tmp_path):
        names = ["../../escape", "a/b", "a:b", "", ".", "CON", "same", "same", "SAME", "x" * 300]
        project = Project.from_frames(((name, BLOB, (1, 1), "px") for name in names), tmp_path / "p")
        assert len(project.images) == len(names)
        assert {path.name for path in tmp_path.iterdir()} == {"p"}
        assert len(list((tmp_path / "p" / "images").iterdir())) == len(names)

    def test_files_that_are_there_are_never_overwritten(self, tmp_path):
        Project.from_frames([("a", BLOB, (1, 1), "px")], tmp_path)
        with pytest.raises(DataError, match="holds files already"):
            Project.from_frames([("a", TWO, (1, 1), "px")], tmp_path)
        assert Project.open(tmp_path).read_image("a").array.sum() == BLOB.sum()

    def test_what_is_no_image_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"no image \(Y, X\)"):
            Project.from_frames([("a", np.zeros((2, 3, 4, 5)), (1, 1), "px")], tmp_path)


NAMESAKES = [
    ["a.png", "a.tif"],
    ["a.png", "A.tif"],
    ["a.tif", "a.tiff", "a.png", "b.tif"],
    ["a.png.tif", "a.png", "a.tif"],
    ["a b.tif", "a_b.tif"],
    ["img-1.tif", "img_1.tif", "img1.tif"],
]


@pytest.mark.parametrize("files", NAMESAKES, ids=", ".join)
@pytest.mark.parametrize("is_first_gone", [False, True])
def test_commands_pair_namesakes_as_they_were_painted(tmp_path, files, is_first_gone):
    source = tmp_path / "images"
    source.mkdir()
    for number, file in enumerate(files, start=1):
        iio.imwrite(source / file, np.full(SIZE, number, np.uint8))
    project = Project.open(source)
    for name in project.names:  # as many rows as the image tells
        labels = np.zeros(SIZE, np.uint16)
        labels[: project.read_image(name).array.max()] = 1
        project.save_labels(name, labels, "painted")
    if is_first_gone:
        project.image(project.names[0]).ref.path.unlink()
        project = reopened(project)
    folder = open_folder(source, project.folder / "labels")
    assert folder.names == project.names
    for image in folder:
        assert image.target.any(axis=1).sum() == image.image.max()
        ours = project.annotated_image(image.name)
        assert np.array_equal(ours.image, image.image) and np.array_equal(ours.labels, image.labels)


def test_thousands_of_predictions_are_accepted_at_once_and_numbered_in_their_order(tmp_path):
    tifffile.imwrite(tmp_path / "movie.tif", np.zeros((8000, 8, 8), np.uint8), photometric="minisblack")
    project = Project.open(tmp_path / "movie.tif")
    saved = project.write_labels(project.names[0], np.eye(8, dtype=np.uint16), "predicted")
    project.keep(*(replace(saved, name=name) for name in project.names))
    start = time.process_time()
    project.accept(project.names)
    assert time.process_time() - start < 2
    assert [image.since for image in project.images] == list(range(1, 8001))
