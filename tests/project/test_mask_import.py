"""Which mask goes to which image: paired by name, corrected by the user, refused where sizes differ."""

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.project.mask_import import import_masks, masks_beside, plan_import
from napari_unet_finetune.project.project import Project

SIZE = (20, 30)
MASK = np.eye(*SIZE, dtype=np.uint8)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(4):
        iio.imwrite(tmp_path / "images" / f"img_{number}.png", np.zeros(SIZE, np.uint8))
    return Project.open(tmp_path / "images")


@pytest.fixture
def masks(tmp_path):
    (tmp_path / "masks").mkdir()
    for name in ("img_0_mask", "img_1_mask", "stranger"):
        iio.imwrite(tmp_path / "masks" / f"{name}.png", MASK)
    iio.imwrite(tmp_path / "masks" / "img_2_mask.png", MASK[:5])
    return tmp_path / "masks"


def row(plan, place):
    one = plan.rows[place]
    return (one.mask.name if one.mask else None, one.problem or one.reason)


def test_each_image_has_its_mask_or_the_reason_why_not(project, masks):
    plan = plan_import(project, masks)
    assert row(plan, 0) == ("img_0_mask", "same name but for the word for a mask")
    assert row(plan, 2) == ("img_2_mask", "is 20 × 30 px, but its mask img_2_mask is 5 × 30 px")
    assert row(plan, 3) == (None, "no mask has a matching name") and type(plan.rows[3].reason) is str  # Qt shows it
    assert [pair.image.name for pair in plan.pairs] == ["img_0", "img_1"]
    assert plan.summary == (
        "2 of 4 images get a mask. 1 mask cannot be imported. The first: img_2 is 20 × 30 px, but its mask img_2_mask "
        "is 5 × 30 px. 1 mask belongs to none: stranger."
    )


def test_a_choice_takes_the_mask_from_the_image_that_had_it(project, masks):
    plan = plan_import(project, masks)
    first = plan.rows[0].mask
    plan.choose(3, first)
    assert row(plan, 0) == (None, "given to img_3")
    assert row(plan, 3) == ("img_0_mask", "chosen by you")
    plan.choose(3, None)
    assert row(plan, 3) == (None, "left out by you")
    assert plan.left_over[0] == first


def test_a_chosen_mask_is_checked_for_its_size(project, masks):
    plan = plan_import(project, masks)
    plan.choose(1, plan.rows[2].mask)
    assert "is 5 × 30 px" in plan.rows[1].problem
    assert not plan.rows[1].is_importable


def test_painted_masks_are_kept_and_said_so(project, masks):
    project.save_labels("img_0", MASK.astype(np.uint16), "painted")
    plan = plan_import(project, masks)
    assert row(plan, 0) == ("img_0_mask", "has a painted mask, which is kept")
    assert [pair.image.name for pair in plan.pairs] == ["img_1"]


def test_unreadable_masks_are_counted_and_the_first_is_explained(project, masks):
    (masks / "img_3_mask.png").write_bytes(b"broken")
    summary = plan_import(project, masks).summary
    assert "1 mask file cannot be read" in summary
    assert "img_3_mask.png" in summary


def test_a_folder_without_masks_is_one_sentence(project, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        plan_import(project, tmp_path / "empty")


def noise(rng, *_):
    return rng.integers(0, 255, SIZE, np.uint8)


def areas(rng, *_):
    return np.kron(rng.integers(0, 2, (4, 6)), np.full((5, 5), 255)).astype(np.uint8)


def write_in_one_folder(folder, image, mask, *, holds=areas):
    """Write three images and what is called like a mask, all into one folder."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(3):
        iio.imwrite(folder / image.format(number), noise(rng))
        iio.imwrite(folder / mask.format(number), holds(rng))
    return folder


IN_ONE_FOLDER = [
    ("{:03d}.bmp", "{:03d}.png"), ("img_{}.png", "img_{}_mask.png"), ("img_{}.png", "img_{}_cp_masks.png"),
    ("img_{}.tif", "segmentation of img_{}.tif"), ("img_{}.png", "img_{}-labels.tif"),
]  # fmt: skip


@pytest.mark.parametrize(("image", "mask"), IN_ONE_FOLDER)
def test_masks_among_the_images_are_no_images_and_are_imported_from_there(tmp_path, image, mask):
    folder = write_in_one_folder(tmp_path / "data", image, mask)
    project = Project.open(folder)
    assert [one.ref.path.name for one in project.images] == [image.format(number) for number in range(3)]
    assert project.masks_among == 3
    assert masks_beside(project) == folder
    plan = plan_import(project, folder)
    assert [pair.mask.path.name for pair in plan.pairs] == [mask.format(number) for number in range(3)]
    assert plan.left_over == ()
    assert {pair.mask for pair in plan.pairs} == set(plan.masks)
    assert len(import_masks(project, plan.pairs).names) == 3
    again = Project.open(folder)
    assert [one.origin for one in again.images] == ["imported"] * 3


def test_images_that_are_called_like_masks_stay_images(tmp_path):
    folder = write_in_one_folder(tmp_path / "data", "raw_{}.png", "target_{}.png", holds=noise)
    project = Project.open(folder)
    assert len(project.images) == 6
    assert project.masks_among == 0
    assert masks_beside(project) is None


def test_a_mask_among_the_images_of_which_something_is_remembered_stays(tmp_path):
    folder = write_in_one_folder(tmp_path / "data", "img_{}.png", "img_{}_mask.png", holds=noise)
    Project.open(folder).set_role(["img_1_mask"], "test")
    for number in range(3):
        iio.imwrite(folder / f"img_{number}_mask.png", MASK)
    project = Project.open(folder)
    assert project.names == ("img_0", "img_1", "img_1_mask", "img_2")
    assert project.masks_among == 2
    assert [row.mask.name for row in plan_import(project, folder).rows if row.mask] == [
        "img_0_mask", "img_1_mask", "img_2_mask",
    ]  # fmt: skip
