"""Which images a training uses follows from their roles, and it works on copies of the masks."""

import re

import numpy as np
import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import ROLES, Project
from napari_unet_finetune.project.training_plan import OldImages, TrainingPlan, make_request, plan_training, summarize

CONFIG = FinetuneConfig()


@pytest.fixture
def project(tmp_path, write_squares):
    folder = write_squares(tmp_path / "squares", 6)
    project = Project.open(folder / "images", tmp_path / "project")
    import_masks(project, plan_import(project, folder / "masks").pairs)
    return project


def _names(images):
    return [image.name for image in images]


def test_without_masks_it_asks_for_one(tmp_path, write_squares):
    project = Project.open(write_squares(tmp_path / "squares", 2) / "images", tmp_path / "project")
    plan = plan_training(project, CONFIG)
    assert plan.problem == "Annotate at least 1 image."
    assert plan.sentences == ()


def test_roles_left_open_let_the_program_hold_out_a_share(project):
    plan = plan_training(project, CONFIG)
    assert (len(plan.train), len(plan.held_out), plan.problem) == (5, 1, "")
    assert plan.sentences[0] == (
        f"6 annotated images: 5 to train on, 1 held out ({plan.held_out[0].name}, chosen by the program)."
    )
    assert "weak number" in plan.sentences[1]
    assert plan.sentences[-1] == "All are 48 × 48 px."
    assert plan == plan_training(project, CONFIG)


def test_images_that_are_all_to_train_are_all_trained_on(project, tmp_path):
    project.set_role(project.names, "train")
    plan = plan_training(project, CONFIG)
    assert "6 to train on, none held out" in plan.sentences[0]
    request = make_request(plan, tmp_path / "run", CONFIG, checkpoint="microtube")
    assert request.config.held_out == ()


def test_three_images_hold_none_out(project):
    project.set_role(project.names[3:], "unused")
    plan = plan_training(project, CONFIG)
    assert (len(plan.train), plan.held_out) == (3, ())
    assert "none held out" in plan.sentences[0]
    assert plan.sentences[0] == "6 annotated images: 3 to train on, none held out, 3 left out."


@pytest.mark.parametrize("seed", range(20))
def test_the_numbers_of_annotated_images_add_up_and_the_footer_shows_the_same(project, seed):
    rng = np.random.default_rng(seed)
    for name in project.names:
        project.set_role([name], str(rng.choice(ROLES)))
    for name in rng.choice(project.names, 2, replace=False):
        project.save_labels(name, np.ones((48, 48), np.uint16), "predicted")
    plan = plan_training(project, CONFIG)
    total, _, parts = plan.counts.partition(" annotated: ")
    assert sum(int(number) for number in re.findall(r"\d+", parts)) == int(total) == 4
    assert {image.name for image in (*plan.train, *plan.held_out, *plan.test, *plan.unused)} == {
        image.name for image in project.images if image.is_annotated
    }
    assert not plan.used or re.sub(r" \(.*?\)", "", plan.sentences[0]) == f"{total} annotated images: {parts}."
    footer = summarize(project.images, plan)
    assert footer.startswith(f"6 images · {plan.counts} · 2 predictions that nobody has looked at")


def test_the_footer_says_what_is_a_good_number():
    assert summarize((), TrainingPlan()) == "0 images · 0 annotated · 5 to 20 is a good number"
    assert "good number" not in summarize((), TrainingPlan(used=(None,) * 21))


def test_chosen_roles_are_kept(project):
    project.set_role(["img_00"], "validation")
    project.set_role(["img_01"], "test")
    project.set_role(["img_02"], "unused")
    plan = plan_training(project, CONFIG)
    assert _names(plan.train) == ["img_03", "img_04", "img_05"]
    assert _names(plan.held_out) == ["img_00"]
    assert (_names(plan.test), _names(plan.unused)) == (["img_01"], ["img_02"])
    assert "chosen by" not in plan.sentences[0]


def test_what_must_train_is_never_held_out(project):
    project.set_role(project.names[:5], "train")
    assert _names(plan_training(project, CONFIG).held_out) == ["img_05"]


def test_the_only_image_with_objects_is_never_held_out(project):
    project.set_role(project.names[:3], "train")
    project.set_role(project.names[4:], "unused")
    for name in project.names[:3]:
        project.save_labels(name, np.zeros((48, 48), np.uint16), "painted")
    plan = plan_training(project, CONFIG)
    assert (len(plan.train), plan.held_out, plan.problem) == (4, (), "")
    assert "Nothing is held out" in plan.sentences[1]
    project.set_role(project.names[4:], "auto")
    project.save_labels("img_04", np.zeros((48, 48), np.uint16), "painted")
    project.save_labels("img_05", np.zeros((48, 48), np.uint16), "painted")
    plan = plan_training(project, CONFIG)
    assert plan.problem == "" and _names(plan.held_out) in (["img_04"], ["img_05"])


def test_images_for_validation_stay_out_of_a_training_that_validates_on_patches(project):
    project.set_role(["img_00"], "validation")
    plan = plan_training(project, FinetuneConfig(preset="seed recipe"))
    assert len(plan.train) == 5
    assert (_names(plan.unused), plan.held_out) == (["img_00"], ())
    assert "as in the study" in plan.sentences[1]


def test_nothing_to_train_on_is_said(project):
    project.set_role(project.names, "test")
    assert "kept for testing" in plan_training(project, CONFIG).problem
    project.set_role(project.names, "validation")
    assert "role train" in plan_training(project, CONFIG).problem
    project.set_role(project.names, "auto")
    for name in project.names:
        project.save_labels(name, np.zeros((48, 48), np.uint16), "painted")
    assert "No mask to train on shows an object" in plan_training(project, CONFIG).problem


def test_a_request_names_what_is_held_out_and_points_to_copies_of_the_masks(project, tmp_path):
    plan, run = plan_training(project, CONFIG), tmp_path / "run"
    old = OldImages(tmp_path / "old", tmp_path / "old masks")
    request = make_request(plan, run, CONFIG, checkpoint="microtube", old=old)
    assert request.task == "finetune"
    assert request.config.held_out == (plan.held_out[0].name,)
    assert (request.base_images, request.base_masks) == (old.images, old.masks)
    assert [pair.name for pair in request.pairs] == list(project.names)
    copy = request.pairs[0].mask.path
    before = copy.read_bytes()
    project.save_labels("img_00", np.ones((48, 48), np.uint16), "painted")
    assert run in copy.parents
    assert copy.read_bytes() == before != project.image("img_00").mask.read_bytes()


def test_a_training_from_scratch_has_no_base(project, tmp_path):
    config = FinetuneConfig(preset="from scratch")
    request = make_request(plan_training(project, config), tmp_path / "run", config, checkpoint="microtube")
    assert (request.task, request.checkpoint) == ("train", None)


def test_images_without_a_mask_teach_where_the_settings_say_so(project, tmp_path):
    """Not those that only test or are left out, and not those that were a test before."""
    more = CONFIG.model_copy(update={"unannotated_share": 1.0})
    assert plan_training(project, more).unannotated == ()
    for name in project.names[2:]:
        project.remove_labels(name)
    project.set_role([project.names[2]], "test")
    project.set_role([project.names[3]], "unused")
    assert plan_training(project, CONFIG).unannotated == ()
    plan = plan_training(project, more)
    assert _names(plan.unannotated) == list(project.names[4:])
    assert any("2 images without a mask will be learned from as well" in one for one in plan.sentences)
    request = make_request(plan, tmp_path / "run", more, checkpoint="microtube")
    assert [ref.name for ref in request.unannotated] == list(project.names[4:])
