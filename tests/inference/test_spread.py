"""Work that is spread gives the files of a plain prediction, in whatever order its pieces are finished."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import ImageEnd, TileEnd, drain
from napari_unet_finetune.inference.folder import PredictedFolder, predict_folder
from napari_unet_finetune.inference.pieces import Cut
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.inference.spread import Spread
from napari_unet_finetune.io.images import list_images, read_image
from napari_unet_finetune.models.model import Model

from ..engines import Untidy
from .test_folder import write_image, write_stack
from .test_large import write_blobs

CHUNK = 48


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Return a folder with small images, a stack, a large image, one that cannot be read and one of other channels."""
    folder = tmp_path_factory.mktemp("spread") / "images"
    folder.mkdir()
    for number in range(4):
        write_image(folder / f"img{number}.tif", seed=number)
    write_stack(folder / "movie.tif", 6)
    write_blobs(folder / "slide.tif", (150, 131))
    (folder / "broken.png").write_bytes(b"\x89PNG this is no image")
    np.save(folder / "nan.npy", np.full((40, 40), np.nan, np.float32))
    np.save(folder / "large nan.npy", np.full((140, 40), np.nan, np.float32))
    return folder


@pytest.fixture(scope="module")
def predictor(model: Model) -> Predictor:
    return Predictor(model, PredictConfig(device="cpu", precision="fp32", instances=True))


@pytest.fixture(scope="module")
def plain(source, predictor, tmp_path_factory) -> tuple[Path, PredictedFolder]:
    """Return what a plain prediction writes, and its report."""
    out = tmp_path_factory.mktemp("plain") / "out"
    return out, drain(predict_folder(source, out, predictor, cut=Cut(CHUNK)))


def assert_same(out: Path, plain: Path) -> None:
    """Compare all files of two folders, hidden ones too, by their pixels."""
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in plain.iterdir())
    for path in plain.iterdir():
        for ours, theirs in zip(list_images(out / path.name), list_images(path), strict=True):
            np.testing.assert_array_equal(
                read_image(ours, as_labels=True).array, read_image(theirs, as_labels=True).array
            )


def as_names(report) -> dict:
    """Return a report without the folder that its files are in."""
    values = report.to_json()
    return values | {kind: [Path(path).name for path in values[kind]] for kind in ("written", "skipped")}


@pytest.mark.parametrize("seed", range(2))
def test_files_and_report_are_those_of_a_plain_prediction(source, predictor, plain, tmp_path, seed) -> None:
    out = tmp_path / "out"
    events = predict_folder(source, out, Spread(predictor, Untidy(seed)), cut=Cut(CHUNK))
    told = []
    while True:
        try:
            told.append(next(events))
        except StopIteration as end:
            report = end.value
            break
    assert_same(out, plain[0])
    assert as_names(report) == as_names(plain[1])
    ends = [event for event in told if isinstance(event, ImageEnd)]
    assert [end.done for end in ends] == list(range(1, 10)) and {end.total for end in ends} == {9}
    assert all(0 < event.done <= event.total for event in told if isinstance(event, TileEnd))


def test_what_is_there_is_kept_and_small_images_share_a_piece(source, predictor, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "img1_labels.tif").write_text("mine")
    engine = Untidy()
    report = drain(predict_folder(source, out, Spread(predictor, engine), cut=Cut(CHUNK)))
    assert report.skipped == (out / "img1_labels.tif",)
    assert (out / "img1_labels.tif").read_text() == "mine"
    assert sum("img" in name for name in engine.names) < 3


def test_once_the_cluster_is_gone_the_same_prediction_goes_on(source, predictor, plain, tmp_path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConnectionError):
        drain(predict_folder(source, out, Spread(predictor, Untidy(1, fails_after=8)), cut=Cut(CHUNK)))
    assert not list(out.glob(".spread-*"))
    kept = len(list(out.glob(".slide*/*.npz")))
    rest = Untidy(2)
    drain(predict_folder(source, out, Spread(predictor, rest), cut=Cut(CHUNK)))
    assert_same(out, plain[0])
    assert kept and len([name for name in rest.names if name.startswith("slide at")]) == 12 - kept


