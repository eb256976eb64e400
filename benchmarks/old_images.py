"""What a model without patches of its own forgets, by how it is held to what it knew.

The model is finetuned on a few images of the pool of Dataset 2 and scored on the rest of the pool, and on images of
its own kind with which it was not trained: those of the folder `--old` that its file does not name. The others of that
folder are the old images of the arms that replay some, without their masks and with them. The test images of
Dataset 2 stay closed. Arms that are done are not repeated.

    python benchmarks/old_images.py PAIR/dataset2 --old FOLDER --out DIR --count 5 --steps 400 --seeds 0 1
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.io.disk import atomic_write
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.training.finetune import finetune
from napari_unet_finetune.training.replay import some_evenly

PULL = 0.01


def main() -> None:
    """Run every arm with every seed, then print a table."""
    options = parse()
    base = load_model(options.base)
    pool = open_folder(options.dataset / "images", options.dataset / "masks")[: -options.tests]
    everything = open_folder(options.old / "images", options.old / "masks")
    trained = {record.name for record in base.card.provenance.images}
    unseen = everything.only(name for name in everything.names if name not in trained)
    old = list(some_evenly(everything.only(name for name in everything.names if name in trained)))
    unlabeled = [replace(image, labels=None) for image in old]
    arms: dict[str, tuple[float, Sequence[AnnotatedImage] | None]] = {
        "nothing": (0.0, None),
        "pull to the base": (PULL, None),
        "old images without masks": (0.0, unlabeled),
        "old images without masks, and the pull": (PULL, unlabeled),
        "old images with masks": (0.0, old),
    }
    data = (pool[: options.count], pool[options.count :], unseen)
    print(f"| held by | seeds | Dice on {len(data[1])} others | Dice on {len(unseen)} of its own kind |")
    print("|---|---|---|---|")
    before = mean(score.dice for score in evaluate(base, unseen))
    print(f"| (the model as it was) | – | {mean(score.dice for score in evaluate(base, pool)):.3f} | {before:.3f} |")
    for name, (pull, images) in arms.items():
        rows = []
        for seed in options.seeds:
            config = FinetuneConfig(steps=options.steps, l2sp=pull, seed=seed)
            file = options.out / f"{options.count:02d}-{options.steps}-{name.replace(',', '')}-{seed}.json"
            rows.append(
                read(file) or run(file, config, base, images, (pool[: options.count], pool[options.count :], unseen))
            )
        new, own = (mean(row[part] for row in rows) for part in ("new", "own"))
        print(f"| {name} | {len(rows)} | {new:.3f} | {own:.3f} |", flush=True)


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Dataset 2: a folder with images and masks")
    parser.add_argument("--old", type=Path, required=True, help="images and masks of the model's own kind")
    parser.add_argument(
        "--base", default="nuclei-fluorescence", help="base model: a file or the name of one that ships"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for one JSON file per arm and seed")
    parser.add_argument("--count", type=int, default=5, help="images to finetune with")
    parser.add_argument("--tests", type=int, default=11, help="last images of the dataset, which stay closed")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    return parser.parse_args()


def read(file: Path) -> dict[str, float] | None:
    """Return the scores of an arm that is done."""
    return dict(json.loads(file.read_bytes())) if file.is_file() else None


def run(
    file: Path,
    config: FinetuneConfig,
    base: Model,
    old: Sequence[AnnotatedImage] | None,
    data: tuple[AnnotatedFolder, AnnotatedFolder, AnnotatedFolder],
) -> dict[str, float]:
    """Finetune and score one model, and keep its scores in `file`; `data` are new images, the others, and old ones."""
    training, others, unseen = data
    model = finetune(base, training, config, base_images=old).result.model
    parts = {"new": others, "own": unseen}
    row = {name: mean(score.dice for score in evaluate(model, images)) for name, images in parts.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, lambda stream: stream.write(json.dumps(row).encode()))
    return row


if __name__ == "__main__":
    main()
