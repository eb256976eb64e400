"""A prediction is no annotation until somebody paints or accepts it: in plans, requests, folders and after a crash."""

import shutil

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.checks.checkup import check
from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.data.masks import BACKGROUND
from napari_unet_finetune.data.painted import accepted_note
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import drain
from napari_unet_finetune.project.curve_plan import plan_curve
from napari_unet_finetune.project.guess import Guess, between, kept_inside, toggled
from napari_unet_finetune.project.image import mask_text, to_annotate
from napari_unet_finetune.project.image_sets import image_sets
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.question_plan import Asked, make_question, subject_of
from napari_unet_finetune.project.training_plan import plan_training, summarize
from napari_unet_finetune.project.uses import Known

CONFIG = FinetuneConfig(device="cpu")
GUESSED = "img_02"


@pytest.fixture
def project(write_squares, tmp_path):
    """Return a dataset of 7 images, of which 6 have a mask, one of them a prediction."""
    squares = write_squares(tmp_path / "squares", 7)
    project = Project.open(squares / "images", tmp_path / "project")
    import_masks(project, plan_import(project, squares / "masks").pairs[:6])
    labels = project.read_labels(GUESSED)
    project.remove_labels(GUESSED)
    project.save_labels(GUESSED, labels, "predicted")
    return Project.open(project.source, project.folder)


def used_by_plans(project):
    plan, curve = plan_training(project, CONFIG), plan_curve(project, [2])
    return {image.name for image in (*plan.used, *plan.test, *plan.unused, *curve.train, *curve.test)}


def test_a_prediction_neither_trains_nor_validates_until_it_is_accepted(project):
    assert GUESSED not in used_by_plans(project)
    for role in ("train", "validation", "test", "unused"):
        project.set_role([GUESSED], role)
        assert GUESSED not in used_by_plans(project)
        assert GUESSED not in {pair.name for pair in project.pairs()}
    project.set_role([GUESSED], "auto")
    project.accept([GUESSED])
    again = Project.open(project.source, project.folder)
    assert GUESSED in used_by_plans(again) and again.image(GUESSED).origin == "accepted"


MADE_BY = "a base"


def accepted(project, *names):
    for name in names:
        project.save_labels(name, project.read_labels(name), "predicted", MADE_BY)
        project.accept([name])
    return Project.open(project.source, project.folder)


def test_whose_prediction_a_mask_is_stays_known_until_it_is_painted_on(project):
    project = accepted(project, GUESSED)
    assert project.image(GUESSED).pair.made_by == MADE_BY
    assert {one.pair.made_by for one in project.images if one.pair and one.name != GUESSED} == {None}
    aside = project.remove_labels(GUESSED)
    assert project.image(GUESSED).made_by == ""
    project.restore_labels(GUESSED, aside, "accepted", MADE_BY)
    assert project.image(GUESSED).pair.made_by == MADE_BY
    project.save_labels(GUESSED, project.read_labels(GUESSED), "corrected")
    assert Project.open(project.source, project.folder).image(GUESSED).pair.made_by is None


def test_it_is_held_out_only_if_there_is_no_other_and_then_that_is_said(project):
    annotated = [one.name for one in project.images if one.mask]
    project = accepted(project, *annotated[1:])
    assert [one.name for one in plan_training(project, CONFIG).held_out] == annotated[:1]
    project = accepted(project, annotated[0])
    for plan in (plan_training(project, CONFIG), plan_curve(project, [2])):
        assert any(f"of {MADE_BY}, accepted as it was: scores on it are too good" in one for one in plan.sentences)


def test_whoever_reads_the_folder_is_told_of_it(project):
    project = accepted(project, GUESSED)
    folder = open_folder(project.source, project.folder / "labels")
    assert f"The mask of {GUESSED} is a prediction of {MADE_BY}, accepted as it was" in " ".join(folder.notes)
    pairs = [one.pair for one in project.images if one.pair]
    assert any(MADE_BY in note for note in AnnotatedFolder.of(pairs).notes)
    assert accepted_note({"a": "m", "b": "", "c": "n"}) == (
        "The masks of a, b, c are predictions of m, n, accepted as they were: scores on them are too good for these "
        "models and those finetuned from them."
    )


def test_table_footer_and_plans_say_so(project):
    footer = summarize(project.images, plan_training(project, CONFIG))
    assert "5 annotated" in footer and "1 prediction that nobody has looked at" in footer
    assert mask_text(project.image(GUESSED)).startswith("◌") and "not looked at" in mask_text(project.image(GUESSED))
    for sentences in (plan_training(project, CONFIG).sentences, plan_curve(project, [2]).sentences):
        assert any("1 prediction" in sentence for sentence in sentences)
    alone = [image.name for image in project.images if image.is_annotated]
    for name in alone:
        project.remove_labels(name)
    assert "accept" in plan_training(project, CONFIG).problem


