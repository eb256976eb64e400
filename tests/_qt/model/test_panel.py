"""The section Model: what can be chosen, what is known of it, what it sees, and what is better not chained."""

import json

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt

from napari_unet_finetune._qt.compare.models import list_models_to_compare
from napari_unet_finetune._qt.finetune.controller import FinetuneController
from napari_unet_finetune._qt.layers.layers import find_ours, show_image
from napari_unet_finetune._qt.model.card import card_details, card_rows, size
from napari_unet_finetune._qt.model.choices import list_choices
from napari_unet_finetune._qt.model.panel import ModelPanel
from napari_unet_finetune._qt.session.history import History
from napari_unet_finetune._qt.session.session import Session
from napari_unet_finetune.config import AugmentConfig, FinetuneConfig
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import weights_hash
from napari_unet_finetune.project.choices import CHOICES, Choices
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.recent import RecentModels

from ..finetuning_data import ENDED, STARTED, TINY, Reporter, annotated_project, save_model


@pytest.fixture
def panel(waiting, qtbot):
    session, _ = waiting
    session.model = "microtube"
    panel = ModelPanel(session)
    qtbot.addWidget(panel)
    yield panel, session
    panel.release()


def _texts(box):
    return [box.itemText(index) for index in range(box.count())]


def test_the_license_of_a_base_is_not_that_of_its_child(tmp_path):
    about = save_model(tmp_path / "mine.safetensors")
    card = read_card(about)
    history = card.provenance.model_copy(update={"parent_sha256": "0" * 64, "base_license": "MIT"})
    assert dict(card_rows(card.model_copy(update={"provenance": history})))["License"] == "base model: MIT"


def _finetuned(path):
    """Write a model that says it was finetuned from the one that ships."""
    base = load_model("microtube")
    about = base.card.provenance.model_copy(
        update={"name": "", "parent": "microtube", "parent_sha256": weights_hash(base.weights)}
    )
    base.with_card(provenance=about).save(path)
    return path


def test_scores_on_part_of_the_test_images_say_which():
    dice = dict(card_rows(read_card("nuclei-fluorescence")))["Dice"]
    assert "on 16 test images of sizes not trained on" in dice


def test_a_card_tells_what_a_biologist_wants_to_know():
    rows, details = (dict(of(read_card("microtube"))) for of in (card_rows, card_details))
    assert not rows.keys() & details.keys()
    assert rows["Model"] == "microtube"
    assert rows["Trained on"].startswith("25 images (001, 002, 003, …)")
    assert "percentiles 0.1 and 99.9 of an image become 0 and 1" in details["Sees"]
    assert "1 channel in patches of 128 px (width 16, 4 levels)" in details["Sees"]
    assert details["Threshold"] == "0.5"
    assert rows["Dice"] == "0.982 on held-out images, 0.982 on test images"
    assert rows["About"].startswith("Cells in a microtube") and "trying the program" not in rows["About"]
    assert "trying the program" in details["Notes"]
    assert rows["License"] == "BSD-3-Clause"
    assert "1.7 MB, made 20" in details["File"]
    assert "Parent" not in rows
    assert [size(count) for count in (2_000_000, 900)] == ["2.0 MB", "0.9 kB"]


def test_a_file_is_loaded_remembered_and_shown(panel, tmp_path):
    panel, session = panel
    file = save_model(tmp_path / "mine.safetensors")
    panel.load(file)
    assert session.model == str(file)
    assert panel.base.currentText() == "mine"
    assert "mine.safetensors" in panel.card.details.text()
    assert RecentModels(session.recent.file).paths == (file,)
    texts = _texts(panel.base)
    assert texts[0] == "Shipped" and "microtube" in texts and texts[-2:] == ["Recent files", "mine"]
    assert not panel.base.model().item(0).isEnabled()


def test_a_file_that_is_no_model_is_refused_in_a_sentence(panel, tmp_path):
    panel, session = panel
    (tmp_path / "cat.safetensors").write_bytes(b"II*\0 a picture")
    panel.load(tmp_path / "cat.safetensors")
    assert "is an image, not a model" in session.message.text
    assert session.model == "microtube"
    assert session.recent.paths == ()


