"""Workers: what they need, and that nothing is lost when they, the scheduler or this program are killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from safetensors.numpy import load_file

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.engine import INSTALL, Cluster, remove_shared_folders, shared_folder
from napari_unet_finetune.errors import DataError, RunError
from napari_unet_finetune.events import drain

# Dask's own warnings at its end, of sockets that were closed with the process at the other side.
full = [pytest.mark.full, pytest.mark.filterwarnings("default")]


def test_without_dask_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RunError) as error:
        Cluster(workers=2)
    assert INSTALL in str(error.value)


def test_what_is_no_scheduler_is_told_at_once():
    pytest.importorskip("distributed")
    with pytest.raises(RunError, match="'nowhere' is neither the address of a scheduler"):
        Cluster(scheduler="nowhere")
    with pytest.raises(ValueError, match="not both"):
        Cluster(2, "tcp://localhost:8786")


def test_the_shared_folder_is_there_as_long_as_it_is_needed_and_no_earlier_one_stays(tmp_path):
    earlier = tmp_path / ".spread-0123456789abcdef"
    earlier.mkdir()
    with shared_folder(tmp_path) as folder:
        assert any(folder.iterdir()) and folder.name.startswith(".") and not earlier.exists()
        remove_shared_folders(tmp_path)
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_nothing_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"), shared_folder(tmp_path / "file"):
        pass


class Worth:
    """A piece that sleeps and returns its worker's process, or fails."""

    def __init__(self, number, seconds=0.0, error=None):
        self.number, self.seconds, self.error = number, seconds, error

    @property
    def name(self):
        return f"piece {self.number}"

    def carry_out(self, should_stop):
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not should_stop():
            time.sleep(0.05)
        if self.error is not None:
            raise self.error
        return os.getpid(), should_stop()


class Deadly(Worth):
    """A piece that kills its worker."""

    def carry_out(self, _should_stop):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster():
    """Return a cluster of two processes, which find this module."""
    pytest.importorskip("distributed")
    with Cluster(workers=2) as made:
        made.client.upload_file(__file__)
        yield made


def in_turn(pieces):
    left = iter(pieces)
    return lambda: next(left, None)


class TestCluster:
    """One cluster for all of these: a second takes longer than they do."""

    pytestmark = full

    @pytest.fixture(autouse=True)
    def _pickled_by_name(self, monkeypatch):
        monkeypatch.setattr(Worth, "__module__", "test_engine")
        monkeypatch.setattr(Deadly, "__module__", "test_engine")
        monkeypatch.setitem(sys.modules, "test_engine", sys.modules[__name__])

    def test_each_piece_comes_back_once_though_workers_are_killed(self, cluster, tmp_path):
        finished, killed = [], 0
        with shared_folder(tmp_path) as folder:
            for piece, (pid, _) in cluster.finished(in_turn(Worth(n, 0.1) for n in range(60)), folder):
                finished.append(piece.number)
                if len(finished) in (10, 30):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        assert sorted(finished) == list(range(60)) and killed == 2

    def test_a_stop_ends_what_is_at_work_and_begins_nothing(self, cluster, tmp_path):
        seen = []
        with shared_folder(tmp_path) as folder:
            pieces = in_turn(Worth(n, 0.0 if n == 0 else 60) for n in range(40))
            started = time.monotonic()
            for piece, (_, was_stopped) in cluster.finished(pieces, folder, should_stop=lambda: bool(seen)):
                seen.append((piece.number, was_stopped))
        assert time.monotonic() - started < 30
        assert len(seen) <= 3 and all(was_stopped for _, was_stopped in seen[1:])

    def test_what_a_piece_cannot_do_is_told_in_its_own_words(self, cluster, tmp_path):
        with pytest.raises(DataError, match="a mask is missing"), shared_folder(tmp_path) as folder:
            list(cluster.finished(in_turn([Worth(0, error=DataError("a mask is missing"))]), folder))

    def test_a_piece_that_kills_every_worker_is_named(self, cluster, tmp_path):
        with pytest.raises(RunError, match=r"piece 7: the workers .* were killed"), shared_folder(tmp_path) as folder:
            list(cluster.finished(in_turn([Deadly(7)]), folder))

    def test_workers_that_do_not_see_the_disk_are_told(self, cluster, tmp_path):
        with pytest.raises(RunError, match="does not see"):
            list(cluster.finished(in_turn([Worth(0)]), tmp_path / "of another disk"))

    def test_a_large_image_has_the_pixels_of_a_plain_prediction_though_a_worker_is_killed(self, cluster, tmp_path):
        from napari_unet_finetune.inference.folder import predict_folder
        from napari_unet_finetune.inference.pieces import Cut
        from napari_unet_finetune.inference.predict import Predictor
        from napari_unet_finetune.inference.spread import Spread
        from napari_unet_finetune.models.load import load_model

        write_cells(tmp_path / "images" / "slide.tif")
        one = Predictor(load_model("nuclei-fluorescence"), PredictConfig(device="cpu", instances=True))
        drain(predict_folder(tmp_path / "images", tmp_path / "plain", one))
        events = predict_folder(tmp_path / "images", tmp_path / "out", Spread(one, cluster), cut=Cut(160))
        next(events)
        os.kill(next(iter(cluster.client.run(os.getpid).values())), signal.SIGKILL)
        (target,) = drain(events).written
        ours, plain = tifffile.imread(target), tifffile.imread(tmp_path / "plain" / "slide_labels.tif")
        assert plain.max() > 10
        np.testing.assert_array_equal(ours, plain)
        assert list((tmp_path / "out").iterdir()) == [target]


