"""How much memory is taken by what is larger than memory: an OME-Zarr slide, a movie, a folder of many images.

    python benchmarks/large_images.py slide --size 20000
    python benchmarks/large_images.py slide --size 5000 --instances
    python benchmarks/large_images.py movie --frames 5000
    python benchmarks/large_images.py folder --files 10000
    python benchmarks/large_images.py training --size 20000 --steps 40

All that `predict` does, but the network is one multiplication unless `--network` is given: memory, reading and writing
are real, the time is not. `training` is a finetuning on 20 annotated regions of a slide, with the network. Needs the
extra zarr.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage

MIB = 1024  # ru_maxrss counts KiB on Linux
TILE_PX = 1000
REGIONS, REGION_PX = 20, 512


def main() -> None:
    """Make the image in a process of its own, predict it and print the peak."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "images"
        make = get_context("spawn").Process(target=write, args=(source, arguments))
        make.start()
        make.join()
        (finetune if arguments.kind == "training" else predict)(source, Path(folder) / "out", arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kind", choices=("slide", "movie", "folder", "training"))
    parser.add_argument("--size", type=int, default=20_000, help="side of the slide in pixels")
    parser.add_argument("--frames", type=int, default=5_000, help="frames of 256 x 256 of the movie")
    parser.add_argument("--files", type=int, default=10_000, help="images of 64 x 64 of the folder")
    parser.add_argument("--steps", type=int, default=40, help="of the training")
    parser.add_argument("--instances", action="store_true")
    parser.add_argument("--network", action="store_true", help="predict with the network itself")
    return parser.parse_args()


def write(folder: Path, arguments: argparse.Namespace) -> None:
    """Write the image, of round and touching objects."""
    folder.mkdir()
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(TILE_PX, TILE_PX)), 4, mode="wrap")
    tile = (128 + 1200 * noise).clip(0, 255).astype(np.uint8)
    if arguments.kind == "movie":
        shape = (arguments.frames, 256, 256)
        frames = (np.roll(tile, number, 0)[:256, :256] for number in range(arguments.frames))
        options = {"metadata": {"axes": "TYX"}, "photometric": "minisblack", "compression": "zlib"}
        tifffile.imwrite(folder / "movie.tif", frames, shape=shape, dtype=np.uint8, **options)
        return
    if arguments.kind == "folder":
        for number in range(arguments.files):
            tifffile.imwrite(folder / f"{number}.tif", np.roll(tile, number, 0)[:64, :64], photometric="minisblack")
        return
    size = arguments.size
    slide = _new_store(folder / "slide.ome.zarr", size)
    for top in range(0, size, TILE_PX):
        for left in range(0, size, TILE_PX):
            slide[top : top + TILE_PX, left : left + TILE_PX] = _part(tile, top, left)[: size - top, : size - left]
    if arguments.kind == "training":
        _write_strokes(folder / "slide_mask.ome.zarr", tile, size)


def _part(tile: np.ndarray, top: int, left: int) -> np.ndarray:
    """Return what the slide shows from this pixel on."""
    return np.roll(tile, (top // 7, left // 3), (0, 1))


def _write_strokes(path: Path, tile: np.ndarray, size: int) -> None:
    """Write strokes of background (1) and of what is bright (2) in squares of the slide."""
    strokes, corners = _new_store(path, size), np.random.default_rng(1)
    for place in corners.permutation((size // TILE_PX) ** 2)[:REGIONS]:
        top, left = (int(step) * TILE_PX for step in np.unravel_index(place, (size // TILE_PX,) * 2))
        is_object = _part(tile, top, left)[:REGION_PX, :REGION_PX] > 160
        strokes[top : top + REGION_PX, left : left + REGION_PX] = np.where(is_object, 2, 1)


def _new_store(path: Path, size: int) -> Any:
    import zarr

    group = zarr.create_group(path)
    array = group.create_array("0", shape=(size, size), dtype="u1", chunks=(TILE_PX, TILE_PX), fill_value=0)
    scale = [{"type": "scale", "scale": [0.5, 0.5]}]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    return array


def predict(source: Path, out: Path, arguments: argparse.Namespace) -> None:
    """Predict and print time and memory."""
    from napari_unet_finetune.config import PredictConfig
    from napari_unet_finetune.events import drain
    from napari_unet_finetune.inference.folder import predict_folder
    from napari_unet_finetune.inference.predict import Predictor
    from napari_unet_finetune.io.images import list_images
    from napari_unet_finetune.models.load import load_model

    config = PredictConfig(device="cpu", instances=arguments.instances)
    predictor = Predictor(load_model("nuclei-fluorescence"), config)
    if not arguments.network:
        predictor.logits = lambda tiles: (tiles - 0.5) * 8  # type: ignore[method-assign]
    before, start = _peak(), time.process_time()
    print(f"{len(list_images(source))} images, listed in {time.process_time() - start:.1f} s of CPU time")
    start = time.process_time()
    report = drain(predict_folder(source, out, predictor))
    print(report.headline, *report.notes)
    print(
        f"CPU {time.process_time() - start:.0f} s, peak {_peak():.0f} MiB, of which {before:.0f} before the first image"
    )
    start = time.process_time()
    again = drain(predict_folder(source, out, predictor))
    print(f"Again: {again.headline} CPU {time.process_time() - start:.1f} s")


def finetune(source: Path, out: Path, arguments: argparse.Namespace) -> None:
    """Finetune on the annotated regions as the command does, and print time and memory."""
    from napari_unet_finetune.config import FinetuneConfig
    from napari_unet_finetune.events import Notice, Run
    from napari_unet_finetune.models.zoo import find_model
    from napari_unet_finetune.runs.execute import run_here
    from napari_unet_finetune.runs.folder import RunFolder
    from napari_unet_finetune.runs.request import FinetuneRequest

    request = FinetuneRequest(
        task="finetune",
        images=source / "slide.ome.zarr",
        masks=source / "slide_mask.ome.zarr",
        sparse=True,
        checkpoint=str(find_model("nuclei-fluorescence")),
        config=FinetuneConfig(device="cpu", steps=arguments.steps),
    )
    before, start, begun = _peak(), time.process_time(), 0.0
    events = Run(run_here(RunFolder.create(out, request)))
    for event in events:
        if isinstance(event, Notice):
            print(event.message)
        if not begun:
            begun = time.process_time() - start
            print(f"before the first step: CPU {begun:.0f} s, peak {_peak():.0f} MiB")
    print(events.result.ended.summary)
    print(f"CPU {time.process_time() - start:.0f} s, peak {_peak():.0f} MiB, of which {before:.0f} before all")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


if __name__ == "__main__":
    main()
