"""Atomic writing: the old file or the new one, never half of one."""

import errno
import hashlib
import ntpath
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from napari_unet_finetune.errors import DataError, RunError
from napari_unet_finetune.io import disk
from napari_unet_finetune.io.disk import atomic_write, file_hash, file_stem, path_within, remove_partial, write_file


def test_the_file_holds_what_was_written_and_nothing_is_left_beside_it(tmp_path):
    atomic_write(tmp_path / "new" / "a.bin", lambda file: file.write(b"content"))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.bin"]
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"content"


def test_a_name_as_long_as_file_systems_allow_can_be_written(tmp_path):
    path = tmp_path / f"{'x' * 251}.bin"
    atomic_write(path, lambda file: file.write(b"content"))
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_replaced_only_when_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"

    atomic_write(path, write)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("unexpected pos")])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        atomic_write(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_the_file_as_any_other(tmp_path):
    atomic_write(tmp_path / "a.bin", lambda file: file.write(b"x"))
    (tmp_path / "b.bin").write_bytes(b"x")
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "b.bin").stat().st_mode


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_writer_leaves_the_old_file_and_only_a_partial_that_is_swept(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    script = """
        import os, signal, sys
        from pathlib import Path
        from napari_unet_finetune.io.disk import atomic_write

        def write(file):
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

        atomic_write(Path(sys.argv[1]), write)
    """
    source = {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), path], env=os.environ | source, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    remove_partial(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def raising(winerror, times):
    """Return what `Path.replace` does on Windows while another program looks at the file, so many times."""
    replace, calls = Path.replace, iter(range(times))

    def refused(path, target):
        if next(calls, None) is None:
            return replace(path, target)
        error = PermissionError(errno.EACCES, "Access is denied")
        error.winerror = winerror
        raise error

    return refused


@pytest.mark.parametrize("winerror", [5, 32])
def test_a_file_that_a_virus_scanner_looks_at_is_replaced_a_moment_later(tmp_path, monkeypatch, winerror):
    (tmp_path / "a.bin").write_bytes(b"old")
    monkeypatch.setattr(disk, "_PAUSE_S", 0)
    monkeypatch.setattr(Path, "replace", raising(winerror, 3))
    atomic_write(tmp_path / "a.bin", lambda file: file.write(b"new"))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


@pytest.mark.parametrize(("winerror", "times"), [(32, 1000), (None, 1), (17, 1)])
def test_a_file_that_stays_in_use_keeps_its_content_and_is_told(tmp_path, monkeypatch, winerror, times):
    (tmp_path / "a.bin").write_bytes(b"old")
    monkeypatch.setattr(disk, "_PAUSE_S", 0)
    monkeypatch.setattr(Path, "replace", raising(winerror, times))
    with pytest.raises(DataError, match="Access is denied"):
        write_file(tmp_path / "a.bin", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    "name",
    [
        "con",
        "CON.tif",
        "nul.ome",
        "com1",
        "LPT9.a.b",
        "com\u00b9",
        "conin$",
        "aux .tif",
        "a.",
        "a ",
        "a:b",
        "a?",
        'a"b',
        "a|b",
    ],
)
def test_a_name_that_windows_does_not_take_is_changed_and_told_apart(name):
    stem = file_stem(name)
    assert stem != name and stem != file_stem(f"_{name}")
    assert not set(stem) & set('<>:"/\\|?*') and stem[-1] not in ". "
    assert file_stem(stem) == stem  # what was made so stays


@pytest.mark.parametrize("name", ["control", "com", "com10", "console.tif", "nula", "auxin", "lpt", "prn2"])
def test_a_name_that_only_looks_like_a_device_stays(name):
    assert file_stem(name) == name


def test_a_path_is_written_down_as_seen_from_its_folder_with_slashes(tmp_path, monkeypatch):
    file = tmp_path / "b" / "c.tif"
    assert path_within(tmp_path / "a", file) == "../b/c.tif"
    monkeypatch.setattr(os.path, "relpath", lambda *_: ntpath.relpath("D:\\images", "C:\\masks"))
    assert path_within(tmp_path / "a", file) == file.as_posix()


@pytest.mark.parametrize(("hours", "stays"), [(-2, False), (0, True), (2, False)])
def test_what_is_left_half_written_is_old_by_any_clock(tmp_path, hours, stays):
    left = tmp_path / ".0a1b2c3d0a1b2c3d.partial"
    left.touch()
    moment = time.time() + 3600 * hours
    os.utime(left, (moment, moment))
    remove_partial(tmp_path, older_than_s=3600)
    assert left.exists() is stays


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files")
def test_a_folder_that_takes_no_files_is_an_os_error():
    with pytest.raises(FileNotFoundError):
        atomic_write(Path("/proc/self/a.bin"), lambda file: file.write(b"x"))


@pytest.mark.parametrize("content", ["text", b"text", lambda file: file.write(b"text")])
def test_text_bytes_and_writers_are_written_alike(tmp_path, content):
    write_file(tmp_path / "new" / "a.txt", content)
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"text"


@pytest.mark.parametrize("error", [DataError, RunError])
def test_what_cannot_be_written_is_said_in_a_sentence(tmp_path, error):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(error, match=r"a\.txt cannot be written \(.+\)\. Free some space or choose another folder\."):
        write_file(tmp_path / "file" / "a.txt", "text", error=error)


def test_the_hash_is_that_of_the_content(tmp_path):
    for content in (b"content", b"CONTENT"):
        write_file(tmp_path / "a", content)
        assert file_hash(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    with pytest.raises(DataError, match="gone"):
        file_hash(tmp_path / "gone")
