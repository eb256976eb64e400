"""Labels are written into an OME-Zarr image itself, among its labels, and never over those of somebody else."""

import os
import warnings

import numpy as np
import pytest

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.folder import predict_folder
from napari_unet_finetune.inference.pieces import Cut
from napari_unet_finetune.inference.spread import Spread
from napari_unet_finetune.io.images import list_images, read_image

from ..engines import Untidy
from .test_large import Bright, write_blobs

zarr = pytest.importorskip("zarr")
yaozarrs = pytest.importorskip("yaozarrs")


@pytest.fixture
def bright(model):
    return Bright(model, PredictConfig(device="cpu"))


@pytest.fixture(params=["0.4", "0.5"])
def store(request, tmp_path, write_store):
    """Return an image of two frames."""
    pixels = write_blobs(tmp_path / "blobs.tif")
    both = np.stack([pixels, pixels[::-1]])
    return write_store(tmp_path / "slide.ome.zarr", both, "tyx", version=request.param, chunk=64)


def metadata(group):
    """Return the OME metadata of a group, whatever its version."""
    attributes = dict(zarr.open_group(group, mode="r").attrs)
    return attributes.get("ome", attributes)


def test_others_find_the_labels_in_the_list_of_the_image(tmp_path, store, bright):
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    (target,) = drain(predict_folder(store, None, bright, cut=Cut(50))).written
    assert target == store / "labels" / "unet-finetune"
    drain(predict_folder(store, tmp_path / "out", bright))
    for ref, outside in zip(list_images(target), list_images(tmp_path / "out" / "slide_labels.ome.zarr"), strict=True):
        labels = read_image(ref, as_labels=True)
        np.testing.assert_array_equal(labels.array, read_image(outside, as_labels=True).array)
        assert (labels.scale, labels.unit) == ((0.5, 0.25), "um") and labels.array.any()
    assert metadata(store / "labels")["labels"] == ["unet-finetune"]
    assert metadata(target)["image-label"]["source"]["image"] == "../.."
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*dimension_names")  # of the image, whose arrays name no axes
        for path in (store, target):
            yaozarrs.validate_zarr_store(str(path))
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in (store / "labels").iterdir() if path.is_dir()} == {"unet-finetune"}


def test_the_reader_of_ome_zarr_itself_finds_them(store, bright):
    pytest.importorskip("ome_zarr")  # to be installed by hand: it does not go with constraints.txt
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (target,) = drain(predict_folder(store, None, bright)).written
    (node,) = (node for node in Reader(parse_url(store))() if node.zarr.basename() == "unet-finetune")
    np.testing.assert_array_equal(np.asarray(node.data[0][0]), read_image(list_images(target)[0], as_labels=True).array)


def test_levels_and_places_are_those_of_the_image(tmp_path, bright):
    pixels = np.stack([write_blobs(tmp_path / "blobs.tif", (160, 131))] * 5)
    group = zarr.create_group(tmp_path / "slide.ome.zarr", zarr_format=3)
    steps, datasets = [(1, 1, 1), (2, 4, 4), (5, 12, 12)], []
    for number, (z, y, x) in enumerate(steps):
        group.create_array(str(number), data=pixels[::z, ::y, ::x], dimension_names="zyx")
        place = [{"type": "scale", "scale": [z, y / 2, x / 4]}, {"type": "translation", "translation": [0, y, x]}]
        datasets.append({"path": str(number), "coordinateTransformations": place})
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    (target,) = drain(predict_folder(tmp_path / "slide.ome.zarr", None, bright)).written
    yaozarrs.validate_zarr_store(str(tmp_path / "slide.ome.zarr"))
    (multiscale,) = metadata(target)["multiscales"]
    assert [one["coordinateTransformations"] for one in multiscale["datasets"]] == [
        one["coordinateTransformations"] for one in datasets
    ]
    labels = zarr.open_group(target, mode="r")
    for number, (z, y, x) in enumerate(steps):
        np.testing.assert_array_equal(labels[str(number)][:], labels["0"][:][::z, ::y, ::x])


