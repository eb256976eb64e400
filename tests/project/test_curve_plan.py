"""Which images are compared, and which ones a learning curve trains and tests with."""

import imageio.v3 as iio
import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.project.curve_plan import make_curve_request, parse_counts, plan_curve
from napari_unet_finetune.project.image_sets import image_sets
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project


@pytest.fixture
def project(tmp_path, write_squares):
    squares = write_squares(tmp_path / "squares", 8)
    project = Project.open(squares / "images", tmp_path / "project")
    import_masks(project, plan_import(project, squares / "masks").pairs[:6])
    return project


def names(images):
    return [image.name for image in images]


def test_test_images_come_first_then_validation_then_all_annotated(project):
    assert [one.key for one in image_sets(project)] == ["annotated", "all", "bare"]
    project.set_role(["img_01"], "validation")
    assert image_sets(project)[0].names == ("img_01",)
    project.set_role(["img_02", "img_03"], "test")
    assert [(one.key, len(one.names)) for one in image_sets(project, current="img_07")] == [
        ("test", 2), ("validation", 1), ("annotated", 6), ("all", 8), ("bare", 2), ("current", 1),
    ]  # fmt: skip
    assert image_sets(project)[0].text == "Test images (2)"


def test_images_that_a_training_held_out_are_a_set_unless_the_user_uses_them_otherwise(project):
    project.set_used({"img_01": "validation", "img_02": "validation", "img_03": "train"})
    assert image_sets(project)[0].names == ("img_01", "img_02")
    project.set_role(["img_02"], "train")
    assert image_sets(project)[0].names == ("img_01",)


def test_a_curve_tests_on_the_test_images_and_trains_on_the_others_in_order(project):
    project.set_role(["img_00", "img_04"], "test")
    project.set_role(["img_02"], "unused")
    planning = plan_curve(project, (2, 3, 5))
    assert names(planning.train) == ["img_01", "img_03", "img_05"] and names(planning.test) == ["img_00", "img_04"]
    assert planning.counts == (2, 3) and not planning.is_held_out and not planning.problem
    assert "Left out, because there are too few images: 5." in planning.sentences


def test_without_test_images_some_are_held_out_and_that_is_said(project):
    planning = plan_curve(project, (1, 4), seeds=2)
    assert planning.is_held_out and len(planning.test) == 1 and len(planning.train) == 5
    assert not set(names(planning.train)) & set(names(planning.test))
    assert planning.sentences[0] == "6 annotated images: 5 to train on, 1 to test on."
    assert planning.sentences[1].startswith("4 trainings, with the first 1, 4 of")
    assert "No image has the role test" in planning.sentences[2] and planning.test[0].name in planning.sentences[2]
    assert plan_curve(project, (1, 4)).test == planning.test  # the same for every curve


def test_what_keeps_a_curve_from_starting_is_said(project):
    assert "No count of images fits: there are 5 annotated images" in plan_curve(project, (10,)).problem
    for name in ("img_02", "img_03", "img_04", "img_05"):
        project.remove_labels(name)
    assert "at least 4 images" in plan_curve(project, (1,)).problem


def test_masks_are_copied_so_that_painting_goes_on(project, tmp_path):
    project.set_role(["img_05"], "test")
    planning = plan_curve(project, (1, 2), seeds=2)
    config = FinetuneConfig(held_out=("img_00",))
    request = make_curve_request(planning, tmp_path / "run", checkpoint="base", config=config, dataset1=tmp_path)
    assert [pair.name for pair in request.train] == ["img_00", "img_01"]
    assert [pair.name for pair in request.test] == ["img_05"]
    assert request.counts == (0, 1, 2) and request.seeds == 2 and request.config.held_out is None
    for copy, original in zip(request.train, planning.train, strict=False):
        assert copy.mask.path != original.mask
        assert (iio.imread(copy.mask.path) == iio.imread(original.mask)).all()


def test_an_image_without_mask_is_no_pair(project):
    assert project.image("img_07").pair is None
    assert project.image("img_00").pair.mask.path == project.image("img_00").mask


def test_counts_are_read_from_words():
    assert parse_counts(" 10, 5;5 ") == (5, 10)
    assert parse_counts("5,0", least=0) == (0, 5)


@pytest.mark.parametrize("text", ["", "five", "0, 5", "1.5"])
def test_counts_that_are_no_numbers_are_refused(text):
    with pytest.raises(DataError, match=r"Write it as 5, 10, 15, 20\."):
        parse_counts(text)
