"""The check of a folder: everything that is wrong is said, in one pass, and nothing stops it."""

import gc
import json

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.checked_json import checked
from napari_unet_finetune.checks.checkup import Checkup, CheckupSource, check, check_images
from napari_unet_finetune.config import ChannelRule
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.statistics import DataStatistics, ModelFacts, ModelView, measure
from napari_unet_finetune.events import ImageSeen

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(1, 5):
        add(tmp_path, f"{number:03d}")
    return tmp_path


def add(folder, name, *, image=None, objects=0.1, shape=(140, 150)):
    image = RNG.integers(0, 256, shape, dtype=np.uint8) if image is None else image
    mask = np.zeros(image.shape, np.uint8)
    mask[: round((objects or 0) * mask.shape[0])] = 1
    tifffile.imwrite(folder / "images" / f"{name}.tif", image)
    if objects is None:
        return
    tifffile.imwrite(folder / "masks" / f"{name}.tif", mask)


def look_through(folder, **options):
    return check(folder / "images", folder / "masks", **options).result


def test_a_sound_folder_has_no_problems_and_no_advice(folder):
    result = look_through(folder)
    assert result.problems == ()
    assert result.advice == ()
    assert result.mean_foreground == pytest.approx(0.1)
    first = result.images[0]
    assert (first.name, first.size, first.dtype, first.channels, first.reason) == (
        "001",
        (140, 150),
        "uint8",
        1,
        "same name",
    )
    assert first.description == "0/1 mask, 10 % foreground"
    assert first.percentiles[0] < 5 < 120 < first.percentiles[1] < 135 < 250 < first.percentiles[2]


def test_percentiles_of_signed_pixels_lie_between_them(folder):
    image = np.full((140, 150), -128, np.int8)
    image[70:] = 127
    add(folder, "005", image=image)
    assert look_through(folder).images[4].percentiles == (-128, -0.5, 127)


def test_everything_travels_as_json(folder):
    (folder / "images" / "bad.tif").write_bytes(b"broken")
    found = look_through(folder)
    fields = json.loads(json.dumps(found.to_json()))
    assert checked(fields, Checkup) == found
    assert fields["images"][0]["size"] == [140, 150]
    assert fields["unreadable"][0]["name"].endswith("bad.tif")


def test_without_masks_the_images_are_described(folder):
    result = check(folder / "images").result
    assert len(result.images) == 4
    assert result.mean_foreground is None
    assert result.images_without_mask == ()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"objects": 0}, "1 mask is empty (005)"),
        ({"objects": 1}, "has hardly any background"),
        ({"shape": (88, 100)}, "1 image is smaller than a patch of 128 px (005)"),
        ({"image": np.full((140, 150), 9, np.uint8)}, "1 image has the same value everywhere (005)"),
        ({"image": RNG.integers(0, 9999, (140, 150), dtype=np.uint16)}, "several data types (4 × uint8, 1 × uint16)"),
    ],
)
def test_advice_names_what_is_odd(folder, extra, words):
    add(folder, "005", **extra)
    found = look_through(folder)
    assert any(words in sentence for sentence in (*found.advice, *found.doubts))


def test_color_among_grey_images_is_noticed(folder):
    tifffile.imwrite(
        folder / "images" / "004.tif", RNG.integers(0, 256, (140, 150, 3), dtype=np.uint8), photometric="rgb"
    )
    assert any("numbers of channels (3 × 1, 1 × 3)" in sentence for sentence in look_through(folder).advice)


def test_one_image_that_holds_most_of_the_foreground_is_named(folder):
    add(folder, "005", objects=0.8)
    assert any(sentence.startswith("005 holds 67 % of all object pixels") for sentence in look_through(folder).advice)


def test_problems_name_files_and_do_not_stop_the_check(folder):
    tifffile.imwrite(folder / "masks" / "001.tif", np.zeros((9, 9), np.uint8))
    tifffile.imwrite(folder / "masks" / "002.tif", RNG.random((140, 150), dtype=np.float32))
    (folder / "images" / "003.tif").write_bytes(b"broken")
    (folder / "masks" / "004.tif").unlink()
    result = look_through(folder)
    text = "\n".join(result.problems)
    assert "001: image is (140, 150) but its mask is (9, 9)" in text
    assert "002: a mask of decimal numbers" in text
    assert "003.tif cannot be read" in text
    assert "004 has no mask" in text
    assert "003 has no image: its image cannot be read." in text
    assert len(result.images) == 2


def test_empty_masks_are_counted(folder):
    add(folder, "005", objects=0)
    add(folder, "006", objects=0)
    assert look_through(folder).empty_masks == 2


def test_strokes_count_objects_among_annotated_pixels(folder):
    strokes = np.zeros((140, 150), np.uint8)
    strokes[0], strokes[1:5] = 1, 2
    for number in range(1, 5):
        tifffile.imwrite(folder / "masks" / f"{number:03d}.tif", strokes)
    result = look_through(folder, sparse=True)
    assert result.images[0].foreground == pytest.approx(0.8)
    assert result.images[0].description.startswith("strokes: 3.6 % annotated, 80 % of it object")
    assert not any("--sparse" in sentence for sentence in result.advice)
    forgotten = look_through(folder)
    assert forgotten.images[0].description.startswith("instance labels 1 and 2, 2 objects")
    assert any("holds the numbers 1 and 2 and no other" in sentence for sentence in forgotten.advice)


