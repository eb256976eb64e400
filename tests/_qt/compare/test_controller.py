"""Models and images are chosen, a job compares them, and the table knows what came of it."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

pytest.importorskip("napari")
pytest.importorskip("qtpy")

from napari_unet_finetune._qt.compare import controller as comparing_module
from napari_unet_finetune._qt.compare.controller import MOST_MODELS, CompareController, job_folder, labels_folder
from napari_unet_finetune._qt.compare.curve_controller import CurveController
from napari_unet_finetune._qt.compare.export import figure_rows, save_figures, save_table, table_rows
from napari_unet_finetune._qt.compare.models import (
    Colors,
    ModelColumn,
    Training,
    list_models_to_compare,
    read_training,
)
from napari_unet_finetune._qt.compare.panel import ComparePanel
from napari_unet_finetune._qt.session.jobs import Job
from napari_unet_finetune._qt.session.known_models import KnownModel
from napari_unet_finetune.colors import MODELS
from napari_unet_finetune.comparison.cache import read_last_comparison
from napari_unet_finetune.config import ModelConfig
from napari_unet_finetune.errors import RunError
from napari_unet_finetune.evaluation.rows import Row, columns_of
from napari_unet_finetune.events import ImageCompared, drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.jobs.table import events_of
from napari_unet_finetune.models.names import name_of_file
from napari_unet_finetune.project.curve_plan import make_curve_request, plan_curve
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.training_plan import pairs_of
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.folders import new_run_folder
from napari_unet_finetune.runs.request import FinetuneRequest, read_request
from napari_unet_finetune.runs.serve import Control

from ..comparison_data import SIZE, project_with_tests, with_models
from ..datasets import message, reopened
from ..finetuning_data import TINY, save_model


@pytest.fixture
def project(tmp_path, write_squares):
    return project_with_tests(tmp_path, write_squares)


@pytest.fixture
def comparing(session, project, tmp_path):
    """Return a comparison of a base with another model, not yet begun."""
    files = with_models(session, tmp_path / "models")
    session.project = project
    found = CompareController(session)
    for file in files[1:]:
        found.add_file(type(tmp_path)(file))
    return found


def finetune(project, base, count):
    """Leave a training with `count` images in the project."""
    folder = new_run_folder(project.folder, f"fast-{count}-images")
    asked = make_curve_request(plan_curve(project, (count,)), folder, checkpoint=base, config=TINY)
    request = FinetuneRequest(task="finetune", pairs=asked.train, checkpoint=base, config=TINY)
    drain(run_here(RunFolder.create(folder, request)))
    return folder


def test_base_trainings_and_shipped_models_are_listed_with_distinct_labels(session, project, tmp_path):
    (base,) = with_models(session, tmp_path / "models", 1)
    for count in (3, 2, 3):
        finetune(project, base, count)
    session.project = project
    entries = list_models_to_compare(session)
    assert [entry.label.partition(",")[0] for entry in entries][:4] == ["model-0", "2 images", "3 images", "3 images"]
    assert len({entry.model for entry in entries}) == len(entries) == len({entry.label for entry in entries})
    trained = read_training(entries[1].model, project)
    assert (trained.count, trained.seed) == (2, 0)
    assert trained.known.trained | trained.known.held_out == {"img_00", "img_01"}
    assert read_training(base, project).count == 0 and not read_training(base, project).known.trained


def test_a_model_from_scratch_knows_its_images_and_one_of_another_folder_none(project, tmp_path):
    files = pairs_of(map(project.image, project.names[:2]))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(project.source, elsewhere)
    others = tuple(replace(one, image=ImageRef(elsewhere / one.image.path.name)) for one in files)
    found = []
    for number, pairs in enumerate((files, others)):
        request = FinetuneRequest(task="train", pairs=pairs, config=TINY, model=ModelConfig(width=16, levels=2))
        run = RunFolder.create(tmp_path / str(number), request)
        drain(run_here(run))
        found.append(read_training(str(run.result_path), project))
    assert [one.known.trained for one in found] == [{"img_00", "img_01"}, frozenset()]
    assert [(one.count, one.preset) for one in found] == [(2, TINY.preset), (0, "")]


def test_a_base_that_was_itself_finetuned_keeps_its_name(session, project, tmp_path):
    (base,) = with_models(session, tmp_path / "models", 1)
    model = finetune(project, base, 2) / "model.safetensors"
    session.project, session.model = project, model
    entries = list_models_to_compare(session)
    assert (entries[0].label, entries[0].model) == (name_of_file(model), str(model))


def test_a_model_keeps_its_color_and_no_two_looked_at_together_share_one():
    colors = Colors()
    colors.give("abc")
    assert [colors.get(name) for name in "abcd"] == [*MODELS[:3], None]
    colors.give("dca")
    assert [colors.get(name) for name in "abcd"] == list(MODELS[:4])
    colors.give("aefghi")
    colors.give("ajklmnop")
    assert colors.get("a") == MODELS[0]
    for together in ("ajklmnop", "abcdefgh"):
        colors.give(together)
        assert len({colors.get(name) for name in together}) == len(together) == MOST_MODELS == len(set(MODELS))


def test_test_images_and_the_models_of_the_dataset_are_chosen_at_first(session, project, tmp_path):
    (base,) = with_models(session, tmp_path / "models", 1)
    folder = finetune(project, base, 2)
    session.project = project
    comparing = CompareController(session)
    assert comparing.image_set.names == ("img_04", "img_05")
    assert comparing.chosen == {base, str(folder / "model.safetensors")}


class TestBase:
    """A finetuned model is compared with its parent, whatever is chosen in section Model."""

    @pytest.fixture
    def tuned(self, session, project, tmp_path):
        """Return base and model of a training, after a restart with another model chosen."""
        (base,) = with_models(session, tmp_path / "models", 1)
        model = finetune(project, base, 2) / "model.safetensors"
        session.model = "microtube"
        session.project = project
        session.model = "microtube"
        return Path(base), model

    def test_it_is_chosen_tagged_and_named_in_table_figure_and_file(self, session, project, tuned):
        base, model = tuned
        comparing = CompareController(session)
        assert comparing.chosen == {str(base), str(model)} and comparing.without_base == ""
        comparing.compare()
        name = name_of_file(model)
        assert [(one.label, one.tag) for one in comparing.columns] == [("model-0", "base"), (name, "")]
        assert {row.model: (row.tag, row.count, row.preset) for row in table_rows(comparing)} == {
            "model-0": ("base", 0, ""), name: ("", 2, TINY.preset),
        }  # fmt: skip
        (row, _) = figure_rows(comparing, project, comparing.images)
        assert [title for title, _ in row.predictions] == ["model-0 (base)", name]

    def test_it_is_found_by_its_weights_where_it_is_now(self, session, tuned, tmp_path):
        base, model = tuned
        moved = shutil.move(base, tmp_path / "wbc.safetensors")
        comparing = CompareController(session)
        assert comparing.chosen == {str(model)} and "model-0" in comparing.without_base
        comparing.add_file(Path(moved))
        assert comparing.without_base == ""
        comparing.compare()
        assert [(one.label, one.tag) for one in comparing.columns if one.is_base] == [("wbc", "base")]

    def test_another_model_in_its_place_is_not_taken_for_it(self, session, tuned):
        base, model = tuned
        shutil.copy(save_model(base.with_name("other.safetensors"), 5), base)
        comparing = CompareController(session)
        assert comparing.chosen == {str(model)} and "gone" in comparing.without_base

    def test_who_wants_no_base_gets_none(self, session, tuned):
        _, model = tuned
        comparing = CompareController(session)
        comparing.choose_models([str(model)])
        assert comparing.chosen == {str(model)}


def test_every_model_is_compared_on_every_image(comparing, session):
    assert comparing.problem == ""
    comparing.compare()
    assert [column.label for column in comparing.columns] == ["model-0", "model-1"]
    assert set(comparing.cells) == {(label, name) for label in ("model-0", "model-1") for name in ("img_04", "img_05")}
    assert all(cell.dice is not None and cell.labels.is_file() for cell in comparing.cells.values())
    assert session.message.text == "Compared 2 models on 2 images."
    folder = session.project.folder / "comparison"
    assert len(list((folder / "labels").glob("*.tif"))) == 4


def test_the_dice_of_the_model_that_predicts_goes_into_the_table_of_images(comparing, session):
    session.predictor = comparing.entries[1].model
    told = []
    session.images_changed.connect(lambda: told.append(True))
    comparing.compare()
    label = comparing.entries[1].label
    for name in comparing.images:
        assert session.project.image(name).dice == comparing.cell(label, name).dice
    assert told


def test_a_model_that_a_training_leaves_is_ticked_too(comparing, session):
    folder = finetune(session.project, session.model, 2)
    session.models_changed.emit()
    assert str(folder / "model.safetensors") in comparing.chosen and len(comparing.chosen) == 3


def test_a_second_comparison_computes_only_what_is_new(comparing, session):
    comparing.compare()
    labels = {path: path.stat().st_mtime_ns for path in session.project.folder.glob("comparison/labels/*.tif")}
    comparing.choose_images("annotated")
    comparing.compare()
    assert {path: path.stat().st_mtime_ns for path in labels} == labels
    assert len(comparing.cells) == 12 and comparing.images == session.project.names[:6]


def test_objects_are_split_where_that_is_ticked_and_after_a_restart(comparing, session):
    comparing.compare()
    dice = {key: cell.dice for key, cell in comparing.cells.items()}
    comparing.set_split(True)
    assert read_request(job_folder(session.project)).config.instances
    assert {key: cell.dice for key, cell in comparing.cells.items()} == dice
    assert len(list((session.project.folder / "comparison" / "labels").glob("*.tif"))) == 8
    last = read_last_comparison(job_folder(session.project), labels_folder(session.project), session.project)
    assert last.split


def test_a_comparison_removes_what_is_kept_of_models_that_are_gone(comparing, session, tmp_path):
    comparing.compare()
    gone = [cell.labels for (label, _), cell in comparing.cells.items() if label == "model-1"]
    (tmp_path / "models" / "model-1.safetensors").unlink()
    comparing.choose_models([session.model])
    comparing.choose_images("annotated")
    comparing.compare()
    folder = session.project.folder / "comparison" / "labels"
    assert {file.name for file in folder.glob("*.tif")} == {cell.labels.name for cell in comparing.cells.values()}
    assert len(gone) == 2 and not any(file.exists() or file.with_suffix(".json").exists() for file in gone)


def test_images_without_a_mask_are_predicted_and_not_scored(comparing):
    comparing.choose_images("bare")
    comparing.compare()
    assert [(cell.dice, cell.error) for cell in comparing.cells.values()] == [(None, None)] * 2
    assert table_rows(comparing) == []


def test_an_image_that_fails_is_told_and_the_others_go_on(comparing, session):
    session.project.image("img_04").ref.path.unlink()
    with message("img_04.*no such file|img_04"):
        comparing.compare()
    assert comparing.cell("model-0", "img_04").error and comparing.cell("model-0", "img_05").dice is not None
    assert "and 1 more, marked in the table" in session.message.text


def test_what_keeps_it_from_starting_is_said(session, project):
    comparing = CompareController(session)
    assert "Open a dataset first" in comparing.problem
    session.project = project
    comparing.choose_models([])
    assert comparing.problem == "Tick at least one model."
    comparing.choose_models([str(number) for number in range(MOST_MODELS + 1)])
    assert "at most 8" in comparing.problem


def test_a_file_that_is_no_model_is_refused(comparing, project):
    before = comparing.entries
    with message("is an image, not a model"):
        comparing.add_file(project.image("img_00").mask)
    assert comparing.entries == before


def test_cells_come_one_by_one_and_another_job_is_refused(waiting, project, tmp_path):
    session, runner = waiting
    with_models(session, tmp_path / "models", 1)
    session.project = project
    comparing = CompareController(session)
    comparing.compare()
    assert comparing.images == ("img_04", "img_05") and not comparing.cells
    request = read_request(runner.folder)
    assert [model.label for model in request.models] == ["model-0"] and len(request.pairs) == len(request.images)
    event = ImageCompared("model-0", "img_04", dice=0.5)
    runner.listener.on_report(SimpleNamespace(event=event, progress=session.jobs.job.progress))
    assert comparing.cell("model-0", "img_04") is event
    assert "still running" in comparing.problem
    before = dict(comparing.cells)
    with message("still running"):
        comparing.compare()
    assert comparing.cells == before
    runner.listener.on_end(None)
    assert "Stopped: 1 of 2 predictions are missing." in session.message.text


def test_a_comparison_goes_on_when_its_dataset_is_opened_anew(waiting, project, tmp_path):
    session, runner = waiting
    with_models(session, tmp_path / "models", 1)
    session.project, session.predictor = project, session.model
    comparing = CompareController(session)
    comparing.compare()
    session.project = reopened(project)  # Look for new images
    for name in comparing.images:
        event = ImageCompared("model-0", name, dice=0.5, iou=0.4, surface_dice=0.4, area_ratio=1.0)
        runner.listener.on_report(SimpleNamespace(event=event, progress=session.jobs.job.progress))
    runner.listener.on_end(None)
    assert session.message.text == "Compared 1 model on 2 images."
    assert [session.project.image(name).dice for name in comparing.images] == [0.5, 0.5]


def other_dataset(tmp_path, write_squares):
    return Project.open(write_squares(tmp_path / "other", 2) / "images", tmp_path / "second")


def test_a_comparison_whose_dataset_was_left_fills_no_other_table_and_says_that_it_has_ended(
    waiting, project, tmp_path, write_squares
):
    session, runner = waiting
    with_models(session, tmp_path / "models", 1)
    session.project = project
    comparing = CompareController(session)
    comparing.compare()
    session.project = other_dataset(tmp_path, write_squares)
    event = ImageCompared("model-0", "img_04", dice=0.5)
    runner.listener.on_report(SimpleNamespace(event=event, progress=session.jobs.job.progress))
    runner.listener.on_end(None)
    assert comparing.cells == {}
    assert session.message.text == "Comparing 1 model in another dataset has ended. Open it again to see the table."


def test_a_comparison_that_ends_after_its_dataset_came_back_shows_all_of_its_table(
    waiting, project, tmp_path, write_squares, monkeypatch
):
    session, runner = waiting
    with_models(session, tmp_path / "models", 1)
    session.project = project
    comparing = CompareController(session)
    comparing.compare()
    drain(events_of(runner.folder, Control()))
    last = read_last_comparison(job_folder(project), labels_folder(project), project)
    so_far = replace(last, cells=dict(list(last.cells.items())[:1]))
    asked = []
    monkeypatch.setattr(comparing_module, "recall_comparison", lambda _project, show, _fail: asked.append(show))
    session.project = other_dataset(tmp_path, write_squares)
    session.project = reopened(project)
    asked[-1](so_far)
    assert len(comparing.cells) == 1
    runner.listener.on_end(None)
    assert session.message.text == "Comparing 1 model has ended."
    asked[-1](last)
    assert len(comparing.cells) == 2
    asked[-2](so_far)  # read before the end, and slow
    assert len(comparing.cells) == 2


def test_a_mask_that_changes_makes_its_scores_stale(comparing, session):
    comparing.compare()
    assert comparing.stale == ()
    labels = session.project.read_labels("img_05")
    labels[:20] = 1
    session.project.save_labels("img_05", labels, "corrected")
    assert comparing.stale == ("img_05",)
    comparing.compare()
    assert comparing.stale == ()


def test_another_dataset_empties_the_table(comparing, session, tmp_path, write_squares):
    comparing.compare()
    session.project = other_dataset(tmp_path, write_squares)
    assert (comparing.columns, comparing.images, comparing.cells) == ((), (), {})


def test_the_table_is_saved_as_csv_with_the_model_and_how_it_saw_the_image(comparing, tmp_path, monkeypatch):
    with pytest.raises(RunError, match="no score to save"):
        save_table(comparing, tmp_path / "table.csv")
    monkeypatch.setattr(Predictor, "how_shown", lambda *_: "exchanged")
    comparing.compare()
    save_table(comparing, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [row["shown"] for row in csv.DictReader(file)] == ["exchanged"] * 4
    header, *lines = (tmp_path / "table.csv").read_text().splitlines()
    assert header.split(",") == [*columns_of(Row), "model", "tag"]
    assert [(line.split(",")[4], line.split(",")[-2]) for line in lines] == [
        ("img_04", "model-0"), ("img_05", "model-0"), ("img_04", "model-1"), ("img_05", "model-1"),
    ]  # fmt: skip
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        save_table(comparing, tmp_path / "file" / "table.csv")


def test_whoever_exports_a_figure_sees_that_it_is_drawn(waiting, project, tmp_path, qtbot):
    session, runner = waiting
    session.project = project
    panel = ComparePanel(session, CurveController(session))
    qtbot.addWidget(panel)
    (image, *_) = project.names
    mask = project.image(image).mask
    column = ModelColumn(KnownModel("microtube", "microtube"), MODELS[0], Training())
    panel.comparing.columns, panel.comparing.images = (column,), (image,)
    panel.comparing.cells = {("microtube", image): ImageCompared("microtube", image, labels=mask, dice=0.5)}
    panel.comparing.changed.emit()
    assert panel.export.isEnabled()
    save_figures(panel.comparing, [image], tmp_path / "figure.png", study=None, curve=None)
    assert not panel.export.isEnabled() and "Drawing" in session.message.text and "Drawing" in panel.export.text()
    runner.listener.on_end(None)
    assert panel.export.isEnabled() and "figure.png" in session.message.text
    panel.release()


def test_a_warning_is_taken_back_when_something_is_started(waiting, tmp_path):
    session, _ = waiting
    session.tell("Tick at least one model.", "warning")
    session.jobs.start(Job(tmp_path, "Comparing"))
    assert session.message.text == ""


def test_figures_are_drawn_by_a_job(comparing, session, tmp_path):
    with pytest.raises(RunError, match="nothing to draw"):
        save_figures(comparing, ["img_04"], tmp_path / "a.png", study=None, curve=None)
    comparing.compare()
    save_figures(comparing, comparing.images, tmp_path / "a.png", study=None, curve=None)
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert session.message.text == f"Saved {tmp_path / 'a.png'}."


def test_images_without_mask_or_with_a_failure_are_left_out_of_the_figure(comparing, session):
    comparing.choose_images("all")
    comparing.compare()
    failed = comparing.cells["model-0", "img_01"]
    comparing.cells["model-0", "img_01"] = ImageCompared("model-0", "img_01", error="no")
    rows = figure_rows(comparing, session.project, comparing.images)
    assert [row.pair.name for row in rows] == ["img_00", "img_02", "img_03", "img_04", "img_05"]
    assert [title for title, _ in rows[0].predictions] == ["model-0", "model-1"]
    assert failed.labels is not None


def test_painting_is_saved_before_it_is_compared(comparing, session):
    blob = np.zeros(SIZE, np.uint16)
    blob[5:15, 5:15] = 1

    def save():
        session.project.save_labels("img_04", blob, "painted")

    session.about_to_read_files.connect(save)
    comparing.compare()
    assert comparing.stale == () and comparing.cell("model-0", "img_04").dice is not None


class TestReopening:
    @pytest.fixture
    def again(self, comparing, session, qtbot, monkeypatch):
        """Return a function that opens the dock and the dataset once more, as they are on disk."""

        def reopen(wait_for=lambda found: found.cells):
            session.project = reopened(session.project)
            found = CompareController(session)
            qtbot.waitUntil(lambda: bool(wait_for(found)))
            return found

        monkeypatch.setattr(Predictor, "how_shown", lambda *_: "exchanged")
        comparing.compare()
        return reopen

    def test_the_last_scores_are_shown_without_a_job(self, comparing, again, session, monkeypatch):
        monkeypatch.setattr(session.jobs, "start", None)
        found = again()
        assert found.cells == {key: replace(cell, done=0, total=0) for key, cell in comparing.cells.items()}
        assert [column.label for column in found.columns] == ["model-0", "model-1"]
        assert len({column.color for column in found.columns}) == 2
        assert (found.images, found.stale) == (("img_04", "img_05"), ())
        assert [row.shown for row in table_rows(found)] == ["exchanged"] * 4
        assert [Path(entry.model).stem for entry in found.entries if entry.label == "model-1"] == ["model-1"]

    def test_they_are_shown_when_another_dataset_comes_back(self, again, session, qtbot, tmp_path, write_squares):
        found, first = again(), session.project
        session.project = other_dataset(tmp_path, write_squares)
        assert not found.cells
        session.project = first
        qtbot.waitUntil(lambda: len(found.cells) == 4)

    def test_scores_of_a_mask_that_has_changed_are_left_out_and_that_is_said(self, again, session):
        labels = session.project.read_labels("img_05")
        labels[:20] = 1
        session.project.save_labels("img_05", labels, "corrected")
        found = again()
        assert {image for _, image in found.cells} == {"img_04"}
        assert found.stale == ("img_05",)

    def test_a_model_that_is_gone_and_an_image_that_has_changed_are_left_out(self, again, session, tmp_path):
        (tmp_path / "models" / "model-1.safetensors").unlink()
        tifffile.imwrite(session.project.image("img_04").ref.path, np.full(SIZE, 9, np.uint8))
        found = again()
        assert set(found.cells) == {("model-0", "img_05")}
        assert ([column.label for column in found.columns], found.images) == (["model-0"], ("img_05",))

    def test_a_comparison_that_begins_meanwhile_is_not_overwritten(self, again, session, monkeypatch):
        asked = []
        monkeypatch.setattr(comparing_module, "recall_comparison", lambda _project, show, _fail: asked.append(show))
        found = again(lambda _found: asked)
        last = read_last_comparison(job_folder(session.project), labels_folder(session.project), session.project)
        found.choose_images("bare")
        found.compare()
        asked[0](last)
        assert found.images == ("x_bare",)
