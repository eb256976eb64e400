"""One worker at a time, and none that is dead."""

import errno
import os
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


fcntl = pytest.importorskip("fcntl", reason="Windows has locks on every disk")

HOLDER_WITHOUT_LOCKS = f"""
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = flock
{HOLDER}"""


class TestDiskWithoutLocks:
    """A network disk that has none."""

    @pytest.fixture(autouse=True, params=[errno.ENOSYS, errno.ENOLCK], ids=["not implemented", "no lock daemon"])
    def _no_locks(self, monkeypatch, request):
        def flock(*_):
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr(fcntl, "flock", flock)

    def test_a_folder_is_held_once_and_can_be_held_again(self, tmp_path):
        for _ in range(2):
            with locked(tmp_path):
                with pytest.raises(RunError, match="being worked on already"), locked(tmp_path):
                    pass
                assert f"It is process {os.getpid()} on " in refusal(tmp_path)

    def test_what_a_disk_with_locks_has_left_holds_nobody_up(self, tmp_path):
        (tmp_path / "working.lock").touch()
        with locked(tmp_path):
            pass

    def test_a_killed_process_of_this_computer_is_in_nobodys_way(self, tmp_path):
        code = [sys.executable, "-c", HOLDER_WITHOUT_LOCKS, str(tmp_path)]
        with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(RunError, match=f"process {holder.pid}"), locked(tmp_path):
                pass
            holder.kill()
        with locked(tmp_path):
            pass

    @pytest.mark.parametrize("pid", [os.getpid(), 2**22 - 3], ids=["alive here", "of nobody here"])
    def test_a_process_of_another_computer_is_never_taken_for_dead(self, tmp_path, pid):
        held = tmp_path / "working.lock.held"
        held.write_text(f"{pid}\nnode17\n")
        said = refusal(tmp_path)
        assert f"It is process {pid} on node17" in said and str(held) in said
        held.unlink()  # as the sentence says
        with locked(tmp_path):
            pass


def refusal(folder):
    with pytest.raises(RunError) as error, locked(folder):
        pass
    return str(error.value)
