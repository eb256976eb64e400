"""Labels that are in no file: which frame belongs to which image, what is left out, and what is kept."""

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.masks import BACKGROUND
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.project.layer_import import (
    FramePlan,
    FrameValues,
    LabelFrames,
    best_stack,
    find_stacks,
    look_through,
    take_frames,
)
from napari_unet_finetune.project.project import Project

SIZE = (20, 30)
MASK = np.zeros(SIZE, np.uint16)
MASK[2:9, 3:12] = 7


def project_of(folder, *names, shape=()):
    (folder / "images").mkdir(exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / "images" / f"{name}.tif", np.zeros((*shape, *SIZE), np.uint8))
    return Project.open(folder / "images")


@pytest.fixture
def project(tmp_path):
    """Return a dataset as it is made of an open stack of four frames."""
    return project_of(tmp_path, *(f"stack[{number:03d}]" for number in range(4)))


def labels(*shape, name="stack truth", size=SIZE):
    return LabelFrames(name, shape, size)


def take(project, plan, *frames, name="truth"):
    outcomes = list(take_frames(project, plan, name, frames))
    if kept := [one for one in outcomes if not isinstance(one, DataError)]:
        project.keep(*kept)
    return [str(one) for one in outcomes if isinstance(one, DataError)]


def test_frames_that_were_written_from_a_stack_are_found_by_their_names(tmp_path):
    project = project_of(tmp_path, "a[000]", "a[002]", "b[000,000]", "b[001,001]", "b[001,000]", "c", "d [1]")
    a, b, dataset = find_stacks(project.images)
    assert (a.text, a.shape, a.places) == ("a · 2 images", (3,), (0, 2))
    assert (b.name, b.shape, b.places) == ("b", (2, 2), (0, 2, 3))
    assert dataset.text == "all 7 images, in the order of their names"


def test_a_name_that_cannot_stand_in_a_file_and_a_second_layer_of_one_name_are_stacks_too(tmp_path):
    from napari_unet_finetune.io.writing import write_frames

    named = [
        (f"{name}[{number:03d}]", np.zeros(SIZE, np.uint8), (1.0, 1.0), "")
        for name in ("a:b", "c", "c")
        for number in (0, 1)
    ]
    list(write_frames(named, tmp_path / "images"))
    stacks = find_stacks(Project.open(tmp_path / "images").images)
    assert [(stack.name, stack.places) for stack in stacks[:-1]] == [("a_b", (0, 1)), ("c", (0, 1)), ("c", (0, 1))]


def test_a_stack_file_is_a_stack_and_its_frames_may_lie_along_two_axes_of_the_labels(tmp_path):
    (stack,) = find_stacks(project_of(tmp_path, "movie", shape=(6,)).images)
    assert (stack.name, stack.places) == ("movie", (0, 1, 2, 3, 4, 5))
    assert stack.misfit(labels(6)) == stack.misfit(labels(2, 3)) == stack.misfit(labels(1, 6)) == ""


def test_the_image_shown_comes_first_and_takes_a_single_plane(project):
    shown, stack = find_stacks(project.images, "stack[002]")
    assert shown.text == "stack[002], which is shown now"
    assert best_stack((shown, stack), labels()) is shown
    assert best_stack((shown, stack), labels(4)) is stack


def test_of_stacks_that_fit_that_with_the_name_of_the_labels_is_the_likely_one(tmp_path):
    stacks = find_stacks(project_of(tmp_path, "a[000]", "a[001]", "b[000]", "b[001]").images)
    assert best_stack(stacks, labels(2, name="b truth")).name == "b"
    assert best_stack(stacks, labels(4, name="other")).name == "the dataset"


def test_labels_that_do_not_fit_are_one_sentence(project):
    (stack,) = find_stacks(project.images)
    assert stack.misfit(labels(3)) == (
        "stack truth has 3 frames, but stack has 4 frames. Choose a Labels layer with as many frames."
    )
    assert stack.misfit(labels()).endswith(
        "Show the image it belongs to first, or choose a Labels layer with as many frames."
    )
    assert stack.misfit(labels(4, size=(9, 9))) == (
        "stack[000] is 20 × 30 px, but a frame of stack truth is 9 × 9 px. Choose a Labels layer drawn on these images."
    )


def test_every_frame_with_a_label_becomes_an_imported_mask(project):
    (stack,) = find_stacks(project.images)
    plan = FramePlan(stack, FrameValues((False, True, False, False)))
    assert plan.summary == "3 of 4 images get a mask. 1 frame without a label is left out."
    assert take(project, plan, MASK, MASK.astype(np.int32), MASK > 0) == []
    assert [image.origin for image in project.images] == ["imported", "none", "imported", "imported"]
    np.testing.assert_array_equal(project.read_labels("stack[002]"), MASK > 0)


def test_empty_frames_are_masks_without_objects_where_the_user_wants_them(project):
    plan = FramePlan(find_stacks(project.images)[0], FrameValues((True,) * 4), with_empty=True)
    assert plan.summary == "4 of 4 images get a mask."
    assert take(project, plan, *[np.zeros(SIZE, np.uint8)] * 4) == []
    assert [image.foreground for image in project.images] == [0.0] * 4


