"""Old or new: a slider shows what each mix of base and finetuned model is worth, and one can be kept."""

from dataclasses import replace

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from napari_unet_finetune._qt.compare.models import list_models_to_compare
from napari_unet_finetune._qt.finetune.panel import FinetunePanel
from napari_unet_finetune._qt.finetune.weigh_box import WeighBox
from napari_unet_finetune._qt.session.jobs import Job
from napari_unet_finetune._qt.session.session import Session
from napari_unet_finetune._qt.widgets.accordion import Accordion
from napari_unet_finetune._qt.widgets.layout import in_column
from napari_unet_finetune.events import ImageChange
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.parents import find_parent
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.questions.weigh import ShareScores, Weighing
from napari_unet_finetune.text import number
from napari_unet_finetune.training.keep import Kept

from ..conftest import run_here
from ..finetuning_data import ENDED, STARTED, TINY, Reporter, annotated_project, save_model

SCORES = Weighing(
    "base", "new one", 1, 2,
    tuple(
        ShareScores(tenth / 10, 0.4 + tenth / 25, 0.9 - tenth / 50, ImageChange("dark one", 0.9, 0.9 - tenth / 20))
        for tenth in range(11)
    ),
)  # fmt: skip


@pytest.fixture
def box(qtbot):
    box = WeighBox()
    qtbot.addWidget(box)
    box.set_weighing(SCORES)
    return box


def test_the_slider_begins_at_the_finetuned_model_and_shows_both_scores(box, qtbot):
    assert not box.keep.isEnabled() and box.what.text() == "The finetuned model."
    box.resize(300, 140)
    box.show()
    box.slider.setFocus()
    for _ in range(4):
        qtbot.keyClick(box.slider, Qt.Key.Key_Left)
    assert box.scores.share == 0.6 and "60 % of the way" in box.what.text()
    assert box.old.text().endswith("0.900 → 0.780") and box.new.text().endswith("0.400 → 0.640")
    assert box.worst.text() == "Worst old image: dark one: 0.900 → 0.600"
    with qtbot.waitSignal(box.keep_requested) as kept:
        qtbot.mouseClick(box.keep, Qt.MouseButton.LeftButton)
    assert kept.args == [0.6]
    qtbot.keyClick(box.slider, Qt.Key.Key_Home)
    assert not box.keep.isEnabled() and box.what.text() == "base, the base."


def test_where_the_training_kept_the_base_the_slider_begins_there_and_the_finetuned_weights_can_be_kept(box, qtbot):
    box.set_weighing(replace(SCORES, kept_base=True))
    assert box.scores.share == 0 and not box.keep.isEnabled()
    box.slider.setValue(10)
    assert box.what.text() == "The finetuned weights, which the training did not keep."
    assert box.old.text().endswith("0.900 → 0.700") and box.new.text().endswith("0.400 → 0.800")
    box.show()
    with qtbot.waitSignal(box.keep_requested) as kept:
        click(qtbot, box.keep)
    assert kept.args == [1.0] and box.keep.text() == "Keep these weights"
    box.slider.setValue(6)
    assert box.keep.isEnabled() and box.keep.text() == "Keep this mix"


def test_what_was_not_measured_is_said(box):
    box.set_weighing(Weighing("base", "new one", 1, 0, (ShareScores(0, 0.4, None), ShareScores(1, 0.8, None))))
    assert "not measured" in box.old.text() and box.worst.isHidden()


def trained_here(session, tmp_path, write_squares, qtbot):
    """Return the section after a training in this process, with a base that knows nothing."""
    session.model = save_model(tmp_path / "base.safetensors", seed=1)
    session.project = annotated_project(tmp_path, write_squares)
    panel = FinetunePanel(session)
    qtbot.addWidget(panel)
    panel.finetuning.start(TINY.model_copy(update={"learning_rate": 3e-3}))
    panel.show()
    return panel


@pytest.fixture
def panel(session, tmp_path, write_squares, qtbot):
    """Yield the section after a training that kept its finetuned weights."""
    panel = trained_here(session, tmp_path, write_squares, qtbot)
    yield panel
    panel.release()