def test_it_waits_to_be_annotated_and_is_in_no_set_of_annotated_images(project):
    assert [image.name for image in to_annotate(project.images)] == [GUESSED, "img_06"]
    sets = {one.key: one.names for one in image_sets(project)}
    assert GUESSED in sets["bare"] and GUESSED not in sets["annotated"]


def test_a_suggestion_stays_until_it_is_accepted(project):
    project.set_suggested({GUESSED: "unsure"})
    project.save_labels(GUESSED, project.read_labels(GUESSED), "predicted")
    assert project.image(GUESSED).suggested == "unsure"
    project.accept([GUESSED])
    assert project.image(GUESSED).suggested == ""


@pytest.mark.parametrize("question", ["suggest", "check", "can_learn", "estimate", "cross_validate"])
def test_no_question_takes_it_for_a_mask(project, tmp_path, question):
    subject = subject_of(question, project, Known())
    asked = Asked(question=question, model="microtube", images=subject.names)
    request = make_question(asked, project, CONFIG, tmp_path / "job")
    annotated = getattr(request, "annotated", None) or [pair.name for pair in request.pairs]
    assert GUESSED not in annotated and len(annotated) == 5
    if question in ("suggest", "check"):
        assert GUESSED in {ref.name for ref in request.images} and "1 prediction that nobody" in subject.about


def test_the_folder_of_masks_tells_commands_and_scripts(project):
    masks = project.image("img_00").mask.parent
    opened = open_folder(project.source, masks)
    assert GUESSED not in opened.names and len(opened) == 5
    assert any(name == GUESSED and "looked at" in reason for name, reason in opened.left_out)
    assert GUESSED not in {one.name for one in drain(check(project.source, masks)).images if one.mask}
    project.accept([GUESSED])
    assert GUESSED in open_folder(project.source, masks).names


def test_a_folder_of_nothing_else_is_refused_with_the_reason(project):
    for name in [image.name for image in project.images if image.is_annotated]:
        project.remove_labels(name)
    with pytest.raises(DataError, match="nobody has looked at"):
        open_folder(project.source, project.image(GUESSED).mask.parent)


def test_it_is_not_imported_into_another_dataset(project, tmp_path):
    other = Project.open(project.source, tmp_path / "other")
    plan = plan_import(other, project.image("img_00").mask.parent)
    assert GUESSED not in {pair.name for pair in plan.pairs} and len(plan.pairs) == 5


def test_an_import_may_replace_it_but_keeps_it_aside(project, tmp_path):
    before = project.read_labels(GUESSED)
    folder = tmp_path / "own"
    folder.mkdir()
    iio.imwrite(folder / f"{GUESSED}.png", (before[::-1] > 0).astype(np.uint8))
    import_masks(project, plan_import(project, folder).pairs)
    assert project.image(GUESSED).origin == "imported"
    assert any(path.name.startswith(GUESSED) for path in project.folder.glob("*/removed/*.tif"))


def test_a_crash_between_mask_and_record_makes_no_annotation(project):
    bare = "img_06"
    project.expect(bare, "predicted")
    project.write_labels(bare, np.ones(project.image(bare).size, np.uint16), "predicted")
    again = Project.open(project.source, project.folder)  # nothing was entered after the file
    assert again.image(bare).is_predicted
    masks = again.image(bare).mask.parent
    assert bare not in open_folder(project.source, masks).names


def paint(project, name, value):
    return np.full(project.image(name).size, value, np.uint16)


@pytest.mark.parametrize("before", ["none", "painted", "imported", "corrected", "predicted", "accepted"])
@pytest.mark.parametrize("coming", ["predicted", "corrected"])
@pytest.mark.parametrize("is_written", [False, True])
def test_after_a_crash_a_mask_is_what_its_file_is(project, before, coming, is_written):
    name = "img_06"
    if before != "none":
        project.save_labels(name, paint(project, name, 1), "predicted" if before == "accepted" else before, MADE_BY)
        project.accept([name] if before == "accepted" else [])
    project.expect(name, coming)
    if is_written:
        project.write_labels(name, paint(project, name, 2), coming)
    again = Project.open(project.source, project.folder)  # nothing was entered after the file
    unseen = (coming if is_written else before) in ("predicted", "none")
    assert again.image(name).is_annotated != unseen
    assert (name in open_folder(project.source, project.folder / "labels").names) != unseen
    assert again.image(name).is_accepted == (before == "accepted" and not is_written)


