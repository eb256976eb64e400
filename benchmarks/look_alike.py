"""How well images that look alike are told from different ones: single-cell crops, copies of images, slices of a stack.

    python benchmarks/look_alike.py folder/of/pairs/nuclei_fluo_to_lilac/dataset1 [--side 48]

The folder holds `images` and `masks`. Prints how many pairs of different cells are called alike, and how many copies of
whole images and of crops (mirrored, turned, saved again as JPEG, brightened, resized, noisy) are found.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import label, regionprops
from skimage.transform import rescale

from napari_unet_finetune.checks.duplicates import find_duplicates, find_shared, take_fingerprint
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder

Picture = NDArray[np.float64]
SMALLEST_PX = 100


def jpeg(picture: Picture, quality: int) -> Picture:
    """Return `picture` (Y, X) saved as JPEG and read again."""
    stream = io.BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream)).astype(np.float64)


def noisy(picture: Picture) -> Picture:
    """Return `picture` with noise of a twentieth of its range."""
    return picture + np.random.default_rng(0).normal(0, 0.05 * np.ptp(picture), picture.shape)


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "mirrored": lambda picture: picture[:, ::-1],
    "turned": np.rot90,
    "JPEG, quality 60": lambda picture: jpeg(picture, 60),
    "brighter": lambda picture: 1.4 * picture + 20,
    "gamma 0.6": lambda picture: 255 * (picture / 255) ** 0.6,
    "half the size": lambda picture: rescale(picture, 0.5, anti_aliasing=True),
    "twice the size": lambda picture: rescale(picture, 2),
    "noise": noisy,
    "moved by 3 px": lambda picture: picture[:, 3:],
}


def eight_bit(image: NDArray[Any]) -> Picture:
    """Return an image (Y, X) or (C, Y, X) as a gray picture from 0 to 255."""
    gray = image.astype(np.float64) if image.ndim == 2 else image.mean(axis=0)
    return 255 * (gray - gray.min()) / max(float(np.ptp(gray)), 1e-9)


def crops(folder: AnnotatedFolder, side: int) -> Iterator[Picture]:
    """Yield squares around objects that lie whole in their image."""
    for image in folder:
        gray = eight_bit(image.image)
        for region in regionprops(label(image.target)):
            top, left = (int(middle) - side // 2 for middle in region.centroid)
            if region.area >= SMALLEST_PX and min(top, left) >= 0:
                crop = gray[top : top + side, left : left + side]
                if crop.shape == (side, side):
                    yield crop


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=48, help="side of the crops in pixels")
    parser.add_argument("--most", type=int, default=300, help="crops at most")
    given = parser.parse_args()
    folder = open_folder(given.folder / "images", given.folder / "masks")
    cells = list(crops(folder, given.side))
    np.random.default_rng(0).shuffle(cells)
    cells = cells[: given.most]
    wholes = [eight_bit(image.image) for image in folder]
    print(f"| {given.folder} | {len(wholes)} images | {len(cells)} crops of {given.side} px |")
    print("|---|---|---|")
    for_each = [[take_fingerprint(str(i), one) for i, one in enumerate(group)] for group in (wholes, cells)]
    false = [len(find_duplicates(prints)) for prints in for_each]
    print(f"| different, called alike | {false[0]} | {false[1]} |")
    for name, copy in COPIES.items():
        found = []
        for group, prints in zip((wholes, cells), for_each, strict=True):
            shared = find_shared(prints, [take_fingerprint(str(i), copy(one)) for i, one in enumerate(group)])
            found.append(sum(one.first == one.second for one in shared))
        print(f"| copies, {name} | {found[0]} of {len(wholes)} | {found[1]} of {len(cells)} |")


if __name__ == "__main__":
    main()
