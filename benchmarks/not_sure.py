"""Whether a finetuned model errs where it is not sure which dataset an image is of.

Each image of both pools is told apart as `predict` does. Where intensities leave it open, the network compares the two
ways to show it; the lead of the better one decides what counts as not sure. Images that were trained on can be left
out. The test images of both datasets stay closed.

    python benchmarks/not_sure.py PAIR --model model.safetensors --old-from 17 --new-from 5
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.models.load import load_model

_TESTS = {"dataset1": 6, "dataset2": 11}
_LIMITS = (1.0, 2.0, 3.0, 4.0, 6.0)


def main() -> None:
    """Print each image about which the network is asked, and how many there are below each limit."""
    options = parse()
    print("| model | image | lead of the way that is taken | |\n|---|---|---|---|")
    told = [one for path in options.model for one in tell_apart(path, options)]
    leads, is_wrong = np.array([lead for lead, _ in told]), np.array([wrong for _, wrong in told])
    print(f"\n{len(told)} images, {is_wrong.sum()} told apart wrongly\n")
    print("| lead below | images | of these wrong |\n|---|---|---|")
    for limit in _LIMITS:
        print(f"| {limit:g} | {(leads < limit).sum()} | {is_wrong[leads < limit].sum()} |")


def tell_apart(path: Path, options: argparse.Namespace) -> Iterator[tuple[float, bool]]:
    """Yield of each image of the pools the lead of the way in which it is shown, and whether that is wrong."""
    predictor = Predictor(load_model(path))
    old, *_, new = predictor.model.card.view.knows
    for dataset, truth, first in (("dataset1", old, options.old_from), ("dataset2", new, options.new_from)):
        pool = open_folder(options.pair / dataset / "images", options.pair / dataset / "masks")[: -_TESTS[dataset]]
        for image in pool[first:]:
            sight = predictor.measure(image)
            is_wrong = not sight.appearance.is_shown_as(truth)
            if is_wrong or sight.lead < np.inf:
                told = "wrong" if is_wrong else ""
                print(f"| {path.parent.name} | {dataset} {image.name} | {sight.lead:.2f} | {told} |", flush=True)
            yield sight.lead, is_wrong


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path, help="a folder with dataset1 and dataset2")
    parser.add_argument("--model", type=Path, nargs="+", required=True, help="models finetuned on dataset2")
    parser.add_argument("--old-from", type=int, default=0, help="old images before this one are left out")
    parser.add_argument("--new-from", type=int, default=0, help="new images before this one are left out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
