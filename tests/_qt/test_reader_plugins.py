"""Formats of microscopes: read by a plugin that is installed, else a sentence says which."""

import numpy as np
import pytest
from npe2 import DynamicPlugin

from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.folder import predict_folder
from napari_unet_finetune.io.images import list_images, open_in_parts, read_headers, read_image
from napari_unet_finetune.io.regions.region import Region

PIXELS = np.random.default_rng(0).integers(0, 255, (2, 3, 1, 40, 36), np.uint8)


class Lazy:
    """An array that is read when it is indexed."""

    def __init__(self, array):
        self._array, self.seen = array, []
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key):
        self.seen.append(key)
        return self._array[key]


@pytest.fixture
def plugin():
    """Return a function that installs a plugin for files of Nikon, told which layers it reads."""
    from napari_unet_finetune.io.regions import reader_plugins

    made = []

    def install(*layers):
        reader_plugins._opened.cache_clear()
        one = DynamicPlugin(f"nikon-reader-{len(made)}")
        if made:
            made[-1].cleanup()
        one.register()
        made.append(one)

        @one.contribute.reader(filename_patterns=["*.nd2"])
        def get_reader(path):  # noqa: ARG001
            return lambda path, stack=False: list(layers)  # noqa: ARG005

    yield install
    for one in made[-1:]:
        one.cleanup()
    reader_plugins._opened.cache_clear()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "images" / "cells.nd2"
    path.parent.mkdir()
    path.write_bytes(b"\xda\xce\xbe\x0a" + bytes(100))
    return path


@pytest.mark.parametrize(
    ("name", "package"), [("a.czi", "bioio-czi"), ("a.ND2", "bioio-nd2"), ("a.lif", "bioio-lif"), ("a.vsi", "bioio")]
)
def test_without_a_plugin_one_sentence_says_what_to_install(tmp_path, name, package):
    (tmp_path / name).write_bytes(b"ZISRAWFILE" + bytes(100))
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(DataError) as error:
            list_images(source)
        said = str(error.value)
        assert name in said and "pip install npe2 napari-bioio-reader" in said and package in said


def test_beside_other_images_it_is_told_that_it_is_passed_over(tmp_path):
    np.save(tmp_path / "b.npy", PIXELS[0, 0, 0])
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
    (note,) = list_images(tmp_path).notes
    assert note.startswith("a.czi is a CZI file of Zeiss") and note.endswith("bioio-czi.")


@pytest.mark.parametrize(
    ("array", "meta", "frames", "channels"),
    [
        (PIXELS[0, 0, 0], {}, 1, ()),
        (PIXELS[:, 0, 0], {}, 2, ()),
        (PIXELS, {}, 2, ("",) * 3),
        (PIXELS, {"axis_labels": ["t", "z", "c", "y", "x"]}, 6, ()),
        (PIXELS, {"channel_axis": 1, "name": ["DAPI", "GFP", "RFP"]}, 2, ("DAPI", "GFP", "RFP")),
        (np.moveaxis(PIXELS[0, :, 0], 0, -1), {"rgb": True}, 1, ("red", "green", "blue")),
        ([PIXELS[:, 0, 0], PIXELS[:, 0, 0, ::2, ::2]], {"multiscale": True, "axis_labels": ["t", "y", "x"]}, 2, ()),
    ],
    ids=["plane", "stack", "five axes", "named axes", "channel axis", "colors", "pyramid"],
)
def test_axes_and_channels_are_those_that_the_plugin_names(plugin, file, array, meta, frames, channels):
    plugin((array, meta, "image"))
    headers = read_headers(file)
    assert (len(headers), headers[0].size, headers[0].channels) == (frames, (40, 36), channels)
    last = read_image(list_images(file)[-1])
    expected = {
        1: PIXELS[0, 0, 0] if not channels else PIXELS[0, :, 0],
        2: PIXELS[-1, 0, 0] if not channels else PIXELS[-1, :, 0],
        6: PIXELS[-1, -1, 0],
    }[frames]
    np.testing.assert_array_equal(last.array, expected)


def test_a_size_of_pixels_counts_with_its_unit_only(plugin, file):
    plugin((PIXELS[0, 0, 0], {"scale": (0.5, 0.25), "units": ("micrometer", "micrometer")}, "image"))
    assert (read_image(list_images(file)[0]).scale, read_image(list_images(file)[0]).unit) == ((0.5, 0.25), "um")
    plugin((PIXELS[0, 0, 0], {"scale": (0.5, 0.25)}, "image"))
    assert read_image(list_images(file)[0]).unit == "px"


def test_of_several_images_the_first_is_read_and_that_is_told(plugin, file):
    plugin((np.zeros((4, 4), bool), {}, "labels"), (PIXELS[0, 0, 0], {}, "image"), (PIXELS[1, 0, 0], {}, "image"))
    listing = list_images(file.parent)
    assert "holds 2 images, of which the first is read" in listing.notes[0]
    np.testing.assert_array_equal(read_image(listing[0]).array, PIXELS[0, 0, 0])


def test_only_what_is_asked_for_is_read_of_a_lazy_array(plugin, file):
    lazy = Lazy(PIXELS[:, 0, 0])
    plugin((lazy, {}, "image"))
    image = open_in_parts(list_images(file)[1])
    np.testing.assert_array_equal(image.read(Region(3, 5, 9, 11)), PIXELS[1, 0, 0, 3:9, 5:11])
    assert lazy.seen == [(1, slice(3, 9), slice(5, 11))]


def test_what_a_plugin_stumbles_over_is_one_sentence(plugin, file):
    plugin()
    with pytest.raises(DataError, match=r"cells\.nd2"):
        list_images(file)


def test_it_is_predicted_as_any_other_file(plugin, file, tmp_path, model):
    from napari_unet_finetune.config import PredictConfig
    from napari_unet_finetune.inference.predict import Predictor
    from napari_unet_finetune.models.load import load_model

    plugin((PIXELS[:, 0, 0], {}, "image"))
    one = Predictor(load_model(model), PredictConfig(device="cpu"))
    report = drain(predict_folder(file.parent, tmp_path / "out", one))
    assert [path.name for path in report.written] == ["cells_labels.tif"] and not report.failed
