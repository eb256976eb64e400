"""A model is exported by a job; what the user says of it, and what came of it."""

import pytest

pytest.importorskip("qtpy")

from napari_unet_finetune._qt.model.export import ExportDialog, export
from napari_unet_finetune._qt.model.panel import ModelPanel
from napari_unet_finetune.config import ExportConfig
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.runs.request import ExportRequest

from ..finetuning_data import save_model


def test_a_job_writes_it_and_the_docks_say_what_other_programs_must_know(session, tmp_path):
    model, out = save_model(tmp_path / "mine.safetensors"), tmp_path / "out" / "mine.pt"  # needs nothing of the extra
    export(session, str(model), out, ExportConfig())
    assert out.is_file() and session.message.text.startswith(f"{out} is written. The network takes tiles of ")
    written = out.read_bytes()
    export(session, str(model), out, ExportConfig())
    assert session.message.tone == "error" and "exists already" in session.message.text
    assert out.read_bytes() == written


def test_what_is_said_of_it_travels_in_the_request(waiting, tmp_path):
    session, runner = waiting
    config = ExportConfig(authors="Ada, Bob", license="MIT", mask=True)
    export(session, "microtube", tmp_path / "x.zip", config)
    asked = runner.listener.request
    assert asked == ExportRequest(checkpoint="microtube", out=tmp_path / "x.zip", config=config)
    export(session, "microtube", tmp_path / "y.zip", config)
    assert "still running" in session.message.text


def test_the_dialog_begins_with_the_name_and_says_what_cannot_be(qtbot):
    dialog = ExportDialog(read_card("microtube"))
    qtbot.addWidget(dialog)
    assert dialog.form.value().name == "microtube" and "dataset" not in dialog.form.boxes
    dialog.form.boxes["authors"].value = "Ada/Bob"
    dialog.accept()
    assert "without '/'" in dialog.message.text and not dialog.result()
    dialog.form.boxes["authors"].value = "Ada, Bob"
    dialog.accept()
    assert dialog.result() and dialog.form.value().author_names == ("Ada", "Bob")


def test_of_several_datasets_one_can_be_chosen(qtbot):
    known = read_card("microtube").model_copy(update={"knows": (Appearance(), Appearance(inverted=(0,)))})
    dialog = ExportDialog(known)
    qtbot.addWidget(dialog)
    assert dialog.form.value().dataset is None
    dialog.form.boxes["dataset"].value = 1
    assert dialog.form.value().dataset == 1


def test_the_button_exports_the_model_of_the_card(waiting, qtbot, tmp_path, monkeypatch):
    session, runner = waiting
    session.model = "microtube"
    panel = ModelPanel(session)
    qtbot.addWidget(panel)
    name = "napari_unet_finetune._qt.model.export"
    monkeypatch.setattr(f"{name}.ExportDialog.exec", lambda dialog: dialog.DialogCode.Accepted)
    monkeypatch.setattr(f"{name}.ask_for_file", lambda *_: tmp_path / "m.zip")
    panel.export_button.click()
    assert runner.listener.request.out == tmp_path / "m.zip"
    assert runner.listener.request.checkpoint == str(read_card("microtube").path)
    session.predictor = str(tmp_path / "gone.safetensors")
    assert not panel.export_button.isEnabled()
    panel.release()
