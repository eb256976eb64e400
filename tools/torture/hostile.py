"""Mutated models, images, requests, events, rows and records, through all that reads them."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import imageio.v3 as iio
import numpy as np
import tifffile

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.errors import FinetuneError
from napari_unet_finetune.io.images import list_images, read_headers, read_image
from napari_unet_finetune.learning_curve.folder import find_studies
from napari_unet_finetune.learning_curve.forecast import forecast
from napari_unet_finetune.models.card import read_card
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.project.project import Project
from napari_unet_finetune.project.training_plan import plan_training
from napari_unet_finetune.runs.history import PastRun, past_trainings, seconds_per_pixel
from napari_unet_finetune.runs.request import read_request
from torture import folders as damaged
from torture import mutations
from torture.frozen import RUN, STUDY, unfrozen
from torture.outcomes import Table, resident_mib

# So much is read of any file, however small, for an empty mask packs that well; four times as much is allowed.
HONEST_MIB = 64
ALLOWED_MIB = 4 * HONEST_MIB


Fill = Callable[[Path, Table, int, Random], None]


def tables(folder: Path, *, models: int, images: int, others: int, folders: int, seed: int = 0) -> Iterator[Table]:
    """Yield how so many cases of each kind end; `folder` is empty and filled."""
    logging.disable(logging.CRITICAL)
    frozen = unfrozen(folder / "frozen")
    kinds: dict[str, tuple[int, Fill]] = {
        "models": (models, partial(_models, frozen)),
        "images": (images, _images),
        "requests": (others, partial(_runs, frozen, "request.json")),
        "events": (others, partial(_runs, frozen, "events.jsonl")),
        "rows": (others, partial(_studies, frozen)),
        "records": (others, partial(_records, frozen)),
        **{name: (folders, partial(damaged.taken_up, frozen, name)) for name in damaged.KINDS},
    }
    try:
        for name, (count, fill) in kinds.items():
            table = Table(f"Hostile {name}", most_mib=ALLOWED_MIB)
            (folder / name).mkdir()
            fill(folder / name, table, min(count, 1), Random(f"{name} {seed}"))  # what is loaded once is no fault
            before = resident_mib()
            fill(folder / name, table, count, Random(f"{name} {seed}"))
            table.peak_mib = resident_mib() - before
            if table.peak_mib > ALLOWED_MIB:
                table.wrong.append(f"memory grew by {table.peak_mib} MiB")
            yield table
    finally:
        logging.disable(logging.NOTSET)


def _models(frozen: Path, work: Path, table: Table, count: int, rng: Random) -> None:
    sound = (frozen / "models" / "base.safetensors").read_bytes()
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


def _images(work: Path, table: Table, count: int, rng: Random) -> None:
    sound = list(_sound_images().items())
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


def _runs(frozen: Path, changed: str, work: Path, table: Table, count: int, rng: Random) -> None:
    run = frozen / RUN
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


def _studies(frozen: Path, work: Path, table: Table, count: int, rng: Random) -> None:
    study = frozen / STUDY
    for number in range(count):
        shutil.rmtree(work / "study", ignore_errors=True)
        shutil.copytree(study, work / "study", ignore=shutil.ignore_patterns("*.safetensors", "*.tif"))
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


def _records(frozen: Path, work: Path, table: Table, count: int, rng: Random) -> None:
    dataset = frozen / "whole"
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
