"""How far outlines follow the light: the Dice of thresholds that are chosen with the masks in hand.

Three ways to draw objects, on the images of the pool of Dataset 2 (the tests stay closed): one threshold per image, one
per object, and every drawn outline a pixel tighter or wider. The first two look at the masks to choose the threshold,
so no program can follow intensities better: what they miss, the outlines do not owe to the light. Needs numbered
objects, bright on dark.

    python benchmarks/outline_limit.py PAIR/dataset2 --sigma 1
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet_finetune.io.images import list_images, read_image
from napari_unet_finetune.metrics import dice

# Further away no pixel is given to an object.
REACH_PX = 12
THRESHOLDS = 60

Mask = NDArray[np.bool_]


def main() -> None:
    """Print the mean over images of each way."""
    options = parse()
    rows = [
        scores(read_image(image).array, read_image(objects, as_labels=True).array, options.sigma)
        for image, objects in zip(
            list_images(options.dataset / "images")[: -options.tests],
            list_images(options.dataset / "instances")[: -options.tests],
            strict=True,
        )
    ]
    print(f"| drawn | mean Dice of {len(rows)} images | lowest | highest |\n|---|---|---|---|")
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"| {name} | {mean(values):.4f} | {min(values):.3f} | {max(values):.3f} |")


def parse() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="Dataset 2: a folder with images and instances")
    parser.add_argument("--tests", type=int, default=11, help="last images of the dataset, which stay closed")
    parser.add_argument("--sigma", type=float, default=1.0, help="smoothing before the threshold, in pixels")
    return parser.parse_args()


def scores(image: NDArray[np.generic], objects: NDArray[np.generic], sigma: float) -> dict[str, float]:
    """Return the Dice of each way to draw the objects of one image."""
    light = ndimage.gaussian_filter(image.reshape(-1, *image.shape[-2:]).mean(axis=0), sigma)
    mask = objects > 0
    return {
        "best threshold per image": dice(best(light, mask, np.ones_like(mask)), mask),
        "best threshold per object": dice(per_object(light, objects), mask),
        "1 px tighter": dice(ndimage.binary_erosion(mask, border_value=1), mask),
        "1 px wider": dice(ndimage.binary_dilation(mask), mask),
    }


def per_object(light: NDArray[np.floating], objects: NDArray[np.generic]) -> Mask:
    """Return the objects, each drawn at the threshold that suits it best among the pixels nearest to it."""
    distance, (rows, columns) = ndimage.distance_transform_edt(objects == 0, return_indices=True)
    nearest = np.where(distance <= REACH_PX, objects[rows, columns], 0)
    drawn = np.zeros(objects.shape, bool)
    for number, window in windows(nearest):
        region = nearest[window] == number
        drawn[window] |= best(light[window], (objects[window] == number), region)
    return drawn


def windows(numbered: NDArray[np.generic]) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Yield every number with the window that holds it."""
    for number, window in enumerate(ndimage.find_objects(numbered.astype(np.int32)), start=1):
        if window is not None:
            yield number, window


def best(light: NDArray[np.floating], mask: Mask, region: Mask) -> Mask:
    """Return `light` above the threshold with the best Dice on `mask`, holes filled, inside `region`."""
    levels = np.linspace(light[region].min(), light[region].max(), THRESHOLDS)
    drawn = [ndimage.binary_fill_holes((light > level) & region) & region for level in levels]
    return max(drawn, key=lambda one: dice(one, mask))


if __name__ == "__main__":
    main()
