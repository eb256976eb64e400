"""Requests that an earlier version has written are read as if this one had."""

import json
from pathlib import Path

import pytest

from napari_unet_finetune.config import FinetuneConfig
from napari_unet_finetune.data.masks import STROKES, WHOLE
from napari_unet_finetune.data.pairing import Pair
from napari_unet_finetune.errors import RunError
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.runs.request import (
    ComparedModel,
    CompareRequest,
    FinetuneRequest,
    SuggestRequest,
    read_request,
    write_request,
)

IMAGE, MASK = {"path": "/data/a.tif", "frame": 2}, {"path": "/data/masks/a.tif"}
CONFIG = FinetuneConfig().model_dump(mode="json")


def read(folder, **values):
    (folder / "request.json").write_text(json.dumps(values))
    return read_request(folder)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(
    ("task", "field", "rest"),
    [
        ("finetune", "pairs", {"version": 1}),
        ("train", "pairs", {}),
        ("check", "pairs", {"images": [IMAGE]}),
        ("curve", "train", {"test": [{"image": IMAGE, "mask": MASK}], "counts": [1], "checkpoint": "m"}),
        ("curve", "test", {"train": [{"image": IMAGE, "mask": MASK}], "counts": [1], "checkpoint": "m"}),
        ("estimate", "pairs", {"checkpoint": "m"}),
        ("report", "tests", {"run": "/run"}),
    ],
)
def test_what_was_said_of_all_masks_is_said_of_each(tmp_path, task, field, rest, sparse):
    config = {} if task in ("check", "report") else {"config": CONFIG}
    request = read(tmp_path, task=task, sparse=sparse, **{field: [{"image": IMAGE, "mask": MASK}]}, **rest, **config)
    (pair,) = getattr(request, field)
    assert (pair.image, pair.mask) == (ImageRef(Path("/data/a.tif"), 2), ImageRef(Path("/data/masks/a.tif")))
    assert pair.meaning == (STROKES if sparse else WHOLE)
    if task in ("finetune", "train"):
        assert request.holds_strokes == sparse
        assert request == FinetuneRequest(task=task, pairs=(pair,), config=FinetuneConfig())


def test_masks_of_a_folder_are_strokes_as_before(tmp_path):
    request = read(tmp_path, task="finetune", images="/a", masks="/b", sparse=True, config=CONFIG)
    assert request.sparse and request.holds_strokes and request.images == Path("/a")


def test_names_that_stood_apart_are_those_of_the_images(tmp_path):
    request = read(tmp_path, task="suggest", checkpoint="m", images=[IMAGE, MASK], names=["a", "a.tif"])
    assert [image.name for image in request.images] == ["a", "a.tif"]
    assert [image.name for image in read(tmp_path, task="suggest", checkpoint="m", images=[IMAGE]).images] == ["a[002]"]


def test_compared_images_with_and_without_masks(tmp_path):
    images = [{"name": "a", "image": IMAGE, "mask": MASK}, {"name": "b", "image": MASK}]
    request = read(tmp_path, task="compare", models=[], images=images, cache="/cache", sparse=True)
    assert [image.name for image in request.images] == ["a", "b"]
    assert request.pairs == (Pair(request.images[0], ImageRef(Path("/data/masks/a.tif")), meaning=STROKES),)


def test_a_request_of_today_comes_back_as_it_was(tmp_path):
    pair = Pair(ImageRef(Path("/a.png"), called="a.png"), ImageRef(Path("/m.tif")), meaning=STROKES)
    models = (ComparedModel(label="m", model="m"),)
    for request in (
        FinetuneRequest(task="finetune", pairs=(pair,), config=FinetuneConfig()),
        SuggestRequest(checkpoint="m", images=(pair.image,), annotated=("a.png",)),
        CompareRequest(models=models, images=(pair.image,), pairs=(pair,), cache=Path("/cache")),
    ):
        write_request(tmp_path, request)
        found = read_request(tmp_path)
        assert found == request
        named = found.images[0] if found.images else found.pairs[0]
        assert named.name == "a.png"


@pytest.mark.parametrize("odd", ["a\nb", "a\r\tb", "\x00\u2028", "x" * 5000, "\udcff"])
@pytest.mark.parametrize("field", ["task", "sparse", "odd"])
def test_whatever_stands_in_a_request_the_sentence_is_one_line(tmp_path, field, odd):
    values = {"task": "finetune", "images": "/a", "masks": "/b", "config": CONFIG, "sparse": True}
    values |= {odd: 1} if field == "odd" else {field: odd}
    with pytest.raises(RunError, match="cannot be read") as raised:
        read(tmp_path, **values)
    sentence = str(raised.value).removeprefix(str(tmp_path))
    assert sentence.isprintable() and len(sentence) < 600
