"""The section Finetune: settings in plain words, what a training will use, why it cannot start, and what came of it."""

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QApplication

from napari_unet_finetune._qt.finetune.panel import FinetunePanel
from napari_unet_finetune._qt.finetune.settings_form import SettingsForm
from napari_unet_finetune._qt.widgets.accordion import Accordion
from napari_unet_finetune.config import PRESETS, AugmentConfig, FinetuneConfig
from napari_unet_finetune.events import StepEnd, ValidationEnd
from napari_unet_finetune.runs.folder import STATE, RunFolder
from napari_unet_finetune.runs.request import read_request
from napari_unet_finetune.text import about

from ..finetuning_data import ENDED, KEPT, STARTED, Reporter, annotated_project, save_model


@pytest.fixture
def panel(waiting, qtbot):
    session, runner = waiting
    session.model = "microtube"
    panel = FinetunePanel(session)
    qtbot.addWidget(panel)
    yield panel, session, runner
    panel.release()


@pytest.fixture
def ready(panel, tmp_path, write_squares):
    panel, session, runner = panel
    session.project = annotated_project(tmp_path, write_squares)
    return panel, session, runner


def test_the_settings_begin_with_the_default_preset(panel):
    panel, _, _ = panel
    assert panel.config == FinetuneConfig()


@pytest.mark.parametrize("preset", PRESETS)
def test_choosing_a_preset_fills_in_everything(qtbot, preset):
    form = SettingsForm()
    qtbot.addWidget(form)
    form.essential.boxes["seed"].value = 7
    form.preset.set_value("fast" if preset == "default" else "default")
    form.preset.set_value(preset)
    assert form.config == FinetuneConfig(preset=preset)


def test_the_strength_of_the_augmentation_is_one_choice_over_many_settings(qtbot):
    form = SettingsForm()
    qtbot.addWidget(form)
    assert form.strength.value() == "standard"
    form.strength.set_value("off")
    assert form.config.augment.is_off
    form.strength.set_value("light")
    assert form.config.augment.p_affine == AugmentConfig().p_affine / 2
    form.expert.boxes["augment"].value = AugmentConfig(p_noise=1)
    assert form.strength.value() == "as set below"
    assert form.config.augment.p_noise == 1


def test_what_does_not_go_together_is_said_and_nothing_starts(ready):
    panel, _, runner = ready
    panel.settings.expert.boxes["epochs"].value = 5
    assert panel.config is None
    assert panel.reason.text.startswith("Epochs train the study's plain grid; switch 'Replay' and")
    assert not panel.button.isEnabled()
    assert not panel.settings.essential.boxes["steps"].enabled
    panel.start()
    assert runner.folder is None
    panel.settings.set_preset("default")
    assert panel.button.isEnabled() and panel.reason.text == ""


def test_a_value_out_of_range_frames_its_field(ready):
    panel, _, _ = ready
    panel.settings.expert.boxes["patch_size"].value = 33
    assert panel.reason.text == "Patch size (px) should be a multiple of 8, but it is 33."
    assert "border" in panel.settings.expert.boxes["patch_size"].native.styleSheet()


def test_the_button_says_what_is_missing(panel, tmp_path, write_squares):
    panel, session, _ = panel
    assert (panel.reason.text, panel.button.isEnabled()) == ("Open a dataset first.", False)
    session.project = annotated_project(tmp_path, write_squares, 3, 0)
    assert panel.reason.text == "Annotate at least 1 image."
    session.project.save_labels("img_00", np.ones((48, 48), np.uint16), "painted")
    session.images_changed.emit()
    assert (panel.reason.text, panel.button.isEnabled()) == ("", True)
    session.model = tmp_path / "gone.safetensors"
    assert panel.reason.text.startswith("gone, the base chosen for this dataset, is not where it was")
    assert not panel.button.isEnabled()


def test_old_masks_need_their_images(ready, tmp_path):
    panel, _, runner = ready
    panel.old.masks.set_value(tmp_path)
    assert "need their images" in panel.reason.text
    panel.old.images.set_value(tmp_path / "gone")
    assert "there is no such folder" in panel.reason.text
    panel.old.images.set_value(tmp_path)
    panel.start()
    assert read_request(runner.folder).base_masks == tmp_path


