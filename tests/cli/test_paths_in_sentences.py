"""Folders given by a single word, such as images, are told from the sentence that is about them."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.io.images import list_images
from napari_unet_finetune.measure.files import pair_files

NAMES = ("images", "masks", "to", "holds no image", "2 images")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def sentence_of(do, *paths):
    with pytest.raises(DataError) as error:
        do(*paths)
    return str(error.value)


def is_apart(name, sentence):
    """Tell whether a sentence has the name, in quotes or before a colon, and nowhere else as it is."""
    apart = re.sub(rf"'{name}'|^{name}:", "·", sentence)
    return "·" in apart


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder(name):
    Path(name).mkdir()
    assert is_apart(name, sentence_of(list_images, Path(name)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("do", [open_folder, pair_files])
def test_two_folders_in_which_nothing_belongs_together(name, do):
    for folder, files in ((name, ("a", "b")), ("others", ("x", "y", "z"))):
        Path(folder).mkdir()
        for file in files:
            tifffile.imwrite(Path(folder) / f"{file}.tif", np.eye(40, dtype=np.uint8))
    sentence = sentence_of(do, Path(name), Path("others"))
    assert is_apart(name, sentence) and is_apart("others", sentence)
