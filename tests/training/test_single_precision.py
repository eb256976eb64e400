"""The GPU of a Mac knows no double precision: none may reach the device, in a training or a prediction."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import napari_unet_finetune as nuf
from napari_unet_finetune.events import drain
from napari_unet_finetune.suggest.suggestion import suggest


class OnlySingle(TorchDispatchMode):
    """Refuses what MPS refuses."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, found)):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                raise AssertionError(f"{function} sees numbers of double precision.")
        return found


@pytest.fixture
def only_single():
    with OnlySingle():
        yield


@pytest.mark.usefixtures("only_single")
def test_the_check_finds_double_precision():
    with pytest.raises(AssertionError, match="double precision"):
        torch.from_numpy(np.zeros(3)) + 1


@pytest.mark.usefixtures("only_single")
@pytest.mark.parametrize("settings", [{}, {"l2sp": 0.1, "loss": "focal_tversky", "optimizer": "adam"}])
def test_no_training_or_prediction_needs_double_precision(dataset1, dataset2, settings):
    shape = nuf.ModelConfig(width=16, levels=2)
    base = nuf.train(dataset1, shape=shape, steps=2, patch_size=32, batch_size=2, device="cpu").result.model
    augment = {name: 1.0 for name in nuf.FinetuneConfig().augment.model_dump() if name.startswith("p_")}
    run = nuf.finetune(base, dataset2, base_images=dataset1, steps=3, device="cpu", augment=augment, **settings)
    model = run.result.model
    for image in (dataset2[0], np.stack([dataset2[0].image] * 3)):
        nuf.predict(model, image, rescale=1.3, device="cpu")
    assert drain(suggest(model, dataset2[:3], 1, device="cpu"))