def click(qtbot, button):
    assert button.isVisible() and button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_mix_is_kept_by_a_click_predicts_and_is_found_again(panel, session, qtbot, tmp_path, viewer):
    run, model = session.history.training, panel.finetuning.model
    before = model.read_bytes()
    click(qtbot, panel.outcome.weigh)
    box, found = panel.outcome.weighing, panel.weighing.weighing
    assert box.isVisible() and session.message.text == found.headline  # its base carries no old images
    assert (found.rows[0].new, found.rows[-1].new) == (run.end.raw_dice, run.end.finetuned_dice)
    assert number(run.end.finetuned_dice) in panel.outcome.message.text
    box.slider.setValue(6)
    click(qtbot, box.keep)
    mix, card = run.folder.path / "mix-60.safetensors", read_card(run.folder.path / "mix-60.safetensors")
    assert session.predictor == str(mix) and model.read_bytes() == before
    assert card.provenance.scores["val_dice"] == found.at(0.6).new
    assert box.new.text().endswith(number(card.provenance.scores["val_dice"]))
    assert find_parent(card, [model, session.model]) == tmp_path / "base.safetensors"
    (entry,) = (one for one in list_models_to_compare(session) if one.file == mix)
    assert entry.label.startswith("mix 60 %, ") and entry.label in session.message.text
    assert entry.details == f"Dice {number(found.at(0.6).new)}"
    assert box.isVisible() and box.slider.value() == 6  # it can still be moved
    click(qtbot, box.keep)
    assert run.folder.mixes == (mix,)  # it is there already
    again = Session(viewer, run_here)
    again.project = Project.open(session.project.source, session.project.folder)
    other = FinetunePanel(again)
    qtbot.addWidget(other)
    assert again.predictor == str(mix) and other.finetuning.model == model
    assert mix in [one.file for one in list_models_to_compare(again)]
    other.release()


def test_finetuned_weights_that_a_training_did_not_keep_are_taken_by_a_click(
    session, tmp_path, write_squares, qtbot, monkeypatch, viewer
):
    def keep_the_base(_network, setup, _progress):
        return Kept(setup.base.weights, 0.0)

    monkeypatch.setattr("napari_unet_finetune.training.conclude.choose_weights", keep_the_base)
    panel = trained_here(session, tmp_path, write_squares, qtbot)
    run = session.history.training
    assert run.end.kept_raw and panel.finetuning.model is None and not panel.outcome.compare.isEnabled()
    click(qtbot, panel.outcome.weigh)
    box = panel.outcome.weighing
    assert "kept the weights of the base" in session.message.text and box.isVisible()
    box.slider.setValue(10)
    click(qtbot, box.keep)
    taken = run.folder.path / "mix-100.safetensors"
    assert session.predictor == str(taken) and "finetuned weights, " in session.message.text
    assert taken in [one.file for one in list_models_to_compare(session)]
    again = Session(viewer, run_here)
    again.project = Project.open(session.project.source, session.project.folder)
    other = FinetunePanel(again)
    qtbot.addWidget(other)
    assert again.predictor == str(taken) and other.finetuning.model is None and other.outcome.weigh.isEnabled()
    for one in (panel, other):
        one.release()


def test_while_a_training_runs_nothing_is_weighed(waiting, tmp_path, write_squares, qtbot):
    session, runner = waiting
    session.project = annotated_project(tmp_path, write_squares)
    panel = FinetunePanel(session)
    qtbot.addWidget(panel)
    panel.start()
    Reporter(runner).end(STARTED, ENDED)
    assert panel.finetuning.model is not None
    session.jobs.close()
    panel.weighing.weighing = SCORES
    panel.weighing.changed.emit()
    panel.start()
    folder = runner.folder
    for do in (panel.weighing.ask, lambda: panel.weighing.keep(0.6)):
        do()
        assert session.message.tone == "error" and runner.folder == folder
    assert panel.outcome.weighing.isHidden() and panel.weighing.weighing is None  # of the model before
    panel.release()


def test_what_cannot_be_weighed_is_told_and_nothing_shown(panel, session, tmp_path):
    session.trainings.job = Job(panel.finetuning.model.parent, "A learning curve")
    panel.weighing.ask()
    assert session.message.text == "A learning curve is still running. Wait for it to finish, or stop it first."
    session.trainings.job = None
    (tmp_path / "base.safetensors").rename(tmp_path / "elsewhere.safetensors")
    panel.weighing.ask()
    assert "base model is not where it was" in session.message.text and session.message.tone == "error"
    assert panel.outcome.weighing.isHidden()


def test_a_part_of_a_section_is_scrolled_into_sight(qtbot):
    section, part = QWidget(), QPushButton("part")
    section.setLayout(in_column(QLabel("\n" * 40), part, QLabel("\n" * 40)))
    accordion = Accordion()
    qtbot.addWidget(accordion)
    accordion.add("one", section)
    accordion.open(0)
    accordion.resize(200, 300)
    accordion.show()
    assert part.visibleRegion().isEmpty()
    accordion.show_part(0, part)
    qtbot.waitUntil(lambda: not part.visibleRegion().isEmpty())
    accordion.show_top(0)
    assert part.visibleRegion().isEmpty()
