"""Channels by name and by number: what files tell of them, what a model sees, and what is said where there is none."""

import numpy as np
import pytest
import tifffile
from skimage import io as skio

from napari_unet_finetune.config import ChannelRule
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.channels import (
    ALL,
    channel_choices,
    find_channel,
    one_channel,
    usual_channels,
)
from napari_unet_finetune.data.folders import read_unannotated
from napari_unet_finetune.data.normalize import to_channels
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.axes import COLORS
from napari_unet_finetune.io.images import ImageRef, channel_names, read_headers
from napari_unet_finetune.models.card import ModelCard

STAINS = ("DAPI", "GFP")


@pytest.fixture
def stained(tmp_path):
    """Return a function that writes an image of two channels, and calls them by name if asked to."""

    def write(name="cells", names=STAINS, **options):
        pixels = np.stack([np.full((20, 30), 10, np.uint16), np.full((20, 30), 20, np.uint16)])
        path = tmp_path / (f"{name}.ome.tif" if names else f"{name}.tif")
        metadata = {"axes": "CYX", **({"Channel": {"Name": list(names)}} if names else {})}
        tifffile.imwrite(path, pixels if names != STAINS[::-1] else pixels[::-1], metadata=metadata, **options)
        return path

    return write


def test_files_tell_their_channels(stained, tmp_path):
    assert read_headers(stained())[0].channels == STAINS
    assert read_headers(stained(names=()))[0].channels == ("", "")
    for name, shape, channels in (
        ("rgb.png", (9, 9, 3), COLORS), ("alpha.png", (9, 9, 4), COLORS), ("gray.png", (9, 9), ()),
        ("rgb.tif", (9, 9, 3), COLORS), ("rgb.npy", (9, 9, 4), COLORS), ("two.npy", (9, 9, 2), ("", "")),
    ):  # fmt: skip
        pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        np.save(tmp_path / name, pixels) if name.endswith("npy") else skio.imsave(
            tmp_path / name, pixels, check_contrast=False
        )
        assert read_headers(tmp_path / name)[0].channels == channels, name
    assert channel_names(tmp_path / "gray.png") == ()


def test_a_time_series_has_the_channels_of_its_frames(tmp_path):
    pixels = np.zeros((3, 2, 8, 9), np.uint8)
    tifffile.imwrite(tmp_path / "t.ome.tif", pixels, metadata={"axes": "TCYX", "Channel": {"Name": list(STAINS)}})
    assert [header.channels for header in read_headers(tmp_path / "t.ome.tif")] == [STAINS] * 3


@pytest.mark.parametrize(("wanted", "number"), [("GFP", 1), ("gfp", 1), ("0", 0), (" 1 ", 1)])
def test_a_channel_is_found_by_name_and_by_number(stained, tmp_path, wanted, number):
    stained()
    assert find_channel(tmp_path, wanted) == ChannelRule(method="channel", channel=number, name=STAINS[number])


@pytest.mark.parametrize("wanted", ["mCherry", "2", "-1", ""])
def test_a_channel_that_is_not_there_is_refused_with_those_that_are(stained, tmp_path, wanted):
    stained()
    with pytest.raises(DataError, match=r"DAPI, GFP.*from 0 to 1"):
        find_channel(tmp_path, wanted)


def test_a_channel_of_grey_images_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    with pytest.raises(DataError, match="gray"):
        find_channel(tmp_path, "0")


def test_a_named_channel_is_taken_by_its_name_where_files_differ_in_order(stained):
    rule = one_channel(STAINS, 1)
    for file in (stained("one"), stained("other", names=STAINS[::-1])):
        image = read_unannotated(ImageRef(file))
        assert to_channels(image, 1, rule)[0, 0, 0] == 20
    unnamed = AnnotatedImage("plain", np.stack([np.zeros((4, 4)), np.ones((4, 4))]))
    assert to_channels(unnamed, 1, rule)[0, 0, 0] == 1
    with pytest.raises(DataError, match=r"no mCherry.*DAPI, GFP"):
        to_channels(read_unannotated(ImageRef(stained())), 1, ChannelRule(method="channel", name="mCherry"))


def test_images_of_as_many_channels_as_the_model_takes_are_seen_as_a_whole(stained):
    image = read_unannotated(ImageRef(stained()))
    assert to_channels(image, 2, one_channel(STAINS, 1)) is not None
    assert len(to_channels(image, 2, one_channel(STAINS, 1))) == 2


def test_a_refusal_names_the_channels_there_are(stained):
    with pytest.raises(DataError, match=r"2 channels \(DAPI, GFP\).*--channel DAPI"):
        to_channels(read_unannotated(ImageRef(stained())), 1, ChannelRule())


def test_every_channel_can_be_chosen_and_colors_stay_together_unless_one_is():
    assert channel_choices(()) == ()
    assert [text for text, _ in channel_choices(STAINS)] == ["DAPI", "GFP", "all channels"]
    assert [text for text, _ in channel_choices(("", ""))] == ["channel 0", "channel 1", "all channels"]
    assert channel_choices(COLORS)[0] == ("all colors", None)
    assert usual_channels(COLORS) is None
    assert usual_channels(STAINS) == one_channel(STAINS, 0)


def test_a_model_keeps_seeing_what_it_was_trained_on_until_somebody_chooses():
    card = ModelCard(shape={"in_channels": 1})
    assert card.usual_channels(STAINS) == one_channel(STAINS, 0)
    trained = card.seeing(one_channel(STAINS, 1))
    assert trained.usual_channels(STAINS) == one_channel(STAINS, 1)
    assert ModelCard(shape={"in_channels": 2}).usual_channels(STAINS) == ALL
    assert ModelCard(shape={"in_channels": 3}).usual_channels(COLORS) is None
    assert card.seeing(None) is card
