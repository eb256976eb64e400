"""Mutated models, images, requests, events, rows and records, through all that reads them."""

from __future__ import annotations

import io
import json
import logging
import lzma
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.errors import FinetuneError
from napari_unet_finetune.events import drain
from napari_unet_finetune.io.images import list_images, read_headers, read_image
from napari_unet_finetune.learning_curve.folder import StudyFolder, find_studies
from napari_unet_finetune.learning_curve.forecast import forecast
from napari_unet_finetune.learning_curve.run import run_study
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.training_plan import plan_training
from napari_unet_finetune.report.write import report
from napari_unet_finetune.runs.execute import run_here
from napari_unet_finetune.runs.folder import RunFolder
from napari_unet_finetune.runs.history import PastRun, past_trainings, seconds_per_pixel
from napari_unet_finetune.runs.request import read_request
from torture import mutations
from torture.outcomes import Table, resident_mib

FROZEN = Path(__file__).resolve().parents[2] / "tests" / "frozen"
RUNS = Path("whole", "unet-finetune", "runs")
RUN, INTERRUPTED, STUDY = (RUNS / f"20260101-12000{name}" for name in ("0-finished", "1-interrupted", "2-curve"))
# So much is read of any file, however small, for an empty mask packs that well; four times as much is allowed.
HONEST_MIB = 64
ALLOWED_MIB = 4 * HONEST_MIB


def tables(folder: Path, *, models: int, images: int, others: int, folders: int) -> list[Table]:
    """Return how so many cases of each kind end; `folder` is empty and filled."""
    logging.disable(logging.CRITICAL)
    frozen = unfrozen(folder / "frozen")
    kinds: dict[str, tuple[int, Callable[[Path, Table, int], None]]] = {
        "models": (models, lambda work, table, count: _models(frozen, work, table, count)),
        "images": (images, _images),
        "requests": (others, lambda work, table, count: _runs(frozen, work, table, count, "request.json")),
        "events": (others, lambda work, table, count: _runs(frozen, work, table, count, "events.jsonl")),
        "rows": (others, lambda work, table, count: _studies(frozen, work, table, count)),
        "records": (others, lambda work, table, count: _records(frozen, work, table, count)),
        "folders": (folders, lambda work, table, count: _taken_up(frozen, work, table, count)),
    }
    found = []
    try:
        for name, (count, fill) in kinds.items():
            table = Table(f"Hostile {name}", most_mib=ALLOWED_MIB)
            (folder / name).mkdir()
            fill(folder / name, table, min(count, 1))  # what is loaded once is no fault of a file
            before = resident_mib()
            fill(folder / name, table, count)
            table.peak_mib = resident_mib() - before
            if table.peak_mib > ALLOWED_MIB:
                table.wrong.append(f"memory grew by {table.peak_mib} MiB")
            found.append(table)
    finally:
        logging.disable(logging.NOTSET)
    return found


