"""Labels files: small, readable elsewhere, with their scale, and never over another file."""

import errno
import os
import signal

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import ImageRef, list_images, open_in_parts, read_image, write_labels
from napari_unet_finetune.io.regions.region import Region
from napari_unet_finetune.io.writing import new_image_file, write_frames

LABELS = np.zeros((30, 40), np.int64)
LABELS[5:9, 3:7] = 1


@pytest.mark.parametrize(("highest", "dtype"), [(1, "uint8"), (255, "uint8"), (256, "uint16"), (65536, "uint32")])
@pytest.mark.parametrize(("unit", "scale"), [("um", (0.5, 0.25)), ("px", (1.0, 1.0))])
def test_labels_and_scale_come_back_in_the_smallest_type(tmp_path, highest, dtype, unit, scale):
    write_labels(tmp_path / "sub" / "a.tif", LABELS * highest, scale=scale, unit=unit)
    pixels = read_image(ImageRef(tmp_path / "sub" / "a.tif"))
    np.testing.assert_array_equal(pixels.array, LABELS * highest)
    assert pixels.array.dtype == dtype
    assert pixels.scale == pytest.approx(scale)
    assert pixels.unit == unit


def test_nanometers_come_back_as_micrometers(tmp_path):
    write_labels(tmp_path / "a.tif", LABELS, scale=(5.0, 5.0), unit="nm")
    assert read_image(ImageRef(tmp_path / "a.tif")).scale == pytest.approx((0.005, 0.005))


def test_a_stack_of_labels_comes_back_frame_by_frame(tmp_path):
    stack = np.stack([LABELS, LABELS * 2, LABELS * 3])
    write_labels(tmp_path / "a.tif", stack)
    np.testing.assert_array_equal([read_image(ref).array for ref in list_images(tmp_path)], stack)


def test_bool_becomes_0_and_1(tmp_path):
    write_labels(tmp_path / "a.tif", LABELS > 0)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), LABELS)


def test_the_file_is_compressed(tmp_path):
    write_labels(tmp_path / "a.tif", np.zeros((1000, 1000), np.uint8))
    assert (tmp_path / "a.tif").stat().st_size < 20_000


def test_imagej_sees_micrometers(tmp_path):
    write_labels(tmp_path / "a.tif", LABELS, scale=(0.5, 0.25), unit="um")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.imagej_metadata["unit"] == "um"
        assert file.pages[0].resolution == (4.0, 2.0)


def test_an_existing_file_is_kept_unless_overwriting_is_allowed(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"mine")
    with pytest.raises(DataError, match="exists already"):
        write_labels(tmp_path / "a.tif", LABELS)
    assert (tmp_path / "a.tif").read_bytes() == b"mine"
    write_labels(tmp_path / "a.tif", LABELS, overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), LABELS)


@pytest.mark.parametrize("labels", [LABELS - 1, LABELS * 0.5, LABELS[0], LABELS * 2**33])
def test_what_is_no_labels_is_refused(tmp_path, labels):
    with pytest.raises(DataError, match=r"a\.tif"):
        write_labels(tmp_path / "a.tif", labels)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def full_disk():
    """Let no file grow beyond 10 kB, which looks to the writer like a full disk."""
    resource = pytest.importorskip("resource")
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 65536, (300, 300))
    with pytest.raises(DataError, match=r"a\.tif cannot be written \(.*\)\. Free some space"):
        write_labels(tmp_path / "a.tif", noise)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "bool", "int64", "float16"])
@pytest.mark.parametrize(("axes", "shape"), [("YX", (30, 40)), ("CYX", (2, 30, 40)), ("TCYX", (5, 2, 30, 40))])
def test_an_image_that_is_filled_bit_by_bit_is_read_in_parts(tmp_path, dtype, axes, shape):
    path = tmp_path / "sub" / "big.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    array = new_image_file(path, shape, np.dtype(dtype), axes, (0.5, 0.25), "um")
    for top in (0, 17):
        array[..., top : top + 17, :] = pixels[..., top : top + 17, :]
    refs = list_images(path)
    assert len(refs) == (5 if "T" in axes else 1)
    image = open_in_parts(refs[-1])
    last = pixels[-1] if "T" in axes else pixels
    np.testing.assert_array_equal(image.read(Region(10, 5, 20, 15)), last[..., 10:20, 5:15])
    assert (image.scale, image.unit) == ((0.5, 0.25), "um")


allocates = pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system takes no room for a file")


def lazy(pixels: np.ndarray):
    """Return a frame whose pixels are read in bands."""
    return "slide", AnnotatedImage("slide", pixels), (1.0, 1.0), "px"


@allocates
def test_an_image_that_is_filled_bit_by_bit_has_its_room_from_the_start(tmp_path):
    array = new_image_file(tmp_path / "big.tif", (2000, 3000), np.dtype("uint16"), "YX", (1.0, 1.0), "px")
    assert (tmp_path / "big.tif").stat().st_blocks * 512 >= array.nbytes


@allocates
def test_no_room_for_it_is_one_sentence_with_the_name_of_the_image_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    refusal = r"/{}\.tif cannot be written \(No space left on device\)"
    with pytest.raises(DataError, match=refusal.format("slide")):
        list(write_frames([lazy(np.zeros((300, 300), np.uint8))], tmp_path))
    with pytest.raises(DataError, match=refusal.format("big")):
        new_image_file(tmp_path / "big.tif", (300, 300), np.dtype("uint8"), "YX", (1.0, 1.0), "px")
    assert not list(tmp_path.iterdir())


OF_OTHERS = [("bool", 0, 1), ("uint8", 0, 200), ("int32", -5, 70000), ("float16", 0, 1), ("float64", 0, 2**40)]
OF_64_BITS = [("int64", low, high) for low, high in ((0, 1), (0, 70000), (-5, 300), (0, 2**40))]


@pytest.mark.parametrize(("dtype", "low", "high"), [*OF_OTHERS, *OF_64_BITS, ("uint64", 7, 9), ("uint64", 0, 2**40)])
def test_an_image_read_in_bands_is_stored_as_one_in_memory(tmp_path, dtype, low, high):
    pixels = np.resize(np.array([low, high]).astype(dtype), (30, 40))
    whole, in_bands = ("whole", pixels, (1.0, 1.0), "px"), lazy(pixels)
    expected, found = map(tifffile.imread, write_frames([whole, in_bands], tmp_path / "images"))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
