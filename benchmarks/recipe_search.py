"""Compare settings of a finetuning on annotated images that no test will use: the pool of Dataset 2 without its tests.

Each arm is a list of settings. It finetunes the base model on a few images of the pool and is scored on the rest of
the pool; what Dataset 1 loses is measured on the patches that the base model carries of its held-out images. Seed 0
takes the first images, seed 1 those that follow them, and so on: arms are compared on the same images, and the spread
holds that of the choice of images. The test images of either dataset are not opened. Arms that are done are not
repeated. With --old, images of Dataset 1 that the base was not trained on are scored before and after: whether what
the training says of old images is true of others, too. An arm with `unannotated_share`
learns from the rest of the pool as well, without its masks. Time is that of the processor.

    python benchmarks/recipe_search.py PAIR/dataset2 --base MODEL --out DIR --count 5 --seeds 0 1 2
        --arm default --arm steps=800 --arm layers=spot,learning_rate=0.003
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

from napari_unet_finetune.cli.options import training_config
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.io.disk import atomic_write
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model, weights_hash
from napari_unet_finetune.training.finetune import finetune

PLAIN = "default"
OLD_TESTS = 6
# Dice on old images: after the training, its change and that of the worst image as the training says, and as it is.
OLD = ("old", "old change", "worst", "true change", "true worst")


def main() -> None:
    """Run every arm with every seed, then print a table."""
    options = parse()
    folder = open_folder(options.dataset / "images", options.dataset / "masks")
    pool = folder[: -options.tests]
    if len(pool) <= options.count:
        raise SystemExit(f"{len(pool)} images without the tests leave none to score on after {options.count}.")
    base = load_model(options.base)
    results = {}
    for arm in options.arm or [PLAIN]:
        results[arm] = [run(arm, seed, base, pool, options) for seed in options.seeds]
        print(line(arm, results[arm]), flush=True)
    heads = ("settings", "seeds", f"Dice on {len(pool) - options.count}", "area", "steps", "CPU s", *OLD)
    print(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for arm, rows in results.items():
        print(line(arm, rows))


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Dataset 2: a folder with images and masks")
    parser.add_argument("--base", required=True, help="base model: a file or the name of one that ships")
    parser.add_argument("--out", type=Path, required=True, help="folder for one JSON file per arm and seed")
    parser.add_argument("--old", type=Path, help="Dataset 1: a folder with images and masks")
    parser.add_argument("--count", type=int, default=5, help="images to finetune with")
    parser.add_argument("--tests", type=int, default=11, help="last images of the dataset, which stay closed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--arm", action="append", help="NAME=VALUE,NAME=VALUE … or default; as often as needed")
    return parser.parse_args()


def run(arm: str, seed: int, base: Model, pool: AnnotatedFolder, options: argparse.Namespace) -> dict[str, Any]:
    """Return the scores of one training, from its file if it is done."""
    file = options.out / f"{options.dataset.parent.name}_{options.count:02d}_{arm.replace('/', ' ')}_seed-{seed}.json"
    made_with = {"base": weights_hash(base.weights), "pool": list(pool.names)}
    if file.is_file():
        done: dict[str, Any] = json.loads(file.read_bytes())
        if any(done[name] != value for name, value in made_with.items()):
            raise SystemExit(f"{file} is of another base model or other images. Give another --out.")
        return done
    start = process_time()
    changes = [] if arm == PLAIN else arm.split(",")
    chosen, others = parts(pool.names, options.count, seed)
    rest, config = pool.only(others), training_config("default", changes, seed=seed)
    unannotated = [replace(image, labels=None) for image in rest] if config.unannotated_share else []
    result = finetune(base, pool.only(chosen), config, unannotated=unannotated).result
    seconds = process_time() - start
    scores = evaluate(result.model, rest)
    ended = result.ended
    before, after, worst = ended.old_dice_before, ended.old_dice_after, ended.worst_old
    row = {
        **made_with,
        "dice": mean(score.dice for score in scores),
        "area": mean(score.area_ratio for score in scores if score.area_ratio is not None),
        "old": after,
        "old change": None if before is None or after is None else after - before,
        "worst": None if worst is None else worst.after - worst.before,
        **_truth(base, result.model, options),
        "share": ended.share,
        "steps": ended.steps,
        "seconds": seconds,
        "images": {score.image: score.dice for score in scores},
    }
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write(file, lambda stream: stream.write(json.dumps(row, indent=1).encode()))
    return row


def _truth(base: Model, finetuned: Model, options: argparse.Namespace) -> dict[str, float]:
    """Return what old images lose or gain that no training saw, but for the tests of Dataset 1: mean and worst."""
    if options.old is None:
        return {}
    folder = open_folder(options.old / "images", options.old / "masks")[:-OLD_TESTS]
    known = {image.name for image in base.card.provenance.images}
    unseen = folder.only([name for name in folder.names if name not in known])
    before, after = ({one.image: one.dice for one in evaluate(model, unseen)} for model in (base, finetuned))
    changes = [after[name] - before[name] for name in before]
    return {"true change": mean(changes), "true worst": min(changes)}


def parts(names: Sequence[str], count: int, seed: int) -> tuple[Sequence[str], Sequence[str]]:
    """Return the `count` images that a seed trains on, and the others."""
    start = seed * count % len(names)
    turned = [*names[start:], *names[:start]]
    return turned[:count], turned[count:]


def line(arm: str, rows: Sequence[dict[str, Any]]) -> str:
    """Return the mean over seeds as a line of a table."""

    def of(name: str, digits: int = 3) -> str:
        values = [row[name] for row in rows if row.get(name) is not None]
        return f"{mean(values):.{digits}f}" if values else "–"

    spread = f" ± {stdev(row['dice'] for row in rows):.3f}" if len(rows) > 1 else ""
    cells = (arm, str(len(rows)), of("dice") + spread, of("area", 2), of("steps", 0), of("seconds", 0), *map(of, OLD))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
