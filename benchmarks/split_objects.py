"""How much memory and time it takes to split the touching objects of a mask in memory.

    python benchmarks/split_objects.py --size 2048 4096

Disks of a radius of 6 to 15 px cover a quarter of the image, many of which touch. Bytes are counted by tracemalloc,
beside those of the mask itself.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from napari_unet_finetune.inference.postprocess import split_mask

BOX_PX, SMALLEST_PX, LARGEST_PX = 41, 6, 15
DENSITY = 0.0007  # disks a pixel


def disks(size: int) -> NDArray[np.bool_]:
    """Return a mask (Y, X) of disks."""
    rng, mask = np.random.default_rng(0), np.zeros((size, size), bool)
    down, right = np.indices((BOX_PX, BOX_PX)) - BOX_PX // 2
    for _ in range(int(size**2 * DENSITY)):
        radius = rng.integers(SMALLEST_PX, LARGEST_PX + 1)
        top, left = rng.integers(0, size - BOX_PX, 2)
        mask[top : top + BOX_PX, left : left + BOX_PX] |= down**2 + right**2 <= radius**2
    return mask


def main() -> None:
    """Print one row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, nargs="+", default=[2048, 4096], help="sides in pixels")
    split_mask(disks(100))  # what is imported on the way counts for nothing
    for size in parser.parse_args().size:
        mask = disks(size)
        tracemalloc.start()
        start = time.process_time()
        count = split_mask(mask).max()
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        print(f"{size} x {size}: {count} objects, {seconds:.1f} s of CPU time, {peak / mask.size:.1f} bytes a pixel")


if __name__ == "__main__":
    main()