@pytest.mark.parametrize("origin", ["painted", "corrected", "predicted", "accepted"])
def test_a_dataset_that_is_copied_is_the_same(project, origin, tmp_path):
    project.save_labels(GUESSED, project.read_labels(GUESSED), origin, MADE_BY)
    copy = tmp_path / "copy"
    shutil.copytree(project.folder, copy, copy_function=shutil.copyfile)  # with the time of today
    again = Project.open(project.source, copy)
    assert (again.image(GUESSED).origin, again.image(GUESSED).made_by) == (origin, MADE_BY)
    assert (GUESSED in open_folder(project.source, copy / "labels").names) == (origin != "predicted")


def test_a_full_disk_keeps_a_painted_mask_an_annotation(project, monkeypatch):
    name = "img_06"
    project.save_labels(name, paint(project, name, 1), "painted")

    def full(*_args, **_options):
        raise DataError("the disk is full")

    monkeypatch.setattr("napari_unet_finetune.project.masks.write_labels", full)
    with pytest.raises(DataError, match="full"):
        project.save_labels(name, paint(project, name, 2), "predicted")
    monkeypatch.undo()
    for one in (project, Project.open(project.source, project.folder)):
        assert one.image(name).origin == "painted" and one.read_labels(name).max() == 1
    project.expect(name, "painted")
    project.write_labels(name, paint(project, name, 3), "painted")  # and a crash
    assert Project.open(project.source, project.folder).image(name).origin == "painted"


def test_predictions_that_were_put_aside_are_no_masks_for_commands_either(project):
    project.save_labels("img_06", paint(project, "img_06", 1), "predicted")
    for name in ("img_00", "img_06"):
        project.remove_labels(name)
    folder = open_folder(project.source, project.folder / "labels" / "removed")
    assert "img_00" in folder.names and "img_06" not in folder.names


def test_a_mask_that_was_removed_comes_back_as_what_it_was(project):
    aside = project.remove_labels(GUESSED)
    assert project.image(GUESSED).mask is None
    assert project.restore_labels(GUESSED, aside, "predicted").is_predicted


FOUND = np.array([[0, 1, 1, 0], [0, 1, 0, 0]], np.uint16)


def guess_after(painted):
    labels = np.where(painted > 0, painted, FOUND).astype(np.uint16)
    return Guess(labels, (FOUND > 0) & (painted == 0), "painted" if painted.any() else "none")


@given(
    st.lists(st.integers(0, 2), min_size=8, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=4),
)
def test_it_is_a_prediction_as_long_as_it_is_what_the_model_found(before, strokes):
    painted = np.array(before, np.uint16).reshape(FOUND.shape)
    guess = guess_after(painted)
    labels = guess.labels.copy()
    for place, value in strokes:
        labels.flat[place] = value
    same = np.array_equal(labels, guess.labels)
    assert (guess.origin_of(labels) == "predicted") == same
    assert (guess.accepted().origin_of(labels) == "accepted") == same
    if guess.added.any():
        assert guess.origin_of(painted) == "painted"  # undone
    second = Guess(np.where(labels > 0, labels, 3).astype(np.uint16), labels == 0, "predicted", guess)
    assert (second.origin_of(labels) == "predicted") == (same or not second.added.any())


def test_one_object_is_added_or_removed_and_nothing_else_is_touched():
    found = np.zeros((10, 12), np.uint16)
    found[1:4, 1:4] = found[6:9, 6:11] = 1
    empty = np.zeros_like(found)
    one = toggled(empty, found, (2, 2), 5, sparse=False)
    assert (one[1:4, 1:4] == 5).all() and one.sum() == 45
    np.testing.assert_array_equal(toggled(one, None, (2, 2), 5, sparse=False), empty)
    assert (
        toggled(empty, found, (0, 11), 1, sparse=False) is None
        and toggled(empty, None, (2, 2), 1, sparse=False) is None
    )
    strokes = np.full_like(found, BACKGROUND)
    added = toggled(strokes, found, (7, 7), BACKGROUND, sparse=True)
    assert (added == 1).sum() == 15
    np.testing.assert_array_equal(toggled(added, None, (7, 7), 1, sparse=True), strokes)


@given(st.data())
def test_a_rectangle_keeps_own_paint_and_only_what_it_holds_of_the_prediction(data):
    found, painted = (
        np.array(data.draw(st.lists(st.integers(0, 1), min_size=30, max_size=30)), np.uint16).reshape(5, 6)
        for _ in range(2)
    )
    painted = painted * 7
    corners = [data.draw(st.tuples(st.floats(-2, 7), st.floats(-2, 8))) for _ in range(2)]
    box = between(*corners)
    inside = np.zeros(found.shape, bool)
    inside[box] = True
    expected = np.where(painted > 0, painted, found * inside)
    guess = Guess(np.where(painted > 0, painted, found).astype(np.uint16), (found > 0) & (painted == 0))
    np.testing.assert_array_equal(kept_inside(painted, found, box, None), expected)
    np.testing.assert_array_equal(kept_inside(guess.labels, found, box, guess), expected)
