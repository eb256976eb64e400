"""Which weights of a finetuning are kept: what validations, and mixes with the base, are worth on images of the pools.

A base model is trained on the first images of Dataset 1 and finetuned with the first of Dataset 2; the averaged weights
of every validation are kept. After the fact they are scored by what a training sees (held-out new images, old patches)
and by what it does not: the other images of both pools, with the dataset told. Then the rules are applied to them: by
new images alone, and as the program has it. The test images of either dataset (6 and 11) are not opened. What is done
is not repeated.

    python benchmarks/kept_weights.py PAIR --out DIR --steps 400 --set "appearance=as they are"
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_unet_finetune.cli.options import training_config
from napari_unet_finetune.config import FinetuneConfig, PredictConfig
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.io.disk import atomic_write
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.models.model import Model, weights_hash
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.keep import (
    SHARES,
    chance,
    choose_weights,
    dice_on_old,
    glance_at_old,
    is_best,
    mean_of,
    worst_change,
)
from napari_unet_finetune.training.prepare import Setup, prepare
from napari_unet_finetune.training.state import NoStore, Progress, TrainingState
from napari_unet_finetune.training.validation import ImageValidator

# One view, little overlap: comparisons of weights need no more.
QUICK = PredictConfig(augment=False, overlap=0.25)
TESTS = {"dataset1": 6, "dataset2": 11}


def main() -> None:
    """Train what is not there yet, score it, and print a table."""
    options = parse()
    torch.set_num_threads(1)
    old, new = (_pool(options.pair / name, TESTS[name]) for name in TESTS)
    base = _base(old.only(old.names[: options.base_count]), options)
    config = training_config("default", options.set, seed=options.seed).model_copy(update={"steps": options.steps})
    chosen = new.only(new.names[: options.count])
    setup = prepare(base, chosen, config)
    validator = setup.validator
    if not isinstance(validator, ImageValidator):
        raise SystemExit("No image is held out: give a --count of at least 4.")
    kept = _steps(base, chosen, config, options)
    others = tuple(
        pool.only(pool.names[trained:][: options.others])
        for pool, trained in ((new, options.count), (old, options.base_count))
    )
    scorer = Scorer(setup, validator, others, options.out / f"{_tag(options)}.json")
    print(
        "| weights | held-out new | old patches | worst | new pool | old pool | worst |\n|---|---|---|---|---|---|---|"
    )
    raw = scorer.line("base", setup.base.weights)
    for step, weights in kept:
        scorer.line(f"step {step}", weights)
    for share in SHARES:
        mix = {name: torch.lerp(setup.base.weights[name], value, share) for name, value in kept[-1][1].items()}
        scorer.line(f"{share:.0%} of the last", mix)
    scorer.line("kept by new images alone", _by_new_alone(kept, scorer, setup))
    rule = _by_the_rule(kept, scorer, setup, raw)
    scorer.line(rule[0], rule[1])


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path, help="folder with dataset1 and dataset2, each with images and masks")
    parser.add_argument("--out", type=Path, required=True, help="folder for base model, weights and scores")
    parser.add_argument("--base-count", type=int, default=15, help="images to train the base with")
    parser.add_argument("--base-steps", type=int, default=1000)
    parser.add_argument("--count", type=int, default=5, help="images to finetune with")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--others", type=int, default=100, help="at most so many other images of each pool are scored")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of a setting; as often as needed")
    return parser.parse_args()


def _pool(dataset: Path, tests: int) -> AnnotatedFolder:
    return open_folder(dataset / "images", dataset / "masks")[:-tests]


def _tag(options: argparse.Namespace) -> str:
    return "_".join([f"{options.count:02d}-images", f"{options.steps}-steps", f"seed-{options.seed}", *options.set])


def _base(images: AnnotatedFolder, options: argparse.Namespace) -> Model:
    file = options.out / "base.safetensors"
    if not file.is_file():
        options.out.mkdir(parents=True, exist_ok=True)
        config = FinetuneConfig(preset="from scratch", steps=options.base_steps)
        train(images, config).result.model.save(file)
    return load_model(file)


class _Recorder(NoStore):
    """Keeps the averaged weights of every validation."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, dict[str, Tensor]]] = []

    def save_state(self, state: TrainingState) -> None:
        self.kept.append((state.progress["step"], state.trainer["average"]))


