"""Faults of the disk, injected into all that writes: what existed is intact, the sentence is true, it works again."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.errors import FinetuneError
from napari_unet_finetune.events import Notice, drain
from napari_unet_finetune.inference.folder import PredictedFolder, predict_folder
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.disk import write_file
from napari_unet_finetune.io.images import write_labels
from napari_unet_finetune.io.tables import csv_text
from napari_unet_finetune.measure.files import measure_files, pair_files
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import weights_hash
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.request import read_request, write_request
from napari_unet_finetune.training.state import TrainingState
from torture.frozen import INTERRUPTED, RUN, unfrozen
from torture.outcomes import Table

Action = Callable[[], object]
REASONS = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS)}


def table(folder: Path, *, trainings: bool = True) -> Table:
    """Return how each way of writing ends under each fault, and `trainings` too; `folder` is filled."""
    found, work = Table("Injected faults"), folder / "work"
    frozen = unfrozen(folder / "frozen")
    for name, make in _writers(frozen).items():
        for fault, (code, broken) in _FAULTS.items():
            found.run(f"{name}, {fault}", partial(_case, make, work, code, broken))
            shutil.rmtree(work, ignore_errors=True)
    if trainings:
        sound = _resumed(shutil.copytree(frozen / INTERRUPTED, work))
        shutil.rmtree(work)
        for write in (1, 3, 5, 7):  # every second is that of a folder, which not all disks know
            found.run(f"a training, full disk at write {write}", partial(_training, frozen, work, write, sound))
            shutil.rmtree(work)
    return found


def _case(make: Callable[[Path], Action], work: Path, code: int, broken: Callable[[int], Any]) -> str:
    work.mkdir()
    act = make(work)
    before = _contents(work)
    with broken(code):
        try:
            act()
        except FinetuneError as error:
            sentence = str(error)
        else:
            return "not hit"
    assert REASONS[code] in sentence, sentence
    assert "\n" not in sentence, sentence
    after = _contents(work)
    lost = [path for path, content in before.items() if after.get(path) != content and not path.endswith(".jsonl")]
    assert not lost, f"changed by a write that failed: {lost}"
    assert not [path for path in after if path.endswith(".partial")], "a file half written is left"
    act()
    return "intact, and works again"


def _contents(folder: Path) -> Mapping[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


class _FullFile(io.FileIO):
    """A file on a disk that takes the first bytes only."""

    code = errno.ENOSPC

    def write(self, data: Any, /) -> int:
        super().write(bytes(data)[:10])
        raise OSError(self.code, os.strerror(self.code))


@contextmanager
def _no_room(code: int) -> Iterator[None]:
    """Let each file that is written take ten bytes and no more."""
    opened = Path.open

    def open_(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if not set(mode) & set("wax"):
            return opened(path, mode, *rest, **options)
        if "b" not in mode:
            raise OSError(code, os.strerror(code), str(path))
        file = _FullFile(path, mode.replace("b", ""))
        file.code = code
        return file

    with patch.object(Path, "open", open_):
        yield


def _failing(target: object, name: str) -> Callable[[int], Any]:
    @contextmanager
    def broken(code: int) -> Iterator[None]:
        def fail(*_: Any, **__: Any) -> None:
            raise OSError(code, os.strerror(code))

        with patch.object(target, name, fail):
            yield

    return broken


_FAULTS: dict[str, tuple[int, Callable[[int], Any]]] = {
    "full disk": (errno.ENOSPC, _no_room),
    "disk full when it is flushed": (errno.ENOSPC, _failing(os, "fsync")),
    "bad disk when it is flushed": (errno.EIO, _failing(os, "fsync")),
    "no right to rename": (errno.EACCES, _failing(Path, "replace")),
    "read-only when it is renamed": (errno.EROFS, _failing(Path, "replace")),
}


def _writers(frozen: Path) -> dict[str, Callable[[Path], Action]]:
    """Return all that writes: each makes what is there before in a folder, and returns what writes then."""
    model = load_model(frozen / "models" / "base.safetensors")
    labels = np.ones((64, 80), np.uint16)

    def dataset(work: Path) -> Project:
        ignored = shutil.ignore_patterns("runs", "comparison")
        return Project.open(shutil.copytree(frozen / "whole", work / "data", ignore=ignored))

    def run(work: Path) -> RunFolder:
        for name in ("request.json", "events.jsonl"):
            shutil.copy(frozen / RUN / name, work / name)
        return RunFolder(work)

    def predict(work: Path) -> Action:
        shutil.copy(frozen / "whole" / "b.tif", work / "b.tif")
        predictor = Predictor(model, PredictConfig(device="cpu", augment=False))
        return lambda: _all_written(drain(predict_folder(work / "b.tif", work / "out", predictor, overwrite=True)))

    def measured(work: Path) -> Action:
        write_labels(work / "labels" / "b.tif", labels)
        pairs, _ = pair_files(frozen / "whole" / "b.tif", work / "labels")
        return lambda: drain(measure_files(pairs, work / "a.csv", overwrite=True))

    request = read_request(frozen / RUN)
    state = TrainingState({"step": 1}, {"seed": 0})

    return {
        "a mask": lambda work: _use(dataset(work), lambda one: one.save_labels("b", labels, "painted")),
        "the first mask": lambda work: _use(dataset(work), lambda one: one.save_labels("a.tif", labels, "painted")),
        "a role": lambda work: _use(dataset(work), lambda one: _turn(one, "b")),
        "marks of suggestions": lambda work: _use(dataset(work), lambda one: _suggest(one)),
        "a mask that is removed": lambda work: _use(dataset(work), lambda one: one.remove_labels("b")),
        "an image in use": lambda work: _use(
            dataset(work), lambda one: one.set_dice({"b": 0.5 if one.image("b").dice != 0.5 else 0.6})
        ),
        "a request": lambda work: _use(work, lambda one: write_request(one, request)),
        "an event": lambda work: _use(run(work), lambda one: one.append(Notice("more"))),
        "a state": lambda work: _use(run(work), lambda one: one.save_state(state)),
        "the best model": lambda work: _use(run(work), lambda one: one.save_best(model)),
        "a model": lambda work: _use(work, lambda one: model.save(one / "model.safetensors", half=True)),
        "labels": lambda work: _use(work, lambda one: write_labels(one / "a.tif", labels, overwrite=True)),
        "a table": lambda work: _use(work, lambda one: write_file(one / "a.csv", csv_text(["a"], [{"a": "=1"}]))),
        "predictions": predict,
        "measurements": measured,
    }


def _use(one: Any, act: Callable[[Any], object]) -> Action:
    return lambda: act(one)


def _turn(project: Project, name: str) -> None:
    project.set_role([name], "train" if project.image(name).role == "test" else "test")


def _suggest(project: Project) -> None:
    project.set_suggested({project.names[0]: str(project.image(project.names[0]).suggested) + "!"})


def _all_written(result: PredictedFolder) -> None:
    """Raise what kept a file from being written; the JSON must name it too."""
    if result.failed:
        assert result.to_json()["failed"][0]["reason"] == result.failed[0].reason
        raise FinetuneError(result.failed[0].reason)


def _resumed(run: Path) -> str:
    return weights_hash(drain(run_here(RunFolder(run))).model.weights)


def _training(frozen: Path, work: Path, write: int, sound: str) -> str:
    """Let the disk be full at one write of a training and resume it: the model is that of a training without."""
    shutil.copytree(frozen / INTERRUPTED, work)
    written, sync = [], os.fsync

    def fail(file: int) -> None:
        written.append(file)
        if len(written) == write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    try:
        with patch.object(os, "fsync", fail):
            drain(run_here(RunFolder(work)))
    except FinetuneError as error:
        sentence = str(error)
    else:
        return "not hit"
    assert REASONS[errno.ENOSPC] in sentence, sentence
    assert _resumed(work) == sound
    return "resumed, with the same weights"