def test_painted_masks_are_kept_and_imported_ones_are_moved_aside(project):
    project.save_labels("stack[000]", MASK, "painted")
    project.save_labels("stack[001]", MASK, "corrected")
    project.save_labels("stack[002]", MASK, "imported")
    (stack,) = find_stacks(project.images)
    plan = FramePlan(stack, FrameValues((False,) * 4))
    assert plan.summary == (
        "2 of 4 images get a mask. 2 images keep the mask painted or corrected here; remove it first to replace it. "
        "1 mask imported before is replaced and moved aside."
    )
    assert take(project, plan, MASK * 0 + 1, MASK) == []
    assert [image.origin for image in project.images] == ["painted", "corrected", "imported", "imported"]
    assert len(list((project.folder / "labels" / "removed").iterdir())) == 1


def test_what_was_painted_meanwhile_is_refused_and_the_others_go_on(project):
    (stack,) = find_stacks(project.images)
    plan = FramePlan(stack, FrameValues((False, False, True, True)))
    project.save_labels("stack[000]", MASK, "painted")
    (refused,) = take(project, plan, MASK + 1, MASK)
    assert refused == "stack[000] has a painted mask, which is kept. Remove it first to import another."
    np.testing.assert_array_equal(project.read_labels("stack[000]"), MASK)
    assert project.image("stack[001]").origin == "imported"


def test_numbers_of_objects_in_8_bits_are_no_soft_mask(project):
    numbered = np.arange(236, 236 + 20, dtype=np.uint8)[:, None].repeat(30, 1)
    take(project, FramePlan(find_stacks(project.images, "stack[000]")[0], FrameValues((False,))), numbered)
    np.testing.assert_array_equal(project.read_labels("stack[000]"), numbered)


def looked(*frames, **options):
    looking = look_through([np.array(frame, np.uint8) for frame in frames], **options)
    while True:
        try:
            next(looking)
        except StopIteration as end:
            return end.value


def test_it_is_told_which_frames_are_empty_and_whether_they_may_be_strokes():
    assert looked([[0, 0]], [[0, 1]]) == FrameValues((True, False))
    assert looked([[0, 1]], [[1, 2]]) == FrameValues((False, False), may_be_strokes=True)
    assert looked([[1, 2]], [[3, 0]]) == FrameValues((False, False))
    assert looked([[1, 2]], should_stop=lambda: True) is None


def test_in_a_dataset_of_strokes_all_frames_of_strokes_are_strokes(project):
    project.sparse = True
    both, objects_only = np.zeros((2, *SIZE), np.uint8)
    both[0], both[1], objects_only[1] = 1, 2, 2
    values = looked(both, objects_only, np.zeros(SIZE), np.zeros(SIZE))
    plan = FramePlan(find_stacks(project.images)[0], values, with_empty=True, sparse=True)
    assert plan.summary == (
        "2 of 4 images get a mask. The labels are read as strokes: 1 is background, 2 is object. "
        "2 frames without a label are left out."
    )
    assert take(project, plan, both, objects_only) == []
    np.testing.assert_array_equal(project.read_labels("stack[000]"), np.choose(both, (0, BACKGROUND, 1)))
    np.testing.assert_array_equal(project.read_labels("stack[001]"), np.choose(objects_only, (0, BACKGROUND, 1)))


def test_numbered_objects_become_strokes_that_cover_the_image_also_where_a_frame_has_but_two(project):
    project.sparse = True
    two, three = np.zeros((2, *SIZE), np.uint8)
    two[0, :2], three[0, :3] = (1, 2), (1, 2, 3)
    plan = FramePlan(find_stacks(project.images)[0], looked(two, three, two, two), sparse=True)
    assert "read as whole masks" in plan.summary
    assert take(project, plan, two, three, two, two) == []
    np.testing.assert_array_equal(project.read_labels("stack[000]"), np.where(two, two.astype(int), BACKGROUND))
    np.testing.assert_array_equal(project.read_labels("stack[001]"), np.where(three, three.astype(int), BACKGROUND))


def test_strokes_of_another_size_are_refused_and_the_mask_before_stays(project):
    project.sparse = True
    project.save_labels("stack[000]", MASK.clip(0, 2), "imported")
    plan = FramePlan(
        find_stacks(project.images, "stack[000]")[0], FrameValues((False,), may_be_strokes=True), sparse=True
    )
    (refused,) = take(project, plan, np.ones((3, 3), np.uint8))
    assert "image is (20, 30) but the mask truth is (3, 3)" in refused
    np.testing.assert_array_equal(project.read_labels("stack[000]"), MASK.clip(0, 2))


def test_labels_that_cannot_be_understood_are_refused_in_one_sentence(project):
    plan = FramePlan(find_stacks(project.images, "stack[000]")[0], FrameValues((False,)))
    (refused,) = take(project, plan, MASK.astype(np.int32) - 1)
    assert refused.startswith("truth: a mask cannot hold negative numbers, found -1.")
