"""Reading: every sane file gives the image that was meant, every damaged one a sentence."""

import gc
import struct
import time
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tifffile import TiffFile

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io import images, tiff
from napari_unet_finetune.io.images import ImageRef, list_images, read_headers, read_image, write_labels
from napari_unet_finetune.project.project import Project

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (88, 100), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (88, 100), dtype=np.uint16)
COLOR = RNG.integers(0, 256, (88, 100, 3), dtype=np.uint8)
ALPHA = np.full((88, 100, 1), 200, np.uint8)
STACK = RNG.integers(0, 65536, (5, 3, 40, 30), dtype=np.uint16)


def read(path: Path) -> np.ndarray:
    (ref,) = list_images(path)
    assert ref.frame is None
    return read_image(ref).array


def read_all(path: Path) -> list[np.ndarray]:
    return [read_image(ref).array for ref in list_images(path)]


def channels_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, -1, -3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32", "float32", "float64", "bool", ">u2"])
@pytest.mark.parametrize("suffix", ["tif", "npy", "npz"])
def test_grey_images_of_any_type_come_back_as_they_were(tmp_path, dtype, suffix):
    image = (DEEP > 30000) if dtype == "bool" else (DEEP // 2).astype(dtype)
    path = tmp_path / f"a.{suffix}"
    {"tif": tifffile.imwrite, "npy": np.save, "npz": np.savez}[suffix](path, image)
    array = read(path)
    np.testing.assert_array_equal(array, image)
    assert array.dtype == image.dtype.newbyteorder("=")
    assert array.dtype.isnative


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "TIFF"])
def test_grey_8_bit_in_common_formats(tmp_path, suffix):
    iio.imwrite(tmp_path / f"a.{suffix}", GRAY)
    np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}"), GRAY)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "npy"])
def test_color_comes_with_channels_first(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    np.save(path, COLOR) if suffix == "npy" else iio.imwrite(path, COLOR)
    np.testing.assert_array_equal(read(path), channels_first(COLOR))


def test_jpeg_is_read_in_color(tmp_path):
    smooth = np.full((88, 100, 3), (200, 120, 40), np.uint8)
    iio.imwrite(tmp_path / "a.jpg", smooth, quality=95)
    array = read(tmp_path / "a.jpg")
    assert array.shape == (3, 88, 100)
    np.testing.assert_allclose(array, channels_first(smooth), atol=4)


@pytest.mark.parametrize("suffix", ["png", "tif", "npy"])
def test_alpha_is_dropped_from_color(tmp_path, suffix):
    path, rgba = tmp_path / f"a.{suffix}", np.concatenate([COLOR, ALPHA], axis=-1)
    if suffix == "tif":
        tifffile.imwrite(path, rgba, photometric="rgb", extrasamples=["unassalpha"], compression="zlib")
    else:
        np.save(path, rgba) if suffix == "npy" else iio.imwrite(path, rgba)
    np.testing.assert_array_equal(read(path), channels_first(COLOR))


def test_grey_with_alpha_is_gray(tmp_path):
    both = np.stack([GRAY, ALPHA[..., 0]], axis=-1)
    Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(ALPHA[..., 0])]).save(tmp_path / "a.png")
    options = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", both, **options)
    for suffix in ("png", "tif"):
        np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}"), GRAY)


def test_grey_stored_as_color_is_gray(tmp_path):
    iio.imwrite(tmp_path / "a.png", np.stack([GRAY] * 3, axis=-1))
    np.testing.assert_array_equal(read(tmp_path / "a.png"), GRAY)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_all_bits(tmp_path, channels):
    deep = RNG.integers(0, 65536, (20, 30, channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(deep[..., 0].copy() if channels == 1 else deep))
    kept = {1: deep[..., 0], 2: deep[..., 0], 3: channels_first(deep), 4: channels_first(deep[..., :3])}[channels]
    np.testing.assert_array_equal(read(tmp_path / "a.png"), kept)


def test_1_bit_png_is_bool(tmp_path):
    Image.fromarray(GRAY > 128).save(tmp_path / "a.png")
    array = read(tmp_path / "a.png")
    assert array.dtype == bool
    np.testing.assert_array_equal(array, GRAY > 128)


def test_a_palette_gives_colors_for_an_image_and_numbers_for_labels(tmp_path):
    numbers = RNG.integers(0, 4, (20, 30), dtype=np.uint8)
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [9, 8, 7]], np.uint8)
    image = Image.fromarray(numbers)
    image.putpalette(palette.tobytes())
    image.save(tmp_path / "a.png")
    (ref,) = list_images(tmp_path)
    np.testing.assert_array_equal(read_image(ref).array, channels_first(palette[numbers]))
    np.testing.assert_array_equal(read_image(ref, as_labels=True).array, numbers)