def test_old_images_may_come_without_masks(ready, tmp_path):
    panel, _, runner = ready
    panel.old.images.set_value(tmp_path)
    assert panel.reason.text == ""
    panel.start()
    request = read_request(runner.folder)
    assert (request.base_images, request.base_masks) == (tmp_path, None)


def test_what_a_training_will_use_is_said_at_once(ready):
    panel, session, _ = ready
    words = panel.words.text()
    assert "4 annotated images: 3 to train on, 1 held out" in words
    session.project.set_role(["img_00"], "test")
    session.images_changed.emit()
    assert "4 annotated images: 3 to train on, none held out, 1 kept for testing." in panel.words.text()


def test_the_images_are_looked_at_in_the_background_when_the_section_is_opened(ready, qtbot):
    panel, session, _ = ready
    session.project.save_labels("img_01", np.zeros((48, 48), np.uint16), "painted")
    session.images_changed.emit()
    panel.show()
    qtbot.waitUntil(lambda: "1 mask is empty (img_01)" in panel.words.text(), timeout=20_000)
    assert "smaller than a patch of 128 px" in panel.words.text()
    assert not panel.check.is_looking
    looked = panel.check.sentences
    panel.refresh()
    qtbot.waitUntil(lambda: not panel._soon.isActive())
    assert panel.check.sentences is looked


def test_from_scratch_is_offered_only_with_many_images(panel, tmp_path, write_squares):
    panel, session, runner = panel
    assert panel.settings.preset.findData("from scratch") < 0
    session.project = annotated_project(tmp_path, write_squares, 20, 20)
    assert panel.settings.preset.findData("from scratch") >= 0
    panel.settings.preset.set_value("from scratch")
    assert "from scratch" in panel.base.text()
    panel.start()
    assert read_request(runner.folder).task == "train"


def test_a_click_starts_a_training_with_what_is_set(ready, qtbot):
    panel, session, runner = ready
    panel.settings.essential.boxes["steps"].value = 123
    panel.show()
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    request = read_request(runner.folder)
    assert (request.config.steps, request.checkpoint) == (123, "microtube")
    assert "Finetuning with 4 images (1 held out)" in panel.reason.text and not panel.button.isEnabled()
    session.project.save_labels("img_02", np.ones((48, 48), np.uint16), "painted")
    session.images_changed.emit()
    assert panel.changed_since.text == "Labels changed since this training began: img_02."


def test_a_number_that_is_typed_and_not_confirmed_counts_when_a_training_starts(ready, qtbot):
    panel, _, runner = ready
    box = panel.settings.essential.boxes["steps"].native.findChild(QAbstractSpinBox)
    box.selectAll()
    qtbot.keyClicks(box, "345")
    assert panel.config.steps != 345
    panel.button.click()  # as by its key: the focus stays where it is
    assert read_request(runner.folder).config.steps == 345


def test_the_chosen_preset_says_how_long_it_trains_as_it_is_set(ready):
    panel, _, _ = ready
    form, panel.finetuning.pace = panel.settings, 1e-5
    panel.refresh()
    others = {form.preset.itemText(place) for place in range(form.preset.count())} - {form.preset.currentText()}
    for steps in (100, 4000):
        form.essential.boxes["steps"].value = steps
        most = "at most " if form.config.may_end_early else ""
        assert form.preset.currentText() == f"Default ({most}{steps} steps, {about(1e-5 * form.config.trained_px)})"
    assert others < {form.preset.itemText(place) for place in range(form.preset.count())}
    form.preset.set_value("fast")
    form.preset.set_value("default")
    assert form.preset.currentText().startswith("Default (at most 2000 steps")


def test_the_end_stays_readable_with_what_to_do_next(ready, qtbot):
    panel, _, runner = ready
    panel.start()
    assert panel.outcome.isHidden()
    Reporter(runner).end(STARTED, StepEnd(400, 0.1, 1e-3, 0.25), ENDED)
    assert panel.outcome.message.text == ENDED.summary
    assert panel.button.isEnabled()
    assert panel.base.text() == "Starts from microtube."
    assert panel.settings.preset.currentText() == "Default (at most 2000 steps, about 8 min)"
    panel.show()
    for button, signal in (
        (panel.outcome.compare, panel.compare_requested),
        (panel.outcome.predict, panel.predict_requested),
        (panel.outcome.annotate, panel.annotate_requested),
    ):
        with qtbot.waitSignal(signal):
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_button_stays_where_it_is_above_what_came_of_a_training(ready, qtbot):
    panel, _, runner = ready
    sections = Accordion()
    qtbot.addWidget(sections)
    sections.add("Finetune", panel)
    sections.open(0)
    sections.resize(384, 700)
    sections.show()
    qtbot.waitUntil(lambda: not panel.check.is_looking and panel.words.text() != "", timeout=20_000)
    QApplication.processEvents()
    before = panel.button.geometry()
    panel.start()
    QApplication.processEvents()
    assert panel.button.geometry() == before
    Reporter(runner).end(STARTED, StepEnd(400, 0.1, 1e-3, 0.25), ENDED)
    qtbot.waitUntil(panel.outcome.isVisible)
    assert panel.button.geometry().bottom() < panel.outcome.geometry().top()