def _steps(
    base: Model, images: AnnotatedFolder, config: FinetuneConfig, options: argparse.Namespace
) -> list[tuple[int, dict[str, Tensor]]]:
    file = options.out / f"{_tag(options)}.pt"
    if not file.is_file():
        recorder = _Recorder()
        _ = finetune(base, images, config, store=recorder).result
        torch.save(recorder.kept, file)
    kept: list[tuple[int, dict[str, Tensor]]] = torch.load(file, weights_only=True)
    return kept


@dataclass
class Scorer:
    """Scores weights, and keeps what it found in a file."""

    setup: Setup
    validator: ImageValidator
    pools: tuple[AnnotatedFolder, ...]
    file: Path
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = self.setup.base.build_network()
        if self.file.is_file():
            self.known = json.loads(self.file.read_bytes())

    def scores(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return Dice on what the training sees, and on each image of both pools."""
        key = weights_hash(weights)
        if key not in self.known:
            self.network.load_state_dict(weights)
            threshold = self.setup.base.card.threshold
            found = {
                "held_out": self.validator.score(self.network),
                "glance": glance_at_old(self.network, self.setup),
                "old": dice_on_old(self.network, self.setup, threshold),
            }
            model = replace(self.setup.base, weights=weights)
            knows = self.setup.base.card.knows
            for name, pool, shown in (("new_pool", self.pools[0], knows[-1]), ("old_pool", self.pools[1], knows[0])):
                told = model.with_card(knows=(shown,))
                found[name] = [one.dice for one in evaluate(told, pool, QUICK)]
            self.known[key] = found
            atomic_write(self.file, lambda stream: stream.write(json.dumps(self.known, indent=1).encode()))
        return self.known[key]

    def line(self, name: str, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Print the scores of some weights as a line of the table, and return them."""
        one, base = self.scores(weights), self.scores(self.setup.base.weights)
        truly = min(np.subtract(one["old_pool"], base["old_pool"]))
        told = worst_change(base["old"], one["old"])
        cells = [f"{one['held_out']:.3f}", f"{mean_of(one['old']):.3f}"]
        cells += [f"{told.after - told.before:+.3f}" if told else "–"]
        cells += [f"{np.mean(one['new_pool']):.3f}", f"{np.mean(one['old_pool']):.3f}", f"{truly:+.3f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        return one


def _by_new_alone(kept: Sequence[tuple[int, dict[str, Tensor]]], scorer: Scorer, setup: Setup) -> Mapping[str, Tensor]:
    """Return the weights with the best Dice on held-out images, or the last ones if they are as good."""
    found = [scorer.scores(weights)["held_out"] for _, weights in kept]
    best = -1 if found[-1] >= max(found) - chance(setup) else int(np.argmax(found))
    return kept[best][1]


def _by_the_rule(
    kept: Sequence[tuple[int, dict[str, Tensor]]], scorer: Scorer, setup: Setup, raw: Mapping[str, Any]
) -> tuple[str, Mapping[str, Tensor]]:
    before = mean_of(raw["old"])
    progress = Progress(raw_score=raw["held_out"], old_dice_before=before, old_glance_before=raw["glance"])
    for step, weights in kept:
        progress.step, seen = step, scorer.scores(weights)
        if is_best(seen["held_out"], seen["glance"], setup, progress):
            progress.best, progress.best_step = dict(weights), step
            progress.best_score, progress.best_old = seen["held_out"], seen["glance"]
    chosen = choose_weights(scorer.network, setup, progress)
    return f"**kept by the rule: step {progress.best_step}, {chosen.share:.0%}**", chosen.weights


if __name__ == "__main__":
    main()
