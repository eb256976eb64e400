"""What a gray base model sees in color images through other mixes of their channels, with nothing trained.

Every mix of red, green and blue in quarters is scored on the pool of Dataset 2 (the tests stay closed), as it is and
with dark and bright exchanged: on the first images, by which a mix would be chosen, and on the others.

    python benchmarks/channel_mix.py PAIR/dataset2 --base MODEL --count 5
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np

from napari_unet_finetune.config import AppearanceName, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.models.load import load_model

QUARTERS = 4
WAYS: tuple[AppearanceName, ...] = ("as they are", "inverted")


def main() -> None:
    """Print a line for each mix and way, the best on the first images first."""
    options = parse()
    base, folder = load_model(options.base), open_folder(options.dataset / "images", options.dataset / "masks")
    images = list(folder[: -options.tests])
    rows = []
    for mix in mixes():
        mixed = [through(mix, image) for image in images]
        for way in WAYS:
            config = PredictConfig(appearance=way, overlap=0.25)
            scores = [score.dice for score in evaluate(base, mixed, config)]
            rows.append((mean(scores[: options.count]), mean(scores[options.count :]), mix, way))
    heads = (
        "red, green, blue",
        "shown",
        f"Dice on the first {options.count}",
        f"on {len(images) - options.count} others",
    )
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for first, rest, mix, way in sorted(rows, reverse=True):
        print(f"| {', '.join(f'{share:g}' for share in mix)} | {way} | {first:.3f} | {rest:.3f} |")


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Dataset 2: a folder with color images and masks")
    parser.add_argument("--base", required=True, help="gray base model: a file or the name of one that ships")
    parser.add_argument("--count", type=int, default=5, help="images by which a mix would be chosen")
    parser.add_argument("--tests", type=int, default=11, help="last images of the dataset, which stay closed")
    return parser.parse_args()


def mixes() -> Iterator[tuple[float, ...]]:
    """Yield the shares of red, green and blue of each mix; they add up to 1."""
    for parts in itertools.product(range(QUARTERS + 1), repeat=3):
        if sum(parts) == QUARTERS:
            yield tuple(part / QUARTERS for part in parts)


def through(mix: tuple[float, ...], image: AnnotatedImage) -> AnnotatedImage:
    """Return a color image (C, Y, X) as a gray one."""
    gray = np.tensordot(np.array(mix, np.float32), image.image.astype(np.float32), 1)
    return replace(image, image=gray)


if __name__ == "__main__":
    main()
