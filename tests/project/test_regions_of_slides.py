"""Of large images in a dataset, the annotated regions are trained on, and are what they are on the command line."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data import folders
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.masks import BACKGROUND, Meaning
from napari_unet_finetune.events import RunStarted
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.io.regions import ome_zarr
from napari_unet_finetune.io.regions.region import Region
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.provenance import Place, Provenance, TrainingImage
from napari_unet_finetune.project import opening
from napari_unet_finetune.project.curve_plan import note_curve_uses, plan_curve
from napari_unet_finetune.project.image import Part, ProjectImage, RegionUse, mask_text
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.question_plan import Asked, make_question, subject_of
from napari_unet_finetune.project.training_plan import make_request, plan_training, summarize, uses_of
from napari_unet_finetune.project.uses import NOTHING, Known
from napari_unet_finetune.runs.execute import images_of
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import read_request, write_request

from ..data.test_annotated_regions import PLACES, SHAPE, slide, small_is_large

__all__ = ["small_is_large"]  # a fixture

CONFIG = FinetuneConfig()
NEW = Region(1000, 700, 1050, 750)  # far from all PLACES
NAMES = ("slide0[y0 x0]", "slide0[y0 x704]", "slide0[y448 x0]", "slide0[y896 x1152]")


def strokes(places=PLACES) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint16)
    for place in places:
        labels[place.slices] = BACKGROUND
        labels[place.grown(-20, SHAPE).slices] = 1
    return labels


def dataset(folder: Path, slides: int = 1, small: int = 0, **options) -> Project:
    """Return a dataset with strokes on slides, and on images that are not large."""
    images = folder / "images"
    images.mkdir(parents=True)
    options = {"photometric": "minisblack"} | (options or {"tile": (256, 256), "compression": "zlib"})
    for number in range(slides):
        tifffile.imwrite(images / f"slide{number}.tif", slide(seed=number)[0], **options)
    for number in range(small):
        tifffile.imwrite(images / f"small{number}.tif", slide(seed=number)[0][:300, :300])
    project = Project.open(images, folder / "project")
    project.sparse = True
    for name in project.names:
        labels = strokes()
        project.save_labels(name, labels if name.startswith("slide") else labels[:300, :300], "painted")
    return project


def reopened(project: Project) -> Project:
    return Project.open(project.source, project.folder)


def names(images) -> list[str]:
    return [image.name for image in images]


def test_they_are_those_of_the_command_line(tmp_path) -> None:
    project = dataset(tmp_path, slides=2, small=1)
    pairs = plan_training(project, CONFIG).pairs
    found = open_folder(project.source, project.folder / "labels")
    assert [(pair.name, pair.region) for pair in pairs] == [(pair.name, pair.region) for pair in found.pairing.pairs]
    for pair, other in zip(pairs, found, strict=True):
        image = folders.read_pair(pair)
        for part in ("image", "labels", "annotated"):
            np.testing.assert_array_equal(getattr(image, part), getattr(other, part))


def test_what_a_training_is_asked_for_is_read_in_parts_from_one_copy_of_the_mask(tmp_path, monkeypatch) -> None:
    project = dataset(tmp_path)
    write_request(
        tmp_path / "run", make_request(plan_training(project, CONFIG), tmp_path / "run", CONFIG, checkpoint="")
    )

    def refused(*_args, **_options):
        raise AssertionError("read as a whole")

    monkeypatch.setattr(folders, "read_image", refused)
    images = images_of(read_request(tmp_path / "run"))
    assert images.names == NAMES
    assert sum(int(image.annotated.sum()) for image in images) == np.count_nonzero(strokes())
    assert len({pair.mask for pair in images.pairing.pairs}) == len(list((tmp_path / "run" / "masks").iterdir())) == 1


def test_plan_and_table_count_them_and_say_why(tmp_path) -> None:
    project = dataset(tmp_path)
    plan = plan_training(project, CONFIG)
    assert summarize(project.images, plan).startswith("1 image · 4 annotated regions: 3 to train on, 1 held out")
    assert plan.sentences[0].startswith("4 annotated regions: 3 to train on, 1 held out (slide0[y")
    assert any("slide0 is large" in sentence and "4 regions" in sentence for sentence in plan.sentences)
    assert any("says little of other images" in sentence for sentence in plan.sentences)
    assert mask_text(project.image("slide0")).startswith("● 4 regions\npainted")
    assert sum(piece.object_px for piece in plan.used) == project.image("slide0").object_px > 0
    assert sum(piece.background_px for piece in plan.used) == project.image("slide0").background_px > 0
    both = plan_training(dataset(tmp_path / "both", small=2), CONFIG)
    assert both.counts.startswith("6 annotated images and regions: ")


@pytest.mark.parametrize(
    ("options", "sparse", "reason"),
    [
        (
            {},
            False,
            'since its mask says something of every pixel. In napari, untick "Unpainted = background"',
        ),
        ({"compression": "zlib", "rowsperstrip": 1, "photometric": "miniswhite"}, True, "cannot be read in parts"),
    ],
)
def test_what_is_read_as_a_whole_is_told_of(tmp_path, options, sparse, reason) -> None:
    project = dataset(tmp_path, **options)
    project.sparse = sparse
    plan = plan_training(project, CONFIG)
    assert names(plan.used) == ["slide0"] and plan.pairs[0].region is None
    assert any("slide0 is large" in sentence and reason in sentence for sentence in plan.sentences)
    assert not any("region" in text for text in (plan.counts, mask_text(project.image("slide0"))))


def test_without_the_extra_it_is_named_on_the_command_line_as_in_the_docks(tmp_path, monkeypatch) -> None:
    project, whole = dataset(tmp_path), dataset(tmp_path / "plain", rowsperstrip=1)
    monkeypatch.setattr(ome_zarr, "find_spec", lambda _name: None)
    for one in (reopened(project), reopened(whole)):
        plan = plan_training(one, CONFIG)
        assert names(plan.used) == ["slide0"]
        told = (plan.sentences, open_folder(one.source, one.folder / "labels").told)
        for sentences in told:
            (sentence,) = (sentence for sentence in sentences if "slide0 is large" in sentence)
            assert sentence.endswith('is missing. Install what reads it: pip install "napari-unet-finetune[zarr]".')


def test_they_are_remembered_and_found_in_records_that_do_not_have_them(tmp_path) -> None:
    project = dataset(tmp_path)
    plan, file = plan_training(project, CONFIG), project.folder / "project.json"
    assert plan_training(reopened(project), CONFIG) == plan
    record = json.loads(file.read_text())
    outside = [{"region": {"top": -64, "left": 0, "bottom": 9999, "right": 64}, "object_px": 1, "background_px": 1}]
    for parts in (None, outside):
        record["images"][0]["parts"] = parts
        file.write_text(json.dumps(record))
        assert plan_training(reopened(project), CONFIG) == plan


def test_regions_that_were_found_at_opening_are_written_once_the_record_is_to_be_on_disk(tmp_path, monkeypatch) -> None:
    project = dataset(tmp_path)
    plan, file = plan_training(project, CONFIG), project.folder / "project.json"
    record = json.loads(file.read_text())
    del record["images"][0]["parts"]
    file.write_text(json.dumps(record))
    opened = reopened(project)
    assert "parts" not in json.loads(file.read_text())["images"][0]  # who opens writes nothing
    opened.write_record()

    def refused(*_args, **_options):
        raise AssertionError("read as a whole")

    monkeypatch.setattr(opening, "read_mask_file", refused)
    assert plan_training(reopened(project), CONFIG) == plan


def test_removing_a_mask_and_bringing_it_back_keeps_them(tmp_path) -> None:
    project = dataset(tmp_path)
    plan = plan_training(project, CONFIG)
    aside = project.remove_labels("slide0")
    assert project.image("slide0").parts is None and not plan_training(project, CONFIG).used
    project.restore_labels("slide0", aside, "painted")
    assert plan_training(project, CONFIG) == plan


def test_what_a_region_was_used_for_stays_though_its_edges_move(tmp_path) -> None:
    project = dataset(tmp_path)
    plan = plan_training(project, CONFIG)
    project.set_used(plan.uses)
    assert project.image("slide0").used_as == "train"
    project.save_labels("slide0", strokes([*PLACES, *(place.grown(64, SHAPE) for place in PLACES[2:]), NEW]), "painted")
    again = plan_training(reopened(project), CONFIG)
    assert sorted(piece.used_as for piece in again.used) == ["", "train", "train", "train", "validation"]
    assert len({pair.region for pair in plan.pairs} & {pair.region for pair in again.pairs}) == 2
    assert {piece.used_as for piece in again.held_out} <= {"validation", ""}
    assert "validation" in {piece.used_as for piece in again.held_out}
    assert not any(piece.used_as == "validation" for piece in again.train)


def test_uses_of_regions_do_not_pile_up() -> None:
    slide0 = ProjectImage(ImageRef(Path("slide0.tif")))
    small, large = Region(0, 0, 64, 64), Region(0, 0, 128, 128)
    for regions in ([small], [large], [small], [large]):
        slide0 = slide0.with_region_uses([RegionUse(region, "train") for region in regions])
    slide0 = slide0.with_region_uses([RegionUse(small, "validation")])
    assert slide0.region_uses == (RegionUse(large, "train"), RegionUse(small, "validation"))


@pytest.mark.parametrize("first", ["regions", "whole"])
def test_what_was_trained_on_as_a_whole_and_by_regions_is_never_held_out_again(tmp_path, first) -> None:
    project = dataset(tmp_path)
    for in_regions in (True, False) if first == "regions" else (False, True):
        project.sparse = in_regions
        plan = plan_training(project, CONFIG)
        assert {image.region is not None for image in plan.used} == {in_regions}
        project.set_used(plan.uses)
    project.sparse = True
    project.save_labels("slide0", strokes([*PLACES, NEW]), "painted")  # all of the slide was background to a training
    again = reopened(project)
    assert {piece.used_as for piece in again.image("slide0").pieces} == {"train"}
    assert plan_training(again, CONFIG).held_out == ()


ENTERED = st.one_of(
    st.sampled_from(["train", "validation", "test"]),
    st.lists(
        st.builds(RegionUse, st.sampled_from(PLACES), st.sampled_from(["train", "validation", "test"])), min_size=1
    ).map(tuple),
)


@settings(max_examples=60)
@given(st.lists(ENTERED | st.sampled_from(["auto", "unused"]), max_size=5), st.booleans())
def test_whatever_is_entered_nothing_that_was_trained_on_is_forgotten(steps, is_old) -> None:
    whole = ProjectImage(ImageRef(Path("slide0.tif")), size=SHAPE, parts=tuple(map(Part, PLACES)), mask=Path("m"))
    image = replace(whole, read_in_parts=True, meaning=Meaning(sparse=True))
    if is_old:  # a record that says of no region that all of the image was trained on
        image = replace(image, used_as="train", region_uses=(RegionUse(PLACES[0], "validation"),))
    trained = set()
    for step in steps:
        changed = {}
        kept = SimpleNamespace(image=lambda _name, image=image: image, _change=changed.update)
        if step in ("auto", "unused"):
            Project.set_role(kept, ["slide0"], step)
        else:
            Project.set_used(kept, {"slide0": step})
            trained |= set(PLACES) if step == "train" else set()
            trained |= {one.region for one in step if one.use == "train"} if isinstance(step, tuple) else set()
        image = changed.get("slide0", image)
        assert image.used_as == "train" or not (trained or is_old)
        assert trained <= {piece.region for piece in image.pieces if piece.used_as == "train"}


@pytest.mark.parametrize("slides", [1, 2, 3, 5])
def test_whole_slides_are_held_out_where_there_are_three(tmp_path, slides) -> None:
    project = dataset(tmp_path, slides=slides)
    plan = plan_training(project, CONFIG)
    held_out, trained = ({image.ref.name for image in images} for images in (plan.held_out, plan.train))
    assert held_out
    assert held_out.isdisjoint(trained) == (slides >= 3)
    told = "4 held-out regions lie in 1 image of which nothing is trained on."
    assert (told in plan.sentences) == (slides >= 3)
    if slides >= 3:
        assert "A Dice on 1 image is a weak number." in plan.sentences
        project.set_used(plan.uses)
        kept = next(iter(held_out))
        assert project.image(kept).used_as == "validation"
        project.save_labels(kept, strokes([*PLACES, NEW]), "painted")
        assert len(plan_training(project, CONFIG).held_out) == 5  # its new region too


def test_roles_are_those_of_the_slide(tmp_path) -> None:
    project = dataset(tmp_path, slides=3)
    for role, fate in (("validation", "held_out"), ("test", "test"), ("unused", "unused"), ("train", "train")):
        project.set_role(["slide1"], role)
        assert {"slide1"} <= {image.ref.name for image in getattr(plan_training(project, CONFIG), fate)}
    project.set_role(["slide1"], "test")
    assert len(project.pairs("test")) == 4 and all(pair.region for pair in project.pairs("test"))


def test_a_curve_and_questions_take_them_too(tmp_path) -> None:
    project = dataset(tmp_path, slides=3)
    curve = plan_curve(project, (2,))
    assert not curve.problem
    assert (len(curve.train), len(curve.test)) == (8, 4)
    assert len({image.ref for image in curve.test}) == 1
    note_curve_uses(project, curve)
    assert names(plan_training(project, CONFIG).test) == names(curve.test)
    for question in ("check", "can_learn", "cross_validate", "estimate"):
        subject = subject_of(question, project, NOTHING)
        asked = Asked(question=question, model="model", images=subject.names)
        pairs = make_question(asked, project, CONFIG, tmp_path / question).pairs
        assert pairs and all(pair.region for pair in pairs), question


@pytest.mark.parametrize("by_pairs", [True, False])
def test_a_model_of_the_dataset_knows_regions_whose_edges_have_moved(tmp_path, model, by_pairs) -> None:
    project = dataset(tmp_path)
    plan = plan_training(project, CONFIG)
    request = make_request(plan, tmp_path / "run", CONFIG, checkpoint=str(model))
    assert set(uses_of(request)["slide0"]) == set(plan.uses["slide0"])
    if not by_pairs:
        given = {"pairs": None, "images": project.source, "masks": project.folder / "labels"}
        request = request.model_copy(update=given)
    folder = RunFolder.create(tmp_path / "run", request)
    folder.append(RunStarted("cpu", "fp32", 1, 0, tuple(names(plan.train)), tuple(names(plan.held_out)), None))
    records = tuple(
        TrainingImage(name=pair.name, sha256="", place=Place(whole="", region=pair.region)) for pair in plan.pairs
    )
    load_model(model).with_card(provenance=Provenance(images=records)).save(folder.result_path)
    project.save_labels("slide0", strokes([*PLACES, *(place.grown(64, SHAPE) for place in PLACES[2:]), NEW]), "painted")
    known = Known.of(read_card(folder.result_path), project)
    assert "slide0" in known.trained
    assert len(known.trained) == 1 + 3
    assert len(known.held_out) == 1
    (new,) = {piece.name for piece in project.image("slide0").pieces} - known.trained - known.held_out
    held_out = names(plan_training(project, CONFIG, known).held_out)
    assert not known.trained & set(held_out) and known.held_out <= set(held_out)
    assert new in subject_of("estimate", project, Known(known.trained)).names


@pytest.mark.parametrize("by_place", [True, False])
def test_a_model_trained_on_folders_knows_regions_also_where_its_file_has_no_places(tmp_path, model, by_place) -> None:
    project = dataset(tmp_path, small=1)
    plan = plan_training(project, CONFIG)
    request = make_request(plan, tmp_path / "run", CONFIG, checkpoint=str(model))
    given = {"pairs": None, "images": project.source, "masks": project.folder / "labels"}
    folder = RunFolder.create(tmp_path / "run", request.model_copy(update=given))
    regions = [pair for pair in plan.pairs if pair.region]
    records = tuple(
        TrainingImage(name=pair.name, sha256="", place=Place(whole="", region=pair.region) if by_place else None)
        for pair in regions
    )
    load_model(model).with_card(provenance=Provenance(images=records)).save(folder.result_path)
    assert Known.of(read_card(folder.result_path), project).trained == {"slide0", *NAMES}


def test_a_slide_whose_paint_was_erased_is_told_of_and_looked_at_as_one_that_is_not_annotated(tmp_path) -> None:
    project = dataset(tmp_path, slides=2)
    project.save_labels("slide0", np.zeros(SHAPE, np.uint16), "painted")
    note = "Nothing is painted on slide0, so it is not used."
    assert "nothing painted" in mask_text(project.image("slide0"))
    assert note in plan_training(project, CONFIG).sentences
    assert note in plan_curve(project, (1,)).sentences
    asked = Asked(question="check", model="model", images=subject_of("check", project, NOTHING).names)
    request = make_question(asked, project, CONFIG, tmp_path / "check")
    assert [image.name for image in request.images] == ["slide0"]
    project.save_labels("slide1", np.zeros(SHAPE, np.uint16), "painted")
    alone = plan_training(project, CONFIG)
    assert not alone.used
    assert alone.sentences == ("Nothing is painted on slide0, slide1, so they are not used.",)


@pytest.mark.parametrize(("small", "nouns"), [(0, "regions"), (1, "images and regions")])
def test_what_counts_regions_does_not_call_them_images(tmp_path, small, nouns) -> None:
    project = dataset(tmp_path, small=small)
    plan, count = plan_training(project, CONFIG), 4 + small
    assert plan.title == f"Finetuning with {count} {nouns} (1 held out)"
    assert plan.sentences[0].startswith(f"{count} annotated {nouns}: ")
    assert "A Dice on 1 region is a weak number." in plan.sentences or plan.held_out[0].region is None
    for question in ("cross_validate", "estimate", "can_learn"):
        assert subject_of(question, project, NOTHING).about == f"{count} annotated {nouns}"
    assert subject_of("estimate", project, Known(frozenset(NAMES[:3]))).about.startswith(f"{1 + small} ")
    curve = " ".join(plan_curve(project, (1,)).sentences)
    assert f"{count} annotated {nouns}: " in curve
    assert "so 1 annotated region (" in curve or small
    assert "image to train with" not in plan_curve(project, (50,)).problem


@pytest.mark.parametrize("slides", [1, 3])
def test_a_curve_says_whether_its_test_regions_lie_in_images_that_it_trains_on(tmp_path, slides) -> None:
    told = [one for one in plan_curve(dataset(tmp_path, slides=slides), (2,)).sentences if "lie in" in one]
    assert len(told) == 1
    assert ("says little of other images" in told[0]) == (slides == 1)
    assert ("of which nothing is trained on" in told[0]) == (slides == 3)


def test_sentences_on_a_dataset_name_the_program_whose_box_they_mention(tmp_path) -> None:
    project = dataset(tmp_path)
    project.sparse = False
    (told,) = (one for one in plan_training(project, CONFIG).sentences if "untick" in one.lower())
    assert "In napari, untick" in told  # the command line says it too
