"""The generated sample data."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.samples import make_microtube, write_microtube
from napari_unet_finetune.errors import DataError

DATASETS = {number: make_microtube(number, 8) for number in (1, 2)}


def contrasts(images: tuple[AnnotatedImage, ...]) -> NDArray[np.float64]:
    """Return cell minus surrounding liquid of each image, in units of the image's range of intensities."""
    return np.array([_contrast(image) for image in images])


def _contrast(image: AnnotatedImage) -> float:
    pixels = image.image.astype(float)
    low, high = np.percentile(pixels, (0.1, 99.9))
    near = ndimage.binary_dilation(image.target, iterations=9) & ~ndimage.binary_dilation(image.target, iterations=5)
    return float((np.median(pixels[image.target]) - np.median(pixels[near])) / (high - low))


def test_same_seed_gives_the_same_images_and_another_seed_others() -> None:
    (first,), (again,), (other,) = (make_microtube(2, 1, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


def test_an_image_does_not_depend_on_how_many_are_made() -> None:
    (alone,) = make_microtube(1, 1)
    assert np.array_equal(alone.image, DATASETS[1][0].image)


def test_no_two_images_are_alike() -> None:
    everything = [image.target for images in DATASETS.values() for image in images]
    assert not any(np.array_equal(a, b) for a, b in pairwise(everything))


@pytest.mark.parametrize(("number", "dtype", "brightest"), [(1, np.uint8, 255), (2, np.uint16, 4095)])
def test_camera_counts_fill_their_range_without_clipping_much(number: int, dtype: type, brightest: int) -> None:
    for image in DATASETS[number]:
        assert image.image.dtype == dtype
        assert brightest / 2 < image.image.max() <= brightest
        assert (image.image == brightest).mean() < 0.01


def test_cells_are_bright_in_dataset_1_and_dark_in_dataset_2() -> None:
    assert contrasts(DATASETS[1]).min() > 0.2
    assert contrasts(DATASETS[2]).max() < -0.2


def test_cells_cover_alike_areas_in_both_datasets() -> None:
    shares = [np.array([image.target.mean() for image in images]) for images in DATASETS.values()]
    assert all(0.03 < share < 0.35 for share in np.concatenate(shares))
    assert abs(shares[0].mean() - shares[1].mean()) < 0.04


@pytest.mark.parametrize("number", [1, 2])
def test_every_number_in_the_labels_is_one_whole_cell(number: int) -> None:
    for image in DATASETS[number]:
        assert image.labels is not None
        cells = range(1, int(image.labels.max()) + 1)
        assert len(cells) >= 2
        assert all(ndimage.label(image.labels == cell)[1] == 1 for cell in cells)


@pytest.mark.parametrize("shape", [(64, 64), (200, 150)])
def test_other_sizes_can_be_asked_for(shape: tuple[int, int]) -> None:
    (image,) = make_microtube(1, 1, shape=shape)
    assert image.shape == shape
    assert image.target.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": 3}, "there is no dataset 3. Choose 1 or 2"),
        ({"dataset": 1, "count": 0}, "0 images of .* cannot be made"),
        ({"dataset": 1, "shape": (32, 320)}, "64 pixels or longer"),
    ],
)
def test_what_cannot_be_made_is_explained(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_microtube(**arguments)  # type: ignore[arg-type]


def test_written_files_hold_the_same_pixels_and_their_size(tmp_path: Path) -> None:
    made = {number: make_microtube(number, 2, shape=(64, 96)) for number in (1, 2)}
    folders = write_microtube(tmp_path, 2, shape=(64, 96))
    assert [folder.name for folder in folders] == ["dataset1", "dataset2"]
    for folder, images in zip(folders, made.values(), strict=True):
        for image in images:
            with tifffile.TiffFile(folder / "images" / f"{image.name}.tif") as file:
                assert np.array_equal(file.asarray(), image.image)
                assert file.imagej_metadata is not None
                assert file.imagej_metadata["unit"] == "um"
                assert 1 / file.pages.first.resolution[0] == pytest.approx(image.scale[1], rel=1e-5)
            assert np.array_equal(tifffile.imread(folder / "masks" / f"{image.name}.tif"), image.target)


def test_writing_twice_is_allowed(tmp_path: Path) -> None:
    write_microtube(tmp_path, 1, shape=(64, 96))
    write_microtube(tmp_path, 2, shape=(64, 96))
    assert len(list(tmp_path.rglob("*.tif"))) == 8
