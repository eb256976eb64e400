"""A process that stays: one job after the other, and it never outlives who asked for it, nor its use."""

import os
import signal
import subprocess
import sys
from itertools import chain

import psutil
import pytest

from napari_unet_finetune.errors import RunError
from napari_unet_finetune.events import Alive, JobEnded
from napari_unet_finetune.runs.child import LOG, Child, ChildJob, WarmChild
from napari_unet_finetune.runs.request import FigureRequest, write_request

BEATING = """
import sys
from pathlib import Path
from napari_unet_finetune.events import JobEnded
from napari_unet_finetune.runs import serve
serve.HEARTBEAT_S = 1e-6
sys.exit(serve.serve(Path(), lambda _folder, _control: iter([JobEnded()])))
"""


@pytest.fixture
def warm():
    warm = WarmChild()
    yield warm
    warm.let_go()


@pytest.fixture
def folders(tmp_path):
    """Return folders of jobs that do nothing and need no torch."""

    def make(name):
        write_request(tmp_path / name, FigureRequest())
        return tmp_path / name

    return make


def test_one_process_carries_out_one_job_after_the_other(warm, folders, tmp_path):
    first = warm.begin(folders("a"))
    assert list(first.events())[-1] == JobEnded()
    assert not warm.is_busy
    (tmp_path / "without request").mkdir()
    with pytest.raises(RunError, match="not the folder of a run"):
        list(warm.begin(tmp_path / "without request").events())
    second = warm.begin(folders("b"))
    assert list(second.events())[-1] == JobEnded()
    assert first.pid == second.pid == warm.pid
    assert (tmp_path / "b" / LOG).is_file()
    pid = warm.pid
    warm.let_go()
    assert warm.pid is None
    assert not psutil.pid_exists(pid)


def test_a_job_beside_one_in_work_has_a_process_of_its_own(warm, folders):
    first, beside = warm.begin(folders("a")), warm.begin(folders("b"))
    assert first.pid != beside.pid
    assert list(beside.events())[-1] == JobEnded() == list(first.events())[-1]
    assert warm.pid == first.pid
    assert not beside.is_alive


def test_a_process_that_is_let_go_ends_its_job_first(warm, folders):
    job = warm.begin(folders("a"))
    warm.let_go()
    assert list(job.events())[-1] == JobEnded()
    assert not job.is_alive


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
@pytest.mark.parametrize("is_known", [True, False])
def test_a_process_that_was_killed_meanwhile_is_replaced(warm, folders, monkeypatch, is_known):
    first = warm.begin(folders("a"))
    list(first.events())
    os.kill(first.pid, signal.SIGKILL)
    if not is_known:  # it dies as the next job is handed over
        monkeypatch.setattr(Child, "is_alive", True)
    second = warm.begin(folders("b"))
    assert list(second.events())[-1] == JobEnded()
    assert second.pid != first.pid


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
def test_a_process_that_is_killed_at_work_is_reported_and_replaced(warm, folders):
    job = warm.begin(folders("a"))
    os.kill(job.pid, signal.SIGKILL)
    with pytest.raises(RunError, match="by signal SIGKILL"):
        list(job.events())
    assert list(warm.begin(folders("b")).events())[-1] == JobEnded()


def test_a_job_that_is_closed_takes_its_process_along(warm, folders):
    job = warm.begin(folders("a"))
    job.close()
    with pytest.raises(RunError):
        list(job.events())
    assert warm.pid is None


def test_a_sign_of_life_of_a_process_that_ends_slowly_does_not_undo_the_end_of_its_job(folders, monkeypatch):
    job, reported = ChildJob(folders("a")), Child.reported
    monkeypatch.setattr(Child, "reported", lambda child: chain(reported(child), [Alive()]))
    assert list(job.events())[-1] == JobEnded()


def test_the_last_sign_of_life_comes_before_the_output_is_closed():
    nobody, stays_open = os.pipe()
    found = subprocess.run([sys.executable, "-c", BEATING], stdin=nobody, capture_output=True, check=False)
    os.close(nobody)
    os.close(stays_open)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"job_ended" in found.stdout


def test_a_job_in_a_process_of_its_own_leaves_none(folders):
    job = ChildJob(folders("a"))
    assert list(job.events())[-1] == JobEnded()
    assert not job.is_alive
