"""From how many images a threshold may be chosen, and by which rule.

A base predicts the images of Dataset 1 that its training did not learn from: those that it held out and those that it
never saw, but for the last ones, which are tests. Some of them, drawn again and again, choose a threshold, and Dice at
that is measured on the others.

    python benchmarks/thresholds.py PAIR/dataset1 BASE [PAIR/dataset1 BASE ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.training.validation import THRESHOLDS, pick_threshold

OLD_TESTS = 6
PLAIN, DRAWS = 0.5, 300


def main() -> None:
    """Print for each number of images the mean Dice of three rules over all bases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bases", type=Path, nargs="+", help="a folder with images and masks, then a base, and so on")
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 3, 5])
    options = parser.parse_args()
    tables = [scores(*pair) for pair in zip(options.bases[::2], options.bases[1::2], strict=True)]
    print("| images that choose | 0.5 | the best mean | the best, if surely better |\n|---|---|---|---|")
    for count in options.counts:
        found = np.mean([measure(table, count) for table in tables], axis=0)
        print(f"| {count} | {' | '.join(f'{one:.4f}' for one in found)} |")


def scores(dataset: Path, base: Path) -> NDArray[np.float64]:
    """Return Dice (1 + thresholds, images) at 0.5 and at each threshold."""
    model = load_model(base)
    learned = {image.name for image in model.card.provenance.images} - set(model.card.provenance.held_out or ())
    images = open_folder(dataset / "images", dataset / "masks")[:-OLD_TESTS]
    predictor, columns = Predictor(model, PredictConfig()), []
    for image in images.only([name for name in images.names if name not in learned]):
        seen = predictor.predict(image).probabilities
        columns.append([dice(seen > threshold, image.target) for threshold in (PLAIN, *THRESHOLDS)])
    return np.array(columns).T


def measure(table: NDArray[np.float64], count: int) -> list[float]:
    """Return Dice on the images that did not choose: at 0.5, at the best mean, and at what a training takes."""
    rng, found = np.random.default_rng(0), []
    for _ in range(DRAWS):
        order = rng.permutation(table.shape[1])
        choosing, others = table[:, order[:count]], table[:, order[count:]].mean(axis=1)
        taken = pick_threshold(choosing, PLAIN)
        place = 0 if taken == PLAIN else 1 + int(np.argmin(np.abs(THRESHOLDS - taken)))
        found.append([others[0], others[1 + int(choosing[1:].mean(axis=1).argmax())], others[place]])
    return [float(one) for one in np.mean(found, axis=0)]


if __name__ == "__main__":
    main()
