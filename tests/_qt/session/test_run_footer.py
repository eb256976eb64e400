"""The footer says what happens, how far it is, and lets the user pause and stop it."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor

from napari_unet_finetune._qt.session.job_view import REDRAW_MS, Memory, place, position, scores
from napari_unet_finetune._qt.session.jobs import Job, Report
from napari_unet_finetune._qt.session.run_footer import RunFooter
from napari_unet_finetune._qt.widgets.curves import DICE, LOSS, TrainingCurve, decimate
from napari_unet_finetune.events import Alive
from napari_unet_finetune.progress import RunProgress

from ..conftest import HereJob

TRAINING = RunProgress(
    step=120, steps=400, device="cpu", precision="fp32", raw_dice=0.53, best_dice=0.87, best_step=100,
    losses=tuple((step, 1 / step) for step in range(1, 121)), val_dices=((50, 0.7), (100, 0.87)),
    recent_step_s=(0.25,) * 3,
)  # fmt: skip


@pytest.fixture
def footer(waiting, qtbot):
    session, runner = waiting
    footer = RunFooter(session)
    qtbot.addWidget(footer)
    footer.show()
    yield footer, session, runner
    footer.release()


def test_the_words_on_the_bar():
    assert position(RunProgress()) == "Starting…"
    assert position(TRAINING) == "Step 120 of 400 · 1:10 left"
    assert position(TRAINING, is_paused=True) == "Paused: step 120 of 400"
    assert position(TRAINING, is_stopping=True) == "Stopping…"
    assert position(replace(TRAINING, step=400)) == "Step 400 of 400 · finishing…"
    assert position(RunProgress(images=(2, 12), tiles=(3, 9))) == "Image 3 of 12"
    assert position(RunProgress(tiles=(3, 9))) == "Tile 3 of 9"
    part = replace(TRAINING, part="10 images", parts=(1, 4))
    assert position(part) == "10 images (2 of 4), Step 120 of 400 · 1:10 left"


def test_the_words_below_the_curve():
    assert scores(TRAINING) == "Dice on held-out images: 0.530 → 0.870 (best, step 100)"
    assert scores(replace(TRAINING, best_dice=None)) == "Dice on held-out images: 0.530 before"
    assert scores(RunProgress(steps=3)) == ""
    assert place(TRAINING, 1_230_000_000) == "CPU, single precision, 1.2 GB"
    assert place(RunProgress()) == ""


def test_a_message_stays_until_the_next_one(footer):
    footer, session, _ = footer
    assert footer.message.isHidden()
    session.tell("Opened 12 images.")
    assert (footer.message.text, footer.message.isHidden()) == ("Opened 12 images.", False)


def test_nothing_is_shown_of_a_job_until_there_is_one(footer, tmp_path, qtbot):
    footer, session, runner = footer
    assert footer.training.bar.isHidden() or not footer.training.bar.isVisible()
    session.trainings.start(Job(tmp_path, "Finetuning with 5 images"))
    assert footer.training.bar.isVisible()
    assert footer.training.bar.text() == "Starting…"
    assert not footer.curve.isVisible()
    runner.listener.on_report(Report(Alive(), TRAINING))
    qtbot.waitUntil(lambda: footer.training.bar.text() == "Step 120 of 400 · 1:10 left")
    assert footer.training.bar.value() == 300
    assert footer.curve.isVisible()
    assert footer.scores.text().endswith("(best, step 100)")
    runner.listener.on_end(None)
    assert not footer.training.bar.isVisible()


def test_pause_and_stop_reach_the_job(footer, tmp_path, qtbot):
    footer, session, runner = footer
    session.trainings.start(Job(tmp_path, "Finetuning"))
    qtbot.mouseClick(footer.training.pause, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: footer.training.pause.text() == "Resume")
    qtbot.mouseClick(footer.training.pause, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: footer.training.pause.text() == "Pause")
    qtbot.mouseClick(footer.training.stop, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: footer.training.bar.text() == "Stopping…")
    assert not footer.training.stop.isEnabled()
    assert runner.job.said == ["pause", "resume", "stop"]


def test_a_training_and_a_prediction_beside_it_have_a_stop_each(footer, tmp_path, qtbot):
    footer, session, runner = footer
    session.trainings.start(Job(tmp_path / "run", "Finetuning with 5 images"))
    training, runner.job = runner.job, HereJob()
    session.jobs.start(Job(tmp_path / "aside", "Predicting 12 images"))
    assert [view.title.text() for view in (footer.training, footer.other)] == [
        "Finetuning with 5 images",
        "Predicting 12 images",
    ]
    assert footer.training.stop.isVisible() and footer.other.stop.isVisible()
    qtbot.mouseClick(footer.other.stop, Qt.MouseButton.LeftButton)
    assert (runner.job.said, training.said) == (["stop"], [])
    runner.listener.on_end(None)
    assert footer.training.isVisible() and not footer.other.isVisible()


def test_many_reports_cost_few_redraws(footer, tmp_path, qtbot, monkeypatch):
    footer, session, runner = footer
    session.trainings.start(Job(tmp_path, "Finetuning"))
    redraws = []
    monkeypatch.setattr(footer.training.bar, "setFormat", redraws.append)
    for step in range(1000):
        runner.listener.on_report(Report(Alive(), replace(TRAINING, step=step)))
    qtbot.waitUntil(lambda: bool(redraws), timeout=10 * REDRAW_MS)
    assert redraws == ["Step 999 of 400 · finishing…"]


def test_a_long_curve_is_thinned_to_the_width_and_keeps_its_ends():
    points = tuple((step, np.sin(step / 1e4)) for step in range(1, 200_001))
    thin = decimate(points, 300)
    assert len(thin) == 150
    assert (thin[0, 0], thin[-1, 0]) == (1, 200_000)
    assert np.allclose(thin[1:-1, 1], np.sin(thin[1:-1, 0] / 1e4), atol=0.01)
    assert len(decimate(points[:7], 300)) == 7
    assert decimate((), 300).shape == (0, 2)


def test_the_curve_is_drawn_in_the_colors_of_the_theme(qtbot):
    plot = TrainingCurve()
    qtbot.addWidget(plot)
    plot.resize(320, 84)
    for text, ground in (("#ffffff", "#202020"), ("#101010", "#f0f0f0")):
        plot.setStyleSheet(f"background: {ground}; color: {text};")
        plot.set_progress(TRAINING)
        picture = plot.grab().toImage()
        for expected in (LOSS, DICE, QColor(text)):
            assert any(
                _alike(picture.pixelColor(x, y), expected)
                for x in range(picture.width())
                for y in range(picture.height())
            )


def _alike(one, other):
    """Compare colors on a screen that may have 16 bits of them."""
    return all(abs(a - b) <= 8 for a, b in zip(one.getRgb(), other.getRgb(), strict=True))


def test_the_memory_of_a_process_that_is_gone_is_unknown():
    import os

    assert Memory().of(os.getpid()) > 1e6
    assert Memory().of(None) is None
    assert Memory().of(2**22 - 1) is None


def test_a_footer_that_was_released_is_not_told_any_more(waiting, qtbot):
    session, _ = waiting
    footer = RunFooter(session)
    qtbot.addWidget(footer)
    footer.release()
    session.tell("Nobody hears this.")
    assert footer.message.text == ""