def test_labels_that_are_there_stay_in_the_list(store, bright):
    is_new = (store / "zarr.json").is_file()
    group = zarr.create_group(store / "labels", zarr_format=3 if is_new else 2)
    group.attrs.update({"ome": {"version": "0.5", "labels": ["nuclei"]}} if is_new else {"labels": ["nuclei"]})
    drain(predict_folder(store, None, bright))
    assert metadata(store / "labels")["labels"] == ["nuclei", "unet-finetune"]
    drain(predict_folder(store, None, bright, overwrite=True))
    assert metadata(store / "labels")["labels"] == ["nuclei", "unet-finetune"]


def test_what_is_there_is_skipped_or_replaced_but_never_that_of_somebody_else(store, bright, model):
    (target,) = drain(predict_folder(store, None, bright)).written
    assert drain(predict_folder(store, None, bright)).skipped == (target,)
    higher = Bright(model, PredictConfig(device="cpu", threshold=0.9))
    before = read_image(list_images(target)[0], as_labels=True).array.sum()
    assert drain(predict_folder(store, None, higher, overwrite=True)).written == (target,)
    assert 0 < read_image(list_images(target)[0], as_labels=True).array.sum() < before
    group = zarr.open_group(target, mode="r+")
    del group.attrs["napari-unet-finetune"]
    for overwrite in (False, True):
        with pytest.raises(DataError, match="holds labels called unet-finetune that this program did not write"):
            drain(predict_folder(store, None, bright, overwrite=overwrite))


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_metadata_know_the_labels_too(store, bright):
    zarr.consolidate_metadata(store)
    drain(predict_folder(store, None, bright))
    group = zarr.open_consolidated(store)
    assert "unet-finetune" in group["labels"] and group["labels/unet-finetune/0"].ndim == 3


def test_a_stopped_prediction_leaves_the_list_as_it_was_and_goes_on(store, bright):
    stop = iter([False] * 3 + [True] * 99).__next__
    report = drain(predict_folder(store, None, bright, cut=Cut(50), should_stop=stop))
    assert report.stopped and "kept" in report.notes[-1]
    assert not (store / "labels" / "zarr.json").exists() and not (store / "labels" / ".zattrs").exists()
    assert drain(predict_folder(store, None, bright, cut=Cut(50))).written


def test_work_that_is_spread_is_written_into_the_images_of_a_folder(tmp_path, bright, write_store):
    pixels = write_blobs(tmp_path / "blobs.tif")
    folder = tmp_path / "stores"
    folder.mkdir()
    for name in "ab":
        write_store(folder / f"{name}.ome.zarr", pixels, "yx", chunk=64)
    report = drain(predict_folder(folder, None, Spread(bright, Untidy()), cut=Cut(80)))
    assert set(report.written) == {folder / f"{name}.ome.zarr" / "labels" / "unet-finetune" for name in "ab"}
    assert {path.name for path in folder.iterdir()} == {"a.ome.zarr", "b.ome.zarr"}


def test_where_no_labels_can_be_written_is_told_before(tmp_path, bright, store, monkeypatch):
    write_blobs(tmp_path / "images" / "slide.tif")
    with pytest.raises(DataError, match=r"slide\.tif is no OME-Zarr image"):
        drain(predict_folder(tmp_path / "images", None, bright))
    zarr.create_array(tmp_path / "plain.zarr", data=np.zeros((9, 9), np.uint8))
    with pytest.raises(DataError, match=r"plain\.zarr is no OME-Zarr image"):
        drain(predict_folder(tmp_path / "plain.zarr", None, bright))
    monkeypatch.setattr(os, "access", lambda path, _: store not in (path, *path.parents))
    with pytest.raises(DataError, match=r"slide\.ome\.zarr is read-only"):
        drain(predict_folder(store, None, bright))
    assert not (store / "labels").exists()


def test_metadata_that_cannot_be_read_are_left_alone(store, bright):
    name = "zarr.json" if (store / "zarr.json").is_file() else ".zattrs"
    (store / "labels").mkdir()
    (store / "labels" / name).write_text("{")
    report = drain(predict_folder(store, None, bright))
    assert "cannot be read" in report.failed[0].reason
    assert (store / "labels" / name).read_text() == "{"