def write_cells(path: Path) -> None:
    from napari_unet_finetune.data.samples import make_microtube

    images = make_microtube(1, 4, shape=(256, 256))
    path.parent.mkdir()
    rows = [np.hstack([one.image for one in images[:2]]), np.hstack([one.image for one in images[2:]])]
    tifffile.imwrite(path, np.vstack(rows), photometric="minisblack")


COMMAND = [sys.executable, "-m", "napari_unet_finetune"]


@pytest.mark.full
@pytest.mark.filterwarnings("default")
def test_a_scheduler_without_workers_is_told_once_and_waited_for(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("napari_unet_finetune.engine._SILENCE_S", 0.1)
    told = []
    with distributed.LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=None) as idle:
        looks = iter([False] * 4 + [True] * 99)
        with (
            Cluster(scheduler=idle.scheduler_address, tell=told.append) as cluster,
            shared_folder(tmp_path) as folder,
        ):
            for _ in cluster.finished(in_turn([Worth(0)]), folder, should_stop=lambda: next(looks)):
                pass
    (sentence,) = told
    assert sentence.startswith(f"The scheduler at {idle.scheduler_address} has no workers now.")


@pytest.fixture
def scheduler(tmp_path):
    """Yield the file of a scheduler that runs with two workers, in processes of their own, and those processes."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file)]
    run = [sys.executable, "-m", "dask"]
    begun = [subprocess.Popen([*run, "scheduler", "--port", "0", "--no-dashboard", *common])]
    begun += [subprocess.Popen([*run, "worker", "--nthreads", "1", "--nworkers", "2", *common])]
    yield file, begun
    for process in begun:
        process.kill()
        process.wait()


@pytest.mark.full
def test_a_program_that_is_killed_goes_on_with_the_same_command(scheduler, tmp_path, write_squares):
    """The worker trains on for a moment without it; the next one waits, and the weights are those of a plain study."""
    old, new = write_squares(tmp_path / "old", 5), write_squares(tmp_path / "new", 8, bright=False)
    settings = ["steps=40", "patch_size=32", "batch_size=2", "validate_every=10", "precision=fp32", "device=cpu"]
    command = [*COMMAND, "curve", "--dataset1", old, "--dataset2", new, "--counts", "2,4", "--seeds", "2"]
    command += ["--test1", "2", "--test2", "3", *(f"--set={one}" for one in settings)]
    command += [f"--base-set={one}" for one in settings]
    spread = [*command, "--out", tmp_path / "spread", "--scheduler", scheduler[0]]
    with subprocess.Popen(spread) as killed:
        wait_for(lambda: list((tmp_path / "spread").glob("runs/0*/state.pt")))
        killed.kill()
    assert subprocess.run(spread, check=False).returncode == 0
    assert subprocess.run([*command, "--out", tmp_path / "plain"], check=False).returncode == 0
    runs = sorted((tmp_path / "plain" / "runs").iterdir())
    assert len(runs) == 5
    for run in runs:
        plain = load_file(run / "model.safetensors")
        ours = load_file(tmp_path / "spread" / "runs" / run.name / "model.safetensors")
        assert all(np.array_equal(ours[name], plain[name]) for name in plain), run.name
    ours, plain = ((tmp_path / name / "table.csv").read_text() for name in ("spread", "plain"))
    assert ours.replace("spread", "plain") == plain  # models are called after the folder of the study


@pytest.mark.full
def test_ctrl_c_ends_workers_of_this_computer_in_an_orderly_way(tmp_path):
    pytest.importorskip("distributed")
    write_cells(tmp_path / "images" / "slide.tif")
    command = [*COMMAND, "predict", "--model", "nuclei-fluorescence", "--images", tmp_path / "images"]
    spread = [*command, "--out", tmp_path / "out", "--chunk", "100", "--workers", "2"]
    with subprocess.Popen(spread, stderr=subprocess.PIPE, text=True, start_new_session=True) as stopped:
        wait_for(lambda: list((tmp_path / "out").glob(".slide*/*.npz")))
        os.killpg(stopped.pid, signal.SIGINT)  # as a terminal does, to the workers as well
        said = stopped.communicate()[1]
    assert stopped.returncode == 130 and "Traceback" not in said, said
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".slide_labels.tif.parts"]


@pytest.mark.full
def test_a_scheduler_that_is_gone_is_told_and_what_is_finished_is_kept(scheduler, tmp_path):
    write_cells(tmp_path / "images" / "slide.tif")
    command = [*COMMAND, "predict", "--model", "nuclei-fluorescence", "--images", tmp_path / "images"]
    spread = [*command, "--out", tmp_path / "out", "--chunk", "100", "--scheduler", scheduler[0]]
    with subprocess.Popen(spread, stderr=subprocess.PIPE, text=True) as lost:
        wait_for(lambda: list((tmp_path / "out").glob(".slide*/*.npz")))
        for process in scheduler[1]:
            process.kill()
        said = lost.communicate()[1]
    assert lost.returncode == 1 and "is gone. What is finished is kept" in said and "Traceback" not in said
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob(".slide*/*.npz")}
    assert kept
    again = [*command, "--out", tmp_path / "out", "--chunk", "100"]
    assert subprocess.run(again, check=False).returncode == 0
    assert subprocess.run([*command, "--out", tmp_path / "plain"], check=False).returncode == 0
    ours, plain = (tifffile.imread(tmp_path / name / "slide_labels.tif") for name in ("out", "plain"))
    np.testing.assert_array_equal(ours, plain)


def wait_for(happened, most_s=180):
    end = time.monotonic() + most_s
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.1)
