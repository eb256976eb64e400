"""Ask whether images that nobody annotated make a finetuning better, on annotated images that no test will use.

A model is finetuned on a few images of the pool of Dataset 2. It predicts the rest of the pool, whose masks are not
looked at; what it is sure of there is learned from beside the true masks in a second finetuning from the same base,
but for images of which a share is predicted that no annotated image comes near. Both models are scored on that rest.
The images that are held out are the same, and annotated. True images are repeated until they are as many as the others.

    python benchmarks/unannotated.py PAIR/dataset2 --base MODEL --out DIR --count 5 --seeds 0 --set schedule=plateau
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

from recipe_search import parts

from napari_unet_finetune.cli.options import training_config
from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.io.disk import atomic_write
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.training.finetune import FinetuneResult, finetune
from napari_unet_finetune.training.replay import imitated

# Predicted shares of objects may lie so many times below or above those of annotated images.
BEYOND = 2.0


def main() -> None:
    """Finetune each seed without and with the other images and print a table."""
    options = parse()
    pool = open_folder(options.dataset / "images", options.dataset / "masks")[: -options.tests]
    base = load_model(options.base)
    heads = ("seed", "learned from", "Dice on the others", "area", "old", "CPU s")
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for seed in options.seeds:
        for row in run(seed, base, pool, options):
            shown = (f"{row[name]:.3f}" for name in ("dice", "area", "old"))
            print(f"| {seed} | {row['learned']} | {' | '.join(shown)} | {row['seconds']:.0f} |", flush=True)


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Dataset 2: a folder with images and masks")
    parser.add_argument("--base", required=True, help="base model: a file or the name of one that ships")
    parser.add_argument("--out", type=Path, required=True, help="folder for one JSON file per seed")
    parser.add_argument("--count", type=int, default=5, help="annotated images to finetune with")
    parser.add_argument("--tests", type=int, default=11, help="last images of the dataset, which stay closed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of a setting; as often as needed")
    return parser.parse_args()


def run(seed: int, base: Model, pool: AnnotatedFolder, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the scores of both finetunings, from their file if they are done."""
    file = options.out / f"{options.dataset.parent.name}_{options.count:02d}_seed-{seed}.json"
    if file.is_file():
        done: list[dict[str, Any]] = json.loads(file.read_bytes())
        return done
    chosen, others = (pool.only(names) for names in parts(pool.names, options.count, seed))
    held_out = tuple(chosen.names[-max(1, len(chosen) // 5) :])
    config = training_config("default", options.set, seed=seed).model_copy(update={"held_out": held_out})
    start = process_time()
    first = finetune(base, chosen, config).result
    rows = [_row(f"{len(chosen)} annotated", first, others, process_time() - start)]
    found = predicted(first.model, chosen, others, config)
    learned = [image for image in chosen if image.name not in held_out]
    repeated = [
        replace(image, name=f"{image.name} again {turn}")
        for turn in range(1, len(found) // max(1, len(learned)))
        for image in learned
    ]
    both = [*chosen, *repeated, *found]
    second = finetune(base, both, config).result
    rows.append(_row(f"and {len(found)} of {len(others)} predicted", second, others, process_time() - start))
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write(file, lambda stream: stream.write(json.dumps(rows, indent=1).encode()))
    return rows


def predicted(
    model: Model, chosen: Sequence[AnnotatedImage], others: Sequence[AnnotatedImage], config: FinetuneConfig
) -> list[AnnotatedImage]:
    """Return the `others` with what `model` is sure of, but for those with a share of objects out of all proportion."""
    shares = [float(image.target.mean()) for image in chosen]
    blind = [replace(image, labels=None, annotated=None) for image in others]
    found = imitated(model, blind, config)
    within = (min(shares) / BEYOND, max(shares) * BEYOND)
    return [image for image in found if within[0] <= float(image.target.mean()) <= within[1]]


def _row(learned: str, result: FinetuneResult, others: AnnotatedFolder, seconds: float) -> dict[str, Any]:
    scores = evaluate(result.model, others)
    return {
        "learned": learned,
        "dice": mean(score.dice for score in scores),
        "area": mean(score.area_ratio for score in scores if score.area_ratio is not None),
        "old": result.ended.old_dice_after,
        "seconds": seconds,
        "images": {score.image: score.dice for score in scores},
    }


if __name__ == "__main__":
    main()
