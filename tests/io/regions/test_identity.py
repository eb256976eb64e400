"""An image is known by a few of its pixels, whatever holds them and however it is read."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.io.images import ImageRef, open_in_parts, read_image
from napari_unet_finetune.io.regions.identity import identity_of

RNG = np.random.default_rng(0)
SHAPES = [(500, 300), (8, 900), (1, 1), (33, 70)]
KINDS = ["strips", "tiles", "big-endian", "uncompressed"]


def written(folder: Path, kind: str, pixels: np.ndarray) -> ImageRef:
    color = {"photometric": "rgb"} if pixels.ndim == 3 else {"photometric": "minisblack"}
    options = {
        "strips": {"compression": "zlib", "rowsperstrip": 16},
        "tiles": {"compression": "zlib", "tile": (64, 64)},
        "big-endian": {"compression": "zlib", "tile": (64, 64), "byteorder": ">"},
        "uncompressed": {},
    }[kind]
    tifffile.imwrite(folder / f"{kind}.tif", pixels, **color, **options)
    return ImageRef(folder / f"{kind}.tif")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_same_in_every_file_read_whole_or_in_parts(tmp_path, shape, channels) -> None:
    pixels = RNG.integers(0, 60000, (*shape, channels), dtype=np.uint16)
    pixels = pixels[..., 0] if channels == 1 else pixels
    found = set()
    for kind in KINDS:
        ref = written(tmp_path, kind, pixels)
        found |= {identity_of(image) for image in (open_in_parts(ref), AnnotatedImage("", read_image(ref).array))}
    assert len(found) == 1


def test_gray_stored_as_colors_is_gray(tmp_path) -> None:
    gray = RNG.integers(0, 255, (200, 200), dtype=np.uint8)
    ref = written(tmp_path, "tiles", np.stack([gray] * 3, -1))
    assert identity_of(open_in_parts(ref)) == identity_of(AnnotatedImage("gray", gray))


@pytest.mark.parametrize("side", [40, 500, 3000])
def test_another_image_of_the_same_size_has_another_even_if_most_of_it_is_blank(side) -> None:
    blank = np.full((side, side), 255, np.uint8)
    tissue = blank.copy()
    tissue[side // 3 : side // 2, side // 3 : side // 2] = RNG.integers(0, 255, (side // 2 - side // 3,) * 2)
    images = [blank, tissue, tissue.T, tissue.astype(np.uint16), blank[:-1]]
    assert len({identity_of(AnnotatedImage("", image)) for image in images}) == len(images)


def slide(side: int, edge: int, *tissue: tuple[int, int]) -> np.ndarray:
    """Return a blank image with an `edge` through places that are read first, and tissue from and to these pixels."""
    pixels = np.full((side, side), 255, np.uint8)
    pixels[:, side // 16] = edge
    for start, stop in tissue:
        pixels[start:stop, start:stop] = np.random.default_rng(start).integers(0, 255, (stop - start,) * 2)
    return pixels


@pytest.mark.parametrize("edge", [255, 0])
def test_tissue_between_the_places_that_are_read_first_tells_slides_apart(edge) -> None:
    places = [(), ((400, 1100),), ((401, 1100),), ((5700, 5990),)]
    images = [slide(6000, edge, *tissue) for tissue in places]
    assert len({identity_of(AnnotatedImage("", image)) for image in images}) == len(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_slide_of_little_tissue_has_the_same_in_every_file(tmp_path, channels) -> None:
    pixels = slide(1500, 255, (1320, 1380))
    pixels = np.stack([pixels, pixels, pixels // 2], -1) if channels == 3 else pixels
    images = [open_in_parts(written(tmp_path, kind, pixels)) for kind in KINDS]
    images.append(AnnotatedImage("", np.moveaxis(pixels, -1, 0) if channels == 3 else pixels))
    assert len({identity_of(image) for image in images}) == 1
    assert identity_of(images[0]) != identity_of(AnnotatedImage("", np.full(images[-1].image.shape, 255, np.uint8)))
