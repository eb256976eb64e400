"""Check-up and suggestion as jobs: what a dock asks for is what the folder of the job holds at the end."""

import json
from dataclasses import replace
from types import SimpleNamespace

import imageio.v3 as iio
import pytest
import tifffile

from napari_unet_finetune.data.pairing import pair_images
from napari_unet_finetune.events import ImageSeen, JobEnded, from_json, to_json
from napari_unet_finetune.io.images import ImageRef, list_images
from napari_unet_finetune.jobs.table import events_of
from napari_unet_finetune.runs.request import CheckRequest, SuggestRequest, write_request


@pytest.fixture
def images(squares):
    return list_images(squares / "images").images


def carried_out(folder, request, stop=False):
    write_request(folder, request)
    events = list(events_of(folder, SimpleNamespace(should_stop=lambda: stop)))
    assert [from_json(to_json(event)) for event in events] == events
    assert isinstance(events[-1], JobEnded)
    return events, events[-1].file and json.loads(events[-1].file.read_text())


def test_a_project_is_checked_with_pairs_and_images_without_mask(images, squares, model, tmp_path):
    pairs = pair_images(images[:3], list_images(squares / "masks").images[:3]).pairs
    request = CheckRequest(pairs=pairs, images=images[3:], checkpoint=str(model))
    events, found = carried_out(tmp_path / "job", request)
    assert [event.done for event in events if isinstance(event, ImageSeen)] == [1, 2, 3, 4, 5]
    assert [one["name"] for one in found["not_annotated"]] == ["img_03", "img_04"]
    assert found["problems"] == [] and found["comparison"]["model"] == "base"


def test_images_are_suggested(images, model, tmp_path):
    request = SuggestRequest(checkpoint=str(model), images=images, annotated=("img_00",), count=2)
    events, found = carried_out(tmp_path / "job", request)
    assert len(events) == 6
    assert len(found["suggestions"]) == 2
    assert "img_00" not in [one["image"] for one in found["suggestions"]]


def test_of_two_images_of_one_stem_the_other_one_is_suggested(images, model, tmp_path):
    twins = (replace(images[0], called="a.png"), ImageRef(tmp_path / f"{images[0].name}.tif", called="a.tif"))
    tifffile.imwrite(twins[1].path, iio.imread(images[1].path))
    request = SuggestRequest(checkpoint=str(model), images=twins, annotated=("a.png",))
    events, found = carried_out(tmp_path / "job", request)
    assert [event.image for event in events if isinstance(event, ImageSeen)] == ["a.png", "a.tif"]
    assert [one["image"] for one in found["suggestions"]] == ["a.tif"]


@pytest.mark.parametrize("kind", [CheckRequest, SuggestRequest])
def test_a_stopped_look_through_the_images_has_no_result(images, model, tmp_path, kind):
    request = kind(checkpoint=str(model), images=images)
    assert carried_out(tmp_path / "job", request, stop=True)[1] is None
