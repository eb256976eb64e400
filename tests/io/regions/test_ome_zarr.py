"""OME-Zarr folders are images like any others, read whole or in parts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import ImageRef, list_images, open_in_parts, read_image, subfolders_with_images
from napari_unet_finetune.io.regions.region import Region, regions_of

zarr = pytest.importorskip("zarr")
VERSIONS = ("0.4", "0.5")


def pixels_of(*shape: int, dtype: str = "u2") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("axes", "shape", "frames", "channels"),
    [
        ("yx", (40, 33), 1, 1),
        ("zyx", (3, 40, 33), 3, 1),
        ("cyx", (2, 40, 33), 1, 2),
        ("tcyx", (2, 4, 40, 33), 2, 4),
        ("tczyx", (2, 1, 3, 40, 33), 6, 1),
    ],
)
def test_axes_tell_frames_and_channels(tmp_path, write_store, version, axes, shape, frames, channels):
    pixels = pixels_of(*shape)
    path = write_store(tmp_path / "img.ome.zarr", pixels, axes, version=version)
    listing = list_images(path)
    assert len(listing) == frames and listing[0].stem == "img"
    assert listing.headers[listing[0]].size == (40, 33)
    for place, ref in enumerate(listing):
        order = [axes.index(name) for name in "tzcyx" if name in axes]
        expected = pixels.transpose(order).reshape(frames, channels, 40, 33)[place]
        found = read_image(ref)
        np.testing.assert_array_equal(found.array, expected[0] if channels == 1 else expected)
        assert (found.scale, found.unit) == ((0.5, 0.25), "um")
        image = open_in_parts(ref)
        assert image is not None and (image.shape, image.channels) == ((40, 33), channels)
        for region in regions_of((40, 33), 17, 9):
            part = found.array[(..., *region.slices)]
            np.testing.assert_array_equal(image.read(region), part)


@given(st.data())
def test_any_region_is_that_of_the_image(tmp_path_factory, write_store, data):
    path = tmp_path_factory.getbasetemp() / "any.zarr"
    pixels = pixels_of(2, 50, 61)
    if not path.exists():
        write_store(path, pixels, "cyx", chunk=13)
    top, left = data.draw(st.integers(0, 49)), data.draw(st.integers(0, 60))
    region = Region(top, left, data.draw(st.integers(top + 1, 50)), data.draw(st.integers(left + 1, 61)))
    np.testing.assert_array_equal(open_in_parts(ImageRef(path)).read(region), pixels[(..., *region.slices)])


def test_it_is_one_image_among_those_of_a_folder(tmp_path, write_store):
    np.save(tmp_path / "b.npy", pixels_of(20, 20))
    write_store(tmp_path / "a.zarr", pixels_of(20, 20), "yx")
    assert [ref.name for ref in list_images(tmp_path)] == ["a", "b"]
    assert subfolders_with_images(tmp_path) == {} == subfolders_with_images(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", VERSIONS)
def test_channels_have_the_names_that_are_told(tmp_path, write_store, version):
    named = {"channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "00FF00"}]}
    path = write_store(tmp_path / "a.zarr", pixels_of(2, 20, 20), "cyx", version=version, omero=named)
    assert read_image(ImageRef(path)).channels == ("DAPI", "GFP")
    assert open_in_parts(ImageRef(path)).channel_names == ("DAPI", "GFP")


def test_gray_stored_as_color_is_gray_also_in_parts(tmp_path, write_store):
    path = write_store(tmp_path / "a.zarr", np.repeat(pixels_of(1, 20, 20), 3, axis=0), "cyx")
    image = open_in_parts(ImageRef(path))
    assert image.channels == 1 and image.channel_names == ()
    whole = read_image(ImageRef(path)).array
    np.testing.assert_array_equal(image.read(Region.whole((20, 20))), whole)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_array_without_metadata_is_read_as_one_of_numpy(tmp_path, zarr_format):
    pixels = pixels_of(5, 20, 22)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, zarr_format=zarr_format)
    frames = list_images(tmp_path / "a.zarr")
    assert len(frames) == 5
    np.testing.assert_array_equal(read_image(frames[3]).array, pixels[3])


def test_a_changed_store_is_read_anew(tmp_path, write_store):
    path = write_store(tmp_path / "a.zarr", pixels_of(20, 20), "yx")
    assert list_images(path).headers[ImageRef(path)].size == (20, 20)
    for file in sorted(path.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    path.rmdir()
    write_store(path, pixels_of(30, 20), "yx", version="0.4")
    assert list_images(path).headers[ImageRef(path)].size == (30, 20)


def change(path: Path, **values: object) -> None:
    stored = json.loads((path / "zarr.json").read_text())
    stored["attributes"]["ome"] |= values
    (path / "zarr.json").write_text(json.dumps(stored))


def test_damaged_metadata_are_said_with_their_place(tmp_path, write_store):
    path = write_store(tmp_path / "a.zarr", pixels_of(20, 20), "yx")
    change(path, multiscales=[{"axes": []}])
    with pytest.raises(DataError, match=r"a\.zarr: its OME-Zarr metadata are damaged \(multiscales\.0"):
        list_images(path)


def test_of_a_plate_an_image_is_asked_for(tmp_path, write_store):
    group = zarr.create_group(tmp_path / "plate.zarr", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "plate": {}}
    write_store(tmp_path / "plate.zarr" / "A" / "1" / "0", pixels_of(20, 20), "yx")
    with pytest.raises(DataError, match=r"several images. Choose one of them, such as plate.zarr.A.1.0"):
        list_images(tmp_path / "plate.zarr")
    assert len(list_images(tmp_path / "plate.zarr" / "A" / "1" / "0")) == 1


@pytest.mark.parametrize("broken", ["chunk", "array", "nan", "complex", "empty"])
def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path, write_store, broken):
    pixels = pixels_of(20, 20, dtype="f4")
    if broken == "nan":
        pixels[3, 3] = np.nan
    if broken == "complex":
        pixels = pixels.astype("c8")
    path = write_store(tmp_path / "a.zarr", pixels[:0] if broken == "empty" else pixels, "yx")
    if broken == "chunk":
        (path / "0" / "c" / "0" / "0").write_bytes(b"no chunk at all")
    if broken == "array":
        (path / "0" / "zarr.json").unlink()
    for read in (read_image, lambda ref: open_in_parts(ref).read(Region.whole((20, 20)))):
        with pytest.raises(DataError, match=r"^a(\.zarr)?\b.*\.$"):
            read(ImageRef(path))


def test_without_the_extra_its_name_is_told(tmp_path, write_store, monkeypatch):
    path = write_store(tmp_path / "new.zarr", pixels_of(20, 20), "yx")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(DataError, match=r'pip install "napari-unet-finetune\[zarr\]"'):
        list_images(path)
