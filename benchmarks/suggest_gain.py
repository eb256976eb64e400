"""Does `suggest` choose better images than chance? Finetune on both and score on the rest of the pool.

The folder holds pairs as ``PAIR/{dataset1,dataset2}/{images,masks}``. Base models are trained on the first 25 images of
Dataset 1 and kept in the output folder; the pool is the first 20 images of Dataset 2; the images after it are tests and
are never touched. Since different choices leave different images to be scored, each image's Dice is also compared with
the mean Dice that models of random draws reach on that very image: the gain.

With --annotated N it is a later round: the first N images of the pool are annotated, a model finetuned on them suggests
the next ones, and every training gets these N and the chosen ones.

    python benchmarks/suggest_gain.py DATA --out gain                         # all pairs, 10 draws, the default recipe
    python benchmarks/suggest_gain.py DATA --out gain --pairs PAIR --draws 3 --repeats 1 --steps 120 --base MODEL
    python benchmarks/suggest_gain.py DATA --out gain-later --annotated 5 --steps 150
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from napari_unet_finetune.config import FinetuneConfig, PredictConfig
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model, weights_hash
from napari_unet_finetune.suggest.suggestion import suggest
from napari_unet_finetune.training.finetune import finetune, train

BASE_IMAGES, POOL_IMAGES = 25, 20
SUGGESTED = "suggested"


def main() -> None:
    """Run what is missing in the output folder and print one table."""
    options = parse()
    print("| pair | chosen | rest of the pool: Dice | gain over random on the same images |")
    print("|---|---|---|---|")
    for pair in options.pairs or sorted(path.name for path in options.data.iterdir() if (path / "dataset2").is_dir()):
        arms = run_pair(pair, options)
        for line in table_lines(pair, arms):
            print(line, flush=True)


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", nargs="*")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="trainings on the suggested images, with other seeds")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--annotated", type=int, default=0, help="first images, annotated before: a later round")
    parser.add_argument("--steps", type=int, help="of a finetuning; default: the preset's")
    parser.add_argument("--base-steps", type=int)
    parser.add_argument("--base", help="model file to start from instead of one trained on Dataset 1")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    return parser.parse_args()


def run_pair(pair: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one entry per training: what was chosen and the Dice of every other image of the pool."""
    folder = options.out / pair
    folder.mkdir(parents=True, exist_ok=True)
    base = base_model(pair, folder, options)
    pool = open_folder(options.data / pair / "dataset2/images", options.data / pair / "dataset2/masks")
    pool = pool[:POOL_IMAGES]
    annotated = pool.names[: options.annotated]
    model = finetuned(base, pool.only(annotated), 0, options) if annotated else base
    refs = [one.image for one in pool.pairing.pairs]
    suggestions = suggest(model, refs, options.count, annotated=annotated, device=options.device).result
    chosen = [(SUGGESTED, seed, [one.image for one in suggestions]) for seed in range(options.repeats)]
    for draw in range(options.draws):
        names = np.random.default_rng(draw).choice(pool.names[len(annotated) :], options.count, replace=False).tolist()
        chosen.append(("random", draw, names))
    return [
        run_arm(folder / f"{arm}-{seed}.json", [*annotated, *names], pool, base, options) for arm, seed, names in chosen
    ]


def base_model(pair: str, folder: Path, options: argparse.Namespace) -> Model:
    """Return the base model, trained if it is not there yet."""
    file = folder / "base.safetensors"
    if options.base or file.exists():
        return load_model(options.base or file)
    source = options.data / pair / "dataset1"
    images = open_folder(source / "images", source / "masks")[:BASE_IMAGES]
    changes = {} if options.base_steps is None else {"steps": options.base_steps}
    config = FinetuneConfig(preset="from scratch", device=options.device, **changes)
    model = train(list(images), config).result.model
    model.save(file)
    return model


def run_arm(
    file: Path, names: list[str], pool: AnnotatedFolder, base: Model, options: argparse.Namespace
) -> dict[str, Any]:
    """Finetune on the images called `names` and score all others; a result that is there is only read."""
    made_with = {"chosen": names, "steps": options.steps, "base": weights_hash(base.weights)}
    if file.exists():
        entry: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if any(entry[name] != value for name, value in made_with.items()):
            raise SystemExit(f"{file} is of other images, steps or another base model. Give another --out.")
        return entry
    model = finetuned(base, pool.only(names), int(file.stem.split("-")[1]), options)
    predictor = Predictor(model, PredictConfig(device=options.device))
    scores = {}
    for image in pool.only(name for name in pool.names if name not in names):
        scores[image.name] = dice(predictor.predict(image).labels > 0, image.target)
    entry = {"arm": file.stem.split("-")[0], **made_with, "dice": scores}
    file.write_text(json.dumps(entry, indent=1), encoding="utf-8")
    return entry


def finetuned(base: Model, images: AnnotatedFolder, seed: int, options: argparse.Namespace) -> Model:
    """Return `base` finetuned on all of `images`."""
    changes = {} if options.steps is None else {"steps": options.steps}
    config = FinetuneConfig(seed=seed, device=options.device, **changes)
    return finetune(base, list(images), config).result.model


def table_lines(pair: str, arms: list[dict[str, Any]]) -> list[str]:
    """Return a line of the mean, and its spread between trainings, per way to choose."""
    random = [arm for arm in arms if arm["arm"] != SUGGESTED]
    lines = []
    for label, of in (("suggested", [arm for arm in arms if arm["arm"] == SUGGESTED]), ("random", random)):
        rest = [mean(arm["dice"].values()) for arm in of]
        gains = [gain for arm in of if (gain := gain_over(arm, [one for one in random if one is not arm])) is not None]
        lines.append(f"| {pair} | {label} ({len(of)} trainings) | {_spread(rest)} | {_spread(gains)} |")
    return lines


def gain_over(arm: dict[str, Any], others: list[dict[str, Any]]) -> float | None:
    """Return the mean difference to the Dice that `others` reach on the same images, where they were scored."""
    differences = []
    for name, value in arm["dice"].items():
        reached = [other["dice"][name] for other in others if name in other["dice"]]
        if reached:
            differences.append(value - mean(reached))
    return mean(differences) if differences else None


def _spread(values: list[float]) -> str:
    if not values:
        return "–"
    return f"{mean(values):.3f}" + (
        f" ± {stdev(values):.3f} ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    )


if __name__ == "__main__":
    main()
