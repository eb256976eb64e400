"""What wears a program out: trainings and predictions by the hundred, large images, kills, two jobs at one moment."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile

from napari_unet_finetune.checked_json import json_text
from napari_unet_finetune.config import AugmentConfig, FinetuneConfig, PredictConfig
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.evaluation.rows import Row
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.learning_curve.run import run_study
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs.child import WarmChild
from napari_unet_finetune.runs.request import CurveRequest, PredictRequest, write_request
from napari_unet_finetune.training.finetune import finetune
from torture.frozen import FROZEN
from torture.outcomes import MIB, Table

BASE = FROZEN / "models" / "base.safetensors"
_SIDE, _LARGE_SIDE = 48, 2048
_GROWN_MIB = 48  # beyond which memory counts as growing
_CONFIG = FinetuneConfig(
    steps=2, batch_size=2, patch_size=32, validate_every=1, rehearsal_patches=4, augment=AugmentConfig.none(),
    device="cpu", precision="fp32", seed=3, keep_raw=False,
)  # fmt: skip


def table(folder: Path, *, repeats: int, kills: int, large: int) -> Table:
    """Return how all that ends: `repeats` trainings, ten times as many predictions, `kills`, `large` images."""
    found, small = Table("Wear"), write_dataset(folder / "small", 6, _SIDE)
    cases: dict[str, Callable[[], str]] = {
        f"{repeats} trainings in one process": partial(_trainings, small, repeats),
        f"{10 * repeats} predictions in one process": partial(_predictions, small, 10 * repeats),
        f"{2 * repeats} predictions in a process that stays": partial(_stay, small, folder / "stay", 2 * repeats),
        f"a study that is killed {kills} times": partial(_killed, small, folder / "killed", kills),
        "two jobs in one folder at one moment": partial(_at_once, small, folder / "both"),
    }
    if large:
        cases[f"{large} large images"] = partial(_large, folder / "large", large)
    for name, case in cases.items():
        found.run(name, partial(_said, name, case))
    return found


def _said(name: str, case: Callable[[], str]) -> str:
    return f"{name} ({case()})"


def write_dataset(folder: Path, count: int, side: int, dtype: type = np.uint8) -> Path:
    """Write `count` images of squares with their masks and return the folder."""
    y, x = np.mgrid[:side, :side]
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max // 3, (side, side)).astype(dtype)
    for number in range(count):
        mask = ((y + 5 * number) // 12 % 2) * ((x + 7 * number) // 12 % 2)
        image = noise + mask.astype(dtype) * dtype(np.iinfo(dtype).max // 2)
        for kind, array in (("images", image), ("masks", mask.astype(np.uint8))):
            tifffile.imwrite(folder / kind / f"img_{number:03d}.tif", array, photometric="minisblack")
    return folder


@dataclass(frozen=True)
class _Held:
    """What a process holds: memory, threads, open files."""

    mib: int
    threads: int
    files: int

    @classmethod
    def by(cls, pid: int) -> _Held:
        """Return what a process holds now."""
        process = psutil.Process(pid)
        return cls(process.memory_info().rss // MIB, process.num_threads(), process.num_fds())

    def grown(self, later: _Held) -> str:
        """Return in words by how much more is held `later`; raises `AssertionError` if that is a leak."""
        told = f"{later.mib - self.mib:+d} MiB, {later.threads - self.threads:+d} threads, "
        told += f"{later.files - self.files:+d} files"
        assert later.mib - self.mib <= _GROWN_MIB, told
        assert later.threads <= self.threads, told
        assert later.files <= self.files, told
        return told


def _repeated(act: Callable[[], object], count: int, pid: Callable[[], int] = os.getpid) -> str:
    """Return what is held more after `count` times than after a fifth of them."""
    warm = max(1, count // 5)
    for _ in range(warm):
        act()
    gc.collect()
    before = _Held.by(pid())
    for _ in range(count - warm):
        act()
    gc.collect()
    return before.grown(_Held.by(pid()))


def _trainings(data: Path, count: int) -> str:
    images = open_folder(data / "images", data / "masks")
    return _repeated(lambda: drain(finetune(load_model(BASE), images, _CONFIG)), count)


def _predictions(data: Path, count: int) -> str:
    images = open_folder(data / "images")

    def predict() -> None:
        predictor = Predictor(load_model(BASE), PredictConfig(device="cpu", precision="fp32"))
        for image in images[:10]:
            predictor.predict(image)

    return _repeated(predict, max(1, count // len(images[:10])))


def _stay(data: Path, work: Path, count: int) -> str:
    child, refs, done = WarmChild(), list_images(data / "images").images, [0]

    def predict() -> None:
        done[0] += 1
        folder = work / str(done[0])
        folder.mkdir(parents=True)
        chosen = refs[done[0] % len(refs)]
        write_request(
            folder, PredictRequest(checkpoint=str(BASE), images=(chosen,), config=PredictConfig(device="cpu"))
        )
        for _ in child.begin(folder).events():
            pass

    try:
        return _repeated(predict, count, lambda: child.pid or 0)
    finally:
        child.let_go()


def _study(data: Path) -> CurveRequest:
    pairs = open_folder(data / "images", data / "masks").pairing.pairs
    return CurveRequest(
        train=pairs[:3], test=pairs[4:], counts=(0, 1, 3), seeds=2, checkpoint=str(BASE), config=_CONFIG
    )


def _killed(data: Path, work: Path, kills: int) -> str:
    plan = _study(data)
    work.mkdir()
    sound = json.loads(json_text(drain(run_study(plan, work / "sound")), list[Row]))
    file = work / "asked.json"
    file.write_text(json_text(plan), encoding="utf-8")
    script = Path(__file__).with_name("killed.py")
    told = _output([sys.executable, str(script), str(file), str(work / "out"), str(kills)])
    found = json.loads(told.splitlines()[-1])
    wrong = [rows for rows in found["rows"] if rows != sound]
    assert not wrong, "the rows are not those of a study that was not killed"
    return f"{found['kills']} kills, {len(found['rows'])} studies with the same rows"


def _output(command: Sequence[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def _at_once(data: Path, work: Path) -> str:
    """Begin each job twice in one folder; one is refused in a sentence, or both are right."""
    work.mkdir()
    shared = [f"--images={data / 'images'}", f"--model={BASE}"]
    masks = [f"--masks={data / 'masks'}", "--steps=2"]
    study = [f"--dataset1={data}", f"--dataset2={data}", "--counts=0,1", "--test1=1", "--test2=1", f"--base={BASE}"]
    jobs: dict[str, tuple[list[str], list[str]]] = {
        "finetune": ([*shared, *masks, "--seed=1"], [*shared, *masks, "--seed=2"]),
        "predict": ([*shared, "--threshold=0.3"], [*shared, "--threshold=0.7"]),
        "curve": ([*study, "--steps=2", "--seeds=1"], [*study, "--steps=2", "--seeds=2"]),
    }
    told = []
    for name, both in jobs.items():
        ends = _side_by_side([[name, *options, f"--out={work / name}", "--json"] for options in both])
        refused = [end for end in ends if "error" in end]
        assert len(refused) <= 1, ends
        assert all("Traceback" not in str(end) for end in ends)
        if name == "predict" and not refused:  # one came after the other, and says what it found
            assert any(end["skipped"] for end in ends), ends
        told.append(f"{name}: {len(refused)} refused")
    return ", ".join(told)


def _side_by_side(commands: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    begun = [
        subprocess.Popen(
            [sys.executable, "-m", "napari_unet_finetune", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for command in commands
    ]
    ends = [b""] * len(begun)

    def wait(place: int) -> None:
        ends[place] = begun[place].communicate()[0]

    waiting = [threading.Thread(target=wait, args=(place,)) for place in range(len(begun))]
    for thread in waiting:
        thread.start()
    for thread in waiting:
        thread.join()
    return [json.loads(end) for end in ends]


def _large(work: Path, count: int) -> str:
    """Look through, train on and predict few and many large images: memory must not grow with their number.

    A training may keep them, while there is room: as float32 with a byte for what is true, and a tenth more for where
    their objects lie and for what the allocator holds back.
    """
    counts = max(2, count // 10), count
    few, many = (write_dataset(work / str(number), number, _LARGE_SIDE) for number in counts)
    kept_mib, told = (counts[1] - counts[0]) * _LARGE_SIDE**2 * 5.5 / 2**20, list[str]()
    for name in ("check", "finetune", "predict"):
        peaks = [_peak_mib(name, data, data / "out") for data in (few, many)]
        told.append(f"{name} {peaks[1]} MiB")
        allowed = 2 * _GROWN_MIB + (kept_mib if name == "finetune" else 0)
        assert peaks[1] - peaks[0] <= allowed, f"{name}: {peaks[0]} MiB, {peaks[1]} MiB of more images"
    return ", ".join(told)


def _peak_mib(name: str, data: Path, out: Path) -> int:
    options = {
        "check": [f"--masks={data / 'masks'}"],
        "finetune": [f"--masks={data / 'masks'}", f"--model={BASE}", "--steps=5", f"--out={out}"],
        "predict": [f"--model={BASE}", f"--out={out / 'labels'}", "--set=overlap=0"],  # a quarter of the tiles
    }[name]
    command = [sys.executable, "-m", "napari_unet_finetune", name, f"--images={data / 'images'}", *options, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{name} ended with {status}"
    return used.ru_maxrss // 1024
