"""Annotated regions of a large image are images of their own, seen as the whole is, and little else is read."""

from pathlib import Path
from weakref import ReferenceType
from weakref import ref as ref_to

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.checks.checkup import check
from napari_unet_finetune.config import ChannelRule, Normalization
from napari_unet_finetune.data import folders
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import LEVELS, Appearance
from napari_unet_finetune.data.folders import AnnotatedFolder, open_folder
from napari_unet_finetune.data.normalize import ModelView, measure_sight, network_input, see
from napari_unet_finetune.data.statistics import measure_image
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import drain
from napari_unet_finetune.io.images import ImageRef, list_images, open_in_parts
from napari_unet_finetune.io.regions import occupied, reopened
from napari_unet_finetune.io.regions import region as regions
from napari_unet_finetune.io.regions.occupied import CELL_PX, CONTEXT_PX, occupied_regions
from napari_unet_finetune.io.regions.region import LazyImage, Region
from napari_unet_finetune.jobs import questions
from napari_unet_finetune.runs.request import CheckRequest
from napari_unet_finetune.runs.serve import Control

SHAPE = (1300, 1500)
PLACES = [
    Region(40, 60, 140, 200),
    Region(700, 100, 790, 190),
    Region(100, 900, 220, 1010),
    Region(1150, 1380, 1300, 1500),
]


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "LARGE_PX", 1000 * 1000)


def slide(dtype: type = np.uint8, channels: int = 1, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return an image that gets brighter to the right, and strokes in rectangles of it."""
    rng = np.random.default_rng(seed)
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
        knows=(
            Appearance(quantiles=(0.0,) * len(LEVELS)),
            Appearance(inverted=(0,), quantiles=tuple(LEVELS.tolist())),
        )
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
    sight = measure_sight(whole, view)
    assert sight.appearance.inverted == ((0,) if name in ("inverted", "one of two") else ())
    everywhere = see(whole, view, sight)
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
    assert [note for note in images.notes if "4 regions" in note]
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
    assert any("slide is large" in note and "its mask cannot be read in parts" in note for note in images.notes)


def write_slides(folder: Path, annotated: list[bool]) -> tuple[Path, Path]:
    """Write slides, some of them with strokes, and return the folders of images and of masks."""
    for name, has_strokes in enumerate(annotated):
        pixels, strokes = slide(seed=name)
        written = write(folder, pixels, strokes * has_strokes)
        for file, kind in zip(written, ("images", "masks"), strict=True):
            (folder / kind).mkdir(exist_ok=True)
            file.rename(folder / kind / f"slide{name}.tif")
    return folder / "images", folder / "masks"


@pytest.mark.parametrize("annotated", [[True, False], [False, True, False]])
def test_slides_on_which_nothing_is_annotated_are_left_out_with_that_reason(tmp_path, annotated) -> None:
    source = write_slides(tmp_path, annotated)
    bare = [f"slide{place}" for place, one in enumerate(annotated) if not one]
    images = open_folder(*source, sparse=True)
    assert images.left_out == tuple((name, "nothing is annotated") for name in bare)
    assert all(image.annotated.any() for image in images)
    found = drain(check(*source, sparse=True))
    told = [sentence for sentence in found.sentences if "nothing is annotated" in sentence]
    assert len(told) == 1
    assert all(name in told[0] for name in bare)
    assert not found.empty_masks
    assert not any(one.is_constant for one in (*found.images, *found.not_annotated))


def test_a_slide_without_a_mask_is_not_read_where_others_have_one_on_the_command_line_as_in_the_docks(tmp_path) -> None:
    images, masks = write_slides(tmp_path, [True, False])
    (masks / "slide1.tif").unlink()
    tifffile.imwrite(images / "small.tif", np.zeros((3, 40, 50), np.uint8), photometric="minisblack")
    found = drain(check(images, masks, sparse=True))
    pairs = open_folder(images, masks, sparse=True).pairing.pairs
    bare = [ref for ref in list_images(images) if ref.stem != "slide0"]
    asked = drain(questions.check(tmp_path, CheckRequest(pairs=pairs, images=bare), Control()))
    names = [f"small[00{frame}]" for frame in range(3)]
    assert [one.name for one in found.not_annotated] == [one.name for one in asked.not_annotated] == names
    assert "slide1" in [one.name for one in found.images_without_mask] and not asked.problems


def test_slides_are_looked_at_where_no_masks_are_given(tmp_path) -> None:
    images, _ = write_slides(tmp_path, [True])
    assert [one.size for one in drain(check(images)).images] == [SHAPE]


def test_nothing_annotated_at_all_is_an_error_that_says_so_and_a_question_of_the_check(tmp_path) -> None:
    source = write_slides(tmp_path, [False])
    with pytest.raises(DataError, match=r"nothing is annotated \(slide0\)"):
        open_folder(*source, sparse=True)
    found = drain(check(*source, sparse=True))
    assert found.is_warning
    assert any("slide0" in sentence and "nothing is annotated" in sentence for sentence in found.sentences)


def test_all_regions_of_a_slide_know_it_after_it_was_looked_at_once(tmp_path, monkeypatch) -> None:
    asked, identity_of = [], reopened.identity_of
    monkeypatch.setattr(reopened, "identity_of", lambda image: asked.append(image.name) or identity_of(image))
    images = open_folder(*write_slides(tmp_path, [True, True]), sparse=True)
    wholes = [image.whole for _ in range(2) for image in images]
    assert len(wholes) > 4 and len(set(wholes)) == 2 and asked == ["slide0", "slide1"]


def test_many_large_images_are_told_of_in_one_sentence(tmp_path) -> None:
    source = write_slides(tmp_path, [True] * 3)
    for sparse, what in ((True, "12 regions in all"), (False, "--sparse")):
        told = [note for note in open_folder(*source, sparse=sparse).notes if "large" in note]
        assert len(told) == 1
        assert "3 images (slide0, slide1, slide2)" in told[0]
        assert what in told[0]


def test_few_files_of_many_slides_are_open_and_each_is_read_as_before(tmp_path, monkeypatch) -> None:
    opened = list[ReferenceType[LazyImage]]()

    def counted(ref: ImageRef) -> LazyImage | None:
        image = open_in_parts(ref)
        assert image is not None
        opened.append(ref_to(image))
        return image

    monkeypatch.setattr(folders, "open_in_parts", counted)
    monkeypatch.setattr(reopened, "MOST_OPEN", 3)
    images = open_folder(*write_slides(tmp_path, [True] * 4), sparse=True)
    kept = [images[place] for place in range(len(images))]
    assert sum(one() is not None for one in opened) <= 3 < len(opened)
    for image, pair in zip(kept, images.pairing.pairs, strict=True):
        expected, _ = slide(seed=int(pair.image.stem.removeprefix("slide")))
        np.testing.assert_array_equal(image.image, expected[pair.region.slices])
        np.testing.assert_array_equal(image.part_of.read(pair.region), image.image)  # of a file closed meanwhile
    wholes = {id(image.part_of) for image in kept}
    assert len(wholes) == 4
    assert all(id(image.part_of) in wholes for image in images)


def test_a_large_pair_that_is_read_whole_after_an_error_is_told_of(tmp_path, monkeypatch) -> None:
    def refused(_ref: ImageRef) -> LazyImage | None:
        raise DataError("too many open files.")

    monkeypatch.setattr(folders, "open_in_parts", refused)
    images = open_folder(*write(tmp_path, *slide()), sparse=True)
    assert images.names == ("slide",)
    assert any("slide is large" in note and "too many open files" in note for note in images.notes)


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
