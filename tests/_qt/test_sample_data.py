"""The sample data as napari opens it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from napari_unet_finetune._qt.sample_data import microtube_dataset1, microtube_dataset2
from napari_unet_finetune.data.samples import make_microtube

SAMPLES = {"microtube_dataset1": microtube_dataset1, "microtube_dataset2": microtube_dataset2}


@pytest.fixture
def plugin(request: pytest.FixtureRequest) -> Iterator[str]:
    """Register this plugin alone, from its installed manifest, and return its name."""
    pytest.importorskip("napari")
    name = "napari-unet-finetune"
    with request.getfixturevalue("npe2pm").tmp_plugin(package=name):
        yield name


@pytest.mark.parametrize(("sample", "number"), [(microtube_dataset1, 1), (microtube_dataset2, 2)])
def test_sample_is_all_frames_with_their_truth(sample: Any, number: int) -> None:
    (image, _, image_kind), (labels, _, labels_kind) = sample()
    frames = make_microtube(number)  # type: ignore[arg-type]
    assert (image_kind, labels_kind) == ("image", "labels")
    assert np.array_equal(image, [frame.image for frame in frames])
    assert np.array_equal(labels, [frame.labels for frame in frames])


@pytest.mark.parametrize("key", SAMPLES)
def test_layers_lie_on_each_other_in_micrometers(key: str) -> None:
    layers = pytest.importorskip("napari.layers")
    image, labels = (layers.Layer.create(*data) for data in SAMPLES[key]())
    assert np.array_equal(image.extent.world, labels.extent.world)
    assert image.scale == pytest.approx((1, 0.65, 0.65))
    assert [str(unit) for unit in labels.units] == ["pixel", "micrometer", "micrometer"]


@pytest.mark.parametrize("key", SAMPLES)
def test_sample_opens_in_a_viewer_without_a_window(key: str, plugin: str) -> None:
    from napari.components import ViewerModel

    viewer = ViewerModel()
    layers = viewer.open_sample(plugin, key)
    assert [type(layer).__name__ for layer in layers] == ["Image", "Labels"]
    assert len(viewer.layers) == 2


@pytest.mark.gui
def test_sample_opens_in_a_window(make_napari_viewer: Any, plugin: str) -> None:
    viewer = make_napari_viewer()
    viewer.open_sample(plugin, "microtube_dataset2")
    assert [layer.name for layer in viewer.layers] == ["Microtube Dataset 2", "Microtube Dataset 2 truth"]
    assert viewer.screenshot(canvas_only=True, flash=False).std() > 0