def test_numbers_of_a_palette_that_makes_them_look_alike_are_kept_for_labels(tmp_path):
    numbers = RNG.integers(0, 2, (20, 30), dtype=np.uint8)
    image = Image.fromarray(numbers)
    image.putpalette([0, 0, 0])  # no color is said of 1
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(ImageRef(tmp_path / "a.png"), as_labels=True).array, numbers)


def test_white_is_zero_comes_the_right_way_round(tmp_path):
    bright = GRAY > 200
    tifffile.imwrite(tmp_path / "bits.tif", ~bright, photometric="miniswhite", software="a scanner")
    tifffile.imwrite(tmp_path / "bytes.tif", 255 - GRAY, photometric="miniswhite")
    tifffile.imwrite(tmp_path / "deep.tif", 65535 - DEEP, photometric="miniswhite", compression="zlib")
    np.testing.assert_array_equal(read(tmp_path / "bits.tif"), bright)
    np.testing.assert_array_equal(read(tmp_path / "bytes.tif"), GRAY)
    np.testing.assert_array_equal(read(tmp_path / "deep.tif"), DEEP)


def test_bool_arrays_written_by_python_keep_their_values_though_marked_white_is_zero(tmp_path):
    iio.imwrite(tmp_path / "a.tif", GRAY > 200)
    tifffile.imwrite(tmp_path / "b.tif", GRAY > 200)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), GRAY > 200)
    np.testing.assert_array_equal(read(tmp_path / "b.tif"), GRAY > 200)


def test_the_inverting_lut_of_imagej_changes_the_display_only(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, imagej=True, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), GRAY)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
def test_compressed_multi_page_files_give_one_image_per_page(tmp_path, compression):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in STACK[:, 0]:
            file.write(frame, compression=compression, metadata=None)
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), STACK[:, 0])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_axes_give_frames_with_channels(tmp_path, compression):
    data = RNG.integers(0, 65536, (2, 3, 4, 20, 30), dtype=np.uint16)  # T Z C Y X
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, metadata={"axes": "TZCYX"}, compression=compression)
    refs = list_images(tmp_path / "a.ome.tif")
    assert [ref.name for ref in refs[:2]] == ["a[000]", "a[001]"]
    np.testing.assert_array_equal([read_image(ref).array for ref in refs], data.reshape(6, 4, 20, 30))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_before_frames_are_told_apart_by_their_axes(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, ome=True, metadata={"axes": "CTYX"}, compression=compression)
    np.testing.assert_array_equal(read_all(tmp_path / "a.ome.tif"), STACK.swapaxes(0, 1))


def test_imagej_hyperstack_gives_frames_with_channels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata={"axes": "TCYX"})
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), STACK)


def test_imagej_stack_beyond_4_gb_has_one_page_for_all_frames(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[:, 0], imagej=True, metadata={"axes": "ZYX"}, truncate=True)
    np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), STACK[:, 0])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planar_and_interleaved_color_are_the_same(tmp_path, planar, compression):
    data = COLOR if planar == "contig" else channels_first(COLOR)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig=planar, compression=compression)
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), channels_first(COLOR))


