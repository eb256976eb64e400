"""Parts of TIFF files are those of the whole image, or the file is read whole."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io import images, pixels, tiff
from napari_unet_finetune.io.images import ImageRef, list_images, open_in_parts, read_headers, read_image
from napari_unet_finetune.io.regions.region import regions_of

pytest.importorskip("zarr")


def noise(*shape: int, dtype: str = "u1") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


TILED = {"tile": (32, 48), "compression": "zlib"}
READ = {
    "tiled": (noise(100, 90), {"photometric": "minisblack", **TILED}),
    "tiled 16 bit big-endian": (noise(100, 90, dtype="u2"), {"photometric": "minisblack", "byteorder": ">", **TILED}),
    "lzw": (noise(100, 90), {"photometric": "minisblack", "tile": (32, 32), "compression": "lzw", "predictor": True}),
    "jpeg": (noise(100, 90, 3), {"photometric": "rgb", "tile": (32, 32), "compression": "jpeg"}),
    "color": (noise(100, 90, 3), {"photometric": "rgb", **TILED}),
    "gray as color": (np.repeat(noise(100, 90, 1), 3, axis=2), {"photometric": "rgb", **TILED}),
    "planar color": (noise(3, 100, 90), {"photometric": "rgb", "planarconfig": "separate", **TILED}),
    "strips": (noise(100, 90), {"photometric": "minisblack", "rowsperstrip": 7, "compression": "zlib"}),
    "uncompressed": (noise(100, 90, dtype="f4"), {"photometric": "minisblack"}),
    "uncompressed big-endian": (noise(100, 90, dtype="u2"), {"photometric": "minisblack", "byteorder": ">"}),
    "stack": (noise(3, 100, 90), {"photometric": "minisblack", "metadata": {"axes": "TYX"}, **TILED}),
    "channels": (
        noise(2, 4, 100, 90),
        {"photometric": "minisblack", "metadata": {"axes": "TCYX"}, "ome": True, **TILED},
    ),
}
WHOLE = {
    "white is zero": (noise(100, 90), {"photometric": "miniswhite", **TILED}),
    "alpha": (noise(100, 90, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"], **TILED}),
    "turned": (noise(100, 90), {"photometric": "minisblack", "extratags": [(274, "H", 1, 6, True)], **TILED}),
    "palette": (noise(100, 90), {"photometric": "palette", "colormap": noise(3, 256, dtype="u2"), **TILED}),
}


@pytest.mark.parametrize("kind", READ)
def test_parts_are_those_of_the_whole(tmp_path, kind):
    array, options = READ[kind]
    tifffile.imwrite(tmp_path / "img.tif", array, **options)
    for ref in list_images(tmp_path):
        whole, image = read_image(ref), open_in_parts(ref)
        assert image is not None
        assert (image.shape, image.channels) == (
            whole.array.shape[-2:],
            1 if whole.array.ndim == 2 else len(whole.array),
        )
        names = () if whole.array.ndim == 2 else whole.channels
        assert (image.scale, image.unit, image.channel_names) == (whole.scale, whole.unit, names)
        assert image.dtype == whole.array.dtype
        for region in regions_of(image.shape, 37, 41):
            np.testing.assert_array_equal(image.read(region), whole.array[(..., *region.slices)])


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_not_shown_as_it_is_stored_is_read_whole(tmp_path, kind):
    array, options = WHOLE[kind]
    tifffile.imwrite(tmp_path / "img.tif", array, **options)
    assert open_in_parts(ImageRef(tmp_path / "img.tif")) is None


@pytest.mark.parametrize("kind", ["ome", "other"])
@pytest.mark.parametrize("inside", [True, False], ids=["inside the page", "as pages"])
def test_of_a_pyramid_the_full_resolution_is_read_in_parts(tmp_path, kind, inside):
    full = noise(200, 180)
    options = {"photometric": "minisblack", **TILED}
    with tifffile.TiffWriter(tmp_path / "img.ome.tif", ome=kind == "ome") as file:
        file.write(full, subifds=2 if inside else None, **options)
        for step in (2, 4):
            file.write(full[::step, ::step], subfiletype=1, **options, metadata=None if kind == "other" else {})
    (ref,) = list_images(tmp_path)
    image = open_in_parts(ref)
    assert image is not None
    for region in regions_of(image.shape, 77, 91):
        np.testing.assert_array_equal(image.read(region), full[region.slices])


def test_without_the_extra_files_are_read_whole(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "img.tif", noise(100, 90), photometric="minisblack", **TILED)
    monkeypatch.setattr(tiff, "has_zarr", lambda: False)
    assert open_in_parts(ImageRef(tmp_path / "img.tif")) is None
    monkeypatch.setattr(tiff, "MAX_IMAGE_BYTES", 8000)
    with pytest.raises(DataError, match=r'^img\.tif .* Install what reads it: pip install "napari-unet-fi[^ ]*"\.$'):
        read_headers(tmp_path / "img.tif")


def test_an_image_of_any_size_is_listed_if_it_can_be_read_in_parts(tmp_path, monkeypatch):
    for module in (images, pixels):
        monkeypatch.setattr(module, "MAX_IMAGE_BYTES", 8000)
    tifffile.imwrite(tmp_path / "img.tif", noise(100, 90), photometric="minisblack", **TILED)
    tifffile.imwrite(tmp_path / "turned.tif", noise(100, 90), **WHOLE["turned"][1])
    listing = list_images(tmp_path)
    assert [ref.name for ref in listing] == ["img"] and len(listing.unreadable) == 1
    assert open_in_parts(listing[0]).shape == (100, 90)
    with pytest.raises(DataError, match="at most 0 GiB are read"):
        read_image(listing[0])