def unfrozen(folder: Path) -> Path:
    """Return a copy of what an earlier version wrote, unpacked into `folder`, with paths that lead into it."""
    shutil.copytree(FROZEN, folder)
    for packed in folder.rglob("*.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    for text in (*folder.rglob("*.json"), *folder.rglob("*.jsonl")):
        text.write_text(text.read_text("utf-8").replace("HERE/", f"{folder.as_posix()}/"), "utf-8")
    return folder


def _models(frozen: Path, work: Path, table: Table, count: int) -> None:
    rng, sound = Random(1), (frozen / "models" / "base.safetensors").read_bytes()
    file = work / "model.safetensors"
    for number in range(count):
        data, is_told = mutations.changed_model(rng, sound)
        file.write_bytes(data)
        table.run(f"model {number}", lambda told=is_told and data != sound: _load(file, must_fail=told))


def _load(file: Path, *, must_fail: bool) -> str:
    try:
        json.dumps(read_card(file).describe(), allow_nan=False)
    except FinetuneError:  # then loading fails as well, and says more
        load_model(file)
        return "loaded though its header cannot be read"
    model = load_model(file)
    if must_fail:
        raise AssertionError("a changed file was loaded")
    assert all(bool(tensor.isfinite().all()) for tensor in model.weights.values())
    return "loaded"


def _images(work: Path, table: Table, count: int) -> None:
    rng, sound = Random(2), list(_sound_images().items())
    for number in range(count):
        name, data = sound[number % len(sound)]
        path = work / f"{number}-{name}"
        path.write_bytes(mutations.changed_bytes(rng, data))
        table.run(path.name, lambda path=path: _read(path))
        path.unlink()


def _read(path: Path) -> str:
    read_headers(path)
    listing = list_images(path)
    for ref in dict.fromkeys((listing[0], listing[-1])):
        pixels = read_image(ref, as_labels=bool(len(path.name) % 2))
        assert pixels.array.ndim in (2, 3)
        assert pixels.array.size
        assert pixels.array.dtype.kind in "buif"
        assert pixels.array.dtype.kind != "f" or np.isfinite(pixels.array).all()
        assert all(0 < scale < np.inf for scale in pixels.scale)
    return "read"


def _sound_images() -> Mapping[str, bytes]:
    rng = np.random.default_rng(0)
    gray, deep = rng.integers(0, 255, (61, 83), np.uint8), rng.integers(0, 60_000, (61, 83), np.uint16)
    color, stack = rng.integers(0, 255, (40, 50, 3), np.uint8), np.stack([gray] * 5)
    labels = np.kron(rng.integers(0, 4, (6, 8)), np.ones((10, 10))).astype(np.uint8)
    tiffs: dict[str, tuple[Any, dict[str, Any]]] = {
        "gray": (gray, {}), "deflate": (deep, {"compression": "zlib"}), "color": (color, {"photometric": "rgb"}),
        "imagej": (stack, {"imagej": True, "resolution": (2, 2), "metadata": {"axes": "TYX", "unit": "um"}}),
        "ome": (stack, {"ome": True, "compression": "zlib", "metadata": {"axes": "TYX"}}),
        "tiles": (deep, {"tile": (32, 32), "compression": "lzw"}), "bits": (gray > 100, {"photometric": "miniswhite"}),
        "floats": (gray.astype(np.float32), {"compression": "deflate", "predictor": True}),
        "planar": (np.moveaxis(color, 2, 0), {"planarconfig": "separate", "photometric": "rgb"}),
        "jpeg": (color, {"compression": "jpeg", "photometric": "rgb"}), "big": (stack, {"bigtiff": True}),
        "jpeg2000": (gray, {"compression": "jpeg2000"}), "zstd": (gray, {"compression": "zstd"}),
        "packbits": (labels, {"compression": "packbits"}),
    }  # fmt: skip
    found = {f"{name}.tif": _bytes(tifffile.imwrite, array, **options) for name, (array, options) in tiffs.items()}
    for suffix, arrays in {"png": (gray, color, deep), "jpg": (gray, color), "bmp": (gray, color)}.items():
        for array in arrays:
            name = f"{array.dtype}-{array.ndim}.{suffix}"
            found[name] = iio.imwrite("<bytes>", array, extension=f".{suffix}")
    found |= {"deep.npy": _bytes(np.save, deep), "stack.npy": _bytes(np.save, stack.astype(float))}
    return found | {"gray.npz": _bytes(np.savez_compressed, gray), "stack.npz": _bytes(np.savez_compressed, stack)}


def _bytes(write: Callable[..., Any], array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    write(file, array, **options)
    return file.getvalue()


def _runs(frozen: Path, work: Path, table: Table, count: int, changed: str) -> None:
    rng, run = Random(3), frozen / RUN
    change = mutations.changed_lines if changed.endswith("l") else mutations.changed_json
    for name in ("request.json", "events.jsonl", "model.safetensors"):
        shutil.copy(run / name, work / name)
    sound = (run / changed).read_bytes()
    for number in range(count):
        (work / changed).write_bytes(change(rng, sound))
        table.run(f"{changed} {number}", lambda: _look_at_run(work))


def _look_at_run(folder: Path) -> str:
    """Ask for all that the docks show of a training, then for its request as a child process does."""
    found = list(past_trainings([folder]))
    for run in found:
        _touch(run)
    read_request(folder)
    return "listed" if found else "passed over"


def _touch(run: PastRun) -> None:
    progress = run.progress
    _ = progress.fraction, progress.seconds_left, run.start, run.model, run.is_interrupted, run.image_count, run.when
    if run.end is not None:
        _ = run.end.is_disappointing, run.end.summary
    seconds_per_pixel(progress, run.request.config)


def _studies(frozen: Path, work: Path, table: Table, count: int) -> None:
    rng, study = Random(4), frozen / STUDY
    for number in range(count):
        shutil.rmtree(work / "study", ignore_errors=True)
        shutil.copytree(study, work / "study", ignore=shutil.ignore_patterns("*.xz", "*.safetensors", "*.tif"))
        file = rng.choice([work / "study" / "plan.json", *sorted((work / "study" / "rows").iterdir())])
        file.write_bytes(mutations.changed_json(rng, file.read_bytes()))
        table.run(f"{file.name} {number}", lambda: _look_at_study(work / "study"))


def _look_at_study(folder: Path) -> str:
    for study in find_studies([folder]):
        _ = study.models, study.titles, study.is_finished, study.rows_and_patches
        forecast(study.rows)
        return "listed"
    forecast(folder)
    return "passed over"


def _taken_up(frozen: Path, work: Path, table: Table, count: int) -> None:
    """Report and resume damaged trainings and studies, stopped at once where they could begin."""
    rng, run = Random(6), work / "run"
    kinds: tuple[tuple[Path, tuple[str, ...], Callable[[], object]], ...] = (
        (RUN, ("request.json", "events.jsonl"), lambda: drain(report(run, work / "r.html", should_stop=_yes))),
        (STUDY, ("plan.json", "rows/raw.json"), lambda: drain(report(run, work / "r.html", should_stop=_yes))),
        (STUDY, ("plan.json", "rows/raw.json"), lambda: drain(run_study(StudyFolder(run).plan, run, should_stop=_yes))),
        (
            INTERRUPTED,
            ("request.json", "events.jsonl", "state.pt"),
            lambda: drain(run_here(RunFolder(run), should_stop=_yes)),
        ),
    )
    for number in range(count):
        source, names, take_up = kinds[number % len(kinds)]
        shutil.copytree(frozen / source, run, ignore=shutil.ignore_patterns("*.xz"))
        file = run / rng.choice(names)
        change = {".json": mutations.changed_json, ".jsonl": mutations.changed_lines}.get(file.suffix)
        file.write_bytes((change or mutations.changed_bytes)(rng, file.read_bytes()))
        table.run(f"{source.name} {file.name} {number}", lambda take_up=take_up: "taken up" if take_up() else None)
        shutil.rmtree(run)


def _yes() -> bool:
    return True


def _records(frozen: Path, work: Path, table: Table, count: int) -> None:
    rng, dataset = Random(5), frozen / "whole"
    copy = work / "dataset"
    shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns("runs", "comparison"))
    sound = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    record = copy / "unet-finetune" / "project.json"
    for number in range(count):
        for path in [path for path in copy.rglob("*") if path.is_file() and path not in sound]:
            path.unlink()
        for path, data in sound.items():
            path.write_bytes(data)
        record.write_bytes(mutations.changed_json(rng, sound[record]))
        table.run(f"record {number}", lambda: _use(copy, sound))
    shutil.rmtree(copy)


def _use(dataset: Path, sound: Mapping[Path, bytes]) -> str:
    """Open a dataset, read and change it as the docks do; no image and no mask may be lost by that."""
    project = Project.open(dataset)
    for image in project.images:
        _ = image.mask and project.read_labels(image.name)
    plan_training(project, FinetuneConfig())
    name = project.names[0]
    size = project.image(name).size or (1, 1)
    project.save_labels(name, np.ones(size, np.uint16), "painted")
    project.set_role([project.names[-1]], "train")
    project.remove_labels(project.names[1])
    Project.open(dataset)
    there = {path.read_bytes() for path in _files(dataset)}
    lost = [path for path, data in sound.items() if path.suffix == ".tif" and data not in there]
    assert [path for path in lost if project.folder not in path.parents] == [], lost
    assert len(lost) <= 1, lost  # the mask that was painted over
    return "opened"


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names)