def test_a_color_stack_gives_color_frames(tmp_path):
    data = RNG.integers(0, 256, (4, 20, 30, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", compression="zlib")
    np.save(tmp_path / "b.npy", data)
    for name in ("a.tif", "b.npy"):
        np.testing.assert_array_equal(read_all(tmp_path / name), channels_first(data))


def test_pages_of_different_sizes_are_all_found(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(GRAY, metadata=None)
        file.write(GRAY[:50], metadata=None)
    assert sorted(array.shape for array in read_all(tmp_path / "a.tif")) == [(50, 100), (88, 100)]


def test_a_bare_array_of_three_axes_is_a_stack_unless_its_last_axis_is_short(tmp_path):
    np.save(tmp_path / "a.npy", STACK[:, 0])
    assert len(list_images(tmp_path / "a.npy")) == 5
    np.save(tmp_path / "b.npy", DEEP.reshape(44, 100, 2))
    assert read(tmp_path / "b.npy").shape == (2, 44, 100)


def test_a_stack_of_one_frame_is_a_single_image(tmp_path):
    np.save(tmp_path / "a.npy", GRAY[None])
    np.testing.assert_array_equal(read(tmp_path / "a.npy"), GRAY)


@pytest.mark.parametrize(
    ("options", "scale", "unit"),
    [
        ({}, (1, 1), "px"),
        (
            {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}},
            (0.5, 0.25),
            "um",
        ),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "YX",
                    "PhysicalSizeX": 250.0,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 500.0,
                    "PhysicalSizeYUnit": "nm",
                },
            },
            (0.5, 0.25),
            "um",
        ),
        ({"imagej": True, "resolution": (4, 2), "metadata": {"unit": "micron"}}, (0.5, 0.25), "um"),
        ({"imagej": True, "resolution": (4, 2)}, (1, 1), "px"),
        ({"resolution": (40000, 20000), "resolutionunit": "CENTIMETER"}, (0.5, 0.25), "um"),
        ({"resolution": (101600, 50800), "resolutionunit": "INCH"}, (0.5, 0.25), "um"),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, (1, 1), "px"),
        ({"resolution": (240, 240), "resolutionunit": "INCH"}, (1, 1), "px"),
        ({"resolution": (28.3465, 28.3465), "resolutionunit": "CENTIMETER"}, (1, 1), "px"),
        ({"resolution": (118.11, 118.11), "resolutionunit": "CENTIMETER"}, (1, 1), "px"),
    ],
)
def test_pixel_size_is_read_as_y_and_x(tmp_path, options, scale, unit):
    tifffile.imwrite(tmp_path / "a.tif", GRAY, **options)
    pixels = read_image(ImageRef(tmp_path / "a.tif"))
    assert pixels.scale == pytest.approx(scale, rel=1e-6)
    assert pixels.unit == unit


def test_a_folder_is_listed_in_natural_order_without_foreign_and_hidden_files(tmp_path):
    for name in ("img10.png", "img2.png", "IMG1.png", ".hidden.png"):
        iio.imwrite(tmp_path / name, GRAY)
    np.save(tmp_path / "img3.npy", STACK[:2, 0])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "sub.tif").mkdir()
    assert [ref.name for ref in list_images(tmp_path)] == ["IMG1", "img2", "img3[000]", "img3[001]", "img10"]


def test_a_bad_file_does_not_stop_the_others(tmp_path):
    iio.imwrite(tmp_path / "good.png", GRAY)
    (tmp_path / "bad.tif").write_bytes(b"this is no image")
    listing = list_images(tmp_path)
    assert [ref.name for ref in listing] == ["good"]
    ((path, reason),) = listing.unreadable
    assert path.name == "bad.tif"
    assert "bad.tif" in reason


def test_an_empty_folder_says_which_formats_are_read(tmp_path):
    with pytest.raises(DataError, match="TIFF, PNG, JPEG, BMP, NPY, NPZ or OME-Zarr"):
        list_images(tmp_path)


def test_a_file_without_any_image_is_listed_as_unreadable(tmp_path):
    iio.imwrite(tmp_path / "good.png", GRAY)
    (tmp_path / "bad.tif").write_bytes(b"II*\0broken")
    np.save(tmp_path / "none.npy", np.zeros((0, 20, 30), np.uint8))
    assert [path.name for path, _ in list_images(tmp_path).unreadable] == ["bad.tif", "none.npy"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        list_images(tmp_path / "nowhere")


@pytest.mark.parametrize("look", [list_images, Project.open])
def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path, monkeypatch, look):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        with pytest.raises(DataError, match=r"cannot be opened \(Permission denied\)\. Check its name and its"):
            look(tmp_path)


@pytest.mark.parametrize("look", [list_images, Project.open])
def test_a_name_longer_than_any_file_has_is_one_sentence(tmp_path, look):
    with pytest.raises(DataError, match="Check its name"):
        look(tmp_path / ("x" * 300))


def test_a_file_that_vanished_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png"):
        read_image(ImageRef(tmp_path / "gone.png"))


@pytest.mark.parametrize("suffix", ["tif", "lzw.tif", "png", "bmp", "npy", "npz"])
def test_a_truncated_file_is_a_data_error_that_names_it(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    writers = {
        "tif": tifffile.imwrite,
        "lzw.tif": lambda path, image: tifffile.imwrite(path, image, compression="lzw"),
        "npy": np.save,
        "npz": np.savez,
    }
    writers.get(suffix, iio.imwrite)(path, GRAY)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=path.name):
        read(path)


@pytest.mark.parametrize("suffix", ["tif", "png", "jpg", "bmp", "npy", "npz"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"PK\x03\x04", b"II*\x00", b"\x89PNG\r\n\x1a\n", b"BM", b"\xff\xd8\xff"]
)
def test_foreign_content_is_a_data_error_that_names_the_file(tmp_path, suffix, content):
    path = tmp_path / f"foreign.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"foreign\.{suffix}"):
        list_images(path)


