"""Which images a question is about, and the request that is made of it."""

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data.pairing import Pair
from napari_unet_finetune.events import RunStarted
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.provenance import Provenance, TrainingImage
from napari_unet_finetune.project.mask_import import import_masks, plan_import
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.question_plan import Asked, make_question, subject_of
from napari_unet_finetune.project.training_plan import pairs_of
from napari_unet_finetune.project.uses import Known, images_seen
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import FinetuneRequest

CONFIG = FinetuneConfig(device="cpu")


@pytest.fixture
def project(write_squares, tmp_path):
    squares = write_squares(tmp_path / "squares", 5)
    project = Project.open(squares / "images", tmp_path / "project")
    import_masks(project, plan_import(project, squares / "masks").pairs[:4])
    return project


def test_nothing_can_be_asked_about_masks_that_are_not_there(write_squares, tmp_path):
    project = Project.open(write_squares(tmp_path / "squares", 2) / "images", tmp_path / "project")
    assert subject_of("estimate", project, Known()).problem == "Annotate at least 1 image."
    assert subject_of("can_learn", project, Known()).problem == "Annotate at least 1 image."
    assert subject_of("cross_validate", project, Known()).problem == "Annotate at least 2 images."
    assert not subject_of("check", project, Known()).problem


def test_suggestions_need_an_image_without_mask(project, tmp_path):
    assert subject_of("suggest", project, Known()).about == "5 images, 4 annotated"
    squares = tmp_path / "squares"
    import_masks(project, plan_import(project, squares / "masks").pairs[4:])
    assert subject_of("suggest", project, Known()).problem == "All images are annotated."


def test_a_model_is_judged_on_the_images_it_has_seen_least_of(project):
    known = Known(frozenset({"img_00", "img_01"}), frozenset({"img_02"}))
    assert subject_of("estimate", project, known).about == "1 image held out of its training"
    project.set_role(["img_03"], "test")
    judged = subject_of("estimate", project, known)
    assert (judged.names, judged.about) == (("img_03",), "1 test image")
    project.set_role(["img_03"], "auto")
    assert subject_of("estimate", project, Known(known.trained)).about == "2 images annotated since its training"
    assert subject_of("estimate", project, Known()).about == "4 annotated images"
    all_seen = Known(frozenset(project.names))
    assert "may be too good" in subject_of("estimate", project, all_seen).about


@pytest.mark.parametrize("role", ["validation", "test"])
def test_a_later_role_does_not_make_an_image_that_was_trained_on_a_new_one(project, role):
    known = Known(frozenset({"img_00", "img_01"}))
    project.set_role(["img_00"], role)
    judged = subject_of("estimate", project, known)
    assert (judged.names, judged.about) == (("img_02", "img_03"), "2 images annotated since its training")


def test_test_images_and_unused_ones_are_kept_out_of_trainings(project):
    project.set_role(["img_00"], "test")
    project.set_role(["img_01"], "unused")
    for question in ("can_learn", "cross_validate"):
        assert subject_of(question, project, Known()).names == ("img_02", "img_03")


@pytest.mark.parametrize("parent", [None, "1234"])
@pytest.mark.parametrize("by_pairs", [True, False])
def test_a_model_knows_the_images_of_its_run_be_it_finetuned_or_from_scratch(
    project, model, tmp_path, parent, by_pairs
):
    used = ("img_00", "img_01")
    images = [project.image(name).ref.path for name in used]
    pairs = tuple(Pair(ImageRef(path), ImageRef(path)) for path in images)
    given = {"pairs": pairs} if by_pairs else {"images": images[0].parent, "masks": images[0].parent}
    folder = RunFolder.create(tmp_path / "run", FinetuneRequest(task="finetune", config=CONFIG, **given))
    folder.append(RunStarted("cpu", "fp32", 1, 0, used[:1], used[1:], None))
    records = tuple(TrainingImage(name=name, sha256=name) for name in used)
    model = load_model(model).with_card(provenance=Provenance(images=records, parent_sha256=parent))
    model.save(folder.result_path)
    known = Known.of(read_card(folder.result_path), project)
    assert known == Known(frozenset({"img_00"}), frozenset({"img_01"}))
    elsewhere = tmp_path / "elsewhere.safetensors"
    model.save(elsewhere)
    assert Known.of(read_card(elsewhere), project) == Known()


