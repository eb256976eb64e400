"""An annotated folder: a sequence that reads one pair at a time."""

import shutil

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.errors import DataError


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(1, 13):
        image = np.full((20, 30), number, np.uint16)
        tifffile.imwrite(
            tmp_path / "images" / f"img_{number}.tif", image, imagej=True, resolution=(4, 2), metadata={"unit": "um"}
        )
        tifffile.imwrite(tmp_path / "masks" / f"img_{number}_mask.tif", np.uint8(image > 6) * np.uint8(255))
    return tmp_path


def opened(folder, **options):
    return open_folder(folder / "images", folder / "masks", **options)


def test_pairs_come_in_natural_order_with_labels_and_scale(folder):
    images = opened(folder)
    assert images.names == tuple(f"img_{number}" for number in range(1, 13))
    assert [int(image.image[0, 0]) for image in images] == list(range(1, 13))
    assert [bool(image.target.all()) for image in images] == [False] * 6 + [True] * 6
    assert images[-1].scale == (0.5, 0.25)
    assert images[-1].unit == "um"


def test_a_slice_is_a_folder_too(folder):
    part = opened(folder)[-2:]
    assert isinstance(part, AnnotatedFolder)
    assert part.names == ("img_11", "img_12")
    assert int(part[0].image[0, 0]) == 11


def test_only_takes_images_by_name_in_the_given_order(folder):
    images = opened(folder)
    assert images.only(("img_10", "img_2")).names == ("img_10", "img_2")
    assert images.only(None) is images
    with pytest.raises(DataError, match="img_99"):
        images.only(("img_99",))


def test_nothing_is_kept_in_memory(folder):
    images = opened(folder)
    assert int(images[0].image[0, 0]) == 1
    tifffile.imwrite(folder / "images" / "img_1.tif", np.full((20, 30), 77, np.uint16))
    assert int(images[0].image[0, 0]) == 77


def test_a_position_beyond_the_end_is_an_index_error(folder):
    with pytest.raises(IndexError):
        opened(folder)[12]


def test_a_mask_of_another_size_is_an_error_that_names_the_image(folder):
    tifffile.imwrite(folder / "masks" / "img_3_mask.tif", np.zeros((10, 10), np.uint8))
    with pytest.raises(DataError, match=r"img_3.*\(20, 30\).*\(10, 10\)"):
        opened(folder)[2]


def test_strokes_give_an_annotated_region(folder):
    strokes = np.zeros((20, 30), np.uint8)
    strokes[0], strokes[1] = 1, 2
    tifffile.imwrite(folder / "masks" / "img_1_mask.tif", strokes)
    image = opened(folder, sparse=True)[0]
    np.testing.assert_array_equal(image.annotated, strokes > 0)
    np.testing.assert_array_equal(image.target, strokes == 2)


def test_unreadable_files_are_listed_and_the_others_stay(folder):
    (folder / "images" / "img_5.tif").write_bytes(b"II*\0broken")
    images = opened(folder)
    assert len(images) == 11
    assert [path.name for path, _ in images.unreadable] == ["img_5.tif"]
    assert [one.ref.name for one in images.pairing.masks_without_image] == ["img_5_mask"]


def test_names_of_both_sides_are_shown_if_nothing_pairs(folder):
    for number, path in enumerate(sorted((folder / "masks").iterdir())):
        path.rename(path.with_name(f"other_{number + 100}.tif"))
    with pytest.raises(DataError, match=r"12 images \(img_1, img_2, img_3, …\), 12 masks \(other_100"):
        opened(folder)


def test_a_folder_in_which_masks_lie_among_the_images_is_not_taken_for_images_alone(write_squares, tmp_path):
    squares = write_squares(tmp_path / "squares", 2)
    assert len(open_folder(squares / "images")) == 2
    for mask in (squares / "masks").iterdir():
        shutil.copy(mask, squares / "images" / f"{mask.stem}_mask.png")
    with pytest.raises(DataError, match=r"masks lie among the images \(img_00_mask, img_01_mask\)"):
        open_folder(squares / "images")
