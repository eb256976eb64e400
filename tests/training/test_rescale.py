"""A finetuning on larger objects can look at its images smaller; the old dataset keeps its own size."""

import numpy as np
import pytest

from napari_unet_finetune.data.annotated_image import AnnotatedImage
from napari_unet_finetune.events import drain
from napari_unet_finetune.inference.predict import predict
from napari_unet_finetune.training.finetune import finetune, train
from napari_unet_finetune.training.prepare import prepare

from .conftest import TINY, make_squares, tiny_config


@pytest.fixture(scope="module")
def base():
    return drain(train(make_squares(4), tiny_config(steps=2), shape=TINY)).model


def enlarged(images, times):
    return [
        AnnotatedImage(
            one.name, one.image.repeat(times, 0).repeat(times, 1), one.labels.repeat(times, 0).repeat(times, 1)
        )
        for one in images
    ]


def test_the_factor_is_estimated_from_the_masks_and_said(base):
    setup = prepare(base, enlarged(make_squares(4), 3), tiny_config(rescale=0))
    assert setup.base.card.rescale == pytest.approx(1.5 / 3, abs=0.04)
    assert any("resampled by 0.5" in notice or "resampled by 0.4" in notice for notice in setup.notices)
    assert {image.shape for image in setup.train.images} == {(round(144 * setup.base.card.rescale),) * 2}
    assert setup.statistics.object_width_px == pytest.approx(
        1.5 * base.card.provenance.statistics.object_width_px, rel=0.1
    )
    assert {image.shape for image in setup.raw_held_out.images} == {(144, 144)}


@pytest.mark.parametrize(("times", "change"), [(1, 0), (3, None)])
def test_objects_of_the_same_size_or_no_wish_keep_the_images(base, times, change):
    setup = prepare(base, enlarged(make_squares(4), times), tiny_config(rescale=change))
    assert setup.base.card.rescale == 1
    assert any("keep their size" in notice for notice in setup.notices) == (change == 0)


def test_an_estimate_that_finds_nothing_to_change_undoes_the_bases_own_factor(base):
    """Compared are objects at their own size: as wide as the base saw them means no resampling at all."""
    setup = prepare(base.with_card(rescale=0.5), make_squares(4), tiny_config(rescale=0))
    assert setup.base.card.rescale == 1
    assert any("images keep their size" in notice for notice in setup.notices)


def test_where_no_size_is_known_the_bases_own_factor_stays_and_is_named(base):
    unknown = base.with_card(rescale=0.5, provenance=base.card.provenance.model_copy(update={"statistics": None}))
    setup = prepare(unknown, make_squares(4), tiny_config(rescale=0))
    assert setup.base.card.rescale == 0.5
    assert any("factor of 0.5 stays" in notice for notice in setup.notices)


def test_a_given_factor_is_taken_and_the_old_images_keep_their_size(base):
    setup = prepare(base, enlarged(make_squares(4), 2), tiny_config(rescale=0.5), base_images=make_squares(4))
    assert setup.base.card.rescale == 0.5
    assert {image.shape for image in setup.train.images} == {(48, 48)}
    assert {image.shape for image in setup.old} == {(48, 48)}


def test_results_have_the_size_of_the_image(base):
    large = enlarged(make_squares(4), 2)
    model = drain(finetune(base, large, tiny_config(rescale=0.5, keep_raw=False))).model
    assert model.card.rescale == 0.5
    assert predict(model, large[0]).labels.shape == (96, 96)


def test_strokes_are_resampled_too(base):
    strokes = np.zeros((96, 96), bool)
    strokes[40:56] = True
    images = [AnnotatedImage(one.name, one.image, one.labels, strokes) for one in enlarged(make_squares(4), 2)]
    setup = prepare(base, images, tiny_config(rescale=0.5))
    assert {int(image.annotated.sum()) for image in setup.train.images} == {8 * 48}
