"""A folder is predicted to its end, and no file of the user is ever replaced."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import LOOKS_REVERSED, UNSURE, TileEnd, drain
from napari_unet_finetune.inference.folder import ImageEnd, predict_folder
from napari_unet_finetune.inference.pieces import Cut
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.images import ImageRef, read_image, write_labels
from napari_unet_finetune.models.model import Model


@pytest.fixture(scope="module")
def predictor(model: Model) -> Predictor:
    return Predictor(model, PredictConfig(device="cpu", precision="fp32"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate(("a.tif", "b.tif")):
        write_image(folder / name, seed=number)
    return folder


def write_image(path: Path, seed: int = 0, shape: tuple[int, ...] = (40, 36)) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_image_gets_a_labels_file(source: Path, tmp_path: Path, predictor: Predictor) -> None:
    out = tmp_path / "new" / "labels"
    report = drain(predict_folder(source, out, predictor))
    assert report.written == (out / "a_labels.tif", out / "b_labels.tif")
    assert report.failed == report.skipped == ()
    assert not report.stopped
    labels = tifffile.imread(out / "a_labels.tif")
    assert labels.shape == (40, 36)
    assert set(np.unique(labels)) == {0, 1}


def test_progress_of_tiles_and_files_is_told(source: Path, tmp_path: Path, predictor: Predictor) -> None:
    events = list(predict_folder(source, tmp_path / "out", predictor))
    ends = [event for event in events if isinstance(event, ImageEnd)]
    assert [(end.path.name, end.done, end.total) for end in ends] == [("a.tif", 1, 2), ("b.tif", 2, 2)]
    assert TileEnd(4, 4) in events


def test_two_predictions_never_write_into_one_folder_at_once(
    source: Path, tmp_path: Path, predictor: Predictor
) -> None:
    first = predict_folder(source, tmp_path / "out", predictor)
    next(first)
    with pytest.raises(DataError, match="being worked on already"):
        next(predict_folder(source, tmp_path / "out", predictor))
    drain(first)
    assert names(tmp_path / "out") == {"a_labels.tif", "b_labels.tif"}
    assert len(drain(predict_folder(source, tmp_path / "out", predictor)).skipped) == 2


def test_the_size_of_a_pixel_is_kept(source: Path, tmp_path: Path, predictor: Predictor) -> None:
    write_labels(source / "c.tif", np.random.default_rng(0).integers(0, 9, (40, 40)), scale=(0.5, 0.25), unit="um")
    drain(predict_folder(source, tmp_path / "out", predictor))
    written = read_image(ImageRef(tmp_path / "out" / "c_labels.tif"))
    assert written.scale == pytest.approx((0.5, 0.25))
    assert written.unit == "um"


def test_a_stack_becomes_one_stack_of_labels_frame_by_frame(tmp_path: Path, predictor: Predictor) -> None:
    source = tmp_path / "images"
    source.mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 36), np.uint8)
    tifffile.imwrite(source / "stack.tif", frames, photometric="minisblack", metadata={"axes": "TYX"})
    for index, frame in enumerate(frames):
        tifffile.imwrite(source / f"frame{index}.tif", frame, photometric="minisblack")
    drain(predict_folder(source, tmp_path / "out", predictor))
    stack = tifffile.imread(tmp_path / "out" / "stack_labels.tif")
    alone = [tifffile.imread(tmp_path / "out" / f"frame{index}_labels.tif") for index in range(3)]
    np.testing.assert_array_equal(stack, alone)


def test_bad_files_are_reported_and_the_rest_goes_on(source: Path, tmp_path: Path, predictor: Predictor) -> None:
    (source / "a_broken.png").write_bytes(b"\x89PNG this is no image")
    np.save(source / "nan.npy", np.full((40, 40), np.nan, np.float32))
    report = drain(predict_folder(source, tmp_path / "out", predictor))
    assert [path.name for path in report.written] == ["a_labels.tif", "b_labels.tif"]
    assert {one.file.name for one in report.failed} == {"a_broken.png", "nan.npy"}
    assert all(one.reason for one in report.failed)


def test_labels_that_are_there_are_skipped_and_only_replaced_when_asked(
    source: Path, tmp_path: Path, predictor: Predictor
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_labels.tif").write_text("mine")
    report = drain(predict_folder(source, out, predictor))
    assert report.skipped == (out / "a_labels.tif",)
    assert report.written == (out / "b_labels.tif",)
    assert (out / "a_labels.tif").read_text() == "mine"
    again = drain(predict_folder(source, out, predictor, overwrite=True))
    assert len(again.written) == 2
    assert tifffile.imread(out / "a_labels.tif").shape == (40, 36)


def test_in_the_folder_of_the_images_labels_are_not_taken_for_images(source: Path, predictor: Predictor) -> None:
    drain(predict_folder(source, source, predictor))
    report = drain(predict_folder(source, source, predictor))
    assert names(source) == {"a.tif", "b.tif", "a_labels.tif", "b_labels.tif"}
    assert len(report.skipped) == 2
    assert not report.written


def test_a_file_among_the_images_is_never_replaced(source: Path, predictor: Predictor) -> None:
    write_image(source / "a_labels.tif", seed=7)
    before = (source / "a_labels.tif").read_bytes()
    with pytest.raises(DataError, match=r"a_labels\.tif would be replaced"):
        drain(predict_folder(source, source, predictor, overwrite=True))
    assert (source / "a_labels.tif").read_bytes() == before
    assert names(source) == {"a.tif", "b.tif", "a_labels.tif"}


def test_two_images_with_one_labels_file_are_refused_before_work(
    source: Path, tmp_path: Path, predictor: Predictor
) -> None:
    np.save(source / "A.npy", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match=r"would both be written to"):
        drain(predict_folder(source, tmp_path / "out", predictor))
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_refused(source: Path, tmp_path: Path, predictor: Predictor) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(DataError, match="output folder cannot be made"):
        drain(predict_folder(source, tmp_path / "out", predictor))


def test_a_labels_file_that_cannot_be_written_stops_no_other(
    source: Path, tmp_path: Path, predictor: Predictor
) -> None:
    out = tmp_path / "out"
    (out / "folder_labels.tif").mkdir(parents=True)
    (out / "circle_labels.tif").symlink_to("circle_labels.tif")
    for name in ("folder", "circle", "x" * 246):
        write_image(source / f"{name}.tif")
    report = drain(predict_folder(source, out, predictor))
    assert {path.name for path in report.written} == {"a_labels.tif", "b_labels.tif", "circle_labels.tif"}
    assert all(path.is_file() for path in report.written)
    assert {one.file.stem[:6] for one in report.failed} == {"folder", "x" * 6}
    values = report.to_json()
    assert len(values["written"]) == 3 and len(values["failed"]) == 2


def test_an_output_folder_that_is_a_link_in_a_circle_is_refused(
    source: Path, tmp_path: Path, predictor: Predictor
) -> None:
    (tmp_path / "out").symlink_to("out")
    with pytest.raises(DataError, match="output folder cannot be made"):
        drain(predict_folder(source, tmp_path / "out", predictor))


def test_stopping_leaves_whole_files_only(source: Path, tmp_path: Path, predictor: Predictor) -> None:
    ended: list[ImageEnd] = []
    stream = predict_folder(source, tmp_path / "out", predictor, should_stop=lambda: bool(ended))
    report = None
    while report is None:
        try:
            event = next(stream)
        except StopIteration as stop:
            report = stop.value
        else:
            ended += [event] if isinstance(event, ImageEnd) else []
    assert report.stopped
    assert names(tmp_path / "out") == {"a_labels.tif"}


class Killed(BaseException):
    """What nothing in the program catches."""


def write_stack(path: Path, frames: int = 5) -> np.ndarray:
    pixels = np.random.default_rng(3).integers(0, 255, (frames, 40, 36), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "TYX"})
    return pixels


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    folder = tmp_path / "stacks"
    folder.mkdir()
    write_stack(folder / "movie.tif")
    return folder


class Counting(Predictor):
    """Counts the regions that it predicts, and is killed after some of them."""

    seen, most = 0, 99

    def stream_region(self, *arguments, **options):
        if self.seen == self.most:
            raise Killed
        self.seen += 1
        return super().stream_region(*arguments, **options)


@pytest.fixture
def counting(model: Model) -> Counting:
    return Counting(model, PredictConfig(device="cpu", precision="fp32"))


def test_a_stack_that_was_killed_goes_on_with_the_frames_that_were_finished(stack, tmp_path, counting) -> None:
    drain(predict_folder(stack, tmp_path / "at once", counting))
    counting.seen, counting.most = 0, 3
    with pytest.raises(Killed):
        drain(predict_folder(stack, tmp_path / "out", counting))
    assert not (tmp_path / "out" / "movie_labels.tif").exists()
    counting.seen, counting.most = 0, 99
    report = drain(predict_folder(stack, tmp_path / "out", counting))
    assert counting.seen == 2
    assert names(tmp_path / "out") == {"movie_labels.tif"} and len(report.written) == 1
    assert (tmp_path / "out" / "movie_labels.tif").read_bytes() == (
        tmp_path / "at once" / "movie_labels.tif"
    ).read_bytes()


class Doubtful(Predictor):
    """Finds the second and the fourth of all frames reversed."""

    seen = 0

    def how_told(self, _sight):
        self.seen += 1
        return LOOKS_REVERSED if self.seen in (2, 4) else ""


def test_how_many_frames_of_a_stack_look_reversed_is_told(stack, tmp_path, model) -> None:
    report = drain(predict_folder(stack, tmp_path / "out", Doubtful(model, PredictConfig(device="cpu"))))
    assert report.notes[0] == f"The model saw 1 file {LOOKS_REVERSED}: movie (2 of 5 frames)."
    assert report.unsure == ()
    assert "Dark and bright" in report.notes[1]


@pytest.mark.parametrize("chunk", [None, 32])
def test_files_of_which_the_model_is_not_sure_are_named_however_they_are_predicted(
    squares, tmp_path, model, monkeypatch, chunk
) -> None:
    measure = Predictor.measure
    monkeypatch.setattr(Predictor, "measure", lambda self, image: replace(measure(self, image), lead=0.0))
    predictor = Predictor(model, PredictConfig(device="cpu"))
    report = drain(predict_folder(squares / "images", tmp_path / "out", predictor, cut=Cut(chunk)))
    names = "img_00, img_01, img_02, img_03, img_04"
    assert report.notes[0] == f"The model saw 5 files unchanged, {UNSURE}: {names}."
    assert [path.stem for path in report.unsure] == names.split(", ")
    assert report.to_json()["unsure"] == [str(path) for path in report.unsure]
    assert "Dark and bright" in report.notes[1]


def test_stopping_tells_how_many_frames_are_kept(stack, tmp_path, counting) -> None:
    report = drain(predict_folder(stack, tmp_path / "out", counting, should_stop=lambda: counting.seen == 3))
    assert report.stopped
    assert "movie.tif: 2 of its 5 frames are finished and kept" in report.notes[0]


def test_frames_of_another_model_are_no_frames_of_this_one(stack, tmp_path, counting, model) -> None:
    counting.most = 2
    with pytest.raises(Killed):
        drain(predict_folder(stack, tmp_path / "out", counting))
    other = Counting(model, PredictConfig(device="cpu", precision="fp32", threshold=0.2))
    (failed,) = drain(predict_folder(stack, tmp_path / "out", other)).failed
    assert "(threshold), and 2 of its parts are kept" in failed.reason
    report = drain(predict_folder(stack, tmp_path / "out", other, overwrite=True))
    assert len(report.written) == 1 and other.seen == 5


def test_a_frame_that_the_disk_has_lost_is_made_anew(stack, tmp_path, counting) -> None:
    counting.most = 4
    with pytest.raises(Killed):
        drain(predict_folder(stack, tmp_path / "out", counting))
    part = sorted((tmp_path / "out" / ".movie_labels.tif.parts").glob("*.npz"))[1]
    part.write_bytes(part.read_bytes()[:-200] + bytes(200))
    counting.seen, counting.most = 0, 99
    (failed,) = drain(predict_folder(stack, tmp_path / "out", counting)).failed
    assert "Predict it again" in failed.reason
    assert drain(predict_folder(stack, tmp_path / "out", counting)).written
    assert counting.seen == 2


def test_frames_of_other_sizes_are_refused_before_work(tmp_path, counting) -> None:
    (tmp_path / "sizes").mkdir()
    with tifffile.TiffWriter(tmp_path / "sizes" / "two.tif") as file:
        for size in (20, 30):
            file.write(np.zeros((size, size), np.uint8), photometric="minisblack")
    (failed,) = drain(predict_folder(tmp_path / "sizes", tmp_path / "out", counting)).failed
    assert "differ in size" in failed.reason and counting.seen == 0