def test_a_model_that_is_damaged_meanwhile_gets_a_sentence_instead_of_a_card(panel, tmp_path):
    panel, session = panel
    file = save_model(tmp_path / "mine.safetensors")
    file.write_bytes(file.read_bytes()[:300])
    session.model = file
    assert "only the beginning of a model file" in panel.card.label.text()
    assert not panel.seen.isEnabled()


def test_a_choice_is_told_and_predictions_follow_the_base_until_another_is_chosen(panel, tmp_path):
    panel, session = panel
    panel.load(save_model(tmp_path / "mine.safetensors"))
    panel.base.set_value("microtube")
    assert (session.model, session.predictor) == ("microtube", "microtube")
    panel.predictor.set_value(str(tmp_path / "mine.safetensors"))
    assert (session.model, session.predictor) == ("microtube", str(tmp_path / "mine.safetensors"))
    assert "mine.safetensors" in panel.card.details.text()
    panel.predictor.set_value(None)
    assert session.predictor == "microtube"


def test_a_finetuned_base_is_warned_of_and_its_own_base_offered(panel, tmp_path, qtbot):
    panel, session = panel
    assert panel.warning.text == ""
    file = _finetuned(tmp_path / "tuned.safetensors")
    panel.load(file)
    assert "was itself finetuned, from microtube" in panel.warning.text
    assert panel.to_base.text() == "Start from microtube"
    panel.show()
    qtbot.mouseClick(panel.to_base, Qt.MouseButton.LeftButton)
    assert (session.model, session.predictor) == ("microtube", str(file))
    assert panel.warning.text == ""
    assert panel.predictor.currentText() == "tuned"


def test_the_models_of_the_datasets_trainings_can_be_chosen(panel, waiting, tmp_path, write_squares):
    panel, session = panel
    _, runner = waiting
    session.project = annotated_project(tmp_path, write_squares)
    finetuning = FinetuneController(session)
    finetuning.start(FinetuneConfig())
    model = Reporter(runner).end(STARTED, ENDED)
    entry = next(text for text in _texts(panel.base) if "Dice" in text)
    assert entry.startswith("4 images, ")
    assert "Finetuned on this dataset" in _texts(panel.predictor)
    assert panel.predictor.value() == str(model)
    assert panel.base.value() == "microtube"


class TestChoices:
    """What was chosen for the trainings of a dataset is there again, and a base that is gone is told of."""

    def test_the_base_is_remembered_with_the_dataset(self, panel, tmp_path, write_squares):
        panel, session = panel
        session.project = annotated_project(tmp_path, write_squares)
        mine = save_model(tmp_path / "mine.safetensors")
        panel.load(mine)
        again = Session(session.viewer)
        again.project = Project.open(session.project.source, session.project.folder)
        assert (again.model, again.base_problem) == (str(mine), "")

    def test_a_base_that_is_gone_stays_chosen_and_is_told_of(self, panel, tmp_path, write_squares):
        panel, session = panel
        session.project = annotated_project(tmp_path, write_squares)
        mine = save_model(tmp_path / "mine.safetensors")
        panel.load(mine)
        mine.unlink()
        again = Session(session.viewer)
        again.project = Project.open(session.project.source, session.project.folder)
        assert again.model == str(mine)
        assert "mine" in again.base_problem and str(mine) in again.base_problem

    def test_a_base_inside_the_dataset_moves_with_it(self, panel, tmp_path, write_squares):
        panel, session = panel
        session.project = annotated_project(tmp_path, write_squares)
        folder = session.project.folder
        session.model = save_model(folder / "mine.safetensors")
        folder.rename(tmp_path / "moved")
        assert Choices.read(tmp_path / "moved").base == str(tmp_path / "moved" / "mine.safetensors")

    def test_so_does_which_way_round_a_model_inside_the_dataset_is_shown_images(self, panel, tmp_path, write_squares):
        _, session = panel
        session.project = annotated_project(tmp_path, write_squares)
        folder = session.project.folder
        session.show_as(save_model(folder / "mine.safetensors"), "inverted")
        session.show_as("microtube", "as they are")
        folder.rename(tmp_path / "moved")
        mine = str(tmp_path / "moved" / "mine.safetensors")
        assert Choices.read(tmp_path / "moved").appearances == {mine: "inverted", "microtube": "as they are"}

    @pytest.mark.parametrize(
        ("changes", "kept"),
        [({}, 0.3), ({"p_gamma": 0.9}, 0.0), ({"p_objects": 0.0}, 0.0), ({"p_objects": 0.1}, 0.1)],
    )
    @pytest.mark.parametrize("preset", ["default", "from scratch"])
    def test_the_standard_augmentation_of_an_earlier_version_is_todays_and_whatever_was_chosen_stays(
        self, tmp_path, preset, changes, kept
    ):
        standard = FinetuneConfig(preset=preset, steps=300)
        config = standard.model_dump(mode="json")
        del config["augment"]["p_objects"]
        config["augment"] |= changes
        (tmp_path / CHOICES).write_text(json.dumps({"config": config}))
        read = Choices.read(tmp_path).config
        assert (read.augment.p_objects, read.steps) == (kept, 300)
        assert (read == standard) == (not changes)

    def test_the_light_augmentation_of_an_earlier_version_is_todays(self, tmp_path):
        light = FinetuneConfig(augment=AugmentConfig().halved)
        config = light.model_dump(mode="json")
        del config["augment"]["p_objects"]
        (tmp_path / CHOICES).write_text(json.dumps({"config": config}))
        assert Choices.read(tmp_path).config == light
        assert light.augment.p_objects == AugmentConfig().p_objects / 2

    def test_opening_alone_writes_nothing_and_a_damaged_file_is_no_harm(self, panel, tmp_path, write_squares):
        _, session = panel
        project = annotated_project(tmp_path, write_squares)
        session.project = project
        assert not (project.folder / CHOICES).exists()
        for content in ("[]", "{", '{"base": 3, "config": {"no": 1}, "appearances": {"a": "odd"}, "else": 2}'):
            (project.folder / CHOICES).write_text(content)
            assert Choices.read(project.folder) == Choices()


