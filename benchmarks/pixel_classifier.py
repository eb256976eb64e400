"""What a pixel classifier makes of a pair of datasets: the yardstick that a finetuning has to beat.

A random forest of 40 trees on 20 local features per pixel (smoothed intensity, gradient, Laplacian and local deviation
at five scales), as such tools have them. It learns from pixels of Dataset 1, the test images left out, and of the
first images of Dataset 2, and is scored on the test images of both. Needs scikit-learn, which the program does not.

    python benchmarks/pixel_classifier.py PAIR --counts 5 20
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.normalize import ModelView, model_input
from napari_unet_finetune.metrics import dice

try:
    from sklearn.ensemble import RandomForestClassifier
except ImportError:
    sys.exit("This needs scikit-learn: pip install scikit-learn")

DATASETS = ("dataset1", "dataset2")
VIEW = ModelView()
SCALES_PX = (1, 2, 4, 8, 16)
TREES, LEAST_IN_LEAF = 40, 5
OLD_PIXELS, NEW_PIXELS = 2_000, 100_000  # of each old image, and of all new ones


def main() -> None:
    """Print the mean Dice on the test images for each number of new images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", type=Path, help="folder with `dataset1` and `dataset2`")
    parser.add_argument("--counts", type=int, nargs="+", default=[0, 5, 20], help="how many new images it learns from")
    parser.add_argument("--tests", type=int, nargs=2, default=(6, 11), help="last images of both, only for testing")
    options = parser.parse_args()
    old, new = (open_folder(options.pair / name / "images", options.pair / name / "masks") for name in DATASETS)
    tests = [old[-options.tests[0] :], new[-options.tests[1] :]]
    pool, learned = new[: -options.tests[1]], [sample(old[: -options.tests[0]], OLD_PIXELS)]
    print("| new images | Dataset 2 Dice | Dataset 1 Dice |\n|---|---|---|")
    for count in options.counts:
        more = [sample(pool[:count], NEW_PIXELS // count)] if count else []
        values, targets = (np.concatenate(part) for part in zip(*learned, *more, strict=True))
        forest = RandomForestClassifier(TREES, min_samples_leaf=LEAST_IN_LEAF, random_state=0).fit(values, targets)
        on_old, on_new = (fmean(scores(forest, images)) for images in tests)
        print(f"| {count} | {on_new:.3f} | {on_old:.3f} |", flush=True)


def sample(images: Iterable[AnnotatedImage], count: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the features (pixels, 20) of `count` pixels of each image, drawn by chance, and whether each is object."""
    values, targets, rng = [], [], np.random.default_rng(0)
    for image in images:
        places = rng.permutation(image.target.size)[:count]
        values.append(features(image)[places])
        targets.append(image.target.ravel()[places])
    return np.concatenate(values), np.concatenate(targets)


def features(image: AnnotatedImage) -> NDArray[np.float32]:
    """Return what is around each pixel (pixels, 20), of intensities that are normalized by percentiles."""
    gray = model_input(image, in_channels=1, channels=VIEW.channels, normalization=VIEW.normalization)[0]
    found = []
    for scale in SCALES_PX:
        smooth = ndimage.gaussian_filter(gray, scale)
        variance = ndimage.gaussian_filter(gray * gray, scale) - smooth * smooth
        edges = ndimage.gaussian_gradient_magnitude(gray, scale), ndimage.gaussian_laplace(gray, scale)
        found += [smooth, *edges, np.sqrt(variance.clip(0))]
    return np.stack([one.ravel() for one in found], axis=1).astype(np.float32)


def scores(forest: RandomForestClassifier, images: Sequence[AnnotatedImage]) -> list[float]:
    """Return Dice of each image."""
    return [dice(forest.predict(features(image)).reshape(image.shape), image.target) for image in images]


if __name__ == "__main__":
    main()
