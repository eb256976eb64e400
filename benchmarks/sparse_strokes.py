"""How much Dice is lost by painting strokes instead of full masks at equal annotated area.

python benchmarks/sparse_strokes.py PAIR --base MODEL [--shares 0.01,0.05] [--images 5] [--steps 150] [--seeds 3]

PAIR holds dataset2/images and dataset2/masks; its first images train, its last ones test. Strokes are random curves of
a round brush inside objects and background, half of the area each. They are compared with as many pixels in one square
per image, in squares of a single image, and with the full masks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from napari_unet_finetune.config import FinetuneConfig, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.training.finetune import finetune

BRUSH_RADIUS_PX = 2
LONGEST_STROKE = 40
ATTEMPTS = 5000

Region = NDArray[np.bool_]


def main() -> None:
    """Print one line per way of annotating."""
    options = parse()
    folder = open_folder(options.pair / "dataset2" / "images", options.pair / "dataset2" / "masks")
    images, tests = list(folder[: options.images]), list(folder[-options.tests :])
    # Without replay, so that runs differ in their annotation alone.
    trial = Trial(replace(load_model(options.base), rehearsal=None), tests, options)
    predict = PredictConfig(device=options.device)
    print(
        f"{options.pair.name}, {len(images)} images, {options.steps} steps, {options.seeds} seeds, {len(tests)} tests"
    )
    print(f"base model: Dice {fmean(row.dice for row in evaluate(trial.base, tests, predict)):.3f}")
    print("| annotated | share of the pixels | Dice | ± seeds | against full masks | s |")
    print("|---|---|---|---|---|---|")
    full = trial.line("full masks", lambda _: images)
    for share in options.shares:
        for name, annotate in WAYS.items():
            trial.line(name, lambda rng, way=annotate, s=share: way(images, s, rng), full)


Annotate = Callable[[np.random.Generator], list[AnnotatedImage]]


@dataclass(frozen=True)
class Trial:
    """What all ways of annotating share."""

    base: Model
    tests: list[AnnotatedImage]
    options: argparse.Namespace

    def line(self, name: str, annotate: Annotate, full: float | None = None) -> float:
        """Train once per seed with one way of annotating, print its line, and return its mean Dice."""
        start, scores, shares = time.perf_counter(), [], []
        for seed in range(self.options.seeds):
            images = annotate(np.random.default_rng(seed))
            known = [image.annotated if image.annotated is not None else np.ones(image.shape) for image in images]
            shares.append(sum(mask.sum() for mask in known) / sum(mask.size for mask in known))
            scores.append(self.dice(images, seed))
        mean = fmean(scores)
        spread = f"{stdev(scores):.3f}" if len(scores) > 1 else "–"
        loss = "" if full is None else f"{mean - full:+.3f}"
        took = time.perf_counter() - start
        print(f"| {name} | {fmean(shares):.1%} | {mean:.3f} | {spread} | {loss} | {took:.0f} |", flush=True)
        return mean

    def dice(self, images: list[AnnotatedImage], seed: int) -> float:
        """Return the mean Dice on the test images of a model finetuned on `images`."""
        # Nothing is held out, so that all ways train on all they have and none is helped by a threshold.
        config = FinetuneConfig(
            preset="default",
            steps=self.options.steps,
            seed=seed,
            device=self.options.device,
            validation="none",
            calibrate=False,
        )
        model = finetune(self.base, images, config).result.model
        return fmean(row.dice for row in evaluate(model, self.tests, PredictConfig(device=self.options.device)))


def strokes(images: list[AnnotatedImage], share: float, rng: np.random.Generator) -> list[AnnotatedImage]:
    """Return `images` annotated by strokes on `share` of each."""
    return [replace(image, annotated=paint(image.target, share, rng)) for image in images]


def squares(images: list[AnnotatedImage], share: float, rng: np.random.Generator) -> list[AnnotatedImage]:
    """Return `images` annotated in one square each, of `share` of its area."""
    return [replace(image, annotated=square(image.target, share, rng)) for image in images]


def one_image(images: list[AnnotatedImage], share: float, rng: np.random.Generator) -> list[AnnotatedImage]:
    """Return one of `images`, annotated on as many pixels as `share` of all has, others not at all."""
    chosen = images[rng.integers(len(images))]
    area = min(1.0, share * len(images))
    known = None if area == 1.0 else square(chosen.target, area, rng)
    rest = [replace(image, annotated=np.zeros(image.shape, bool)) for image in images if image is not chosen]
    return [replace(chosen, annotated=known), *rest]


def paint(target: Region, share: float, rng: np.random.Generator) -> Region:
    """Return where strokes lie: curves inside the objects and inside the background, half of the area each."""
    painted = np.zeros(target.shape, bool)
    for region in (target, ~target):
        wanted = min(share * target.size / 2, 0.9 * region.sum())
        done = np.zeros(target.shape, bool)
        starts = np.argwhere(region)
        for _ in range(ATTEMPTS):
            if done.sum() >= wanted or not len(starts):
                break
            done |= stroke(region, starts[rng.integers(len(starts))], rng)
        painted |= done
    return painted


def stroke(region: Region, start: NDArray[np.int64], rng: np.random.Generator) -> Region:
    """Return a curve of a round brush that begins at `start` and ends where it would leave `region`."""
    drawn = np.zeros(region.shape, bool)
    rows, columns = np.ogrid[: region.shape[0], : region.shape[1]]
    place, heading = start.astype(float), rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(5, LONGEST_STROKE))):
        row, column = place.round().astype(int)
        if not (0 <= row < region.shape[0] and 0 <= column < region.shape[1]) or not region[row, column]:
            break
        drawn |= (rows - row) ** 2 + (columns - column) ** 2 <= BRUSH_RADIUS_PX**2
        heading += rng.normal(0, 0.3)
        place += BRUSH_RADIUS_PX * np.array([np.sin(heading), np.cos(heading)])
    return drawn & region  # a careful hand


def square(target: Region, share: float, rng: np.random.Generator) -> Region:
    """Return a square of `share` of the area that shows objects and background, if one of fifty tries does."""
    height, width = target.shape
    side = round((share * target.size) ** 0.5)
    tall, wide = min(height, side), min(width, round(share * target.size / min(height, side)))
    for _ in range(50):
        top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
        inside = target[top : top + tall, left : left + wide]
        if inside.any() and not inside.all():
            break
    known = np.zeros(target.shape, bool)
    known[top : top + tall, left : left + wide] = True
    return known


WAYS = {"strokes": strokes, "squares": squares, "one image": one_image}


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path)
    parser.add_argument("--base", required=True, help="model to finetune")
    parser.add_argument("--shares", default="0.01,0.05", type=lambda text: [float(part) for part in text.split(",")])
    for name, value in (("images", 5), ("steps", 150), ("seeds", 3), ("tests", 11)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()
