"""What is held out stays held out while annotations grow, across sessions, settings, trainings and learning curves."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.project.curve_plan import note_curve_uses, plan_curve
from napari_unet_finetune.project.image import ProjectImage
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.training_plan import plan_training
from napari_unet_finetune.project.uses import NOTHING, Known, role_question

CONFIG = FinetuneConfig()
IMAGES = 14


@pytest.fixture(scope="module")
def images(write_squares, tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares"), IMAGES) / "images"


@pytest.fixture
def project(images, tmp_path):
    return Project.open(images, tmp_path / "project")


def annotate(project, numbers):
    for number in numbers:
        labels = np.zeros((48, 48), np.uint16)
        labels[: 1 + number, : 1 + number] = number % 4  # every fourth without an object
        project.save_labels(f"img_{number:02d}", labels, "painted")


def names(images):
    return {image.name for image in images}


def reopened(project):
    return Project.open(project.source, project.folder)


class Growing:
    """A dataset in memory, whose images are annotated one by one."""

    def __init__(self):
        self.images = ()
        self.set_used = lambda uses: Project.set_used(self, uses)

    def image(self, name):
        return next(image for image in self.images if image.name == name)

    def annotate(self, number):
        image = ProjectImage(
            ImageRef(Path(f"img_{number:02d}.tif")),
            mask=Path("mask.tif"),
            origin="painted",
            size=(10, 10),
            object_px=number % 4 * 10,
            since=len(self.images) + 1,
        )
        self.images = tuple(sorted((*self.images, image), key=lambda image: image.name))

    def _change(self, images):
        self.images = tuple(images.get(image.name, image) for image in self.images)

    def used_as(self, *uses):
        return {image.name for image in self.images if image.used_as in uses}


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(IMAGES)), st.data())
def test_held_out_images_stay_so_in_every_order_of_annotation(order, data):
    project, before = Growing(), set()
    for number in order:
        project.annotate(number)
        share = data.draw(st.sampled_from([0.2, 0.4])) if project.used_as("train") else 0.2
        plan = plan_training(project, CONFIG.model_copy(update={"validation_share": share, "seed": number}))
        held_out, trained = project.used_as("validation", "test"), project.used_as("train")
        assert held_out <= names(plan.held_out) | names(plan.test) and trained <= names(plan.train)
        constant = names((plan := plan_training(project, CONFIG)).held_out) | names(plan.test)
        assert before <= constant
        curve = plan_curve(project, (2, 5))
        assert held_out <= names(curve.test) or curve.problem
        assert not names(curve.train) & held_out
        act = data.draw(st.sampled_from(["paint", "train", "curve"]))
        if act == "train" and not plan.problem:
            project.set_used(plan.uses)
        if act == "curve" and not curve.problem and not names(curve.test) & trained:
            note_curve_uses(project, curve)
            constant = project.used_as("validation", "test")
        before = constant


def test_growing_without_any_training_only_adds(project):
    before = set()
    for number in (7, 3, 9, 1, 0, 13, 5, 11, 2, 6, 10, 4):
        annotate(project, [number])
        now = names(plan_training(reopened(project), CONFIG).held_out)
        assert before <= now
        before = now
    assert len(before) == 2


def test_a_mask_that_was_removed_does_not_make_an_image_new(project):
    annotate(project, range(8))
    plan = plan_training(project, CONFIG)
    project.set_used(plan.uses)
    kept, taught = plan.held_out[0].name, plan.train[0].name
    for name in (kept, taught):
        project.remove_labels(name)
    annotate(project, [int(kept[-2:]), int(taught[-2:]), 8, 9])
    again = plan_training(reopened(project), CONFIG)
    assert kept in names(again.held_out) and taught in names(again.train)


@pytest.mark.parametrize("preset", ["seed recipe", "fast"])
def test_a_training_that_holds_nothing_out_does_not_learn_from_what_was_held_out(project, preset):
    annotate(project, range(8))
    plan = plan_training(project, CONFIG)
    project.set_used(plan.uses)
    config = FinetuneConfig(preset=preset, validation="none" if preset == "fast" else "patches")
    again = plan_training(project, config)
    assert not names(again.train) & names(plan.held_out) and names(again.unused) == names(plan.held_out)


def test_the_base_decides_too(project):
    annotate(project, range(9))
    seen = Known(frozenset({"img_01", "img_02", "img_03", "img_05"}), frozenset({"img_06"}))
    plan = plan_training(project, CONFIG, seen)
    assert "img_06" in names(plan.held_out) and not names(plan.held_out) & seen.trained
    everything = Known(frozenset(project.names))
    plan = plan_training(project, CONFIG, everything)
    assert plan.held_out == () and "Nothing is held out" in " ".join(plan.sentences)
    curve = plan_curve(project, (2,), base=everything)
    assert curve.test == () and curve.problem


def test_an_image_that_was_held_out_but_the_base_knows_is_left_out(project):
    annotate(project, range(8))
    plan = plan_training(project, CONFIG)
    project.set_used(plan.uses)
    name = plan.held_out[0].name
    again = plan_training(project, CONFIG, Known(frozenset({name})))
    assert name not in names(again.held_out) | names(again.train) and name in names(again.unused)


def test_new_images_among_those_held_out_are_said(project):
    annotate(project, range(6))
    plan = plan_training(project, CONFIG)
    project.set_used(plan.uses)
    assert not any("first time" in sentence for sentence in plan.sentences)
    annotate(project, range(6, 12))
    again = plan_training(project, CONFIG)
    new = names(again.held_out) - names(plan.held_out)
    assert any("first time" in sentence and new.pop() in sentence for sentence in again.sentences)


def test_a_curve_tests_on_what_trainings_have_held_out_and_trainings_on_nothing_of_it(project):
    annotate(project, range(10))
    plan = plan_training(project, CONFIG)
    project.set_used(plan.uses)
    curve = plan_curve(project, (3,))
    assert names(plan.held_out) <= names(curve.test) and not names(curve.train) & names(plan.held_out)
    note_curve_uses(project, curve)
    annotate(project, range(10, 14))
    assert names(curve.test) <= names(plan_curve(project, (3,)).test)
    assert not names(plan_training(project, CONFIG).train) & names(curve.test)


def test_a_curve_of_images_that_are_all_known_says_so(project):
    annotate(project, range(8))
    project.set_role(project.names, "train")
    project.set_used(plan_training(project, CONFIG).uses)
    curve = plan_curve(project, (2,))
    assert curve.test and any("Earlier models were trained on" in sentence for sentence in curve.sentences)


def test_changing_sides_asks_first_and_nothing_else_does(project):
    annotate(project, range(8))
    project.set_role(["img_07"], "test")
    for image in project.images:
        assert not any(role_question([image], role) for role in ("auto", "train", "validation", "test", "unused"))
    plan = plan_training(project, CONFIG)
    project.set_used(plan.uses)
    taught, kept, tested = plan.train[0], plan.held_out[0], plan.test[0]
    asks = {
        (image.name, role)
        for image in map(project.image, (taught.name, kept.name, tested.name, "img_10"))
        for role in ("auto", "train", "validation", "test", "unused")
        if role_question([image], role)
    }
    assert asks == {
        (taught.name, "validation"), (taught.name, "test"), (kept.name, "train"),
        (tested.name, "train"), (tested.name, "auto"),
    }  # fmt: skip
    assert "img_10" in role_question([project.image("img_10")], "test", Known(frozenset({"img_10"})))
    assert role_question([project.image("img_10")], "test", NOTHING) == ""


def test_leaving_an_image_out_for_a_while_does_not_get_around_the_question(project):
    annotate(project, range(8))
    project.set_role(["img_07"], "test")
    project.set_used(plan_training(project, CONFIG).uses)
    project.set_role(["img_07"], "unused")
    assert role_question([reopened(project).image("img_07")], "train")
    project.set_role(["img_07"], "auto")  # after the question
    assert "img_07" in names(plan_training(project, CONFIG).train) | names(plan_training(project, CONFIG).held_out)
