"""A large image is predicted region by region into the same labels as in one piece."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.events import PieceEnd, TileEnd, drain
from napari_unet_finetune.inference.folder import predict_folder
from napari_unet_finetune.inference.pieces import Cut, side_of_chunks
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.images import ImageRef, list_images, read_image
from napari_unet_finetune.io.regions.region import InView, Region
from napari_unet_finetune.models.model import Model

from .test_folder import Counting, Killed


class Bright(Predictor):
    """Takes for objects what is bright, so that there are round ones, rings and touching ones."""

    def logits(self, tiles):
        return 8 * (tiles - 0.5)


class Measuring(Bright):
    """Counts how often an image is measured."""

    measured = 0

    def measure(self, image):
        self.measured += 1
        return super().measure(image)


def write_blobs(path: Path, shape: tuple[int, int] = (150, 131), **options) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=shape), 2.5)
    pixels = (128 + 900 * noise).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return pixels


@pytest.mark.parametrize("chunk", [40, 64, 149])
@pytest.mark.parametrize(
    "settings",
    [{}, {"min_size_px": 30}, {"fill_holes": True}, {"instances": True, "fill_holes": True, "min_size_px": 12}],
    ids=["plain", "large ones", "filled", "numbered"],
)
def test_regions_of_any_size_give_the_labels_of_one_piece(tmp_path, model: Model, settings, chunk) -> None:
    write_blobs(tmp_path / "images" / "slide.tif")
    one = Bright(model, PredictConfig(device="cpu", **settings))
    for name, side in (("whole", None), ("cut", chunk)):
        assert drain(predict_folder(tmp_path / "images", tmp_path / name, one, cut=Cut(side))).written
    whole, cut = (tifffile.imread(tmp_path / name / "slide_labels.tif") for name in ("whole", "cut"))
    assert whole.any()
    np.testing.assert_array_equal(cut, whole)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["slide_labels.tif"]


def test_its_labels_are_tiled_and_keep_the_size_of_a_pixel(tmp_path, model: Model) -> None:
    size = {"resolution": (1e4, 2e4), "resolutionunit": "CENTIMETER"}
    write_blobs(tmp_path / "images" / "slide.tif", (700, 530), **size)
    one = Bright(model, PredictConfig(device="cpu", instances=True))
    drain(predict_folder(tmp_path / "images", tmp_path / "out", one, cut=Cut(400)))
    with tifffile.TiffFile(tmp_path / "out" / "slide_labels.tif") as file:
        assert file.pages[0].is_tiled
    read = read_image(ImageRef(tmp_path / "out" / "slide_labels.tif"), as_labels=True)
    assert (read.scale, read.unit) == ((pytest.approx(0.5), pytest.approx(1.0)), "um")
    assert read.array.max() == len(np.unique(read.array)) - 1


def test_only_what_is_large_is_cut_unless_it_is_asked_for() -> None:
    assert side_of_chunks((4096, 4096), None) is None
    assert side_of_chunks((4097, 4096), None) == 2048
    assert side_of_chunks((300, 500), 512) is None
    assert side_of_chunks((300, 513), 512) == 512


def test_what_was_killed_goes_on_with_the_regions_that_were_finished(tmp_path, model: Model) -> None:
    write_blobs(tmp_path / "images" / "slide.tif")
    one = Counting(model, PredictConfig(device="cpu", instances=True))
    drain(predict_folder(tmp_path / "images", tmp_path / "at once", one))
    one.seen, one.most = 0, 5
    with pytest.raises(Killed):
        drain(predict_folder(tmp_path / "images", tmp_path / "out", one, cut=Cut(50)))
    one.seen, one.most = 0, 99
    assert drain(predict_folder(tmp_path / "images", tmp_path / "out", one, cut=Cut(50))).written
    assert one.seen == 9 - 5
    at_once, later = (tifffile.imread(tmp_path / name / "slide_labels.tif") for name in ("at once", "out"))
    np.testing.assert_array_equal(at_once, later)


def test_progress_goes_up_to_the_end_of_the_image(tmp_path, model: Model) -> None:
    write_blobs(tmp_path / "images" / "slide.tif")
    one = Bright(model, PredictConfig(device="cpu"))
    events = list(predict_folder(tmp_path / "images", tmp_path / "out", one, cut=Cut(50)))
    shares = [event.done / event.total for event in events if isinstance(event, TileEnd)]
    assert shares == sorted(shares) and shares[-1] == 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_an_ome_zarr_are_one_that_others_validate(tmp_path, model: Model, write_store, version) -> None:
    yaozarrs = pytest.importorskip("yaozarrs")
    pixels = np.stack([write_blobs(tmp_path / "images" / "slide.tif", (600, 400))] * 2)
    pixels[1] = 255 - pixels[1]
    tifffile.imwrite(tmp_path / "images" / "slide.tif", pixels, photometric="minisblack", metadata={"axes": "TYX"})
    (tmp_path / "stores").mkdir()
    write_store(tmp_path / "stores" / "slide.ome.zarr", pixels[:, None], "tcyx", version=version, chunk=128)
    one = Bright(model, PredictConfig(device="cpu", instances=True))
    drain(predict_folder(tmp_path / "images", tmp_path / "out", one))
    report = drain(predict_folder(tmp_path / "stores", tmp_path / "out", one, cut=Cut(256)))
    target = tmp_path / "out" / "slide_labels.ome.zarr"
    assert report.written == (target,)
    expected = tifffile.imread(tmp_path / "out" / "slide_labels.tif")
    refs = list_images(target)
    for ref, labels in zip(refs, expected, strict=True):
        read = read_image(ref, as_labels=True)
        np.testing.assert_array_equal(read.array, labels)
        assert (read.scale, read.unit) == ((0.5, 0.25), "um")
    group = yaozarrs.validate_zarr_store(str(target))
    metadata = group.ome_metadata()
    assert metadata.image_label.source.image == "../../stores/slide.ome.zarr"
    half = np.asarray(__import__("zarr").open_array(target / "1")[0])
    np.testing.assert_array_equal(half, expected[0][::2, ::2])
    again = drain(predict_folder(tmp_path / "stores", tmp_path / "out", one))
    assert again.skipped == (target,)
    replaced = drain(predict_folder(tmp_path / "stores", tmp_path / "out", one, overwrite=True))
    assert replaced.written == (target,)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"slide_labels.tif", "slide_labels.ome.zarr"}


@pytest.mark.parametrize("settings", [{}, {"instances": True, "fill_holes": True}], ids=["plain", "numbered"])
def test_what_is_in_view_comes_first_and_the_labels_are_the_same(tmp_path, model: Model, settings) -> None:
    frames = np.stack([write_blobs(tmp_path / "images" / "slide.tif")] * 2)
    tifffile.imwrite(tmp_path / "images" / "slide.tif", frames, photometric="minisblack", metadata={"axes": "TYX"})
    one = Bright(model, PredictConfig(device="cpu", **settings))
    view = InView(1, Region(60, 90, 100, 120))
    events = {
        name: list(predict_folder(tmp_path / "images", tmp_path / name, one, cut=Cut(50, first=first)))
        for name, first in (("in order", None), ("in view", view))
    }
    told = {name: [event for event in events[name] if isinstance(event, PieceEnd)] for name in events}
    assert [event.frame for event in told["in order"]] == [0] * 9 + [1] * 9
    assert [event.frame for event in told["in view"]] == [1] * 9 + [0] * 9
    corners = [(event.top, event.left) for event in told["in view"]]
    assert set(corners[:2]) == {(50, 50), (50, 100)} and corners[8] == (0, 0)
    assert [(event.done, event.total) for event in told["in view"]] == [(done, 18) for done in range(1, 19)]
    one_way, other = (tifffile.imread(tmp_path / name / "slide_labels.tif") for name in events)
    assert one_way.any()
    np.testing.assert_array_equal(one_way, other)


def test_what_is_looked_at_meanwhile_comes_next(tmp_path, model: Model) -> None:
    frames = np.stack([write_blobs(tmp_path / "images" / "slide.tif")] * 3)
    tifffile.imwrite(tmp_path / "images" / "slide.tif", frames, photometric="minisblack", metadata={"axes": "TYX"})
    seen: list[PieceEnd] = []
    corner, other = Region(0, 0, 9, 9), Region(101, 101, 150, 131)
    views = {0: InView(0, other), 4: InView(2, corner), 7: InView(1, other), 8: InView(2, other), 18: None}
    cut = Cut(50, InView(0, corner), lambda: views[max(n for n in views if n <= len(seen))])
    one = Measuring(model, PredictConfig(device="cpu"))
    for event in predict_folder(tmp_path / "images", tmp_path / "out", one, cut=cut):
        seen += [event] if isinstance(event, PieceEnd) else []
    assert [event.frame for event in seen] == [0] * 4 + [2] * 3 + [1] + [2] * 6 + [0] * 5 + [1] * 8
    assert [(seen[n].top, seen[n].left) for n in (0, 4, 7, 8)] == [(100, 100), (0, 0), (100, 100), (100, 100)]
    assert [event.done for event in seen] == list(range(1, 28)) and len({event.file for event in seen}) == 27
    assert one.measured == 3
    drain(predict_folder(tmp_path / "images", tmp_path / "in order", one, cut=Cut(50)))
    labels = (tifffile.imread(tmp_path / name / "slide_labels.tif") for name in ("out", "in order"))
    np.testing.assert_array_equal(*labels)


def test_pieces_that_are_there_are_told_of_again_and_only_the_others_are_made(tmp_path, model: Model) -> None:
    write_blobs(tmp_path / "images" / "slide.tif")
    one = Counting(model, PredictConfig(device="cpu"))
    stop = iter([False] * 3 + [True] * 99).__next__
    events = list(predict_folder(tmp_path / "images", tmp_path / "out", one, cut=Cut(50), should_stop=stop))
    before = [event for event in events if isinstance(event, PieceEnd)]
    assert 0 < len(before) < 9
    one.seen = 0
    view = InView(0, Region(120, 120, 150, 131))
    events = list(predict_folder(tmp_path / "images", tmp_path / "out", one, cut=Cut(50, first=view)))
    after = [event for event in events if isinstance(event, PieceEnd)]
    assert after[: len(before)] == before
    assert [event.done for event in after] == list(range(1, 10)) and len({event.file for event in after}) == 9
    assert (after[len(before)].top, after[len(before)].left) == (100, 100)
    assert one.seen == 9 - len(before)
