"""Suggestions vary, leave out what is annotated, and say why."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import FinetuneConfig, ModelConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.samples import make_microtube
from napari_unet_finetune.errors import DataError
from napari_unet_finetune.events import ImageSeen, Notice, drain
from napari_unet_finetune.io.images import ImageRef
from napari_unet_finetune.models.load import load_model
from napari_unet_finetune.suggest.suggestion import suggest
from napari_unet_finetune.suggest.traits import Scout, spread_tiles
from napari_unet_finetune.training.finetune import random_model


@pytest.fixture(scope="module")
def model():
    return random_model(ModelConfig(width=16, levels=3), FinetuneConfig(patch_size=32))


def image_of(name, *, kind="dots", level=100, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.normal(level, 4, (48, 64))
    if kind == "dots":
        pixels[8:14, 10:16] += 80
        pixels[30:36, 40:46] += 80
    if kind == "stripes":
        pixels[:, ::8] += 80
    return AnnotatedImage(name, pixels.clip(0, 255).astype(np.uint8))


def folder_of_kinds():
    kinds = ["dots"] * 6 + ["stripes"] * 6 + ["noise"] * 6
    return [image_of(f"{kind}{number}", kind=kind, seed=number) for number, kind in enumerate(kinds)]


def kinds_of(suggestions):
    return sorted(one.image.rstrip("0123456789") for one in suggestions)


def test_at_the_start_each_kind_of_image_is_suggested(model):
    found = drain(suggest(model, folder_of_kinds(), 3))
    assert kinds_of(found) == ["dots", "noise", "stripes"]
    assert [one.rank for one in found] == [1, 2, 3]
    assert all("images like it" in one.reason for one in found)


def test_kinds_that_are_annotated_are_not_suggested_again(model):
    found = drain(suggest(model, folder_of_kinds(), 1, annotated=["dots0", "stripes8"]))
    assert kinds_of(found) == ["noise"]
    assert found[0].numbers["distance_to_annotated"] > 0


def test_dark_and_bright_images_are_covered_and_called_so(model):
    images = [image_of(str(number), level=100 + number, seed=number) for number in range(18)]
    images += [image_of("dark", level=20, seed=20), image_of("bright", level=170, seed=21)]
    found = {one.image: one.reason for one in drain(suggest(model, images, 3))}
    assert {"dark", "0"} & found.keys() and {"bright", "17"} & found.keys()
    reasons = " ".join(found.values())
    assert "; darker than " in reasons and "; brighter than " in reasons


def test_later_the_images_are_suggested_whose_prediction_is_least_stable(model):
    images = folder_of_kinds()
    found = drain(suggest(model, images, 3, annotated=["dots0"], mode="next"))
    assert "dots0" not in [one.image for one in found]
    scout = Scout(model, predictions=True, device="cpu", precision="fp32")
    traits = {one.name: scout.look(one) for one in images}
    first = traits[found[0].image]
    assert first.disagreement > np.median([one.disagreement for one in traits.values()])
    assert all("prediction changes" in one.reason or "threshold" in one.reason for one in found[:1])
    unsure = sorted(traits.values(), key=lambda one: one.disagreement)
    assert not {one.name for one in unsure[:4]} & {one.image for one in found}


@pytest.mark.parametrize("threshold", [0.05, 0.15, 0.9])
def test_background_is_decided_at_any_threshold(threshold):
    sure = load_model("microtube").with_card(threshold=threshold)
    scout = Scout(sure, predictions=True, device="cpu", precision="fp32")
    assert all(scout.look(image).undecided < 0.2 for image in make_microtube(1, 3, shape=(128, 192)))


def test_images_that_are_equally_unsure_are_chosen_for_what_they_show_and_not_for_their_place(model):
    images = [image_of(f"stripes{number}", kind="stripes", seed=number) for number in range(8)]
    images += [image_of(f"dots{number}", seed=number) for number in range(8)]
    weights = model.weights | {"final.weight": torch.zeros_like(model.weights["final.weight"])}
    found = drain(suggest(replace(model, weights=weights), images, 2, mode="next", device="cpu"))
    assert len({(one.numbers["disagreement"], one.numbers["undecided"]) for one in found}) == 1
    assert kinds_of(found) == ["dots", "stripes"]


def test_auto_looks_at_predictions_only_of_a_finetuned_model(model):
    images = folder_of_kinds()[:4]
    found = drain(suggest(model, images, 1, annotated=["dots0"]))
    assert "disagreement" not in found[0].numbers


def test_every_image_is_reported_and_one_that_cannot_be_read_is_left_out(model, tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"nothing")
    images = [*folder_of_kinds()[:3], ImageRef(tmp_path / "bad.tif")]
    events = list(suggest(model, images, 5))
    assert [event.done for event in events if isinstance(event, ImageSeen)] == [1, 2, 3, 4]
    assert [event for event in events if isinstance(event, Notice) and "bad.tif" in event.message]


def test_nothing_left_to_annotate_is_an_error(model):
    with pytest.raises(DataError, match="annotated already"):
        drain(suggest(model, folder_of_kinds()[:2], 1, annotated=["dots0", "dots1"]))


@pytest.mark.parametrize("shape", [(1, 20, 20), (3, 33, 200), (1, 64, 64), (1, 500, 400)])
def test_tiles_are_spread_over_images_of_any_size(shape):
    pixels = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    tiles = spread_tiles(pixels, 32, 3)
    assert tiles.shape[1:] == (shape[0], 32, 32)
    assert len(tiles) == min(3, max(1, shape[1] // 32)) * min(3, max(1, shape[2] // 32))
    assert len(np.unique(tiles.reshape(len(tiles), -1), axis=0)) == len(tiles)


def test_the_same_image_in_other_units_has_the_same_features(model):
    scout = Scout(model, predictions=False, device="cpu", precision="fp32")
    image = image_of("a")
    wide = AnnotatedImage("b", image.image.astype(np.uint16) * 257)
    first, second = scout.look(image), scout.look(wide)
    np.testing.assert_allclose(first.features, second.features, atol=1e-4)
    np.testing.assert_allclose(first.intensities, second.intensities, atol=1e-4)
