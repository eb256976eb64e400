"""Nothing is replaced without a question, also where a suffix is added to the name that was typed."""

import pytest

pytest.importorskip("qtpy")

from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_unet_finetune._qt.widgets.file_dialogs import ask_for_file, may_replace

KINDS = "PNG (*.png);;TIFF (*.tif *.tiff)"


@pytest.fixture
def ask(monkeypatch, tmp_path):
    """Return a function that asks for a file, of which the user types the name, and how often it asked again."""
    asked = []

    def run(name, *, kind="PNG (*.png)", replace=True):
        button = QMessageBox.StandardButton.Yes if replace else QMessageBox.StandardButton.No
        typed = str(tmp_path / name) if name else ""
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (typed, kind))
        monkeypatch.setattr(QMessageBox, "question", lambda *_args: asked.append(name) or button)
        found = ask_for_file(None, "Save", "x.png", KINDS)
        return None if found is None else found.name, len(asked)

    return run


def test_a_name_that_is_typed_in_full_was_asked_for_by_the_dialog(ask, tmp_path):
    (tmp_path / "a.tiff").touch()
    assert ask("a.tiff") == ("a.tiff", 0)
    assert ask("A.PNG") == ("A.PNG", 0)
    assert ask("") == (None, 0)


def test_a_suffix_is_added_and_the_file_of_that_name_asked_for(ask, tmp_path):
    assert ask("cells") == ("cells.png", 0)
    (tmp_path / "cells.tif").touch()
    assert ask("cells", kind="TIFF (*.tif *.tiff)", replace=False) == (None, 1)
    assert ask("cells", kind="TIFF (*.tif *.tiff)") == ("cells.tif", 2)


def test_a_dot_in_the_name_is_no_suffix(ask):
    assert ask("threshold 0.5", kind="") == ("threshold 0.5.png", 0)


def test_a_new_file_needs_no_question(tmp_path):
    assert may_replace(None, tmp_path / "new.csv")
