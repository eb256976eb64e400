"""Which mask goes to which image: paired by name, corrected by the user, refused where sizes differ."""

import imageio.v3 as iio
import numpy as np
import pytest

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.project.image import ProjectImage, summarize
from napari_unet_finetune.project.mask_import import plan_import
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
    assert row(plan, 3) == (None, "no mask has a matching name")
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


def images(tmp_path, *roles):
    ref = ImageRef(tmp_path / "a.tif")
    annotated = [ProjectImage(ref, mask=tmp_path / "m.tif", role=role) for role in roles]
    return [*annotated, ProjectImage(ref)]


def test_the_footer_counts_images_roles_and_says_what_is_a_good_number(tmp_path):
    text = summarize(images(tmp_path, "auto", "train", "test", "test", "validation", "unused"))
    assert text == "7 images · 6 annotated (2 train, 1 validation, 2 test, 1 unused) · 5 to 20 is a good number"
    assert summarize(images(tmp_path)) == "1 image · 0 annotated · 5 to 20 is a good number"
    assert "good number" not in summarize(images(tmp_path, *["auto"] * 21))
