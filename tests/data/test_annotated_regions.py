"""Annotated regions of a large image are images of their own, seen as the whole is, and little else is read."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.checks.checkup import check
from napari_unet_finetune.config import ChannelRule, Normalization
from napari_unet_finetune.data import folders
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.data.normalize import ModelView, measure_sight, network_input, see
from napari_unet_finetune.data.statistics import measure_image
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import drain
from napari_unet_finetune.io.regions import occupied
from napari_unet_finetune.io.regions.occupied import CELL_PX, CONTEXT_PX, occupied_regions
from napari_unet_finetune.io.regions.region import Region

SHAPE = (1300, 1500)
PLACES = [
    Region(40, 60, 140, 200),
    Region(700, 100, 790, 190),
    Region(100, 900, 220, 1010),
    Region(1150, 1380, 1300, 1500),
]


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "LARGE_PX", 1000 * 1000)


def slide(dtype: type = np.uint8, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return an image that gets brighter to the right, and strokes in rectangles of it."""
    rng = np.random.default_rng(1)
    bright = np.linspace(10, 200, SHAPE[1]) + rng.normal(0, 8, (channels, *SHAPE))
    pixels = bright.clip(0, 255).astype(dtype)
    strokes = np.zeros(SHAPE, np.uint8)
    for place in PLACES:
        strokes[place.slices] = 1 + (rng.random(place.shape) > 0.7)
    return (pixels[0] if channels == 1 else pixels), strokes


def write(folder: Path, pixels: np.ndarray, strokes: np.ndarray) -> tuple[Path, Path]:
    options = {"tile": (256, 256), "compression": "zlib"}
    color = {"photometric": "rgb", "planarconfig": "separate"} if pixels.ndim == 3 else {"photometric": "minisblack"}
    tifffile.imwrite(folder / "slide.tif", pixels, **color, **options)
    tifffile.imwrite(folder / "slide_mask.tif", strokes, photometric="minisblack", **options)
    return folder / "slide.tif", folder / "slide_mask.tif"


VIEWS = {
    "percentiles": ModelView(),
    "z-scores": ModelView(normalization=Normalization(method="zscore")),
    "smaller": ModelView(rescale=0.5),
    "inverted": ModelView(knows=(Appearance(inverted=(0,)),)),
    "one of two": ModelView(
        knows=(Appearance(quantiles=(0.0,) * 21), Appearance(inverted=(0,), quantiles=(1.0,) * 21))
    ),
    "a mean": ModelView(channels=ChannelRule(method="mean")),
    "each channel": ModelView(in_channels=3, normalization=Normalization(per_channel=True)),
}


def in_memory(regions: AnnotatedFolder, pixels: np.ndarray, strokes: np.ndarray) -> list[AnnotatedImage]:
    """Return the same regions of an image and its strokes that are held in memory."""
    whole = AnnotatedImage("slide", pixels)
    return [
        AnnotatedImage(
            pair.name,
            pixels[(..., *pair.region.slices)],
            np.uint8(strokes[pair.region.slices] == 2),
            strokes[pair.region.slices] > 0,
            part_of=whole,
        )
        for pair in regions.pairing.pairs
    ]


@pytest.mark.parametrize("name", VIEWS)
def test_a_region_is_seen_as_prediction_sees_it_in_the_whole(tmp_path, name: str) -> None:
    view = VIEWS[name]
    pixels, strokes = slide(channels=3 if name in ("a mean", "each channel") else 1)
    regions = open_folder(*write(tmp_path, pixels, strokes), sparse=True)
    whole = AnnotatedImage("slide", pixels)
    everywhere = see(whole, view, measure_sight(whole, view))
    as_it_is = view.model_copy(update={"rescale": 1.0})
    for image, pair in zip(regions, regions.pairing.pairs, strict=True):
        expected = everywhere[(..., *pair.region.slices)]
        np.testing.assert_array_equal(network_input(image, as_it_is).pixels, expected)
        if not view.knows:  # statistics are those of images as they are
            assert measure_image(image, view) == measure_image(image, view, normalized=expected)


def test_each_annotated_place_is_in_one_region_that_is_told(tmp_path) -> None:
    pixels, strokes = slide()
    images = open_folder(*write(tmp_path, pixels, strokes), sparse=True)
    assert images.names == ("slide[y0 x0]", "slide[y0 x704]", "slide[y448 x0]", "slide[y896 x1152]")
    assert sum(int(image.annotated.sum()) for image in images) == np.count_nonzero(strokes)
    assert [note for note in images.notes if "4 regions" in note and "same image" in note]
    assert images.only(["slide[y448 x0]"])[0].image.shape == images[2].image.shape


def test_a_check_looks_at_each_region(tmp_path) -> None:
    found = drain(check(*write(tmp_path, *slide()), sparse=True))
    assert [one.name for one in found.images] == list(open_folder(*write(tmp_path, *slide()), sparse=True).names)
    assert not found.problems
    assert any("4 regions" in sentence for sentence in found.advice)


def test_what_is_annotated_everywhere_stays_whole_and_says_how_it_need_not(tmp_path) -> None:
    images = open_folder(*write(tmp_path, *slide()))
    assert images.names == ("slide",)
    assert any("--sparse" in note for note in images.notes)


def test_what_is_not_read_in_parts_stays_whole_and_is_told(tmp_path) -> None:
    pixels, strokes = slide()
    image, _ = write(tmp_path, pixels, strokes)
    np.save(tmp_path / "strokes.npy", strokes)
    images = open_folder(image, tmp_path / "strokes.npy", sparse=True)
    assert images.names == ("slide",)
    assert any("strokes.npy cannot be read in parts" in note for note in images.notes)


def test_nothing_annotated_is_one_image_without_annotation(tmp_path) -> None:
    pixels, strokes = slide()
    images = open_folder(*write(tmp_path, pixels, np.zeros_like(strokes)), sparse=True)
    assert [bool(image.annotated.any()) for image in images] == [False]


def test_a_mask_with_other_values_than_strokes_is_refused_by_its_name(tmp_path) -> None:
    pixels, strokes = slide()
    images = open_folder(*write(tmp_path, pixels, np.where(strokes == 2, 9, strokes).astype(np.uint8)), sparse=True)
    with pytest.raises(DataError, match="slide_mask: strokes must be 0"):
        images[0]


boxes = st.builds(
    lambda top, left, height, width: Region(top, left, top + height, left + width),
    st.integers(0, 899), st.integers(0, 1099), st.integers(1, 700), st.integers(1, 700),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(painted=st.lists(boxes, max_size=5), largest=st.sampled_from([2, 5, 99]))
def test_regions_hold_all_that_is_painted_and_do_not_overlap(painted: list[Region], largest: int) -> None:
    mask = np.zeros((900, 1100), np.uint8)
    for box in painted:
        mask[box.slices] = 7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(occupied, "LARGEST_REGION_PX", largest * CELL_PX)
        regions = occupied_regions(AnnotatedImage("mask", mask))
    covered = np.zeros(mask.shape, np.int64)
    for region in regions:
        covered[region.slices] += 1
        assert max(region.shape) <= largest * CELL_PX
        assert mask[region.slices].any()
    assert covered.max(initial=0) <= 1
    assert covered[mask > 0].all()
    if largest == 99:  # what is not cut has its surroundings
        rows, columns = np.nonzero(mask)
        for row, column in zip(rows[:: len(rows) // 9 + 1], columns[:: len(rows) // 9 + 1], strict=True):
            assert covered[Region(row, column, row + 1, column + 1).grown(CONTEXT_PX, mask.shape).slices].all()
