"""How surely a few annotated images say which way round a dataset is to be shown to a base model.

The base predicts every image of the pool of Dataset 2 as it is and with dark and bright exchanged. Then some of them
are drawn again and again: what would they have chosen? By the mean over images, only if it is better on three of four
as well, or by the mean and, where that changes little, by whether objects are brighter or darker than their
surroundings, as a finetuning does (which scores typical windows of them, and tries single channels, too). The test
images are not opened, and nothing is trained.

    python benchmarks/which_way.py PAIR/dataset2 --base MODEL
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_unet_finetune.config import AppearanceName
from napari_unet_finetune.data.appearance import AS_THEY_ARE
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.statistics import combine, have_opposite_contrast, measure_image
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.training.settle import CLEAR_GAIN, CLEAR_SHARE, is_exchanged

DRAWS = 10_000


def main() -> None:
    """Print the Dice both ways, then how often so many images choose the exchanged one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Dataset 2: a folder with images and masks")
    parser.add_argument("--base", required=True, help="base model: a file or the name of one that ships")
    parser.add_argument("--tests", type=int, default=11, help="last images of the dataset, which stay closed")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 3, 5, 8, 12])
    options = parser.parse_args()
    model = load_model(options.base)
    pool = open_folder(options.dataset / "images", options.dataset / "masks")[: -options.tests]

    def scores(appearance: AppearanceName) -> NDArray[np.float64]:
        return np.array([row.dice for row in evaluate(model, pool, appearance=appearance)])

    plain, exchanged = scores("as they are"), scores("inverted")
    gains, rng = exchanged - plain, np.random.default_rng(0)
    view, facts = model.card.view.as_one_of(AS_THEY_ARE), model.card.facts
    measured = [measure_image(image, view) for image in pool]

    def opposite(drawn: NDArray[np.intp]) -> bool:
        return have_opposite_contrast(facts, combine(measured[place] for place in drawn))

    print(f"{len(pool)} images: as they are {plain.mean():.3f}, exchanged {exchanged.mean():.3f}\n")
    print("| images | exchanged by the mean | and if better on three of four | or by objects |\n|---|---|---|---|")
    for count in options.counts:
        places = rng.permuted(np.tile(np.arange(len(gains)), (DRAWS, 1)), axis=1)[:, :count]
        draws = gains[places]
        by_mean = draws.mean(axis=1) >= CLEAR_GAIN
        by_both = by_mean & ((draws > 0).mean(axis=1) >= CLEAR_SHARE)
        by_objects = np.array([is_exchanged(float(gains[one].mean()), partial(opposite, one)) for one in places])
        print(f"| {count} | {by_mean.mean():.0%} | {by_both.mean():.0%} | {by_objects.mean():.0%} |")


if __name__ == "__main__":
    main()