def test_a_tiny_tiff_that_declares_a_giant_image_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GRAY[:8, :8], compression="zlib", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        for tag, value in (("ImageWidth", 40000), ("ImageLength", 40000), ("RowsPerStrip", 40000)):
            file.pages[0].tags[tag].overwrite(value, dtype="I")
    with pytest.raises(DataError, match=r"a\.tif declares 1526 MiB of pixels but holds only"):
        read_image(ImageRef(tmp_path / "a.tif"))


def test_a_tiny_png_that_declares_a_giant_image_is_refused(tmp_path):
    iio.imwrite(tmp_path / "a.png", GRAY)
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png declares 3\.4 GiB"):
        list_images(tmp_path / "a.png")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (50000, 50000), }".ljust(
        117
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", header + b"\n" + bytes(2**20))
    with pytest.raises(DataError, match=r"a\.npz is damaged"):
        list_images(tmp_path / "a.npz")


def test_an_npz_of_several_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", one=GRAY, two=GRAY)
    with pytest.raises(DataError, match="2 arrays"):
        list_images(tmp_path / "a.npz")


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy"):
        list_images(tmp_path / "a.npy")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_named_with_their_file(tmp_path, value):
    image = GRAY.astype(np.float32)
    image[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", image)
    with pytest.raises(DataError, match=r"a\.tif: 1 of 8800 pixels"):
        read_image(ImageRef(tmp_path / "a.tif"))


def test_complex_pixels_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", GRAY.astype(np.complex64))
    with pytest.raises(DataError, match="complex64"):
        read_image(ImageRef(tmp_path / "a.npy"))


def test_a_stack_needs_a_frame_and_the_frame_must_be_there(tmp_path):
    np.save(tmp_path / "a.npy", STACK[:, 0])
    with pytest.raises(DataError, match="holds 5 images"):
        read_image(ImageRef(tmp_path / "a.npy"))
    with pytest.raises(DataError, match="5 frames"):
        read_image(ImageRef(tmp_path / "a.npy", 5))


def test_a_stack_and_its_masks_are_looked_through_once_and_not_for_each_frame(tmp_path, monkeypatch):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", STACK[:, 0], photometric="minisblack", compression="zlib")
    opened = []
    monkeypatch.setattr(tiff, "TiffFile", lambda path, **options: opened.append(path) or TiffFile(path, **options))
    refs = [list_images(tmp_path / f"{name}.tif") for name in "ab"]
    for image, mask in zip(*refs, strict=True):
        np.testing.assert_array_equal(read_image(image).array, read_image(mask).array)
    assert [path.name for path in opened] == ["a.tif", "b.tif"]


def test_a_stack_that_was_replaced_is_read_anew(tmp_path):
    for stack in (STACK[:, 0], STACK[:3, 1]):
        tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", compression="zlib")
        np.testing.assert_array_equal(read_all(tmp_path / "a.tif"), stack)


def test_threads_that_read_one_stack_do_not_disturb_each_other(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[:, 0], photometric="minisblack", compression="zlib")
    refs = list_images(tmp_path / "a.tif")[:] * 20
    with ThreadPoolExecutor(6) as threads:
        arrays = list(threads.map(lambda ref: read_image(ref).array, refs))
    np.testing.assert_array_equal(arrays, np.tile(STACK[:, 0], (20, 1, 1)))


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux shows them")
def test_no_file_stays_open(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[:, 0], photometric="minisblack", compression="zlib")
    tifffile.imwrite(tmp_path / "b.tif", STACK[:, 0], photometric="minisblack")
    iio.imwrite(tmp_path / "c.png", GRAY)
    np.savez(tmp_path / "d.npz", GRAY)
    np.save(tmp_path / "e.npy", GRAY)
    (tmp_path / "f.png").write_bytes(b"BM")
    gc.collect()
    before = count_open_files()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        listing = list_images(tmp_path)
        kept = [read_image(ref) for ref in listing]
        gc.collect()
    assert count_open_files() == before
    assert len(kept) == len(listing) == 13


def test_what_was_read_does_not_depend_on_the_file_any_more(tmp_path):
    np.save(tmp_path / "a.npy", GRAY)
    array = read(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros_like(GRAY))
    np.testing.assert_array_equal(array, GRAY)
    array[:] = 7
    assert not read(tmp_path / "a.npy").any()


@pytest.mark.parametrize(
    "name", ["gray.png", "color.bmp", "stack.tif", "planes.tif", "frames.npy", "one.npz", "sized.tif"]
)
def test_headers_tell_the_size_of_each_image_that_is_listed(tmp_path, name):
    path = tmp_path / name
    writers = {
        "gray.png": lambda: iio.imwrite(path, GRAY),
        "color.bmp": lambda: iio.imwrite(path, COLOR),
        "stack.tif": lambda: tifffile.imwrite(path, STACK, imagej=True),
        "planes.tif": lambda: tifffile.imwrite(path, channels_first(COLOR), photometric="rgb", planarconfig="separate"),
        "frames.npy": lambda: np.save(path, STACK),
        "one.npz": lambda: np.savez(path, COLOR),
        "sized.tif": lambda: tifffile.imwrite(path, DEEP, imagej=True, resolution=(4, 2), metadata={"unit": "um"}),
    }
    writers[name]()
    headers, pixels = read_headers(path), [read_image(ref) for ref in list_images(path)]
    assert [header.size for header in headers] == [one.array.shape[-2:] for one in pixels]
    assert [(header.scale, header.unit) for header in headers] == [(one.scale, one.unit) for one in pixels]


def test_headers_of_damaged_and_foreign_files_are_one_sentence(tmp_path):
    for name in ("a.png", "a.npy", "a.txt"):
        (tmp_path / name).write_bytes(b"broken")
        with pytest.raises(DataError, match=name):
            read_headers(tmp_path / name)


def test_a_folder_without_images_names_the_subfolders_that_hold_some(tmp_path):
    for name in ("B2", "B10", ".hidden", "empty"):
        (tmp_path / name).mkdir()
        if name != "empty":
            np.save(tmp_path / name / "a.npy", np.zeros((8, 8)))
    with pytest.raises(DataError, match=r"subfolders do \(B2, B10\)"):
        list_images(tmp_path)


def test_a_mask_that_is_written_anew_while_it_is_read_is_the_old_or_the_new_one(tmp_path, monkeypatch):
    old, new = (np.random.default_rng(0).integers(1, high, (60, 60), np.uint16) for high in (60_000, 3))
    path, parts_of = tmp_path / "a.tif", tiff.parts_of

    def overtaken(*opened):
        parts = parts_of(*opened)
        write_labels(path, new, overwrite=True)
        return parts

    write_labels(path, old)
    monkeypatch.setattr(tiff, "parts_of", overtaken)
    np.testing.assert_array_equal(read_image(ImageRef(path), as_labels=True).array, old)
    np.testing.assert_array_equal(read_image(ImageRef(path), as_labels=True).array, new)


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        ({"Well A1": ["x.tif"], "Well B 02": ["y.tif", "z.tif"]}, ("Well A1", "Well B 02")),
        ({"masks": ["cells_mask.tif"], "predictions": ["cells_labels.tif"]}, ()),
        ({"notes": ["read.txt"], ".hidden": ["x.tif"], "empty": []}, ()),
    ],
)
def test_subfolders_with_images_of_their_own_are_told(tmp_path, inside, told):
    for path in (Path("cells.tif"), *(Path(folder, name) for folder, names in inside.items() for name in names)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / path, np.zeros((8, 8), np.uint8), photometric="minisblack")
    found = list_images(tmp_path)
    assert [folder.name for folder in found.elsewhere] == list(told)
    assert all(name in " ".join(found.notes) for name in told) and bool(found.notes) == bool(told)


def test_thousands_of_images_with_as_many_files_that_are_passed_over_are_listed_at_once(tmp_path):
    for number in range(3000):
        (tmp_path / f"{number}.png").touch()
        (tmp_path / f"{number}_seg.npy").touch()
    for well in range(100):
        (tmp_path / f"well {well}").mkdir()
        for field in "bcdefghijk":
            (tmp_path / f"well {well}" / f"field {field}.png").touch()
    iio.imwrite(tmp_path / "zz.png", np.zeros((5, 5), np.uint8))
    start = time.process_time()
    listing = list_images(tmp_path)
    assert time.process_time() - start < 3
    assert (len(listing.unreadable), len(listing.passed_over), len(listing.elsewhere)) == (3000, 3000, 100)


@given(st.sets(st.text("ab_1", min_size=1, max_size=4), max_size=5), st.text("ab_1", min_size=1, max_size=6))
def test_a_name_is_related_to_those_that_it_is_in_and_those_in_it(stems, name):
    assert images._related_to(stems)(name) == any(name in stem or stem in name for stem in stems)