@pytest.mark.parametrize("ends_plain", [False, True])
def test_what_was_stopped_is_told_and_goes_on_spread_or_not(source, predictor, tmp_path, ends_plain) -> None:
    out, engine = tmp_path / "out", Untidy(twice=0)
    spread = Spread(predictor, engine)
    stop = lambda: any("slide" in name and "intensities" not in name for name in engine.names)  # noqa: E731
    slide = source / "slide.tif"
    report = drain(predict_folder(slide, out, spread, cut=Cut(CHUNK), should_stop=stop))
    assert report.stopped and "1 of its 12 parts are finished and kept" in report.notes[0]
    drain(predict_folder(slide, out, predictor if ends_plain else Spread(predictor, Untidy()), cut=Cut(CHUNK)))
    drain(predict_folder(slide, tmp_path / "plain", predictor))
    assert_same(out, tmp_path / "plain")


def test_parts_of_another_model_stay_those_of_that_model(source, predictor, model, tmp_path) -> None:
    out = tmp_path / "out"
    slide = source / "slide.tif"
    with pytest.raises(ConnectionError):
        drain(predict_folder(slide, out, Spread(predictor, Untidy(fails_after=4)), cut=Cut(CHUNK)))
    other = Predictor(model, PredictConfig(device="cpu", precision="fp32", threshold=0.2))
    (failed,) = drain(predict_folder(slide, out, Spread(other, Untidy()), cut=Cut(CHUNK))).failed
    assert "(" in failed.reason and "of its parts are kept" in failed.reason
    drain(predict_folder(slide, out, Spread(other, Untidy()), cut=Cut(CHUNK), overwrite=True))
    drain(predict_folder(slide, tmp_path / "plain", other, cut=Cut(CHUNK)))
    assert_same(out, tmp_path / "plain")


def test_a_program_that_was_killed_leaves_nothing_that_workers_go_on_with(source, predictor, tmp_path) -> None:
    left = tmp_path / "out" / ".spread-0123456789abcdef"
    left.mkdir(parents=True)
    (left / "model.safetensors").touch()
    drain(predict_folder(source / "img0.tif", tmp_path / "out", predictor))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["img0_labels.tif"]


def test_relative_paths_are_those_of_this_program(source, predictor, monkeypatch) -> None:
    class Elsewhere(Untidy):
        def finished(self, next_piece, folder, **how):
            monkeypatch.chdir("/")
            yield from super().finished(next_piece, folder, **how)

    monkeypatch.chdir(source.parent)
    report = drain(predict_folder(Path("images"), Path("here"), Spread(predictor, Elsewhere()), cut=Cut(CHUNK)))
    assert {path.parent for path in report.written} == {Path("here")} and len(report.written) == 6
    assert (source.parent / "here" / "slide_labels.tif").is_file()


def test_a_stack_of_regions_and_a_store_are_spread_too(model, tmp_path, write_store) -> None:
    pytest.importorskip("zarr")
    pixels = np.random.default_rng(5).integers(0, 255, (2, 90, 70), np.uint8)
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "stack.tif", pixels, photometric="minisblack", metadata={"axes": "TYX"})
    write_store(tmp_path / "images" / "cells.ome.zarr", pixels[:, None], "tcyx")
    one = Predictor(model, PredictConfig(device="cpu", precision="fp32", fill_holes=True))
    drain(predict_folder(tmp_path / "images", tmp_path / "plain", one, cut=Cut(40)))
    drain(predict_folder(tmp_path / "images", tmp_path / "out", Spread(one, Untidy()), cut=Cut(40)))
    assert_same(tmp_path / "out", tmp_path / "plain")


def test_a_folder_is_predicted_by_one_program_at_a_time(source, predictor, tmp_path) -> None:
    first = predict_folder(source, tmp_path / "out", Spread(predictor, Untidy()), cut=Cut(CHUNK))
    next(first)
    with pytest.raises(DataError, match="being worked on already"):
        drain(predict_folder(source, tmp_path / "out", Spread(predictor, Untidy())))
    first.close()
