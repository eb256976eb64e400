"""One worker at a time, and none that is dead."""

import subprocess
import sys

import pytest

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.io.disk import locked

HOLDER = """
import sys, time
from pathlib import Path
from napari_unet_finetune.io.disk import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_held_once_even_within_one_process(tmp_path):
    with locked(tmp_path), pytest.raises(RunError, match="being worked on already"), locked(tmp_path):
        pass


def test_a_folder_can_be_held_again_afterwards_even_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_another_process_is_refused_and_a_killed_one_is_in_nobodys_way(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=str(tmp_path)), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"), locked(tmp_path / "file"):
        pass