def test_without_a_new_model_there_is_nothing_to_compare(ready):
    panel, _, runner = ready
    panel.start()
    Reporter(runner).end(STARTED, KEPT)
    assert "base model is kept" in panel.outcome.message.text
    assert not panel.outcome.compare.isEnabled()


def test_an_interrupted_training_is_offered_and_can_be_taken_up(ready, qtbot):
    panel, session, runner = ready
    panel.start()
    folder = RunFolder(runner.folder)
    Reporter(runner)(STARTED, StepEnd(120, 0.1, 1e-3, 0.2), ValidationEnd(100, 0.7, None, best=True))
    (folder.path / STATE).touch()
    session.trainings.free()  # as if napari had been killed
    session.project = session.project
    assert not panel.interrupted.isHidden()
    assert panel.interrupted.message.text.endswith("with 4 images was interrupted at step 120 of 400.")
    assert not panel.interrupted.best.isEnabled()
    save_model(folder.best_path)
    panel._on_finetuning_changed()
    assert panel.interrupted.best.isEnabled()
    panel.show()
    qtbot.mouseClick(panel.interrupted.resume, Qt.MouseButton.LeftButton)
    assert runner.folder == folder.path and session.trainings.is_running
    assert panel.interrupted.isHidden()


def test_a_finetuned_base_is_said(ready, tmp_path):
    from napari_unet_finetune.models.load import load_model

    panel, session, _ = ready
    base = load_model("microtube")
    about = base.card.provenance.model_copy(update={"name": "lilac", "parent_sha256": "0" * 64})
    base.with_card(provenance=about).save(tmp_path / "lilac.safetensors")
    session.model = tmp_path / "lilac.safetensors"
    assert "lilac, which was itself finetuned" in panel.base.text()
    assert panel.button.isEnabled()


def test_a_released_panel_is_not_told_any_more(waiting, qtbot, tmp_path, write_squares):
    session, _ = waiting
    panel = FinetunePanel(session)
    qtbot.addWidget(panel)
    panel.release()
    session.project = annotated_project(tmp_path, write_squares, 2, 1)
    assert panel.reason.text == "Open a dataset first."


def test_the_sections_need_neither_torch_nor_plotting(loaded_by):
    names = ("finetune.panel", "finetune.controller", "model.panel", "session.run_footer")
    code = "".join(f"import napari_unet_finetune._qt.{name}\n" for name in names)
    assert not {"torch", "matplotlib", "pandas"} & loaded_by(code)


def test_a_section_opened_again_during_a_training_hears_of_its_end(panel, tmp_path, write_squares, qtbot):
    panel, session, runner = panel
    session.project = annotated_project(tmp_path, write_squares)
    panel.start()
    report = Reporter(runner)
    report(STARTED)
    again = FinetunePanel(session)
    qtbot.addWidget(again)
    report.end(ENDED)
    assert not again.outcome.isHidden()
    again.release()


def test_settings_are_remembered_with_the_dataset_and_another_one_begins_anew(panel, tmp_path, write_squares, qtbot):
    panel, session, _ = panel
    first, second = (annotated_project(tmp_path / name, write_squares) for name in ("a", "b"))
    session.project = first
    panel.settings.set_value(FinetuneConfig(preset="fast", steps=77))
    panel.old.images.set_value(tmp_path)
    session.project = second
    assert panel.config.steps != 77 and panel.old.images.value() is None
    session.project = first
    assert (panel.config.preset, panel.config.steps, panel.old.images.value()) == ("fast", 77, tmp_path)
    again = FinetunePanel(session)
    qtbot.addWidget(again)
    assert again.config == panel.config
    again.release()