@pytest.fixture
def shown(panel, tmp_path, write_squares):
    """Return the panel of a dataset of which an image is shown."""
    panel, session = panel
    session.project = annotated_project(tmp_path, write_squares, 2, 1)
    show_image(session.viewer, "image", "img_00", session.project.read_image("img_00"))
    session.current = "img_00"
    return panel, session


def test_what_the_model_sees_is_the_normalized_image_and_follows_it(shown, qtbot):
    panel, session = shown
    panel.seen.setChecked(True)
    qtbot.waitUntil(lambda: find_ours(session.viewer, "model sight") is not None)
    layer = find_ours(session.viewer, "model sight")
    assert layer.data.dtype == np.float32
    assert np.percentile(layer.data, (1, 99)) == pytest.approx((0.05, 0.95), abs=0.15)
    assert layer.name == "img_00 as microtube sees it"
    session.current = "img_01"
    qtbot.waitUntil(lambda: layer.name == "img_01 as microtube sees it")
    panel.seen.setChecked(False)
    assert find_ours(session.viewer, "model sight") is None
    assert find_ours(session.viewer, "image") is not None


def test_deleting_that_layer_unticks_the_box(shown, qtbot):
    panel, session = shown
    panel.seen.setChecked(True)
    qtbot.waitUntil(lambda: find_ours(session.viewer, "model sight") is not None)
    session.viewer.layers.remove(find_ours(session.viewer, "model sight"))
    assert not panel.seen.isChecked()


def test_an_image_that_cannot_be_read_is_a_sentence(shown, qtbot):
    panel, session = shown
    session.project.image("img_00").ref.path.write_bytes(b"no image")
    panel.seen.setChecked(True)
    qtbot.waitUntil(lambda: session.message.tone == "error")
    assert "cannot be read" in session.message.text
    assert not panel.seen.isChecked()


def test_the_log_of_a_training_is_read_once_and_again_when_it_has_grown(waiting, tmp_path, write_squares, monkeypatch):
    session, runner = waiting
    session.project = annotated_project(tmp_path, write_squares)
    FinetuneController(session).start(TINY)
    Reporter(runner)(STARTED)
    read, events = [], RunFolder.events
    monkeypatch.setattr(RunFolder, "events", lambda self: read.append(self.path) or events(self))
    for _ in range(3):
        history = History(session.project)
        session.look_back()
        list_models_to_compare(session)
        list_choices(session)
        (run,) = history.trainings
        assert run.start is not None and run.end is None
    assert len(read) == 1
    Reporter(runner).end(ENDED)
    (run,) = History(session.project).trainings
    assert run.end is not None