def add_dots(folder, name, count, *, first=10):
    mask = np.zeros((140, 150), np.uint8)
    for index in range(count):
        row, column = first + 20 * (index // 6), first + 20 * (index % 6)
        mask[row : row + 8, column : column + 8] = 1
    add(folder, name)
    tifffile.imwrite(folder / "masks" / f"{name}.tif", mask)


def test_objects_of_each_mask_are_counted_and_measured(folder):
    add_dots(folder, "005", 7)
    found = look_through(folder).images[4]
    assert (found.objects, found.touching_border) == (7, 0)
    assert found.median_diameter_px == pytest.approx(9, abs=0.1)
    assert found.object_width_px == pytest.approx(8, abs=0.5)


def test_one_image_with_most_of_the_objects_is_named(folder):
    add_dots(folder, "005", 12)
    assert any(sentence.startswith("005 holds 12 of all 16 objects") for sentence in look_through(folder).advice)


def test_objects_cut_by_the_edge_are_noticed(folder):
    add_dots(folder, "005", 36, first=0)
    assert not any("touch the edge" in sentence for sentence in look_through(folder).advice)
    mask = np.zeros((140, 150), np.uint8)
    mask[::20, :6] = mask[::20, -6:] = 1
    tifffile.imwrite(folder / "masks" / "005.tif", mask)
    assert any("14 of 14 objects touch the edge" in sentence for sentence in look_through(folder).advice)


def test_strokes_are_no_objects(folder):
    strokes = np.zeros((140, 150), np.uint8)
    strokes[5:9, 5:9], strokes[30:40] = 2, 1
    tifffile.imwrite(folder / "masks" / "001.tif", strokes)
    assert look_through(folder, sparse=True).images[0].objects is None


def test_copies_are_found_even_if_mirrored_noisy_or_smaller(folder):
    rng = np.random.default_rng(3)
    smooth = np.kron(rng.integers(20, 220, (16, 16)), np.ones((10, 10)))
    add(folder, "005", image=smooth.astype(np.uint8))
    add(folder, "006", image=smooth.astype(np.uint8))
    add(folder, "007", image=np.clip(smooth[:, ::-1] + rng.normal(0, 5, smooth.shape), 0, 255).astype(np.uint8))
    add(folder, "008", image=(smooth[::2, ::2] * 257).astype(np.uint16))
    result = look_through(folder)
    found = {(pair.first, pair.second): (pair.exact, pair.turned) for pair in result.duplicates}
    assert found == {
        ("005", "006"): (True, False),
        ("005", "007"): (False, True),
        ("005", "008"): (False, False),
    }
    for how, name in (("pixel for pixel", "006"), ("mirrored or turned", "007"), ("look", "008")):
        assert any(how in line and f"({name} as 005)" in line for line in result.advice)
    assert not any("Keep one" in line for line in result.advice)


def test_test_images_that_are_among_the_others_are_a_problem(folder, tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "new.tif").write_bytes((folder / "images" / "002.tif").read_bytes())
    result = look_through(folder, test_images=tmp_path / "test")
    assert [
        sentence
        for sentence in result.problems
        if "1 test image is among the other images too (new (as 002))" in sentence
    ]
    assert len(result.images) == 4


def test_images_still_to_be_annotated_are_no_problem_but_those_unlike_the_annotated_ones_are_named(folder):
    for number in range(5, 12):
        add(
            folder,
            f"{number:03d}",
            image=RNG.integers(0, 40 if number > 9 else 256, (140, 150), np.uint8),
            objects=None,
        )
    result = look_through(folder)
    assert result.problems == ()
    assert len(result.not_annotated) == len(result.images_without_mask) == 7
    assert any("2 of 7 images without a mask are darker" in line and "(010, 011)" in line for line in result.advice)


def test_an_image_that_does_not_fit_the_model_is_a_problem(folder):
    color = RNG.integers(0, 256, (140, 150, 3), np.uint8)
    tifffile.imwrite(folder / "images" / "005.tif", color, photometric="rgb")
    view = ModelView(channels=ChannelRule(method="none"))
    result = check(folder / "images", model=ModelFacts("base", view)).result
    assert any("005" in sentence and "channels" in sentence for sentence in result.problems)


def _statistics_in_memory():
    return sum(type(one) is DataStatistics for one in gc.get_objects())


def test_statistics_of_all_images_are_kept_and_not_those_of_each(folder):
    images = open_folder(folder / "images", folder / "masks")
    facts = ModelFacts("base", ModelView(), measure(images, ModelView()))
    looking, before = check(folder / "images", folder / "masks", model=facts), _statistics_in_memory()
    for _ in looking:
        assert _statistics_in_memory() == before
    assert looking.result.comparison.new == facts.statistics


def test_progress_is_told_image_by_image(folder):
    events = list(check_images(CheckupSource.of_folders(folder / "images", folder / "masks")))
    assert events == [ImageSeen(f"{number:03d}", number, 4) for number in range(1, 5)]
