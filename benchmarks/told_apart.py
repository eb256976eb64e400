"""Whether what a base model carries of its images shows which of them are taken for new ones.

A base gets the patches of its images as it would carry them today. The new images, the first ones of Dataset 2, are
shown to it with dark and bright exchanged, and nothing is trained: a model with two appearances. Then each old image
that is tried at the end of a training is told apart by what is carried of it, and by the file itself, as `predict`
does. The test images of both datasets stay closed.

    python benchmarks/told_apart.py PAIR --base base.safetensors --count 5
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from napari_unet_finetune.config import FinetuneConfig, PredictConfig
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.training import replay
from napari_unet_finetune.training.finetune import random_model
from napari_unet_finetune.training.prepare import Setup, prepare
from napari_unet_finetune.training.sort_out import sort_out


def main() -> None:
    """Tell the old images apart in both ways and print where they differ."""
    options = parse()
    base, replay.MOST_WINDOWS = load_model(options.base), options.windows
    old = open_folder(options.pair / "dataset1" / "images", options.pair / "dataset1" / "masks")
    old = old.only(record.name for record in base.card.provenance.images)
    settings = FinetuneConfig.given(None, {"held_out": base.card.provenance.held_out}, preset="from scratch")
    learned = prepare(random_model(base.card.shape, settings), old, settings, from_scratch=True)
    carried = replay.collect_patches(learned.train, learned.held_out, learned.config)
    assert carried is not None
    base = replace(base, rehearsal=replace(carried, edges=None) if options.all_sides else carried)
    new = open_folder(options.pair / "dataset2" / "images", options.pair / "dataset2" / "masks")[: options.count]
    setup = prepare(base, new, FinetuneConfig(appearance="inverted"))
    found = sort_out(setup.base, setup)
    by_patches = {names_of(learned)[parts[0].name]: parts[0].name in found.old for parts in setup.told_apart}
    predictor = Predictor(setup.base, PredictConfig())
    print("| old image | held out | by what is carried | by the file |\n|---|---|---|---|")
    for name, is_mistaken in by_patches.items():
        truth = predictor.measure(old[old.names.index(name)]).appearance.changes
        told = ["new" if taken else "old" for taken in (is_mistaken, truth)]
        print(f"| {name} | {name in (base.card.provenance.held_out or ())} | {told[0]} | {told[1]} |", flush=True)
    print(f"\n{found.tried} images were tried, new ones included; taken for old ones: {list(found.new)}")


def names_of(learned: Setup) -> dict[str, str]:
    """Return what the images of a base are called in the sentences of a training, with the names of their files.

    Held-out ones are counted first; this holds for bases of up to 24 images, of which at most 12 are held out.
    """
    images = [*learned.held_out.images, *learned.train.images]
    return {f"old image {number}": image.name for number, image in enumerate(images, start=1)}


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path, help="a folder with dataset1 and dataset2")
    parser.add_argument("--base", type=Path, required=True, help="a base model of at most 24 images of dataset1")
    parser.add_argument("--count", type=int, default=5, help="new images")
    parser.add_argument("--windows", type=int, default=replay.MOST_WINDOWS, help="of each old image that are looked at")
    parser.add_argument("--all-sides", action="store_true", help="every side of a window counts as the image's border")
    return parser.parse_args()


if __name__ == "__main__":
    main()
