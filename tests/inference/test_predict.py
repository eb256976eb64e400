"""Prediction does what the network says, whatever makes it fast, and stops when asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet_finetune.config import PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.data.normalize import model_input, quantiles_seen
from napari_unet_finetune.data.statistics import measure_image
from napari_unet_finetune.errors import DataError, DeviceError
from napari_unet_finetune.events import LOOKS_REVERSED, TileEnd
from napari_unet_finetune.inference.predict import Prediction, Predictor, predict
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.models.provenance import Provenance

FP32 = PredictConfig(device="cpu", precision="fp32")


def random_image(*shape: int) -> AnnotatedImage:
    pixels = np.random.default_rng(0).integers(0, 4000, shape, np.uint16)
    return AnnotatedImage("img3", pixels, scale=(0.5, 0.25), unit="um")


def test_one_tile_gets_exactly_what_the_network_says(model: Model) -> None:
    image = random_image(32, 32)
    pixels = model_input(image, in_channels=1, channels=model.card.channels, normalization=model.card.normalization)
    with torch.no_grad():
        expected = torch.sigmoid(model.build_network()(torch.from_numpy(pixels)[None]))[0, 0]
    np.testing.assert_allclose(predict(model, image, FP32).probabilities, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (7, 90), (32, 32), (70, 45)])
def test_the_result_has_the_size_and_scale_of_the_image(model: Model, shape: tuple[int, int]) -> None:
    result = predict(model, random_image(*shape), FP32)
    assert result.probabilities.shape == result.labels.shape == shape
    assert result.probabilities.dtype == np.float32
    assert (result.name, result.scale, result.unit) == ("img3", (0.5, 0.25), "um")


def test_an_image_that_the_device_cannot_hold_is_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(DeviceError, match=r"img3: the memory of 'cpu' does not hold an image of 90 x 70 pixels"):
        predict(model, random_image(70, 90), FP32)


def test_labels_are_the_probabilities_above_the_models_threshold(model: Model) -> None:
    result = predict(model, random_image(60, 60), FP32)
    assert result.threshold == model.card.threshold
    np.testing.assert_array_equal(result.labels, result.probabilities > 0.55)
    assert 0 < result.labels.mean() < 1


def test_a_threshold_of_the_settings_goes_before_that_of_the_model(model: Model) -> None:
    result = predict(model, random_image(60, 60), FP32.model_copy(update={"threshold": 0.3}))
    np.testing.assert_array_equal(result.labels, result.probabilities > 0.3)
    assert result.threshold == 0.3


def test_the_number_of_tiles_per_pass_does_not_change_the_result(model: Model) -> None:
    image = random_image(70, 45)
    few, many = (predict(model, image, FP32.model_copy(update={"batch_size": size})) for size in (1, 16))
    np.testing.assert_allclose(few.probabilities, many.probabilities, atol=1e-5)


def test_bf16_is_close_to_fp32(model: Model) -> None:
    image = random_image(64, 64)
    exact = predict(model, image, FP32)
    fast = predict(model, image, PredictConfig(device="cpu", precision="bf16"))
    assert np.abs(exact.probabilities - fast.probabilities).mean() < 0.01


def trained_with(model: Model, **augment: object) -> Model:
    origin = model.card.provenance.model_copy(update={"config": {"augment": augment}})
    return model.with_card(provenance=origin)


@pytest.fixture
def mirrored(model: Model) -> Model:
    """Return the model as if it had been trained on patches turned freely."""
    return trained_with(model, orientation="any", flips=True)


@pytest.mark.parametrize("axes", [0, 1, (0, 1)])
@pytest.mark.parametrize("shape", [(32, 48), (75, 101), (20, 33)])
def test_a_mirrored_image_gives_the_mirrored_result(
    mirrored: Model, shape: tuple[int, int], axes: int | tuple[int, int]
) -> None:
    image = random_image(*shape)
    straight = predict(mirrored, image, FP32).probabilities
    turned = predict(mirrored, replace(image, image=np.flip(image.image, axes).copy()), FP32).probabilities
    np.testing.assert_allclose(turned, np.flip(straight, axes), atol=1e-4)


def test_views_are_averaged_only_by_a_model_that_knows_them(model: Model, mirrored: Model) -> None:
    image = random_image(32, 48)
    plain = predict(model, image, FP32).probabilities
    once = FP32.model_copy(update={"augment": False})
    np.testing.assert_array_equal(predict(mirrored, image, once).probabilities, plain)
    assert np.abs(predict(mirrored, image, FP32).probabilities - plain).max() > 1e-3
    for known in ({"orientation": "upright", "flips": True}, {"orientation": "any", "flips": False}):
        np.testing.assert_array_equal(predict(trained_with(model, **known), image, FP32).probabilities, plain)


def test_mirrored_views_cost_at_most_one_more_tile_along_an_axis(mirrored: Model) -> None:
    image = random_image(32, 128)
    assert tiles_of(Predictor(mirrored, FP32.model_copy(update={"augment": False})), image) == 7
    assert tiles_of(Predictor(mirrored, FP32), image) == 2 * 8


def tiles_of(predictor: Predictor, image: AnnotatedImage) -> int:
    return list(predictor.stream(image))[-1].total


def test_progress_over_views_runs_once_to_its_end(mirrored: Model) -> None:
    predictor = Predictor(mirrored, FP32.model_copy(update={"batch_size": 2}))
    ends = list(predictor.stream(random_image(32, 48)))
    assert ends == [TileEnd(2, 4), TileEnd(4, 4)]


def test_a_wish_to_stop_ends_the_prediction_before_the_next_batch(model: Model) -> None:
    answers = iter([False, True])
    predictor = Predictor(model, FP32.model_copy(update={"batch_size": 1}))
    stream = predictor.stream(random_image(64, 64), should_stop=lambda: next(answers))
    assert next(stream) == TileEnd(1, 9)
    with pytest.raises(StopIteration) as stopped:
        next(stream)
    assert stopped.value.value is None


def test_one_predictor_serves_many_images(model: Model) -> None:
    predictor = Predictor(model, FP32)
    images = random_image(40, 40), random_image(20, 70)
    for image in images:
        alone = predict(model, image, FP32)
        together = predictor.predict(image)
        assert isinstance(together, Prediction)
        np.testing.assert_array_equal(alone.probabilities, together.probabilities)


def test_an_image_that_looks_reversed_is_told_and_shown_as_it_is_unless_it_was_decided(model: Model) -> None:
    image = AnnotatedImage("dark", np.linspace(0, 1, 40 * 40, dtype=np.float32).reshape(40, 40) ** 4)
    dark = Predictor(model).measure(image)
    quantiles = quantiles_seen(image, model.card.view, dark.intensities)
    knows_dark = model.with_card(knows=(Appearance(quantiles=quantiles),))
    bright = AnnotatedImage("bright", 1 - image.image)
    assert predict(knows_dark, image, device="cpu").shown == ""
    told = predict(knows_dark, bright, device="cpu")
    assert told.shown == LOOKS_REVERSED and len(told.shown) < 60 and not told.appearance.changes
    decided = [predict(knows_dark, bright, device="cpu", appearance=way).shown for way in ("as they are", "inverted")]
    assert decided == ["", "with dark and bright exchanged"]
    by_statistics = model.with_card(provenance=Provenance(statistics=measure_image(image, model.card.view)))
    assert predict(by_statistics, bright, device="cpu").shown == told.shown
    assert predict(model, bright, device="cpu").shown == ""


def test_other_channels_than_the_models_are_refused_by_name(model: Model) -> None:
    with pytest.raises(DataError, match="img3"):
        predict(model, random_image(5, 32, 32), FP32)


def test_prediction_leaves_the_mode_of_torch_as_it_was(model: Model) -> None:
    predict(model, random_image(32, 32), FP32)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
