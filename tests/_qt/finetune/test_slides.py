"""Of a slide in the docks, a training is asked for the annotated regions; nothing looks at all of it by itself."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("qtpy")

from napari_unet_finetune._qt.annotate.annotation import annotation_of
from napari_unet_finetune._qt.compare.models import read_training
from napari_unet_finetune._qt.finetune.controller import FinetuneController
from napari_unet_finetune._qt.finetune.data_check import DataCheck
from napari_unet_finetune._qt.images.thumbnails import THUMBNAIL_PX, ThumbnailLoader
from napari_unet_finetune._qt.questions.controller import QuestionsController
from napari_unet_finetune._qt.session.history import History
from napari_unet_finetune.checks import findings
from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data import folders
from napari_unet_finetune.events import StepEnd, drain
from napari_unet_finetune.jobs.questions import check
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.provenance import Provenance, TrainingImage
from napari_unet_finetune.project import project as projects
from napari_unet_finetune.project.question_plan import Asked, make_question
from napari_unet_finetune.project.training_plan import make_request, plan_training
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import read_request
from napari_unet_finetune.runs.serve import Control

from ...data.test_annotated_regions import PLACES, SHAPE, small_is_large
from ...project.test_regions_of_slides import NAMES, NEW, dataset, strokes
from ..datasets import reopened
from ..finetuning_data import ENDED, STARTED, Reporter

__all__ = ["small_is_large"]  # a fixture

CONFIG = FinetuneConfig()


@pytest.fixture
def never_whole(monkeypatch):
    """Refuse to read any file as a whole."""

    def refused(ref, **_options):
        raise AssertionError(f"{ref} is read as a whole")

    for module in (folders, projects, findings):
        monkeypatch.setattr(module, "read_image", refused)


def test_a_training_is_asked_for_the_regions_and_shows_nothing_of_the_whole(waiting, tmp_path, never_whole):  # noqa: ARG001
    session, runner = waiting
    session.model, session.project = "microtube", dataset(tmp_path)
    session.current = "slide0"
    finetuning = FinetuneController(session)
    finetuning.start(CONFIG)
    request = read_request(runner.folder)
    assert tuple(pair.name for pair in request.pairs) == NAMES
    assert all(pair.region is not None for pair in request.pairs)
    assert runner.job.said == [None]  # no preview
    assert session.trainings.job.title == "Finetuning with 4 regions (1 held out)"
    assert finetuning.changed_since == ()
    report = Reporter(runner)
    report(STARTED, StepEnd(1, 0.1, 1e-3, 0.2))
    assert len(reopened(session.project).image("slide0").region_uses) == 4
    session.project.save_labels("slide0", strokes([place.grown(30, SHAPE) for place in PLACES]), "painted")
    session.images_changed.emit()
    assert finetuning.changed_since == ("slide0",)
    report.end(ENDED)
    assert "slide0 is large" in session.message.text
    assert not session.jobs.is_running


def test_a_look_at_the_data_and_a_thumbnail_read_parts(qtbot, tmp_path, never_whole):  # noqa: ARG001
    project, check = dataset(tmp_path), DataCheck()
    check.look(plan_training(project, CONFIG), None)
    qtbot.waitUntil(lambda: not check.is_looking, timeout=20_000)
    assert not any("cannot" in sentence for sentence in check.sentences)
    loader = ThumbnailLoader(project)
    qtbot.waitUntil(lambda: loader.get("slide0") is not None, timeout=20_000)
    assert max(loader.get("slide0").height(), loader.get("slide0").width()) <= THUMBNAIL_PX


def test_one_more_region_is_counted_as_soon_as_it_is_painted(session, tmp_path):
    session.project = dataset(tmp_path)
    annotation = annotation_of(session)
    assert annotation.open("slide0")
    counts = []
    session.images_changed.connect(lambda: counts.append(plan_training(session.project, CONFIG).counts))
    for place, told in ((PLACES[0], 0), (NEW, 1)):  # one more stroke where something is painted, then far from all
        annotation.layer.paint((place.top + 5, place.left - 2), 1)
        assert annotation.save()
        assert len(counts) == told
    assert counts[-1].startswith("5 annotated regions")
    annotation.release()


def trained_on(project, tmp_path, model):
    """Return the file of a model of a finished training on all regions of `project`."""
    plan = plan_training(project, CONFIG)
    folder = RunFolder.create(tmp_path / "run", make_request(plan, tmp_path / "run", CONFIG, checkpoint=str(model)))
    records = tuple(TrainingImage(name=pair.name, sha256="") for pair in plan.pairs)
    load_model(model).with_card(provenance=Provenance(images=records)).save(folder.result_path)
    return folder.result_path


def test_regions_are_known_to_the_base_when_strokes_have_moved_their_edges(tmp_path, model):
    project = dataset(tmp_path)
    trained = trained_on(project, tmp_path, model)
    history = History(project)
    assert set(NAMES) <= history.known_to(str(trained)).trained
    assert read_training(str(trained), project).count == len(NAMES)  # and not the slide besides
    project.save_labels("slide0", strokes([*PLACES, *(place.grown(64, SHAPE) for place in PLACES[2:])]), "painted")
    now = {piece.name for piece in project.image("slide0").pieces}
    assert now != set(NAMES)
    assert now <= history.known_to(str(trained)).trained


def test_a_region_that_keeps_its_name_and_grows_into_one_that_was_trained_on_is_known(tmp_path, model):
    project = dataset(tmp_path)
    trained = trained_on(project, tmp_path, model)
    history, names = History(project), []
    for place in (NEW, replace(NEW, bottom=PLACES[3].bottom, right=PLACES[3].right)):
        project.save_labels("slide0", strokes([place]), "painted")
        (piece,) = project.image("slide0").pieces
        names.append(piece.name)
        assert (piece.name in history.known_to(str(trained)).trained) == (place != NEW)
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("slides", "small", "without"), [(1, 0, "regions"), (1, 1, "images and regions"), (3, 0, "images")]
)
def test_questions_say_of_what_each_training_goes_without(session, tmp_path, slides, small, without):
    session.model, session.project = "microtube", dataset(tmp_path, slides=slides, small=small)
    asking = QuestionsController(session)
    assert asking.cost("cross_validate").startswith(f"{3 if slides == 3 else 4 + small} short trainings")
    assert f"each without one of the {without}." in asking.cost("cross_validate")
    assert asking.cost("can_learn").startswith(f"Learns two of the {without if slides == 1 else 'regions'} by heart")


def test_the_check_looks_at_the_regions_and_at_no_slide_without_any(tmp_path, never_whole):  # noqa: ARG001
    project = dataset(tmp_path, slides=2)
    project.remove_labels("slide1")
    asked = Asked(question="check", model="microtube", images=project.names)
    request = make_question(asked, project, CONFIG, tmp_path / "job")
    found = drain(check(tmp_path / "job", request, Control()))
    assert [one.name for one in found.images] == list(NAMES)
    assert found.not_annotated == () and not found.problems


def test_a_sample_of_a_slide_is_evenly_spaced_pixels(tmp_path):
    project = dataset(tmp_path)
    small = project.sampled_image("slide0", 32)
    whole = project.read_image("slide0").array
    step = -(-max(SHAPE) // 32)
    np.testing.assert_array_equal(small, whole[step // 2 :: step, step // 2 :: step])
