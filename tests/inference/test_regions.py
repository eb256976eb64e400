"""A region is predicted as it is in the whole image, to the last bit."""

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet_finetune.config import ChannelRule, ModelConfig, Normalization, PredictConfig
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.io.regions.region import Region, regions_of
from napari_unet_finetune.models.attention_unet import AttentionUNet
from napari_unet_finetune.models.card import ModelCard
from napari_unet_finetune.models.model import Model
from napari_unet_finetune.models.provenance import Provenance


@cache
def predictor(mirrored=False, batch_size=3, **of_card) -> Predictor:
    torch.manual_seed(0)
    network = AttentionUNet(ModelConfig(width=16, levels=2)).eval()
    with torch.no_grad():
        network.final.weight *= 10
        network.final.bias -= network(torch.rand(1, 1, 16, 16)).median()
    augment = {"orientation": "any", "flips": True} if mirrored else {}
    card = ModelCard(shape=network.config, patch_size=16, provenance=Provenance(config={"augment": augment}), **of_card)
    return Predictor(Model(network.state_dict(), card), PredictConfig(device="cpu", batch_size=batch_size))


def noise(shape, dtype="u2", channels=1):
    rng = np.random.default_rng(sum(shape))
    smooth = rng.random((channels, *shape)) * np.linspace(0.2, 1, shape[1])
    pixels = (smooth * (1 if dtype == "f4" else 200)).astype(dtype)
    return AnnotatedImage("one", pixels[0] if channels == 1 else pixels)


def put_together(one: Predictor, image: AnnotatedImage, height: int, width: int) -> np.ndarray:
    sight = one.measure(image)
    made = np.zeros(image.shape, np.float32)
    for region in regions_of(image.shape, height, width):
        made[region.slices] = drain(one.stream_region(image, region, sight))
    return made


shapes = st.tuples(st.integers(1, 50), st.integers(1, 50))


@settings(max_examples=25)
@given(shapes, st.integers(5, 60), st.integers(5, 60), st.booleans(), st.sampled_from([1.0, 0.6, 1.7]))
def test_regions_of_any_size_make_up_the_whole(shape, height, width, mirrored, rescale):
    one = predictor(mirrored, rescale=rescale)
    image = noise(shape)
    whole = one.predict(image).probabilities
    np.testing.assert_array_equal(put_together(one, image, height, width), whole)


@settings(max_examples=15)
@given(st.data(), st.booleans())
def test_any_rectangle_is_that_of_the_whole(data, mirrored):
    one, image = predictor(mirrored), noise((45, 61))
    top, left = data.draw(st.integers(0, 44)), data.draw(st.integers(0, 60))
    region = Region(top, left, data.draw(st.integers(top + 1, 45)), data.draw(st.integers(left + 1, 61)))
    found = drain(one.stream_region(image, region, one.measure(image)))
    np.testing.assert_array_equal(found, one.predict(image).probabilities[region.slices])


DARK = Appearance(inverted=(0,), quantiles=tuple(np.linspace(1, 0, 51).tolist()))
BENT = DARK.model_copy(update={"curves": (tuple((np.linspace(0, 1, 8) ** 2).tolist()),)})
BRIGHT = Appearance(quantiles=tuple(np.linspace(0, 1, 51).tolist()))


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "of_card",
    [
        {},
        {"normalization": Normalization(method="zscore")},
        {"normalization": Normalization(method="none")},
        {"knows": (DARK,)},
        {"knows": (BRIGHT, DARK), "rescale": 0.7},
        {"knows": (BRIGHT, BENT)},
    ],
    ids=["percentiles", "z-score", "none", "inverted", "one of two", "on a curve"],
)
def test_however_an_image_is_shown(dtype, channels, of_card):
    one, image = predictor(True, channels=ChannelRule(), **of_card), noise((40, 37), dtype, channels)
    np.testing.assert_array_equal(put_together(one, image, 17, 23), one.predict(image).probabilities)


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_the_size_of_batches_does_not_matter(batch_size):
    one, image = predictor(batch_size=batch_size), noise((50, 34))
    np.testing.assert_array_equal(put_together(one, image, 9, 40), one.predict(image).probabilities)


class BrightIsObject(Predictor):
    """A network that is sure of everything, and counts how often it is asked."""

    asked = 0

    def logits(self, tiles):
        self.asked += 1
        return (tiles - 0.5) * 40


def test_regions_of_an_image_are_shown_as_prediction_shows_all_of_it():
    pixels = np.full((96, 96), 230, np.uint8)
    pixels[::3, ::3] = 20  # mostly bright, and so is its middle
    corner = Region(0, 0, 32, 32)
    pixels[corner.slices] = 20
    pixels[1:32:4, 1:32:4] = 230  # mostly dark
    unclear = tuple(np.linspace(0, 1, 51).tolist())
    few = Appearance(quantiles=unclear, object_share=0.1)
    known = predictor().model.with_card(
        knows=(few, few.model_copy(update={"inverted": (0,)})), normalization=Normalization(method="none")
    )
    one = BrightIsObject(known, PredictConfig(device="cpu"))
    whole = AnnotatedImage("slide", pixels)
    places = [corner, Region(64, 64, 96, 96)]
    alone = [one.measure(AnnotatedImage("alone", pixels[place.slices])).appearance.inverted for place in places]
    assert alone == [(), (0,)]
    expected = one.predict(whole).appearance
    for place in places:
        region = AnnotatedImage("region", pixels[place.slices], part_of=whole)
        assert one.measure(region).appearance == expected
        assert one.predict(region).appearance == expected
    before = one.asked
    one.measure(AnnotatedImage("region", pixels[:16, :16], part_of=whole))
    assert one.asked == before
