"""Compare settings of a prediction, by Dice and by time, on annotated images that no test will use.

The models were finetuned on the first images of the pool of Dataset 2 and are scored on the rest of it. The last images
of the dataset are tests and are not opened.

    python benchmarks/prediction_settings.py PAIR/dataset2 --models STUDY/runs/05-images-seed-*/model.safetensors
        --setting augment=false --setting default --setting augment=false,overlap=0.75
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from time import perf_counter

import torch

from napari_unet_finetune.cli.options import prediction_config
from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.load import load_model

PLAIN = "default"


def main() -> None:
    """Score every model with every setting and print a table; the first setting is what the others are held against."""
    options = parse()
    torch.set_num_threads(options.threads)
    images = list(open_folder(options.dataset / "images", options.dataset / "masks")[: -options.tests])
    images = images[options.trained :]
    results = {}
    for setting in options.setting or [PLAIN]:
        config = prediction_config([] if setting == PLAIN else setting.split(","))
        results[setting] = [score(model, images, config) for model in options.models]
    print(f"| setting | models | Dice on {len(images)} | against the first | time |")
    print("|---|---|---|---|---|")
    first, *_ = results.values()
    for setting, scored in results.items():
        reached, seconds = (mean(column) for column in zip(*scored, strict=True))
        before, seconds_before = (mean(column) for column in zip(*first, strict=True))
        row = (
            setting,
            str(len(scored)),
            f"{reached:.4f}",
            f"{reached - before:+.4f}",
            f"{seconds / seconds_before:.1f}",
        )
        print(f"| {' | '.join(row)} |")


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Dataset 2: a folder with images and masks")
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--setting", action="append", help="NAME=VALUE,NAME=VALUE … or default; as often as needed")
    parser.add_argument("--trained", type=int, default=5, help="first images, on which the models were trained")
    parser.add_argument("--tests", type=int, default=11, help="last images of the dataset, which stay closed")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def score(model: Path, images: Sequence[AnnotatedImage], config: PredictConfig) -> tuple[float, float]:
    """Return the mean Dice of a model and the seconds it took."""
    predictor = Predictor(load_model(model), config)
    start = perf_counter()
    reached = mean(dice(predictor.predict(image).labels > 0, image.target) for image in images)
    return reached, perf_counter() - start


if __name__ == "__main__":
    main()
