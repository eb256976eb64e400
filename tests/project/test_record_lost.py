"""Files that are away or damaged for a moment, and a record that is lost: unknown pixels never become background."""

import json

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.masks import BACKGROUND
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project

SIZE = (8, 8)
NAMES = ("a", "b")
WHOLE = np.zeros(SIZE, np.uint16)
WHOLE[1:3, 1:3], WHOLE[1:3, 3:5] = 1, 2  # two objects that touch
STROKES = np.where(WHOLE > 0, 2, 0).astype(np.uint16)
STROKES[6] = 1
PAINTED = np.where(STROKES == 1, BACKGROUND, WHOLE)


@pytest.fixture
def source(tmp_path):
    source = tmp_path / "images"
    source.mkdir()
    for name in NAMES:
        tifffile.imwrite(source / f"{name}.tif", np.zeros(SIZE, np.uint8))
    return source


def first_version(source, *, sparse, **folders):
    """Write a dataset of the first version whose strokes and whole masks were made of each other."""
    folder = source / "unet-finetune"
    for place, labels in folders.items():
        (folder / place).mkdir(parents=True)
        for name in NAMES:
            tifffile.imwrite(folder / place / f"{name}.tif", labels)
    counting = folder / ("strokes" if sparse else "masks")
    known = [
        {"file": f"{name}.tif", "name": name, "mask": f"{name}.tif", "origin": "painted", "size": SIZE}
        | {"stamp": ((found := (counting / f"{name}.tif").stat()).st_size, found.st_mtime_ns)}
        for name in NAMES
    ]
    (folder / "project.json").write_text(json.dumps({"source": "..", "images": known, "sparse": sparse}))
    return folder


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("away", ["image", "strokes", "masks"])
def test_strokes_and_whole_mask_find_each_other_when_what_was_away_is_back(source, sparse, away):
    folder = first_version(source, sparse=sparse, masks=WHOLE, strokes=STROKES)
    file = source / "a.tif" if away == "image" else folder / away / "a.tif"
    content = file.read_bytes()
    if away == "image":
        file.unlink()
    else:
        file.write_bytes(b"damaged")
    project = Project.open(source)
    project.set_role(["b"], "test")
    assert away == "image" or "a.tif cannot be read" in project.unreadable[0][1]
    file.write_bytes(content)
    project = Project.open(source)
    assert project.unreadable == ()
    for switched in (sparse, not sparse):
        project.sparse = switched
        np.testing.assert_array_equal(project.read_labels("a"), PAINTED)


def test_numbers_of_objects_come_back_with_their_file(source):
    folder = first_version(source, sparse=True, masks=WHOLE, strokes=STROKES)
    Project.open(source).set_role(["b"], "test")
    file = (folder / "masks" / "a.tif").rename(folder / "away.tif")
    project = Project.open(source)
    assert "a.tif is missing" in project.unreadable[0][1]
    project.set_role(["b"], "train")
    file.rename(folder / "masks" / "a.tif")
    np.testing.assert_array_equal(Project.open(source).read_labels("a"), PAINTED)


def test_without_its_record_what_was_not_painted_beside_background_stays_unknown(source):
    project = Project.open(source)
    project.sparse = True
    project.save_labels("a", PAINTED, "painted")
    (project.folder / "project.json").rename(project.folder / "damaged.json")
    again = Project.open(source)
    assert again.sparse
    np.testing.assert_array_equal(again.annotated_image("a").annotated, PAINTED > 0)
    again.set_role(["b"], "test")
    assert Project.open(source).sparse


def test_strokes_of_the_first_version_are_found_without_their_record(source):
    folder = first_version(source, sparse=True, strokes=STROKES)
    (folder / "project.json").unlink()
    project = Project.open(source)
    assert project.sparse
    np.testing.assert_array_equal(project.read_labels("a"), np.where(WHOLE > 0, 1, PAINTED))


def test_masks_beside_a_damaged_record_are_refused(source):
    project = Project.open(source)
    project.sparse = True
    project.save_labels("a", WHOLE, "painted")
    record = project.folder / "project.json"
    content = record.read_bytes()
    record.write_bytes(content[:-5])
    with pytest.raises(DataError, match=r"project\.json cannot be read"):
        open_folder(source, project.folder / "labels")
    other = Project.open(source, source.parent / "other")
    with pytest.raises(DataError, match=r"project\.json cannot be read"):
        plan_import(other, project.folder / "labels")
    record.write_bytes(content)
    assert open_folder(source, project.folder / "labels")[0].annotated is not None


def test_numbers_of_objects_are_imported_with_strokes_made_of_them(source, tmp_path):
    full = np.where(WHOLE > 0, 2, 1).astype(np.uint16)
    folder = first_version(source, sparse=True, masks=WHOLE, strokes=full)
    Project.open(source).set_role(["b"], "test")
    project = Project.open(source, tmp_path / "other")
    assert import_masks(project, plan_import(project, folder / "strokes").pairs).refused == ()
    np.testing.assert_array_equal(project.read_labels("a"), np.where(WHOLE > 0, WHOLE, BACKGROUND))


@pytest.mark.parametrize("sparse", [False, True])
def test_a_border_that_is_not_annotated_never_becomes_background(tmp_path, sparse):
    mask = np.zeros((64, 64), np.uint8)
    for number, start in ((1, 10), (2, 40)):
        mask[start : start + 20, start : start + 20] = 255
        mask[start + 2 : start + 18, start + 2 : start + 18] = number
    for folder, array in (("images", mask * 0), ("masks of others", mask)):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", array)
    project = Project.open(tmp_path / "images")
    project.sparse = sparse
    imported = import_masks(project, plan_import(project, tmp_path / "masks of others").pairs)
    if sparse:
        expected = np.where(mask == 255, 0, np.where(mask == 0, np.uint16(BACKGROUND), mask))
        np.testing.assert_array_equal(project.read_labels("a"), expected)
    else:
        assert "would be background here" in imported.refused[0]
        assert not project.image("a").is_annotated


def test_commands_refuse_the_record_of_a_newer_version_as_the_dock_does(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8))
    project = Project.open(tmp_path)
    project.save_labels("a", np.ones((4, 5), np.uint16), "painted")
    record = project.folder / "project.json"
    for change in ({"version": 3}, {"background": 50_000}):
        record.write_text(json.dumps({**json.loads(record.read_text()), **change}))
        for opens in (lambda: Project.open(tmp_path), lambda: open_folder(tmp_path, project.folder / "labels")):
            with pytest.raises(DataError, match="newer version"):
                opens()