def test_images_of_another_folder_are_not_known_by_their_names(project, model, tmp_path, write_squares):
    other = write_squares(tmp_path / "other", 4)
    request = FinetuneRequest(task="train", images=other / "images", masks=other / "masks", config=CONFIG)
    folder = RunFolder.create(tmp_path / "run", request)
    records = tuple(TrainingImage(name=name, sha256=name) for name in project.names)
    load_model(model).with_card(provenance=Provenance(images=records)).save(folder.result_path)
    known = Known.of(read_card(folder.result_path), project)
    assert known == Known()
    assert subject_of("estimate", project, known).about == "4 annotated images"


def test_a_run_of_this_dataset_knows_its_images_also_where_both_were_moved(project, model, tmp_path):
    used = [project.image(name) for name in ("img_00", "img_01")]
    request = FinetuneRequest(task="finetune", config=CONFIG, pairs=pairs_of(used))
    folder = RunFolder.create(project.folder / "runs" / "run", request)
    records = tuple(TrainingImage(name=image.name, sha256=image.name) for image in used)
    load_model(model).with_card(provenance=Provenance(images=records)).save(folder.result_path)
    (tmp_path / "moved").mkdir()
    (tmp_path / "squares").rename(tmp_path / "moved" / "squares")
    (tmp_path / "project").rename(tmp_path / "moved" / "project")
    moved = Project.open(tmp_path / "moved" / "squares" / "images", tmp_path / "moved" / "project")
    card = read_card(moved.folder / "runs" / "run" / "model.safetensors")
    assert images_seen(card, moved) == {"img_00", "img_01"}


def test_a_model_that_ships_knows_none_of_the_images_by_their_numbers(project):
    card = read_card("microtube")
    assert card.provenance.images[0].name == "001" and Known.of(card, project) == Known()


def test_a_check_up_takes_masks_where_there_are_any(project, tmp_path):
    asked = Asked(question="check", model="base", images=project.names)
    request = make_question(asked, project, CONFIG, tmp_path / "job")
    assert [pair.name for pair in request.pairs] == ["img_00", "img_01", "img_02", "img_03"]
    assert [image.name for image in request.images] == ["img_04"]


def test_suggestions_are_never_images_with_a_mask(project, tmp_path):
    asked = Asked(question="suggest", model="base", images=project.names)
    request = make_question(asked, project, CONFIG, tmp_path / "job")
    assert len(request.images) == 5 and request.annotated == ("img_00", "img_01", "img_02", "img_03")


def test_of_two_images_of_one_stem_only_the_annotated_one_counts_as_annotated(write_squares, tmp_path):
    squares = write_squares(tmp_path / "squares", 2)
    tifffile.imwrite(squares / "images" / "img_00.tif", iio.imread(squares / "images" / "img_00.png"))
    project = Project.open(squares / "images", tmp_path / "project")
    first, twin, _ = project.names
    project.save_labels(first, np.ones((48, 48), np.uint16), "painted")
    asked = Asked(question="suggest", model="base", images=project.names)
    request = make_question(asked, project, CONFIG, tmp_path / "job")
    assert (tuple(image.name for image in request.images), request.annotated) == (project.names, (first,))
    assert project.image(first).ref.file_name == project.image(twin).ref.file_name


def test_masks_may_change_while_a_long_question_is_answered(project, tmp_path):
    asked = Asked(question="cross_validate", model="base", images=project.names[:2])
    request = make_question(asked, project, CONFIG, tmp_path / "job")
    assert all(pair.mask.path.is_relative_to(tmp_path / "job") and pair.mask.path.is_file() for pair in request.pairs)
    asked = Asked(question="estimate", model="base", images=project.names[:2])
    request = make_question(asked, project, CONFIG, tmp_path / "job")
    assert request.maps == tmp_path / "job" / "maps"
    assert [pair.mask.path for pair in request.pairs] == [project.image(name).mask for name in project.names[:2]]


def test_what_was_asked_is_read_as_it_was_kept(tmp_path):
    asked = Asked(question="check", model="base", model_name="Base", about="5 images", images=("a", "b"))
    asked.keep(tmp_path)
    assert Asked.read(tmp_path) == asked
