"""Models × images: labels are kept, nothing is computed twice, and what fails does not stop the rest."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_unet_finetune.comparison.run import compare_models
from napari_unet_finetune.config import FinetuneConfig, ModelConfig, PredictConfig
from napari_unet_finetune.data.folders import open_folder
from napari_unet_finetune.data.pairing import Pair, pair_images
from napari_unet_finetune.evaluation.evaluate import evaluate
from napari_unet_finetune.events import ImageCompared, PartStarted, TileEnd, drain, from_json, to_json
from napari_unet_finetune.inference.postprocess import to_labels
from napari_unet_finetune.io.images import ImageRef, list_images, read_image
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.runs.request import ComparedModel, CompareRequest
from napari_unet_finetune.training.finetune import random_model

CPU = PredictConfig(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def data(tmp_path_factory, write_squares):
    return write_squares(tmp_path_factory.mktemp("data"), 3)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        config = FinetuneConfig(patch_size=32, seed=seed)
        random_model(ModelConfig(width=16, levels=2), config).save(folder / f"{seed}.safetensors")
    return [ComparedModel(label=f"model {seed}", model=str(folder / f"{seed}.safetensors")) for seed in (0, 1)]


@pytest.fixture
def images(data):
    return list(list_images(data / "images"))


@pytest.fixture
def pairs(data, images):
    return pair_images(images, list_images(data / "masks").images).pairs


def asked(models, images, cache, pairs=(), config=CPU):
    return CompareRequest(models=models, images=images, cache=cache, pairs=pairs, config=config)


def followed(comparison, **options):
    events = []
    stream = compare_models(comparison, **options)
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return events, end.value


def test_every_model_is_scored_on_every_image_as_evaluate_does(models, images, pairs, data, tmp_path):
    events, cells = followed(asked(models, images, tmp_path, pairs, CPU))
    assert [(cell.model, cell.image, cell.done) for cell in cells] == [
        (model.label, image.name, done) for model in models for done, image in enumerate(images, start=1)
    ]
    rows = evaluate(load_model(models[1].model), open_folder(data / "images", data / "masks"), CPU)
    assert [(cell.dice, cell.iou, cell.surface_dice, cell.area_ratio) for cell in cells[3:]] == [
        (row.dice, row.iou, row.surface_dice, row.area_ratio) for row in rows
    ]
    assert tifffile.imread(cells[0].labels).shape == (48, 48)
    assert [event.label for event in events if isinstance(event, PartStarted)] == ["model 0", "model 1"]
    assert [from_json(to_json(event)) for event in events] == events


def test_what_was_predicted_before_is_not_predicted_again(models, images, tmp_path):
    first = followed(asked(models[:1], images, tmp_path, config=CPU))[1]
    events, cells = followed(asked(models, images, tmp_path, config=CPU))
    tiles_after = [event for event in events[: events.index(cells[2])] if isinstance(event, TileEnd)]
    assert tiles_after == []
    assert [cell.labels for cell in cells[:3]] == [cell.labels for cell in first]
    assert any(isinstance(event, TileEnd) for event in events)


def test_a_changed_image_setting_or_model_is_predicted_anew(models, images, tmp_path):
    copy = tmp_path / "image.png"
    shutil.copy(images[0].path, copy)
    image = ImageRef(copy)

    def labels(model=models[0], config=CPU):
        (cell,) = drain(compare_models(asked([model], [image], tmp_path / "cache", config=config)))
        return cell.labels

    before = labels()
    assert labels(config=CPU.model_copy(update={"threshold": 0.9})) != before
    assert labels(config=CPU.model_copy(update={"batch_size": 1})) == before
    assert labels(model=models[1]) != before
    shutil.copy(images[1].path, copy)
    assert labels() != before


def test_an_image_without_truth_has_labels_and_no_score(models, images, tmp_path):
    (cell,) = drain(compare_models(asked(models[:1], [images[0]], tmp_path, config=CPU)))
    assert cell.labels.is_file() and cell.dice is None and cell.error is None


def test_a_missing_image_and_a_missing_model_are_reported_and_the_others_go_on(models, images, tmp_path):
    gone = ImageRef(tmp_path / "gone.tif")
    nothing = ComparedModel(label="nothing", model=str(tmp_path / "nothing.safetensors"))
    cells = drain(compare_models(asked([nothing, models[0]], [gone, images[0]], tmp_path, config=CPU)))
    assert [cell.error is None for cell in cells] == [False, False, False, True]
    assert "nothing.safetensors" in cells[1].error and "gone.tif" in cells[2].error


def test_frames_of_a_stack_and_a_mask_of_another_size(models, images, tmp_path):
    stack = tmp_path / "stack.tif"
    frame = read_image(ImageRef(images[0].path)).array
    tifffile.imwrite(stack, [frame, frame // 2])
    small = tmp_path / "small.png"
    tifffile.imwrite(small.with_suffix(".tif"), frame[:20] // 255)
    frames = [ImageRef(stack, frame) for frame in (0, 1)]
    wrong = Pair(images[0], ImageRef(small.with_suffix(".tif")))
    cells = drain(compare_models(asked(models[:1], [*frames, images[0]], tmp_path / "cache", [wrong], CPU)))
    assert cells[0].labels != cells[1].labels
    assert "(48, 48)" in cells[2].error and "(20, 48)" in cells[2].error


def test_a_stopped_comparison_keeps_what_is_done(models, images, tmp_path):
    questions = []
    events, cells = followed(
        asked(models, images, tmp_path, config=CPU), should_stop=lambda: questions.append(None) or len(questions) > 12
    )
    assert [event for event in events if isinstance(event, ImageCompared)] == list(cells)
    assert 0 < len(cells) < 6 and all(Path(cell.labels).is_file() for cell in cells)


def test_objects_are_split_without_predicting_again(models, images, pairs, tmp_path):
    events, whole = followed(asked(models[:1], images, tmp_path, pairs))
    assert any(isinstance(event, TileEnd) for event in events)
    config = CPU.model_copy(update={"instances": True})
    events, split = followed(asked(models[:1], images, tmp_path, pairs, config))
    assert not any(isinstance(event, TileEnd) for event in events)
    for before, after in zip(whole, split, strict=True):
        mask, objects = (read_image(ImageRef(cell.labels), as_labels=True).array for cell in (before, after))
        np.testing.assert_array_equal(objects, to_labels(mask.astype(np.float32), 0.5, config))
        assert after.dice == before.dice
    _, fresh = followed(asked(models[:1], images, tmp_path / "fresh", pairs, config))
    for one, other in zip(split, fresh, strict=True):
        same = (read_image(ImageRef(cell.labels), as_labels=True).array for cell in (one, other))
        np.testing.assert_array_equal(*same)


def test_how_an_image_was_shown_is_told_and_kept(models, images, tmp_path):
    config = CPU.model_copy(update={"appearance": "inverted"})
    split = config.model_copy(update={"instances": True})
    for asked_for in (config, config, split):  # predicted, kept, and split without predicting again
        cells = drain(compare_models(asked(models[:1], images[:1], tmp_path, config=asked_for)))
        assert [cell.shown for cell in cells] == ["with dark and bright exchanged"]
    (cell,) = drain(compare_models(asked(models[:1], images[:1], tmp_path, config=CPU)))
    assert cell.shown == ""
