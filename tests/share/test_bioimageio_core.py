"""`bioimageio.core` runs our packages: the same probabilities on a tile, labels as good through tiles of its own."""

import numpy as np
import pytest

import napari_unet_finetune as nuf
from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.data.appearance import Appearance
from napari_unet_finetune.inference.predict import Predictor
from napari_unet_finetune.metrics import dice

core = pytest.importorskip("bioimageio.core")
# It comes with an environment of its own, since it asks for another version of bioimageio.spec: `make test-share`.
pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("default")]
CPU = nuf.PredictConfig(device="cpu", precision="fp32")
DARK = Appearance(inverted=(0,))


def turned(image):
    return AnnotatedImage(image.name, 255 - image.image, image.labels)


@pytest.fixture(scope="module", params=["as it is", "dark and bright exchanged"])
def case(request, tmp_path_factory):
    """Return a model, its package, and images for it."""
    model, images = nuf.load_model("microtube"), nuf.make_microtube(1, 2, seed=3, shape=(300, 410))
    if request.param != "as it is":
        model, images = model.with_card(knows=(DARK,)), tuple(map(turned, images))
    package = tmp_path_factory.mktemp("core") / "microtube.zip"
    nuf.export_model(model, package, torchscript=True)
    return model, package, images


def predicted(package, image, *, whole=False):
    """Return what bioimageio.core finds in `image` (Y, X): at once, or tile by tile as the package says."""
    with core.create_prediction_pipeline(core.load_model_description(package)) as pipeline:
        sample = core.digest_spec.create_sample_for_model(
            pipeline.model_description, inputs={"image": image[np.newaxis, np.newaxis].astype(np.float32)}
        )
        if whole:
            found = pipeline.predict_sample_without_blocking(sample, skip_input_padding=True, skip_output_cropping=True)
        else:
            found = pipeline.predict_sample_with_blocking(sample)
    return np.asarray(found.members["probability"].data)[0, 0]


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_its_own_test_passes(case, form):
    _, package, _ = case
    summary = core.test_model(package, weight_format=form)
    assert summary.status == "passed", summary


def test_a_tile_gets_our_probabilities(case):
    model, package, images = case
    tile = images[0].image[:128, :128]
    ours = Predictor(model, CPU.model_copy(update={"overlap": 0.0, "augment": False})).predict(
        AnnotatedImage("a", tile)
    )
    theirs = predicted(package, tile, whole=True)
    assert np.abs(theirs - ours.probabilities).max() < 1e-4


def test_an_image_is_segmented_as_well_as_by_us(case):
    """Other tiles give other labels where a model is unsure: ours without overlap differ from ours by 1 to 2 %."""
    model, package, images = case
    for image in images:
        ours = Predictor(model, CPU).predict(image)
        theirs = predicted(package, image.image) > ours.threshold
        assert ours.labels.mean() > 0.05
        assert np.mean(theirs != (ours.labels > 0)) < 0.05
        assert dice(theirs, image.target) > dice(ours.labels > 0, image.target) - 0.01
