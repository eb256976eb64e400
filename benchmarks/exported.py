"""Finetune a model and hold what other programs make of its package against what this one predicts.

The base is trained on the first images of Dataset 1, the model on the first ones of Dataset 2; both are compared on the
last images of Dataset 2. In the environment of `make test-share`, which has bioimageio.core:

    .venv-share/bin/python benchmarks/exported.py PAIR --out FOLDER
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import napari_unet_finetune as nuf
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.colors import LUMINANCE
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.model import Model

CPU = nuf.PredictConfig(device="cpu", precision="fp32")
ALONE = CPU.model_copy(update={"overlap": 0.0, "augment": False})
PROGRAM = Path(__file__).parents[1] / "docs" / "export.md"
Masks = Callable[[NDArray[Any]], NDArray[np.bool_]]


def main() -> None:
    """Train, export, let others predict, and print a table."""
    options = parse()
    torch.set_num_threads(1)
    model = finetuned(options)
    package, onnx = options.out / "lilac.zip", options.out / "cells.onnx"
    for out, more in ((package, ["--authors", "Ada Lovelace", "--license", "CC0-1.0"]), (onnx, [])):
        if not out.exists():
            run("-m", "napari_unet_finetune", "export", options.out / "model.safetensors", "--out", out, *more)
    run("-m", "bioimageio.core", "validate-format", package)
    run("-m", "bioimageio.core", "test", package, "--weight-format", "onnx")
    tests = [seen_by(model, image) for image in images_of(options.pair / "dataset2")[-options.tests :]]
    table(model, tests, in_core(package), in_onnxruntime(onnx))


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path, help="folder with dataset1 and dataset2, each with images and masks")
    parser.add_argument("--out", type=Path, required=True, help="folder for models and package")
    parser.add_argument("--steps", type=int, default=200, help="of either training")
    parser.add_argument("--old", type=int, default=25, help="images of the base")
    parser.add_argument("--new", type=int, default=5, help="images of the finetuning")
    parser.add_argument("--tests", type=int, default=11, help="last images of Dataset 2")
    return parser.parse_args()


def run(*arguments: str | Path) -> None:
    """Run Python with these arguments and print what it prints."""
    print("$ python", *arguments, flush=True)
    environment = os.environ | {"COLUMNS": "120"}
    subprocess.run([sys.executable, *map(str, arguments)], check=True, env=environment)


def finetuned(options: argparse.Namespace) -> Model:
    """Return the finetuned model, made anew if it is not there yet."""
    file = options.out / "model.safetensors"
    if not file.exists():
        options.out.mkdir(parents=True, exist_ok=True)
        old, new = (images_of(options.pair / name) for name in ("dataset1", "dataset2"))
        settings: Mapping[str, Any] = {"steps": options.steps, "device": "cpu", "seed": 0}
        base = nuf.train(old[: options.old], **settings).result.model
        base.save(options.out / "base.safetensors")
        base = nuf.load_model(options.out / "base.safetensors")
        nuf.finetune(base, new[: options.new], **settings).result.model.save(file)
    return nuf.load_model(file)


def images_of(dataset: Path) -> Sequence[AnnotatedImage]:
    """Return all images of a dataset with their masks."""
    return list(nuf.open_folder(dataset / "images", dataset / "masks"))


def seen_by(model: Model, image: AnnotatedImage) -> AnnotatedImage:
    """Return an image (C, Y, X) with the channels of the model: of a color one, a gray model sees the gray value."""
    pixels = image.image.reshape(-1, *image.shape)
    if len(pixels) == len(LUMINANCE) and model.card.shape.in_channels == 1:
        pixels = np.tensordot(np.float32(LUMINANCE), pixels, 1)[np.newaxis] / 255
    return AnnotatedImage(image.name, pixels if len(pixels) > 1 else pixels[0], image.labels)


def in_core(package: Path) -> Callable[..., NDArray[Any]]:
    """Return a function that has bioimageio.core predict, in the tiles of the package or at once."""
    from bioimageio.core import create_prediction_pipeline, load_model_description
    from bioimageio.core.digest_spec import create_sample_for_model

    pipeline = create_prediction_pipeline(load_model_description(package))

    def predicted(pixels: NDArray[Any], *, whole: bool = False) -> NDArray[Any]:
        inputs = {"image": pixels.reshape(1, -1, *pixels.shape[-2:]).astype(np.float32)}
        sample = create_sample_for_model(pipeline.model_description, inputs=inputs)
        if whole:
            found = pipeline.predict_sample_without_blocking(sample, skip_input_padding=True, skip_output_cropping=True)
        else:
            found = pipeline.predict_sample_with_blocking(sample)
        return np.asarray(found.members["probability"].data)[0, 0]

    return predicted


def in_onnxruntime(onnx: Path) -> Masks:
    """Return a function that finds objects by the program that docs/export.md shows."""
    (code,) = re.findall(r"```python\n(.*?)```", PROGRAM.read_text(encoding="utf-8"), re.DOTALL)
    program = compile(code.replace("cells.onnx", onnx.as_posix()), str(PROGRAM), "exec")

    def predicted(pixels: NDArray[Any]) -> NDArray[np.bool_]:
        names: dict[str, Any] = {"image": pixels.reshape(-1, *pixels.shape[-2:])}
        exec(program, names)  # noqa: S102 - our own page
        found: NDArray[np.bool_] = names["mask"]
        return found

    return predicted


def table(model: Model, images: Sequence[AnnotatedImage], core: Callable[..., NDArray[Any]], onnx: Masks) -> None:
    """Print how far others are from this program, and how good each of them is."""
    side, plain, alone = model.card.patch_size, Predictor(model, CPU), Predictor(model, ALONE)
    tiles = [AnnotatedImage(image.name, image.image[..., :side, :side]) for image in images]
    apart = [np.abs(core(one.image, whole=True) - alone.predict(one).probabilities).max() for one in tiles]
    print(f"Largest difference of a probability on {len(tiles)} tiles, bioimageio.core: {max(apart):.1e}")
    masks = {
        "this program": [plain.predict(image).labels > 0 for image in images],
        "this program, tiles without overlap": [alone.predict(image).labels > 0 for image in images],
        "bioimageio.core": [core(image.image) > model.card.threshold for image in images],
        "onnxruntime, a few lines": [onnx(image.image) for image in images],
    }
    ours = masks["this program"]
    print(f"| on {len(images)} test images | labels that differ | at most | Dice |\n|---|---|---|---|")
    for name, found in masks.items():
        differ = [float(np.mean(one != own)) for one, own in zip(found, ours, strict=True)]
        scores = [dice(one, image.target) for one, image in zip(found, images, strict=True)]
        print(f"| {name} | {np.mean(differ):.2%} | {max(differ):.2%} | {np.mean(scores):.3f} |")


if __name__ == "__main__":
    main()
